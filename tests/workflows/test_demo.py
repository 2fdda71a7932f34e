"""What the demo leaves behind, with a map made by hand in the trained network's place."""

from types import SimpleNamespace

import numpy as np
import pytest

from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.inference import predict_scene
from landslide_rcnn.prediction import TilePrediction
from landslide_rcnn.workflows import demo


class Halves:
    """Says 0.9 where the first band is above 120, else 0.1."""

    def predict_tiles(self, tiles, valid_masks=None):
        return [
            TilePrediction(np.where(tile[..., 0] > 120, 0.9, 0.1).astype(np.float32))
            for tile in tiles
        ]


def map_by_hand(scene, weights, output_dir, *, overlap, overwrite, progress):
    with Scene(scene) as opened:
        return predict_scene(
            Halves(), opened, output_dir, tile_size=128, overlap=overlap, progress=False
        )


def test_the_demo_leaves_a_page_of_the_part_that_was_held_out(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "HEIGHT", 256)
    monkeypatch.setattr(demo, "WIDTH", 384)
    monkeypatch.setattr(demo, "TRAIN_COLUMNS", (0, 128))
    monkeypatch.setattr(demo, "VAL_COLUMNS", (128, 256))
    monkeypatch.setattr(demo, "HELD_OUT_COLUMNS", (256, 384))
    trained = SimpleNamespace(weights=tmp_path / "model.weights.h5")
    monkeypatch.setattr(demo, "train_model", lambda *_, **__: trained)
    monkeypatch.setattr(demo, "detect_scene", map_by_hand)
    result = demo.run_demo(tmp_path / "demo", progress=False)
    page = tmp_path / "demo" / "report.html"
    text = page.read_text(encoding="utf-8")
    assert "in a part of the map, its columns 256 to 384 and rows 0 to 256" in text
    assert f"{result.metrics['at_map_threshold']['f1']:.3f}" in text
    assert result.metrics["within"]["window"]["width"] == 128
    assert str(page) in result.report
    with pytest.raises(FileExistsError):
        demo.run_demo(tmp_path / "demo", progress=False)
