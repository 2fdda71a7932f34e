"""`train --kfold`: who trains on what, what is averaged, and going on after a stop.

With stand-ins for training and network; the last test trains for real.
"""

import json
import math
from dataclasses import asdict

import cv2
import imgaug.augmenters as iaa
import numpy as np
import pytest

from landslide_rcnn.config import LandslideConfig
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.split_files import read_split
from landslide_rcnn.data.wrapper import Subset
from landslide_rcnn.errors import ConfigError, DatasetError
from landslide_rcnn.evaluation.datasets import sweep_dataset
from landslide_rcnn.evaluation.pixels import metrics_dict
from landslide_rcnn.files import OutputExistsError, sha256_of
from landslide_rcnn.inference.run_folder import UnfinishedRunError
from landslide_rcnn.prediction import TilePrediction
from landslide_rcnn.weights import Card, card_path, read_any_card, read_card
from landslide_rcnn.workflows import kfold
from landslide_rcnn.workflows.kfold import format_folds, spread_of, train_folds
from tests.test_cli import draw, run


class Noisy(Dataset):
    """Images whose red is high in the landslide, with noise; every third has none."""

    def __init__(self, count=14, seed=3, brighter=0):
        super().__init__()
        rng = np.random.default_rng(seed)
        self.images, self.masks = [], []
        self.add_class("made", 1, "landslide")
        for index in range(count):
            mask = np.zeros((12, 12, 1), bool)
            if index % 3:
                mask[2 : 4 + index % 7, 3:9] = True
            red = rng.normal(90, 35, (12, 12, 1)) + 80 * mask + brighter
            image = np.repeat(red.clip(0, 255), 3, axis=-1).astype(np.uint8)
            self.images.append(image)
            self.masks.append(mask[..., : int(mask.any())])
            self.add_image("made", f"image {index}", None)
        self.prepare()

    def load_image(self, image_id):
        return self.images[image_id]

    def load_mask(self, image_id):
        masks = self.masks[image_id]
        return masks, np.ones(masks.shape[-1], np.int32)


class Red:
    """Probability: red, less or more of it with each fold."""

    def __init__(self, fold):
        self.factor = 0.6 + 0.1 * int(fold)

    def predict_tiles(self, tiles, valid_masks=None):
        return [
            TilePrediction((tile[..., 0] / 255 * self.factor).clip(0, 1).astype(np.float32))
            for tile in tiles
        ]


class Training:
    """Stands in for `train_model`: notes what it was given; stops at a fold if told to."""

    def __init__(self):
        self.calls, self.stop_at = {}, None

    def __call__(self, config, train, val, output_dir, **settings):
        fold = output_dir.name.removeprefix("fold-")
        self.calls[fold] = (train, val, settings)
        if fold == self.stop_at:
            raise KeyboardInterrupt
        sweep = sweep_dataset(Red(fold), val, progress=False)
        threshold = sweep.best_threshold()
        path = output_dir / "model.weights.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"weights of fold {fold}, seed {settings['seed']}".encode())
        card = Card(
            config.to_dict(), ["red", "green", "blue"], list(train.class_names),
            threshold=threshold, sha256=sha256_of(path),
            metrics={"epoch": 7, **metrics_dict(sweep.confusion_at(threshold))},
        )  # fmt: skip
        card_path(path).write_text(json.dumps(asdict(card)))


@pytest.fixture
def training(monkeypatch):
    """The stand-in for `train_model`."""
    training = Training()
    monkeypatch.setattr(kfold, "train_model", training)
    monkeypatch.setattr(
        kfold, "load_predictor", lambda path, _: Red(path.parent.name.removeprefix("fold-"))
    )
    return training


CONFIG = LandslideConfig(IMAGE_MAX_DIM=64, IMAGE_MIN_DIM=64)


def fold_names(dataset):
    return {info["id"] for info in dataset.image_info}


def test_each_fold_trains_on_the_others_and_is_held_out(tmp_path, training):
    data = Noisy()
    train_folds(CONFIG, data, tmp_path, 4, seed=9, minutes=8, epochs=3, progress=False)
    assert list(training.calls) == ["1", "2", "3", "4"]
    fold_of = read_split(tmp_path / "folds.csv")
    assert set(fold_of) == fold_names(data) and set(fold_of.values()) == set("1234")
    for fold, (train, val, settings) in training.calls.items():
        assert fold_names(val) == {key for key, its in fold_of.items() if its == fold}
        assert fold_names(train) == fold_names(data) - fold_names(val)
        # Every image with its own pixels, not those of its new number.
        for image_id, info in enumerate(val.image_info):
            number = int(info["id"].split()[1])
            np.testing.assert_array_equal(val.load_image(image_id), data.images[number])
        assert settings == {
            "minutes": 2, "epochs": 3, "seed": 9, "overwrite": False, "progress": False,
            "resume": False,
        }  # fmt: skip
        assert val.split.parts == (fold,) and train.split.path == tmp_path / "folds.csv"
        assert set(train.split.parts) == set("1234") - {fold}
    landslides = [sum(len(v.load_mask(i)[1]) for i in v.image_ids) for _, v, _ in
                  training.calls.values()]  # fmt: skip
    assert max(landslides) - min(landslides) <= 1


def test_a_wrong_word_leaves_nothing_and_a_kill_leaves_what_was_done(tmp_path, monkeypatch):
    def refuse(config, train, val, output_dir, **settings):
        raise ConfigError("The best epoch is chosen by one of these. Received: 'val_f2'.")

    monkeypatch.setattr(kfold, "train_model", refuse)
    with pytest.raises(ConfigError, match="val_f2"):
        train_folds(CONFIG, Noisy(), tmp_path / "new", 3, progress=False)
    with pytest.raises(DatasetError, match="must hold landslides"):
        train_folds(CONFIG, Subset(Noisy(), [0, 3, 6]), tmp_path / "new", 3, progress=False)
    assert not (tmp_path / "new").exists()

    def stop(config, train, val, output_dir, **settings):
        output_dir.mkdir()
        raise OSError("a full disk")

    monkeypatch.setattr(kfold, "train_model", stop)
    with pytest.raises(OSError, match="full disk"):
        train_folds(CONFIG, Noisy(), tmp_path / "new", 3, progress=False)
    assert (tmp_path / "new" / "kfold.json").exists()


def test_mean_deviation_and_pooled_threshold_by_a_loop(tmp_path, training):
    data = Noisy()
    result = train_folds(CONFIG, data, tmp_path, 3, progress=False)
    fold_of = read_split(tmp_path / "folds.csv")
    probability, truth = [], []
    for index in range(data.num_images):
        fold = fold_of[f"image {index}"]
        probability.append(Red(fold).predict_tiles([data.images[index]])[0].probability.ravel())
        truth.append(data.masks[index].any(axis=-1).ravel())
    probability, truth = np.concatenate(probability), np.concatenate(truth)

    def f1(threshold):
        hit = probability >= np.float32(threshold)
        return 2 * (hit & truth).sum() / (hit.sum() + truth.sum())

    scores = np.array([f1(k / 1000) for k in range(1, 1001)])
    best = np.flatnonzero(scores == scores.max()) + 1
    assert 0.5 < scores.max() < 0.98  # a task on which thresholds matter
    assert result.threshold == best[len(best) // 2] / 1000
    pooled = result.summary["pooled"]
    hit = probability >= np.float32(result.threshold)
    assert [pooled[name] for name in ("tp", "fp", "fn", "tn")] == [
        (hit & truth).sum(), (hit & ~truth).sum(), (~hit & truth).sum(), (~hit & ~truth).sum(),
    ]  # fmt: skip
    assert pooled["f1"] == pytest.approx(scores.max())
    single = [read_card(tmp_path / f"fold-{fold}" / "model.weights.h5") for fold in "123"]
    for name in ("f1", "iou", "miou", "precision", "recall", "overall_accuracy"):
        values = [card.metrics[name] for card in single]
        assert result.summary["mean"][name] == pytest.approx(np.mean(values))
        assert result.summary["std"][name] == pytest.approx(np.std(values, ddof=1))
        assert np.std(values) > 0
    assert [each["threshold"] for each in result.summary["folds"]] == [
        card.threshold for card in single
    ]
    assert [each["epoch"] for each in result.summary["folds"]] == [7, 7, 7]
    # The files say the same, and the folder stands in the place of weights.
    written = json.loads((tmp_path / "kfold.json").read_text())
    assert {name: written[name] for name in result.summary} == result.summary
    card = read_any_card(tmp_path)
    assert (card.threshold, card.metrics["f1"]) == (result.threshold, pooled["f1"])
    assert [each.name for each in card.members] == [f"fold-{i}/model.weights.h5" for i in "123"]
    assert card.split["folds"]["kind"] == "3 folds of single samples, seed 0"
    assert card.split["folds"]["sha256"] == sha256_of(tmp_path / "folds.csv")


def test_the_spread_by_hand():
    folds = [{"f1": 0.5, "iou": None}, {"f1": 0.7, "iou": 0.25}, {"f1": 0.9, "iou": None}]
    spread = spread_of(folds)
    assert spread["mean"]["f1"] == pytest.approx(0.7)
    assert spread["std"]["f1"] == pytest.approx(0.2)  # (0.04 + 0 + 0.04) / (3 - 1)
    assert (spread["mean"]["iou"], spread["std"]["iou"]) == (0.25, None)
    assert (spread["mean"]["recall"], spread["std"]["recall"]) == (None, None)
    table = format_folds(
        {
            "folds": [{"fold": "1", "threshold": 0.5, **folds[0]}],
            **spread,
            "pooled": {"threshold": 0.25, "f1": 0.6875},
        }
    ).splitlines()
    assert [line.split()[0] for line in table[1:]] == ["fold", "mean", "std", "pooled"]
    assert len({len(line) for line in table}) == 1
    column = table[0].split().index("f1")
    assert [line.removeprefix("fold ").split()[1 + column] for line in table[1:]] == [
        "0.5000", "0.7000", "0.2000", "0.6875",
    ]  # fmt: skip


def test_a_stopped_run_keeps_its_folds(tmp_path, training, caplog):
    data = Noisy()
    whole = train_folds(CONFIG, data, tmp_path / "whole", 4, progress=False)
    folder = tmp_path / "stopped"
    training.calls.clear()
    training.stop_at = "3"
    with pytest.raises(KeyboardInterrupt):
        train_folds(CONFIG, data, folder, 4, progress=False)
    assert "2 of 4 folds are finished" in caplog.text and "--resume" in caplog.text
    assert not (folder / "ensemble.json").exists()
    with pytest.raises(UnfinishedRunError, match="--resume"):
        train_folds(CONFIG, data, folder, 4, progress=False)
    training.stop_at = None
    training.calls.clear()
    # Fold 2 was damaged meanwhile: it is not taken for finished.
    (folder / "fold-2" / "model.weights.h5").write_bytes(b"half")
    resumed = train_folds(CONFIG, data, folder, 4, resume=True, progress=False)
    assert list(training.calls) == ["2", "3", "4"]
    assert all(settings["resume"] for _, _, settings in training.calls.values())
    assert "Fold 2 is trained again" in caplog.text
    assert resumed.summary == whole.summary and resumed.threshold == whole.threshold
    training.calls.clear()
    assert train_folds(CONFIG, data, folder, 4, resume=True, progress=False).summary == (
        whole.summary
    )
    assert not training.calls
    with pytest.raises(OutputExistsError, match="ensemble.json"):
        train_folds(CONFIG, data, folder, 4, progress=False)
    again = train_folds(CONFIG, data, folder, 4, seed=1, overwrite=True, progress=False)
    assert list(training.calls) == ["1", "2", "3", "4"]
    assert again.summary["folds"][0]["sha256"] != whole.summary["folds"][0]["sha256"]


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"folds": 3}, "folds 4, now 3"),
        ({"seed": 5}, "seed 0, now 5"),
        ({"epochs": 9}, "training.epochs 2, now 9"),
        ({"augmentation": iaa.Fliplr(0.5)}, "training.augmentation None, now Fliplr"),
        ({"enhancement": {"cutmix": 2}}, "enhancement.cutmix None, now 2"),
        ({"config": LandslideConfig(LEARNING_RATE=0.5)}, "config.LEARNING_RATE .*, now 0.5"),
        ({"dataset": Noisy(count=15)}, "images .*image 0.*, now "),
        ({"dataset": Noisy(brighter=1)}, "data.sha256 .*, now "),
    ],
)
def test_another_run_is_not_gone_on_with(tmp_path, training, changes, named):
    given = dict(config=CONFIG, dataset=Noisy(), output_dir=tmp_path, folds=4, progress=False)
    training.stop_at = "2"
    with pytest.raises(KeyboardInterrupt):
        train_folds(**given, epochs=2)
    before = (tmp_path / "kfold.json").read_bytes()
    with pytest.raises(UnfinishedRunError, match=f"Received: .*{named}") as error:
        train_folds(**{**given, "epochs": 2, **changes}, resume=True)
    assert "--overwrite" in str(error.value) and "\n" not in str(error.value)
    assert (tmp_path / "kfold.json").read_bytes() == before


def test_an_augmentation_is_known_by_what_it_does(tmp_path, training):
    given = dict(config=CONFIG, dataset=Noisy(), output_dir=tmp_path, folds=4, progress=False)
    training.stop_at = "2"
    with pytest.raises(KeyboardInterrupt):
        train_folds(**given, augmentation=iaa.Multiply((0.8, 1.25)))
    with pytest.raises(UnfinishedRunError, match="training.augmentation Multiply"):
        train_folds(**given, augmentation=iaa.Multiply((0.2, 5.0)), resume=True)
    training.stop_at = None
    train_folds(**given, augmentation=iaa.Multiply((0.8, 1.25)), resume=True)
    assert (tmp_path / "ensemble.json").exists()


def test_initial_weights_are_known_by_their_bytes(tmp_path, training):
    weights = tmp_path / "initial.npz"
    given = dict(config=CONFIG, dataset=Noisy(), output_dir=tmp_path / "folds", progress=False)
    given |= dict(folds=4, weights=weights)
    weights.write_bytes(b"first")
    training.stop_at = "2"
    with pytest.raises(KeyboardInterrupt):
        train_folds(**given)
    weights.write_bytes(b"second")
    with pytest.raises(UnfinishedRunError, match="training.weights.sha256"):
        train_folds(**given, resume=True)


def test_added_samples_are_of_the_training_folds_alone(tmp_path, training):
    train_folds(
        CONFIG, Noisy(), tmp_path, 3, enhancement={"splice": 0, "cutmix": 5}, progress=False
    )
    for train, val, _ in training.calls.values():
        kinds = [info.get("kind") for info in train.image_info]
        assert kinds.count("cutmix") == 5 and kinds.count(None) == 14 - val.num_images
        assert not any("kind" in info for info in val.image_info)
        assert not fold_names(train.base) & fold_names(val)


def test_what_cannot_be_divided(tmp_path, training):
    with pytest.raises(DatasetError, match="Every fold must hold landslides.*Use fewer folds"):
        train_folds(CONFIG, Subset(Noisy(), [0, 3, 6, 9, 12, 1, 2]), tmp_path, 3, progress=False)
    with pytest.raises(ConfigError, match="Folds are at least 2"):
        train_folds(CONFIG, Noisy(), tmp_path, 1, progress=False)
    assert not training.calls and not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixteen tiles of 64 px with their masks, a quarter of them without landslides."""
    root, rng = tmp_path_factory.mktemp("tiles"), np.random.default_rng(0)
    for name in ("image", "mask"):
        (root / name).mkdir()
    for number in range(16):
        image, mask = draw(rng, landslide=number % 4 > 0)
        cv2.imwrite(str(root / "image" / f"{number}.png"), image)
        cv2.imwrite(str(root / "mask" / f"{number}.png"), mask)
    return root


def test_the_command_hands_on_what_it_is_given(folder, tmp_path, training):
    """`--kfold` with bands, a cache, added samples; and what cannot go together."""
    code, out, err = run(
        "train", "--train", folder, "--kfold", 2, "--output", tmp_path / "k", "--bands", "3,2,1",
        "--cache", tmp_path / "cache", "--cutmix", 3, "--epochs", 4, "--augmentation", "fcn_fl",
        "--seed", 2, "-q",
    )  # fmt: skip
    assert code == 0, err
    train, val, settings = training.calls["2"]
    assert (train.num_images, train.base.num_images + val.num_images) == (
        train.base.num_images + 3, 16,
    )  # fmt: skip
    assert (settings["epochs"], settings["seed"], settings["augment"]) == (4, 2, False)
    assert list((tmp_path / "cache").glob("*.npz"))
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1:6]] == ["fold", "fold", "mean", "std", "pooled"]
    assert lines[6].startswith(str(tmp_path / "k" / "ensemble.json"))
    for options in (["--val", folder, "--kfold", "2"], []):
        code, _, err = run("train", "--train", folder, "--output", tmp_path / "o", *options)
        assert code == 2 and "--kfold" in err
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_two_folds_for_real(folder, tmp_path, monkeypatch):
    """Train, predict with both; the ensemble is the mean of what the folds left."""
    from landslide_rcnn.loading import load_model

    settings = ("IMAGE_MIN_DIM=64", "IMAGE_MAX_DIM=64", "IMAGES_PER_GPU=4", "STEPS_PER_EPOCH=3")
    monkeypatch.chdir(tmp_path)
    code, out, err = run(
        "train", "--train", folder, "--kfold", 2, "--output", "k", "--epochs", 1, "-q",
        "--experiment", "deeplab-mobilenet",
        *(part for setting in settings for part in ("--set", setting)),
    )  # fmt: skip
    assert code == 0, err
    summary = json.loads((tmp_path / "k" / "kfold.json").read_text())
    ensemble, card = load_model(tmp_path / "k", BATCH_SIZE=1)
    assert card.threshold == summary["pooled"]["threshold"] and len(ensemble.members) == 2
    assert all(member.config.BATCH_SIZE == 1 for member in ensemble.members)
    image = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), np.uint8)
    mean = ensemble.predict_tiles(image)[0].probability
    single = [
        load_model(tmp_path / "k" / f"fold-{i}" / "model.weights.h5")[0].predict_tiles(image)[0]
        for i in (1, 2)
    ]
    np.testing.assert_allclose(mean, (single[0].probability + single[1].probability) / 2, atol=1e-6)
    assert (single[0].probability != single[1].probability).any()
    counts = [sum(summary["pooled"][name] for name in ("tp", "fp", "fn", "tn"))]
    assert counts == [16 * 64 * 64]  # every pixel of every image, once
    for fold in "12":
        parts = read_card(tmp_path / "k" / f"fold-{fold}" / "model.weights.h5").split
        assert parts["val"]["parts"] == [fold] and parts["train"]["parts"] != [fold]
    assert math.isfinite(summary["mean"]["f1"])
