"""A model judged on a dataset of tiles: crowds and invalid pixels are no truth."""

import json

import numpy as np
import pytest

from landslide_rcnn.evaluation.datasets import evaluate_dataset, sweep_dataset
from landslide_rcnn.prediction import TilePrediction
from tests.reference import pixel_metrics


class Tiles:
    """As many tiles as asked for, each with a landslide, a crowd and an invalid corner."""

    def __init__(self, count):
        rng = np.random.default_rng(0)
        self.image_ids = np.arange(count)
        self.probability = rng.random((count, 6, 7), np.float32)
        self.truth = rng.random((count, 6, 7)) < 0.4 * self.probability
        self.crowd = np.zeros((6, 7), bool)
        self.crowd[:2, :2] = True
        self.valid = np.ones((6, 7), bool)
        self.valid[-1, -2:] = False

    def load_image(self, image_id):
        return np.full((6, 7, 3), image_id, np.uint8)

    def load_valid_mask(self, image_id):
        return self.valid

    def load_mask(self, image_id):
        masks = np.stack([self.crowd, self.truth[image_id]], axis=-1)
        return masks, np.array([-1, 1])

    def predict_tiles(self, images, valid_masks):
        return [TilePrediction(self.probability[image[0, 0, 0]], []) for image in images]

    def counted(self):
        return np.broadcast_to(self.valid & ~self.crowd, self.truth.shape)


def test_the_numbers_are_those_of_all_pixels():
    tiles = Tiles(30)
    found = evaluate_dataset(tiles, tiles, 0.6, progress=False)
    counted = tiles.counted()
    predicted, truth = (tiles.probability >= np.float32(0.6))[counted], tiles.truth[counted]
    expected = pixel_metrics.count_pixels(predicted, truth)
    assert {name: found[name] for name in expected} == expected
    for name, value in pixel_metrics.metrics(predicted, truth).items():
        assert found[name] == pytest.approx(value)
        assert found["intervals"][name]["low"] < value < found["intervals"][name]["high"]
    sweep = sweep_dataset(tiles, tiles, batch_size=7, progress=False)
    assert found["best_threshold"] == sweep.best_threshold()
    assert found["f1_at_best_threshold"] == sweep.confusion_at(sweep.best_threshold()).f1
    assert found["f1_at_best_threshold"] >= found["f1"]
    assert found["average_precision"] > truth.mean()
    error = pixel_metrics.calibration_error(tiles.probability[counted], truth, 10)
    assert found["expected_calibration_error"] == pytest.approx(error, abs=1e-6)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("count", [0, 1])
def test_no_tiles_or_no_landslide(count):
    tiles = Tiles(count)
    tiles.truth[:] = False
    found = evaluate_dataset(tiles, tiles, 0.5, progress=False)
    assert found["f1"] is None and found["best_threshold"] is None
    assert found["average_precision"] is None and found["f1_at_best_threshold"] is None
    assert (found["overall_accuracy"] is None) == (count == 0)
    assert set(found["intervals"].values()) == {None}
