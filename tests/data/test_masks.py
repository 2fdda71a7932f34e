"""Boxes of masks, mini masks, and masks put back at their place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide_rcnn.data.masks import (
    expand_mask,
    extract_bboxes,
    minimize_mask,
    paste_mask,
    unmold_mask,
)
from landslide_rcnn.errors import ShapeError
from tests.reference import resample


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    count=st.integers(0, 4),
    share=st.floats(0, 0.3),
    seed=st.integers(0, 999),
)
def test_boxes_equal_the_loop(height, width, count, share, seed):
    masks = np.random.default_rng(seed).random((height, width, count)) < share
    boxes = extract_bboxes(masks)
    assert boxes.shape == (count, 4) and boxes.dtype == np.int32
    for index in range(count):
        pixels = [(i, j) for i in range(height) for j in range(width) if masks[i, j, index]]
        if not pixels:
            assert boxes[index].tolist() == [0, 0, 0, 0]
            continue
        ys, xs = zip(*pixels)
        assert boxes[index].tolist() == [min(ys), min(xs), max(ys) + 1, max(xs) + 1]


def test_mini_masks_of_their_own_size_come_back_exactly():
    rng = np.random.default_rng(1)
    masks = np.zeros((30, 40, 2), bool)
    masks[3:17, 5:19, 0] = rng.random((14, 14)) < 0.5
    masks[10:24, 20:34, 1] = rng.random((14, 14)) < 0.5
    boxes = np.array([[3, 5, 17, 19], [10, 20, 24, 34]])
    mini = minimize_mask(boxes, masks, (14, 14))
    assert mini.shape == (14, 14, 2) and mini.dtype == bool
    np.testing.assert_array_equal(mini[..., 0], masks[3:17, 5:19, 0])
    np.testing.assert_array_equal(expand_mask(boxes, mini, (30, 40, 3)), masks)


def test_a_disc_survives_its_mini_mask():
    y, x = np.mgrid[:200, :200]
    masks = ((y - 90) ** 2 + (x - 110) ** 2 < 70**2)[..., None]
    boxes = extract_bboxes(masks)
    back = expand_mask(boxes, minimize_mask(boxes, masks, (56, 56)), masks.shape)
    assert (back & masks).sum() / (back | masks).sum() > 0.97
    assert np.abs(extract_bboxes(back) - boxes).max() <= 1  # not shifted


def test_mini_masks_without_instances_and_without_area():
    none = minimize_mask(np.zeros((0, 4), int), np.zeros((9, 9, 0), bool), (4, 4))
    assert none.shape == (4, 4, 0)
    assert expand_mask(np.zeros((0, 4), int), none, (9, 8)).shape == (9, 8, 0)
    with pytest.raises(ShapeError, match=r"Received: box \[2, 2, 2, 5\] \(number 1\)"):
        minimize_mask([[0, 0, 1, 1], [2, 2, 2, 5]], np.ones((9, 9, 2), bool), (4, 4))


positions = st.floats(-20, 40, allow_subnormal=False)


@settings(max_examples=60, deadline=None)
@given(y1=positions, x1=positions, h=st.floats(0.1, 30), w=st.floats(0.1, 30))
def test_paste_equals_the_loop(y1, x1, h, w):
    mask = np.random.default_rng(0).random((7, 5))
    box = (y1, x1, y1 + h, x1 + w)
    crop, (top, left, bottom, right) = paste_mask(mask, box, 20, 25)
    assert crop.dtype == np.float32 and crop.shape == (bottom - top, right - left)
    full = np.full((20, 25), -1.0)
    full[top:bottom, left:right] = crop
    np.testing.assert_allclose(full, resample.paste(mask, box, 20, 25), atol=1e-4)


def test_paste_of_the_same_size_is_the_mask():
    mask = np.random.default_rng(0).random((28, 28)).astype(np.float32)
    crop, box = paste_mask(mask, (4, 6, 32, 34), 40, 40)
    np.testing.assert_allclose(crop, mask, rtol=1e-6)
    assert box.tolist() == [4, 6, 32, 34] and box.dtype == np.int32


def test_paste_cuts_at_the_image_without_shifting():
    ramp = np.tile(np.arange(8, dtype=np.float32), (8, 1))
    whole, _ = paste_mask(ramp, (0, 10, 16, 26), 100, 100)
    crop, box = paste_mask(ramp, (-8, -6, 8, 10), 4, 5)
    assert box.tolist() == [0, 0, 4, 5]
    np.testing.assert_allclose(crop, whole[8:12, 6:11])


def test_paste_outside_the_image_is_empty():
    for box in ((50, 50, 60, 60), (-9, -9, -1, -1), (3.6, 3.6, 4.4, 4.4)):
        crop, clipped = paste_mask(np.ones((28, 28)), box, 10, 10)
        assert crop.size == 0 and (clipped[2:] >= clipped[:2]).all()


def test_unmold_thresholds_at_one_half():
    mask = np.zeros((28, 28), np.float32)
    mask[:, :14] = 0.9
    full = unmold_mask(mask, np.array([10, 20, 38, 48]), (60, 60, 3))
    expected = np.zeros((60, 60), bool)
    expected[10:38, 20:34] = True
    np.testing.assert_array_equal(full, expected)
