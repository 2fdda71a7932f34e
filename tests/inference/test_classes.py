"""The class of a landslide in maps of models that know several kinds and have no instances."""

import geopandas as gpd
import numpy as np
import pytest
from rasterio.windows import Window

from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.inference import predict_scene
from landslide_rcnn.inference.mosaic import ClassMosaic, blend_weights
from landslide_rcnn.prediction import TilePrediction
from tests.inference.test_tiled import write_scene


class KindPredictor:
    """Pixels of 100 + k are landslides of kind k, and with half of that of the next kind."""

    def __init__(self, fail_at=None):
        self.calls, self.fail_at = 0, fail_at

    def predict_tiles(self, tiles, valid_masks=None):
        self.calls += 1
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        return [self.predict(tile[..., 0]) for tile in tiles]

    def predict(self, band):
        kinds = np.stack([band == 101, band == 102, band == 103], axis=-1)
        of_kinds = np.float32(0.6) * kinds + np.float32(0.3) * np.roll(kinds, 1, axis=-1)
        return TilePrediction(of_kinds.sum(axis=-1), class_probabilities=of_kinds)


@pytest.fixture
def scene(tmp_path):
    band = np.zeros((150, 40), np.uint8)
    band[2:5, 2:30] = 103  # across tiles
    band[10:12, 5:8] = 101
    band[20:140, 10:12] = 102  # across bands of finished rows, mostly 102
    band[20:60, 12:14] = 101
    band[145:147, 2:4] = [[101, 103], [101, 103]]  # equal: the lowest
    return write_scene(tmp_path / "scene.tif", band)


BY_AREA = [320, 84, 6, 4]
CLASSES = [2, 3, 1, 1]


def map_of(scene, output, predictor, **options):
    with Scene(scene) as opened:
        result = predict_scene(
            predictor, opened, output, tile_size=16, overlap=4, progress=False, **options
        )
    return gpd.read_file(result.polygons_path, layer="landslides")


def test_a_landslide_has_the_class_of_most_of_its_pixels(scene, tmp_path):
    polygons = map_of(scene, tmp_path / "map", KindPredictor())
    assert (polygons["area_m2"] / 4).round().tolist() == BY_AREA
    assert polygons["class_id"].tolist() == CLASSES


def test_a_resumed_map_has_the_same_classes(scene, tmp_path, monkeypatch):
    monkeypatch.setattr("landslide_rcnn.inference.units.UNIT_PIXELS", 4 * 16 * 16)
    with pytest.raises(KeyboardInterrupt):
        map_of(scene, tmp_path / "map", KindPredictor(fail_at=8))
    resumed = KindPredictor()
    polygons = map_of(scene, tmp_path / "map", resumed, resume=True)
    assert polygons["class_id"].tolist() == CLASSES
    whole = KindPredictor()
    map_of(scene, tmp_path / "whole", whole)
    assert 0 < resumed.calls < whole.calls


def test_a_model_of_one_kind_gives_class_1(scene, tmp_path):
    class OneKind(KindPredictor):
        def predict(self, band):
            return TilePrediction(np.float32(0.9) * (band > 100))

    assert map_of(scene, tmp_path / "map", OneKind())["class_id"].tolist() == [1, 1, 1, 1]


def test_the_tile_with_the_largest_share_in_a_pixel_says_its_class():
    mosaic = ClassMosaic(8, 6)
    everywhere = np.ones((4, 4), bool)
    tiles = [  # (column, class, probability, valid)
        (0, 1, 0.9, everywhere),
        (2, 2, 0.9, everywhere),  # shares columns 2 and 3: each tile is the surer one in one
        (2, 3, 0.0, everywhere),  # sure of nothing
        (2, 4, 1.0, np.eye(4, dtype=bool) & False),  # nothing of it counts
    ]
    for column, class_id, probability, valid in tiles:
        shape = np.full((4, 4), class_id, np.uint16)
        chances = np.full((4, 4), probability, np.float32)
        mosaic.add(shape, chances, valid, Window(column, 0, 4, 4))
    assert blend_weights(4, 4)[0, 2] > blend_weights(4, 4)[0, 0]
    assert mosaic.pop(4).tolist() == [[1, 1, 1, 2, 2, 2]] * 4
    assert mosaic.pop(8).tolist() == [[0] * 6] * 4
