"""The NumPy faces of the box arithmetic: matterport's values, shapes and orders."""

import numpy as np
import pytest

from landslide_rcnn import boxes as box_module
from landslide_rcnn.errors import ShapeError
from tests.reference import boxes as slow

BOXES = np.array([[0, 0, 10, 10], [0, 5, 10, 15], [4, 4, 4, 9], [20, 20, 30, 40]])


def test_overlaps_and_iou_equal_the_loops_also_without_area():
    expected = slow.iou(BOXES, BOXES)
    np.testing.assert_allclose(box_module.compute_overlaps(BOXES, BOXES), expected, atol=1e-6)
    one = box_module.compute_iou(BOXES[1], BOXES, 100, np.array([100, 100, 0, 200]))
    np.testing.assert_allclose(one, expected[1], atol=1e-6)
    assert box_module.compute_overlaps(np.zeros((0, 4)), BOXES).shape == (0, 4)
    assert box_module.compute_overlaps([], []).shape == (0, 0)


def test_non_max_suppression_keeps_the_best_first():
    near = np.array([[0, 0, 10, 10], [0, 1, 10, 11], [20, 20, 30, 40], [0, 0, 10, 9]])
    scores = np.array([0.3, -0.2, 0.9, 0.4])
    kept = box_module.non_max_suppression(near, scores, 0.5)
    assert kept.tolist() == [2, 3] == slow.nms(near, scores, 0.5, 9) and kept.dtype == np.int32
    assert box_module.non_max_suppression(near, scores, 0.85).tolist() == [2, 3, 1]
    assert box_module.non_max_suppression(np.zeros((0, 4)), [], 0.5).tolist() == []


def test_refinement_and_deltas_undo_each_other():
    target = BOXES[[1, 0, 3]].astype(np.float32)
    box = BOXES[[0, 3, 1]]
    deltas = box_module.box_refinement(box, target)
    expected = [slow.encode(b, t, (1, 1, 1, 1)) for b, t in zip(box, target)]
    np.testing.assert_allclose(deltas, expected, atol=1e-5)
    np.testing.assert_allclose(box_module.apply_box_deltas(box, deltas), target, atol=1e-4)
    assert np.isfinite(box_module.box_refinement(BOXES * 0, BOXES)).all()


def test_norm_and_denorm():
    norm = box_module.norm_boxes(np.array([[0, 0, 100, 50], [10, 20, 11, 21]]), (100, 50))
    np.testing.assert_allclose(norm, [[0, 0, 1, 1], [10 / 99, 20 / 49] * 2], rtol=1e-6)
    pixels = box_module.denorm_boxes(norm, (100, 50))
    assert pixels.tolist() == [[0, 0, 100, 50], [10, 20, 11, 21]] and pixels.dtype == np.int32


def test_anchors_of_a_level_are_ordered_by_row_column_ratio_and_scale():
    anchors = box_module.generate_anchors([8, 16], [0.5, 2], (2, 3), 4, 1)
    assert anchors.shape == (2 * 3 * 4, 4)
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    np.testing.assert_allclose(centres[::4], [[0, 0], [0, 4], [0, 8], [4, 0], [4, 4], [4, 8]])
    sides = anchors[:4, 2:] - anchors[:4, :2]
    np.testing.assert_allclose(sides[:, 1] / sides[:, 0], [0.5, 0.5, 2, 2], rtol=1e-5)
    np.testing.assert_allclose(np.sqrt(sides.prod(axis=1)), [8, 16, 8, 16], rtol=1e-5)
    sparse = box_module.generate_anchors(8, [1], (3, 3), 4, 2)
    np.testing.assert_allclose(sparse[:, :2] + 4, [[0, 0], [0, 8], [8, 0], [8, 8]])


@pytest.mark.parametrize("side, count", [(256, 16_368), (512, 65_472), (1024, 261_888)])
def test_anchors_of_a_pyramid_are_as_many_as_matterports(side, count):
    strides = [4, 8, 16, 32, 64]
    shapes = [(side // s, side // s) for s in strides]
    anchors = box_module.generate_pyramid_anchors(
        (32, 64, 128, 256, 512), [0.5, 1, 2], shapes, strides, 1
    )
    assert anchors.shape == (count, 4)
    np.testing.assert_allclose(anchors[-1, 2:] - anchors[-1, :2], [362.04, 724.08], atol=0.01)


def test_trim_zeros():
    assert box_module.trim_zeros(np.array([[0, 0], [1, 0], [0, 0]])).tolist() == [[1, 0]]
    assert box_module.trim_zeros(np.zeros((0, 4))).shape == (0, 4)


def test_what_is_no_box_is_refused():
    with pytest.raises(ShapeError, match=r"Received: shape \(2, 3\)"):
        box_module.compute_overlaps(np.ones((2, 3)), BOXES)
