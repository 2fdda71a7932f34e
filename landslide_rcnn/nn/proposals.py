"""Proposals and detections: decode boxes, drop the overlapping ones, keep the best.

Between the RPN and the heads, and after the box head. Coordinates and NMS are float32 whatever
the network's precision. Shape letters: `landslide_rcnn.nn`.
"""

from collections.abc import Sequence

from keras import ops

from landslide_rcnn.nn.ops.boxes import clip_boxes, decode_boxes
from landslide_rcnn.nn.ops.matching import best_first, take_rows
from landslide_rcnn.nn.ops.nms import nms


def propose(
    anchors,
    foreground,
    deltas,
    *,
    pre_nms_limit: int,
    max_proposals: int,
    iou_threshold: float,
    std_dev: Sequence[float],
):
    """Turn the RPN's answers into proposals.

    Args:
        anchors: [A, 4], normalised.
        foreground: [B, A], probability that an anchor holds an object.
        deltas: [B, A, 4].
        pre_nms_limit: Best anchors that reach NMS.
        max_proposals: R.
        iou_threshold: Of NMS.
        std_dev: 4 floats, `decode_boxes`.

    Returns:
        proposals: [B, R, 4], normalised, best first, padded with zeros.
        is_proposal: [B, R] bool.

    Source: Ren et al. 2015, section 3.1. No gradient passes through.
    """
    foreground = ops.stop_gradient(ops.cast(foreground, "float32"))
    limit = min(pre_nms_limit, anchors.shape[0])
    scores, best = best_first(foreground, limit)
    boxes = decode_boxes(
        ops.take(anchors, best, axis=0), ops.stop_gradient(take_rows(deltas, best)), std_dev
    )
    boxes = clip_boxes(boxes)
    indices, kept = nms(
        boxes, scores, iou_threshold=iou_threshold, max_output=max_proposals, min_score=-1.0
    )
    proposals = take_rows(boxes, indices)
    return ops.where(kept[..., None], proposals, 0.0), kept


def refine_detections(
    proposals,
    is_proposal,
    class_logits,
    deltas,
    windows,
    *,
    min_confidence: float,
    iou_threshold: float,
    max_detections: int,
    std_dev: Sequence[float],
):
    """Turn the box head's answers into detections.

    Each roi takes its most probable class and that class' deltas; NMS runs within each class.

    Args:
        proposals: [B, R, 4], normalised.
        is_proposal: [B, R] bool.
        class_logits: [B, R, K].
        deltas: [B, R, K, 4].
        windows: [B, 4], normalised; the part of each image that is not padding.
        min_confidence: Smallest score of a detection.
        iou_threshold: Of NMS.
        max_detections: D.
        std_dev: 4 floats, `decode_boxes`.

    Returns:
        [B, D, (y1, x1, y2, x2, class_id, score)], float32, best first, padded with zeros.
    """
    probabilities = ops.softmax(ops.cast(class_logits, "float32"), axis=-1)
    class_ids = ops.argmax(probabilities, axis=-1)  # [B, R]
    scores = ops.max(probabilities, axis=-1)
    own = ops.one_hot(class_ids, deltas.shape[2], dtype="float32")
    own_deltas = ops.sum(ops.cast(deltas, "float32") * own[..., None], axis=2)
    boxes = decode_boxes(proposals, own_deltas, std_dev)
    low, high = ops.tile(windows[:, None, :2], (1, 1, 2)), ops.tile(windows[:, None, 2:], (1, 1, 2))
    boxes = ops.minimum(ops.maximum(boxes, low), high)

    kept = is_proposal & (class_ids > 0) & (scores >= min_confidence)
    class_ids = ops.cast(class_ids, "float32")
    # Of two classes, one is the background: no other class is in the way.
    indices, kept = nms(
        boxes,
        ops.where(kept, scores, -1.0),
        iou_threshold=iou_threshold,
        max_output=max_detections,
        min_score=-0.5,
        groups=class_ids if deltas.shape[2] > 2 else None,
    )
    detections = ops.concatenate([boxes, class_ids[..., None], scores[..., None]], axis=-1)
    return ops.where(kept[..., None], take_rows(detections, indices), 0.0)
