"""Box arithmetic: frames, overlaps, and the coding of one box relative to another.

Used by the proposals, the targets and the detections. Shape letters: `landslide_rcnn.nn`.
"""

import math
from collections.abc import Sequence

from keras import ops

# exp() of a predicted log size cannot blow a box up beyond this factor (1000 px from 16 px).
MAX_LOG_SCALE = math.log(1000 / 16)


def norm_boxes(boxes, height, width):
    """Turn half-open pixel boxes into normalised ones.

    Args:
        boxes: [..., (y1, x1, y2, x2)], pixels, y2 and x2 outside the box.
        height: Pixels of the image, int or scalar tensor.
        width: Pixels of the image, int or scalar tensor.

    Returns:
        [..., (y1, x1, y2, x2)], float32, y2 and x2 inside the box.

    Source: matterport's convention; inverse of `denorm_boxes`.
    """
    scale, shift = _frame(height, width)
    return (ops.cast(boxes, "float32") - shift) / scale


def denorm_boxes(boxes, height, width):
    """Turn normalised boxes into half-open pixel ones, not rounded. Inverse of `norm_boxes`."""
    scale, shift = _frame(height, width)
    return ops.cast(boxes, "float32") * scale + shift


def _frame(height, width):
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    scale = ops.stack([height - 1, width - 1, height - 1, width - 1])
    return scale, ops.convert_to_tensor([0.0, 0.0, 1.0, 1.0], "float32")


def box_area(boxes):
    """Return [...]: the area of [..., 4] boxes; 0 for a box turned inside out."""
    y1, x1, y2, x2 = ops.unstack(boxes, 4, axis=-1)
    return ops.maximum(y2 - y1, 0.0) * ops.maximum(x2 - x1, 0.0)


def iou(boxes1, boxes2):
    """Return the intersection over union of every pair.

    Args:
        boxes1: [..., A, 4].
        boxes2: [..., N, 4], same frame and leading axes.

    Returns:
        [..., A, N], in [0, 1]; 0 where both boxes are empty.
    """
    first, second = boxes1[..., :, None, :], boxes2[..., None, :, :]
    corner1 = ops.maximum(first[..., :2], second[..., :2])
    corner2 = ops.minimum(first[..., 2:], second[..., 2:])
    sides = ops.maximum(corner2 - corner1, 0.0)
    intersection = sides[..., 0] * sides[..., 1]
    union = box_area(boxes1)[..., :, None] + box_area(boxes2)[..., None, :] - intersection
    return ops.where(union > 0, intersection / ops.where(union > 0, union, 1.0), 0.0)


def encode_boxes(boxes, targets, std_dev: Sequence[float]):
    """Express `targets` relative to `boxes`: what a head must answer.

    Args:
        boxes: [..., (y1, x1, y2, x2)].
        targets: Same shape and frame.
        std_dev: 4 positive floats that the answer is divided by.

    Returns:
        [..., (dy, dx, log dh, log dw)], float32. Inverse of `decode_boxes`.

    Empty boxes are given a side of 1e-6, so that padding stays finite.
    Source: Girshick et al. 2014 (R-CNN), appendix C, eqs. 1 to 4.
    """
    cy, cx, h, w = _centre_and_size(boxes)
    ty, tx, th, tw = _centre_and_size(targets)
    h, w, th, tw = (ops.maximum(side, 1e-6) for side in (h, w, th, tw))
    deltas = ops.stack([(ty - cy) / h, (tx - cx) / w, ops.log(th / h), ops.log(tw / w)], axis=-1)
    return deltas / ops.convert_to_tensor(std_dev, "float32")


def decode_boxes(boxes, deltas, std_dev: Sequence[float]):
    """Move boxes by predicted deltas. Not clipped: call `clip_boxes` next.

    Args:
        boxes: [..., (y1, x1, y2, x2)].
        deltas: [..., (dy, dx, log dh, log dw)], divided by `std_dev`.
        std_dev: 4 positive floats.

    Returns:
        [..., (y1, x1, y2, x2)], float32.

    Source: Girshick et al. 2014, appendix C. Differs: log sizes are clamped at MAX_LOG_SCALE.
    """
    cy, cx, h, w = _centre_and_size(boxes)
    deltas = ops.cast(deltas, "float32") * ops.convert_to_tensor(std_dev, "float32")
    dy, dx, dh, dw = ops.unstack(deltas, 4, axis=-1)
    cy, cx = cy + dy * h, cx + dx * w
    h = h * ops.exp(ops.minimum(dh, MAX_LOG_SCALE))
    w = w * ops.exp(ops.minimum(dw, MAX_LOG_SCALE))
    y1, x1 = cy - 0.5 * h, cx - 0.5 * w
    return ops.stack([y1, x1, y1 + h, x1 + w], axis=-1)


def clip_boxes(boxes, window=(0.0, 0.0, 1.0, 1.0)):
    """Cut [..., 4] boxes at a window [(y1, x1, y2, x2)]; by default at the normalised image."""
    window = ops.cast(window, "float32")
    low, high = ops.tile(window[:2], 2), ops.tile(window[2:], 2)
    return ops.minimum(ops.maximum(ops.cast(boxes, "float32"), low), high)


def _centre_and_size(boxes):
    y1, x1, y2, x2 = ops.unstack(ops.cast(boxes, "float32"), 4, axis=-1)
    h, w = y2 - y1, x2 - x1
    return y1 + 0.5 * h, x1 + 0.5 * w, h, w
