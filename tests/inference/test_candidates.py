"""Cutting a tile's instances into candidates, and when two of them are one landslide."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from landslide_rcnn.inference.candidates import PackedMask, agree, candidates_of
from landslide_rcnn.prediction import Instances, TilePrediction
from tests.reference import merging


def packed(rows: list[str], row_off=0, col_off=0) -> PackedMask:
    """A mask drawn with # and any other character."""
    mask = np.array([[each == "#" for each in row] for row in rows])
    return PackedMask.pack(mask, row_off, col_off)


def prediction_of(boxes, scores, masks, class_ids=None) -> TilePrediction:
    instances = Instances(
        np.array(boxes, np.int32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(class_ids or [1] * len(scores), np.int32),
        tuple(np.array(mask, np.float32) for mask in masks),
    )
    return TilePrediction(np.zeros((6, 8), np.float32), instances)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.integers(1, 20), st.integers(0, 2**32 - 1), st.floats(0.02, 1))
def test_a_packed_mask_gives_back_its_pixels(height, width, seed, share):
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < share
    mask[rng.integers(height), rng.integers(width)] = True
    kept = PackedMask.pack(mask, 100, 50)
    canvas = np.zeros((height, width), bool)
    kept.paint(canvas, 100, 50)
    np.testing.assert_array_equal(canvas, mask)
    assert kept.area == mask.sum()
    y1, x1, y2, x2 = kept.box
    rows, cols = np.nonzero(mask)
    assert kept.box == (
        rows.min() + 100,
        cols.min() + 50,
        rows.max() + 101,
        cols.max() + 51,
    )
    part = (y1 + (y2 - y1) // 2, x1 + (x2 - x1) // 2, y2, x2)
    np.testing.assert_array_equal(
        kept.cut(part), mask[part[0] - 100 : y2 - 100, part[1] - 50 : x2 - 50]
    )


def test_instances_are_cut_at_score_times_mask_probability():
    prediction = prediction_of(
        [[1, 2, 3, 5]], [0.8], [[[0.9, 0.5, 0.7], [0.1, 0.65, 0.2]]], class_ids=[3]
    )
    (candidate,) = candidates_of(prediction, np.ones((6, 8), bool), Window(20, 10, 8, 6), 0.5)
    assert candidate.mask.box == (11, 22, 13, 25)
    np.testing.assert_array_equal(
        candidate.mask.cut(candidate.mask.box), [[True, False, True], [False, True, False]]
    )
    np.testing.assert_allclose(candidate.evidence, [[0.72, 0.4, 0.56], [0.08, 0.52, 0.16]], 1e-6)
    assert candidate.class_id == 3
    assert candidate.score == pytest.approx(0.8)


def test_invalid_pixels_and_boxes_beyond_the_tile_are_cut_off():
    valid = np.ones((6, 8), bool)
    valid[:, 6:] = False
    valid[5] = False
    prediction = prediction_of([[-1, -2, 9, 12]], [1.0], [np.ones((10, 14))])
    (candidate,) = candidates_of(prediction, valid, Window(0, 0, 8, 6), 0.5)
    assert candidate.mask.box == (0, 0, 5, 6)
    assert candidate.mask.area == 30
    assert candidate.evidence.shape == (5, 6)


def test_an_instance_below_the_threshold_or_on_invalid_pixels_is_no_candidate():
    window = Window(0, 0, 8, 6)
    weak = prediction_of([[0, 0, 2, 2]], [0.4], [np.ones((2, 2))])
    assert candidates_of(weak, np.ones((6, 8), bool), window, 0.5) == []
    outside = prediction_of(
        [[0, 0, 2, 2], [6, 8, 7, 9]], [1, 1], [np.ones((2, 2)), np.ones((1, 1))]
    )
    assert candidates_of(outside, np.zeros((6, 8), bool), window, 0.5) == []


def test_half_of_the_smaller_view_is_enough():
    whole = packed(["####", "####"])
    stump = packed(["##", ".#"], 0, 3)
    assert agree(packed(["#"], 0, 3), whole, (0, 0, 2, 4))
    # 1 of the stump's 3 pixels inside: too little, and as pieces 1 of 10.
    assert not agree(stump, whole, (0, 0, 2, 6))
    # The same pair, but only column 3 lies in both tiles: there the stump has 1 pixel, a hit.
    assert agree(stump, whole, (0, 3, 2, 4))


def test_masks_that_meet_outside_the_shared_part_say_nothing():
    first, second = packed(["####"]), packed(["####"])
    assert not agree(first, second, (1, 0, 5, 4))
    assert not agree(first, packed(["#"], 0, 4), (0, 0, 5, 9))
    assert not agree(first, packed(["#"], 1, 4), (0, 0, 5, 9))


def test_a_nested_duplicate_agrees():
    assert agree(packed(["......", "..#..."]), packed(["######", "######"]), (0, 0, 2, 6))


def test_one_common_piece_among_many_ties_two_views_together():
    """Each tile knows an arm that the other does not; the arm between them is the same."""
    first = packed(["##.######"])
    second = packed(["##.......######"])
    shared = (0, 0, 1, 15)
    assert agree(first, second, shared)
    # A loose pixel of one landslide on its neighbour is not such a piece.
    assert not agree(packed(["#........#####"]), packed(["####"]), shared)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 9), st.floats(0.1, 0.9))
def test_agree_is_its_slow_twin(seed, height, width, share):
    rng = np.random.default_rng(seed)
    first, second = rng.random((2, height, width)) < share
    first[rng.integers(height), rng.integers(width)] = True
    second[rng.integers(height), rng.integers(width)] = True
    y1, x1 = rng.integers(height), rng.integers(width)
    shared = (y1, x1, rng.integers(y1 + 1, height + 1), rng.integers(x1 + 1, width + 1))
    seen = {(y, x) for y in range(shared[0], shared[2]) for x in range(shared[1], shared[3])}
    expected = merging.agree(merging.pixels_of(first), merging.pixels_of(second), seen)
    assert agree(PackedMask.pack(first, 0, 0), PackedMask.pack(second, 0, 0), shared) == expected
