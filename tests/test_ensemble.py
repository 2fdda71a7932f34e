"""Ensembles: the mean of the members, their card, and what does not go together."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from landslide_rcnn.ensemble import Ensemble
from landslide_rcnn.errors import ConfigError, WeightsError
from landslide_rcnn.files import sha256_of
from landslide_rcnn.prediction import Instances, TilePrediction
from landslide_rcnn.weights import (
    Card,
    card_path,
    ensemble_path,
    read_any_card,
    read_weights,
    write_ensemble,
)


class Scaled:
    """Probability: the first band times a factor; one instance, to be ignored."""

    def __init__(self, factor):
        self.factor, self.calls = factor, []

    def predict_tiles(self, tiles, valid_masks=None):
        self.calls.append((tiles, valid_masks))
        instance = Instances(
            np.array([[0, 0, 1, 1]]), np.ones(1), np.ones(1, int), (np.ones((1, 1)),)
        )
        return [
            TilePrediction((tile[..., 0] * self.factor).astype(np.float32), instance)
            for tile in tiles
        ]

    def identity(self):
        return {"factor": self.factor}


def test_the_mean_of_the_members(rng):
    members = [Scaled(1.0), Scaled(0.5), Scaled(0.0)]
    # Tiles of several sizes, as images of a dataset come.
    tiles = [rng.random((5, 7, 2)), rng.random((4, 4, 2))]
    valid = [np.ones(tile.shape[:2], bool) for tile in tiles]
    answers = Ensemble(members).predict_tiles(tiles, valid)
    for tile, answer in zip(tiles, answers, strict=True):
        np.testing.assert_allclose(answer.probability, tile[..., 0] / 2, rtol=1e-6)
        assert answer.probability.dtype == np.float32 and len(answer.instances) == 0
    assert all(member.calls == [(tiles, valid)] for member in members)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_members_that_agree_agree_with_their_mean(count, rng):
    tiles = rng.random((2, 16, 16, 1)).astype(np.float32)
    one = Scaled(1.0).predict_tiles(tiles)
    together = Ensemble([Scaled(1.0)] * count).predict_tiles(tiles)
    for first, mean in zip(one, together, strict=True):
        np.testing.assert_array_equal(first.probability, mean.probability)


class Kinds:
    """Probabilities of two kinds, from a semantic model or, the same, as instances."""

    def __init__(self, of_kinds, instances=False):
        self.of_kinds, self.instances = np.array(of_kinds, np.float32)[None], instances

    def predict_tiles(self, tiles, valid_masks=None):
        sums = self.of_kinds.sum(axis=-1)
        if not self.instances:
            return [TilePrediction(sums, class_probabilities=self.of_kinds)]
        found = [(x, k) for x in range(sums.shape[1]) for k in (0, 1) if self.of_kinds[0, x, k]]
        instances = Instances(
            np.array([[0, x, 1, x + 1] for x, _ in found], np.int32),
            np.array([self.of_kinds[0, x, k] for x, k in found], np.float32),
            np.array([k + 1 for _, k in found], np.int32),
            (np.ones((1, 1), np.float32),) * len(found),
        )
        return [TilePrediction(sums, instances)]


@pytest.mark.parametrize("instances", [False, True])
def test_the_class_is_that_of_the_mean_and_detect_says_it(instances):
    one = Kinds([[0.0, 0.9], [0.5, 0.0], [0.0, 0.5], [0.0, 0.0]], instances)
    other = Kinds([[0.5, 0.0], [0.5, 0.0], [0.8, 0.0], [0.0, 0.0]])
    together = Ensemble([one, other], ["BG", "slide", "flow"], threshold=0.4)
    image = np.zeros((1, 4, 3), np.uint8)
    (answer,) = together.predict_tiles([image])
    np.testing.assert_allclose(
        answer.class_probabilities[0], [[0.25, 0.45], [0.5, 0], [0.4, 0.25], [0, 0]]
    )
    (found,) = together.detect([image])
    assert found["class_ids"].tolist() == [2, 1]
    np.testing.assert_allclose(found["scores"], [0.7, (0.5 + 0.65) / 2])
    assert found["rois"].tolist() == [[0, 0, 1, 1], [0, 1, 1, 3]]
    assert found["masks"][0].T.tolist() == [[True, False, False, False], [False, True, True, False]]


def test_detect_keeps_to_threshold_and_size(capsys, rng):
    image = np.zeros((6, 9, 1))
    image[1, 1], image[3:5, 3:6], image[0, 8] = 0.8, 0.6, 0.3
    members = [Scaled(1.0), Scaled(0.5)]
    (found,) = Ensemble(members, threshold=0.4, min_pixels=2).detect([image], verbose=1)
    assert found["rois"].tolist() == [[3, 3, 5, 6]] and found["class_ids"].tolist() == [1]
    np.testing.assert_allclose(found["scores"], [0.45])
    assert capsys.readouterr().out == "6 x 9 px: 1 found\n"
    (found,) = Ensemble(members, threshold=0.9).detect([image])
    assert found["rois"].shape == (0, 4) and found["masks"].shape == (6, 9, 0)


def test_its_identity_is_that_of_all_members():
    assert Ensemble([Scaled(1), Scaled(2)]).identity() == {
        "members": [{"factor": 1}, {"factor": 2}]
    }
    with pytest.raises(ConfigError, match="one member or more"):
        Ensemble([])


def write_member(
    path, *, bands=("red", "green", "blue"), tile_size=64, classes=("BG", "landslide")
):
    """Weights with a card; what is in the file is never read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"weights {path.parent.name}".encode())
    config = {"IMAGE_MAX_DIM": tile_size, "BATCH_SIZE": 2, "BACKBONE": "resnet50"}
    card = Card(config, list(bands), list(classes), pixel_size_m=2.0, sha256=sha256_of(path))
    card_path(path).write_text(json.dumps(asdict(card)))
    return path


@pytest.fixture
def members(tmp_path):
    return [write_member(tmp_path / f"fold-{i}" / "model.weights.h5") for i in (1, 2, 3)]


def test_the_card_names_the_members_and_says_what_they_share(tmp_path, members):
    written = write_ensemble(tmp_path, members, threshold=0.375, metrics={"f1": 0.5})
    content = json.loads((tmp_path / "ensemble.json").read_text())
    assert content["members"] == [
        {"weights": f"fold-{i}/model.weights.h5", "sha256": sha256_of(path)}
        for i, path in enumerate(members, start=1)
    ]
    for named in (tmp_path, tmp_path / "ensemble.json", str(tmp_path)):
        card = read_any_card(named)
        assert card == written
        assert (card.threshold, card.metrics, card.pixel_size_m) == (0.375, {"f1": 0.5}, 2.0)
        assert (card.bands, card.config["IMAGE_MAX_DIM"]) == (["red", "green", "blue"], 64)
        assert card.architecture == "ensemble" and card.sha256 == sha256_of(
            tmp_path / "ensemble.json"
        )
        assert [each.path.resolve() for each in card.members] == members
    assert ensemble_path(members[0]) is None
    assert read_any_card(members[0]).architecture == "mask_rcnn"


@pytest.mark.parametrize(
    "other, message",
    [
        ({"bands": ("red", "green", "nir")}, "same bands. Received: red, green, blue in "
         "fold-1/model.weights.h5 and red, green, nir in x/model.weights.h5"),
        ({"tile_size": 128}, "same tile size. Received: 64 in .* and 128 in x/"),
        ({"classes": ("BG", "flow")}, "same classes. Received: BG, landslide .* and BG, flow"),
    ],
)  # fmt: skip
def test_members_that_see_other_things_are_refused(tmp_path, members, other, message):
    stranger = write_member(tmp_path / "x" / "model.weights.h5", **other)
    with pytest.raises(WeightsError, match=message) as error:
        write_ensemble(tmp_path, [*members, stranger], threshold=0.5)
    assert "\n" not in str(error.value) and not (tmp_path / "ensemble.json").exists()
    with pytest.raises(WeightsError, match="one member or more"):
        write_ensemble(tmp_path, [], threshold=0.5)


def test_a_folder_that_is_not_as_it_was_made_is_refused(tmp_path, members):
    with pytest.raises(WeightsError, match="needs its ensemble.json. Received: .* train --kfold"):
        read_any_card(tmp_path)
    write_member(tmp_path / "trained" / "model.weights.h5")
    with pytest.raises(WeightsError, match="Name .*/trained/model.weights.h5, or a folder that"):
        read_any_card(tmp_path / "trained")
    with pytest.raises(WeightsError, match="the folder .*. Name .*/trained/model.weights.h5."):
        read_weights(tmp_path / "trained")
    with pytest.raises(WeightsError, match="existing file. Received: .*nowhere"):
        read_any_card(tmp_path / "nowhere")
    write_ensemble(tmp_path, members, threshold=0.5)
    write_member(tmp_path / "y" / "model.weights.h5")
    for name in ("model.weights.h5", "model.card.json"):  # another member, sound in itself
        (tmp_path / "y" / name).replace(tmp_path / "fold-2" / name)
    with pytest.raises(WeightsError, match="Received: fold-2/model.weights.h5 of .*Copy the whole"):
        read_any_card(tmp_path)
    members[1].unlink()
    with pytest.raises(WeightsError, match="fold-2"):
        read_any_card(tmp_path)
    for text in ("{}", "[]", "not JSON", '{"members": [{"weights": "a"}]}'):
        (tmp_path / "ensemble.json").write_text(text)
        with pytest.raises(WeightsError, match="must be JSON with format, members"):
            read_any_card(tmp_path)
    content = dict(format=9, members=[], threshold=0.5, metrics={}, split={}, created="")
    (tmp_path / "ensemble.json").write_text(json.dumps(content))
    with pytest.raises(WeightsError, match="Received: format 9, 0 members"):
        read_any_card(tmp_path)
