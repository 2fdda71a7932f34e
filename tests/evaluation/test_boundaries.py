"""Borders: by hand, pixel against pixel, band by band, and where nothing is defined."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from landslide_rcnn.errors import ConfigError, ShapeError
from landslide_rcnn.evaluation import boundaries
from landslide_rcnn.evaluation.boundaries import (
    BOUNDARY_DEFINITIONS,
    IOU_DISTANCE_PX,
    TOLERANCES_PX,
    BoundaryCounter,
)
from tests.reference import boundaries as slow


def measure(predicted, true, valid=None, heights=(1000,), pixel_size_m=None, **options):
    valid = np.ones(np.shape(true), bool) if valid is None else valid
    counter, row, band = BoundaryCounter(**options), 0, 0
    while row < len(valid):
        end = row + heights[band % len(heights)]
        counter.add(predicted[row:end], true[row:end], valid[row:end])
        row, band = end, band + 1
    return counter.finish(pixel_size_m)


def square(top, left, bottom, right, shape=(20, 20)):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def test_by_hand():
    """A true square of 6 x 6 pixels; the predicted one lies 2 columns to the right.

    Each has 20 boundary pixels. The distances of the predicted ones from the true border are
    those below; the true ones' are the same, mirrored.
    """
    result = measure(square(5, 7, 11, 13), square(5, 5, 11, 11), pixel_size_m=2.5)
    assert result["true_boundary_px"] == result["predicted_boundary_px"] == 20
    # Its top and bottom rows lie on the true ones' rows and stick out by 2. Between them the left
    # column is 2 right of the true left one, or nearer to a row; the right one is 2 outside.
    distances = sorted(2 * [0, 0, 0, 0, 1, 2] + [1, 2, 2, 1] + [2, 2, 2, 2])
    assert result["mean_distance_px"] == pytest.approx(np.mean(distances))
    assert result["mean_distance_m"] == pytest.approx(2.5 * np.mean(distances))
    assert result["p95_distance_px"] == 2.0 and result["p95_distance_m"] == 5.0
    near = sum(distance <= 1 for distance in distances) / 20
    assert [row["value"] for row in result["f_score"]] == [pytest.approx(near), 1.0, 1.0]
    assert [row["tolerance_m"] for row in result["f_score"]] == [2.5, 5.0, 10.0]
    assert result["beyond_max_share"] == 0.0
    # No pixel is farther than 4 from the background: the bands are the squares.
    assert result["boundary_iou"] == 24 / 48


def test_the_same_mask_agrees_whatever_its_shape(rng):
    mask = rng.random((40, 50)) < 0.5
    result = measure(mask, mask)
    assert [row["value"] for row in result["f_score"]] == [1.0, 1.0, 1.0]
    assert result["boundary_iou"] == 1.0
    assert result["mean_distance_px"] == result["p95_distance_px"] == 0.0
    assert result["mean_distance_m"] is None  # no pixel size


def test_a_boundary_iou_looks_at_the_border_only():
    """40 x 40 against 38 x 38 inside it: the IoU of areas is 0.9, that of the borders 0.6."""
    true, predicted = square(5, 5, 45, 45, (50, 50)), square(6, 6, 44, 44, (50, 50))
    true_band = 40**2 - 32**2
    predicted_band = 38**2 - 30**2
    both = 38**2 - 32**2
    iou = measure(predicted, true)["boundary_iou"]
    assert iou == both / (true_band + predicted_band - both) == 0.6


def test_edge_and_invalid_pixels_make_no_boundary():
    """A landslide in the corner has two sides in the scene; invalid pixels take one of them."""
    mask, nothing = square(0, 0, 5, 5), square(10, 10, 11, 11)
    assert measure(nothing, mask)["true_boundary_px"] == 9
    valid = ~square(0, 5, 5, 6)
    assert measure(nothing, mask, valid)["true_boundary_px"] == 5
    # An invalid landslide pixel is none: it neither has nor makes a boundary.
    assert measure(nothing, mask, ~square(4, 4, 5, 5))["true_boundary_px"] == 8


def test_far_ones_count_as_the_largest_distance():
    true, predicted = square(2, 2, 3, 3, (90, 90)), square(2, 2, 3, 3, (90, 90))
    predicted[80, 80] = True
    result = measure(predicted, true, max_distance_px=10)
    assert result["beyond_max_share"] == 1 / 3
    assert result["mean_distance_px"] == pytest.approx(10 / 3)
    assert result["p95_distance_px"] == 10.0
    assert result["f_score"][0]["precision"] == 0.5 and result["f_score"][0]["recall"] == 1.0
    exact = measure(predicted, true)
    assert exact["p95_distance_px"] == 100.0 and exact["beyond_max_share"] == 1 / 3
    assert measure(predicted, true, max_distance_px=120)["p95_distance_px"] == pytest.approx(
        78 * 2**0.5
    )


@pytest.mark.parametrize(("same", "p95"), [(8, 3.0), (9, 3.0), (10, 0.0)])
def test_95_percent_keep_the_95th_percentile(same, p95):
    """Landslides of a pixel, all but one of the true ones met: 1 of 17, 19 and 21 is 3 off."""
    true = np.zeros((3, 60), bool)
    true[1, 5 : 5 + 4 * same : 4] = True
    predicted = true.copy()
    true[1, 2] = True
    result = measure(predicted, true)
    assert result["true_boundary_px"] + result["predicted_boundary_px"] == 2 * same + 1
    assert result["p95_distance_px"] == p95


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    share=st.sampled_from([0.02, 0.3, 0.9, 1.0]),
    largest=st.integers(4, 12),
)
def test_every_pixel_against_every_other(seed, shape, share, largest):
    rng = np.random.default_rng(seed)
    predicted, true = (rng.random(shape) < share for _ in range(2))
    valid = rng.random(shape) < 0.9
    result = measure(predicted, true, valid, max_distance_px=largest)
    scores, iou, mean, p95 = slow.measures(
        predicted, true, valid, TOLERANCES_PX, IOU_DISTANCE_PX, largest
    )
    about = {None: None}
    for ours, theirs in (
        *zip((row["value"] for row in result["f_score"]), scores, strict=True),
        (result["boundary_iou"], iou),
        (result["mean_distance_px"], mean),
        (result["p95_distance_px"], p95),
    ):
        assert ours == about.get(theirs, pytest.approx(theirs))


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    block=st.tuples(st.integers(1, 30), st.integers(1, 40)),
    heights=st.lists(st.integers(1, 40), min_size=1, max_size=4),
)
def test_bands_and_blocks_of_any_size_are_one_array(seed, block, heights):
    rng = np.random.default_rng(seed)
    rough = rng.random((2, 70, 60))
    predicted, true = (ndimage.gaussian_filter(each, 3) > 0.5 for each in rough)
    valid = rng.random((70, 60)) < 0.97
    whole = measure(predicted, true, valid, pixel_size_m=10.0, max_distance_px=7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boundaries, "BLOCK_ROWS", block[0])
        patch.setattr(boundaries, "BLOCK_COLUMNS", block[1])
        bands = measure(predicted, true, valid, heights, pixel_size_m=10.0, max_distance_px=7)
    assert bands == whole
    assert whole["true_boundary_px"] > 50


EMPTY, FULL, ONE = np.zeros((6, 6), bool), np.ones((6, 6), bool), square(2, 2, 3, 3, (6, 6))


@pytest.mark.parametrize(
    ("predicted", "true", "value", "iou", "mean"),
    [
        (EMPTY, EMPTY, None, None, None),
        (ONE, EMPTY, None, None, None),
        (EMPTY, ONE, 0.0, 0.0, None),
        (ONE, FULL, None, None, None),  # a scene full of landslide has no border
        (FULL, ONE, 0.0, 0.0, None),
        (FULL, FULL, None, None, None),
        (ONE, ONE, 1.0, 1.0, 0.0),
        (FULL[:1, :1], FULL[:1, :1], None, None, None),
        (EMPTY[:0], EMPTY[:0], None, None, None),
    ],
)
def test_what_cannot_be_said_is_none(predicted, true, value, iou, mean):
    result = measure(predicted, true, pixel_size_m=1.0)
    assert [row["value"] for row in result["f_score"]] == [value] * 3
    assert result["boundary_iou"] == iou
    assert result["mean_distance_px"] == result["mean_distance_m"] == mean
    assert result["p95_distance_px"] == result["p95_distance_m"] == mean
    assert result["beyond_max_share"] == mean  # 0.0 where there is one
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_nothing_valid_and_nothing_at_all():
    result = measure(ONE, ONE, EMPTY)
    assert result["boundary_iou"] is None and result["true_boundary_px"] == 0
    assert BoundaryCounter().finish(1.0)["f_score"][0]["value"] is None


def test_squares_are_exact_over_the_whole_range(rng):
    """The quick distances are those of scipy up to the largest that can be asked for."""
    ends = np.zeros((1000, 1000), bool)
    ends[tuple(rng.integers(0, 1000, (2, 6)))] = True
    ours = np.rint(boundaries._distance_to(ends).astype(float) ** 2)
    theirs = np.rint(ndimage.distance_transform_edt(~ends) ** 2)
    reach = theirs <= boundaries.LARGEST_MAX_DISTANCE_PX**2
    assert theirs.max() > 90_000 and np.array_equal(ours[reach], theirs[reach])


def test_wrong_input_is_refused():
    with pytest.raises(ConfigError, match="must lie in 4..1000. Received: 3"):
        BoundaryCounter(3)
    counter = BoundaryCounter()
    with pytest.raises(ShapeError, match="one shape and width"):
        counter.add(EMPTY, EMPTY[:2], EMPTY)
    counter.add(EMPTY, EMPTY, FULL)
    with pytest.raises(ShapeError, match="one shape and width"):
        counter.add(EMPTY[:, :2], EMPTY[:, :2], EMPTY[:, :2])


def test_every_number_has_a_definition():
    told = {"boundary_iou_distance_px", "max_distance_px", "beyond_max_share"}
    told |= {"predicted_boundary_px", "true_boundary_px", "mean_distance_m", "p95_distance_m"}
    assert set(BoundaryCounter().finish()) - told <= set(BOUNDARY_DEFINITIONS)
