"""The playground's parts share no ground, look as asked for, and are trained on once only."""

import numpy as np
import pytest

from landslide_rcnn.errors import RegistryError
from landslide_rcnn.workflows import playground as module
from landslide_rcnn.workflows.playground import open_playground, part_window, playground_model


def test_parts_share_no_pixel_and_all_have_landslides(tmp_path):
    playground = open_playground(tmp_path)
    seen = np.zeros((module.HEIGHT, module.WIDTH), int)
    for name in module.PARTS:
        part, window = getattr(playground, name), part_window(name)
        covered = np.zeros_like(seen)
        for info in part.image_info:
            tile = info["tile"]
            rows = slice(tile.row_off, tile.row_off + tile.height)
            covered[rows, tile.col_off : tile.col_off + tile.width] = 1
        assert covered[:, window.col_off : window.col_off + window.width].all()
        seen += covered
        assert sum(len(part.load_mask(i)[1]) for i in part.image_ids) >= 3
    assert (seen == 1).all()


def test_a_look_changes_the_colours_alone(tmp_path):
    green = open_playground(tmp_path / "a", seed=5)
    dry = open_playground(tmp_path / "b", seed=5, look="dry")
    before, after = (p.test.load_image(3).astype(float) for p in (green, dry))
    offset, gain = (np.array(numbers) for numbers in module.LOOKS["dry"])
    np.testing.assert_allclose(after, np.clip(before * gain + offset, 0, 255), atol=0.51)
    assert dry.test.band_names == ["red", "green", "blue"]
    for i in dry.test.image_ids:
        np.testing.assert_array_equal(green.test.load_mask(i)[0], dry.test.load_mask(i)[0])
    with pytest.raises(RegistryError, match="'winter'. Use one of: summer, dry"):
        open_playground(tmp_path, look="winter")


def test_a_model_that_is_there_is_taken(tmp_path, monkeypatch):
    calls = []

    def train(config, train, val, folder, **options):
        calls.append((config.NAME, train, val, options["epochs"]))
        for name in ("model.weights.h5", "model.card.json"):
            (tmp_path / name).write_text("")

    monkeypatch.setattr(module, "train_model", train)
    world = module.Playground(None, "west", "middle", "east")
    assert playground_model(world, tmp_path, epochs=3) == tmp_path / "model.weights.h5"
    assert playground_model(world, tmp_path) == tmp_path / "model.weights.h5"
    assert calls == [("playground", "west", "middle", 3)]
