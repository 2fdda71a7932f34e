"""Box arithmetic on NumPy arrays, under matterport's names and with its signatures.

Faces of `nn/ops`, where each formula has its one definition; for notebooks, metrics and
`utils`. Boxes are (y1, x1, y2, x2), in pixels or normalised, as long as both sides agree. Keras
is loaded at the first call, so that `utils` opens without it.

Shape letters: N, M boxes; h, w cells of a feature map.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from landslide_rcnn.errors import ShapeError
from landslide_rcnn.nn.ops.anchors import pyramid_anchors

# matterport's functions leave the division by BBOX_STD_DEV to their caller.
_UNSCALED = (1.0, 1.0, 1.0, 1.0)


def compute_iou(
    box: np.ndarray, boxes: np.ndarray, box_area: Any = None, boxes_area: Any = None
) -> np.ndarray:
    """Return the intersection over union of one box with others.

    Args:
        box: [4].
        boxes: [N, 4].
        box_area: Accepted for matterport's signature; the area follows from the box.
        boxes_area: As `box_area`.

    Returns:
        [N] float32; 0 where both boxes are empty.
    """
    return compute_overlaps(np.asarray(box)[None], boxes)[0]


def compute_overlaps(boxes1: np.ndarray, boxes2: np.ndarray) -> np.ndarray:
    """Return the intersection over union of every pair: [N, 4], [M, 4] -> [N, M] float32."""
    from landslide_rcnn.nn.ops import boxes as box_ops

    return _numpy(box_ops.iou(_boxes(boxes1), _boxes(boxes2)))


def non_max_suppression(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Keep the best box, drop what overlaps it by more than a threshold, and go on.

    Args:
        boxes: [N, 4].
        scores: [N].
        threshold: IoU.

    Returns:
        Indices of the boxes kept, int32, best first.
    """
    from landslide_rcnn.nn.ops.nms import nms

    boxes, scores = _boxes(boxes), np.asarray(scores, np.float32)
    if not len(boxes):
        return np.zeros(0, np.int32)
    indices, kept = nms(
        boxes[None],
        scores[None],
        iou_threshold=threshold,
        max_output=len(boxes),
        min_score=float(np.finfo(np.float32).min) / 1e8,
    )
    return _numpy(indices)[0][_numpy(kept)[0]].astype(np.int32)


def apply_box_deltas(boxes: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    """Move boxes by deltas.

    Args:
        boxes: [N, 4].
        deltas: [N, (dy, dx, log dh, log dw)], already multiplied by BBOX_STD_DEV.

    Returns:
        [N, 4] float32; not clipped. A log size above log(1000 / 16) is taken as that.
    """
    from landslide_rcnn.nn.ops import boxes as box_ops

    return _numpy(box_ops.decode_boxes(_boxes(boxes), _boxes(deltas), _UNSCALED))


def box_refinement(box: np.ndarray, gt_box: np.ndarray) -> np.ndarray:
    """Return the deltas that move boxes onto others; the inverse of `apply_box_deltas`.

    Args:
        box: [N, 4].
        gt_box: [N, 4].

    Returns:
        [N, (dy, dx, log dh, log dw)] float32, to be divided by BBOX_STD_DEV. Finite for empty
        boxes too.
    """
    return _numpy(box_refinement_graph(_boxes(box), _boxes(gt_box)))


def box_refinement_graph(box: Any, gt_box: Any) -> Any:
    """As `box_refinement`, from tensors to a tensor."""
    from landslide_rcnn.nn.ops import boxes as box_ops

    return box_ops.encode_boxes(box, gt_box, _UNSCALED)


def norm_boxes(boxes: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Turn half-open pixel boxes [N, 4] of an image of `shape` (H, W) into normalised ones."""
    from landslide_rcnn.nn.ops import boxes as box_ops

    return _numpy(box_ops.norm_boxes(_boxes(boxes), shape[0], shape[1]))


def denorm_boxes(boxes: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Turn normalised boxes [N, 4] into half-open pixel ones, rounded to int32."""
    from landslide_rcnn.nn.ops import boxes as box_ops

    pixels = _numpy(box_ops.denorm_boxes(_boxes(boxes), shape[0], shape[1]))
    return np.round(pixels).astype(np.int32)


def generate_anchors(
    scales: float | Sequence[float],
    ratios: Sequence[float],
    shape: Sequence[int],
    feature_stride: int,
    anchor_stride: int,
) -> np.ndarray:
    """Return the anchors of one feature map.

    Args:
        scales: Square root of the anchors' area, pixels; one or several.
        ratios: Width / height.
        shape: (h, w), cells of the map.
        feature_stride: Pixels a cell.
        anchor_stride: Cells between anchors.

    Returns:
        [anchors, (y1, x1, y2, x2)] float32, pixels, ordered by row, column, ratio, scale.
    """
    by_scale = [
        pyramid_anchors(
            shape[0] * feature_stride,
            shape[1] * feature_stride,
            scales=[scale],
            ratios=ratios,
            strides=[feature_stride],
            anchor_stride=anchor_stride,
        )
        for scale in np.atleast_1d(scales)
    ]
    return np.stack(by_scale, axis=1).reshape(-1, 4)


def generate_pyramid_anchors(
    scales: Sequence[Any],
    ratios: Sequence[float],
    feature_shapes: Sequence[Sequence[int]],
    feature_strides: Sequence[int],
    anchor_stride: int,
) -> np.ndarray:
    """Return the anchors of all levels, [anchors, 4] pixels; a scale, shape and stride a level.

    See `generate_anchors`; for the shapes, `model.compute_backbone_shapes`.
    """
    levels = zip(scales, feature_shapes, feature_strides, strict=True)
    return np.concatenate(
        [generate_anchors(scale, ratios, *level, anchor_stride) for scale, *level in levels]
    )


def trim_zeros(x: np.ndarray) -> np.ndarray:
    """Drop the rows of [N, ...] that are all zeros."""
    x = np.asarray(x)
    return x[np.any(x != 0, axis=tuple(range(1, x.ndim)))]


def _boxes(boxes: Any) -> np.ndarray:
    array = np.asarray(boxes, np.float32)
    if array.size == 0:
        return array.reshape(-1, 4)
    if array.shape[-1] != 4:
        raise ShapeError(
            f"Boxes are [N, (y1, x1, y2, x2)]. Received: shape {array.shape}. "
            "Give four numbers a box."
        )
    return array


def _numpy(tensor: Any) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(tensor)
