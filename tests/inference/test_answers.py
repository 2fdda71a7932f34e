"""Answers of tiles go through bytes without loss."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from landslide_rcnn.errors import ShapeError, WeightsError
from landslide_rcnn.inference.answers import answer_of, decode, encode
from landslide_rcnn.prediction import Instances, TilePrediction


def random_answer(rng, size, count):
    corners = np.sort(rng.integers(-2, size + 3, (count, 2, 2)), axis=1)
    boxes = (corners + [[0, 0], [1, 1]]).reshape(-1, 4)  # some reach, or lie, beyond the tile
    masks = tuple(rng.random((y2 - y1, x2 - x1)).astype(np.float32) for y1, x1, y2, x2 in boxes)
    instances = Instances(
        boxes.astype(np.int32),
        rng.random(count).astype(np.float32),
        rng.integers(1, 3, count).astype(np.int32),
        masks,
    )
    valid_mask = rng.random((size, size)) < 0.8
    valid_mask[0, 0] = True
    probability = rng.random((size, size)).astype(np.float32)
    window = Window(int(rng.integers(0, 10**6)), int(rng.integers(0, 10**6)), size, size)
    of_classes = rng.random((size, size, 3)).astype(np.float32) if count % 2 else None
    prediction = TilePrediction(probability, instances, of_classes)
    return answer_of(prediction, valid_mask, window, 0.3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), tiles=st.integers(0, 4), size=st.integers(1, 20))
def test_decode_is_the_inverse_of_encode(seed, tiles, size):
    rng = np.random.default_rng(seed)
    answers = [random_answer(rng, size, int(rng.integers(0, 5))) for _ in range(tiles)]
    back = decode(encode(answers))
    assert len(back) == tiles
    for answer, copy in zip(answers, back, strict=True):
        assert copy.window == answer.window
        assert copy.valid_mask.dtype == bool
        np.testing.assert_array_equal(copy.valid_mask, answer.valid_mask)
        np.testing.assert_array_equal(copy.probability, answer.probability)
        if answer.class_map is None:
            assert copy.class_map is None
        else:
            assert set(np.unique(answer.class_map)) <= {1, 2, 3}
            np.testing.assert_array_equal(copy.class_map, answer.class_map)
        assert len(copy.candidates) == len(answer.candidates)
        for one, other in zip(answer.candidates, copy.candidates, strict=True):
            assert (one.score, one.class_id) == (other.score, other.class_id)
            assert (one.mask.box, one.mask.area) == (other.mask.box, other.mask.area)
            np.testing.assert_array_equal(one.mask.bits, other.mask.bits)
            np.testing.assert_array_equal(one.evidence, other.evidence)


def test_equal_answers_are_equal_bytes(monkeypatch):
    answers = [random_answer(np.random.default_rng(1), 16, 3)]
    first = encode(answers)
    monkeypatch.setattr("time.time", lambda: 2e9)  # archives like to remember when
    assert encode(answers) == first


def test_classes_are_the_most_probable_ones_and_of_the_tiles_size():
    of_classes = np.array([[[0.1, 0.3], [0.6, 0.2], [0, 0]]], np.float32)
    valid, window = np.ones((1, 3), bool), Window(0, 0, 3, 1)
    prediction = TilePrediction(of_classes.sum(axis=-1), class_probabilities=of_classes)
    assert answer_of(prediction, valid, window, 0.5).class_map.tolist() == [[2, 1, 1]]
    wrong = TilePrediction(of_classes.sum(axis=-1), class_probabilities=of_classes[:, :2])
    with pytest.raises(ShapeError, match=r"tile's size, \(1, 3\). Received: \(1, 2, 2\)"):
        answer_of(wrong, valid, window, 0.5)


@pytest.mark.parametrize(
    "probability, error, message",
    [
        (np.zeros((3, 4), np.float32), ShapeError, "its tile's size"),
        (np.full((4, 4), 1.1, np.float32), WeightsError, "in \\[0, 1\\]"),
        (np.full((4, 4), np.nan, np.float32), WeightsError, "row 8, column 16"),
    ],
)
def test_answers_that_would_spoil_the_map_are_refused(probability, error, message):
    with pytest.raises(error, match=message):
        answer_of(TilePrediction(probability), np.ones((4, 4), bool), Window(16, 8, 4, 4), 0.5)
