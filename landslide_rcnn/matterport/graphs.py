"""matterport's functions from tensors to tensors: adapters of its arguments to `nn/`'s.

Tensors of any Keras backend, or arrays. Shape letters: `landslide_rcnn.nn`.
"""

from collections.abc import Sequence
from typing import Any

from keras import ops

from landslide_rcnn.config import Config
from landslide_rcnn.matterport.targets import detection_targets
from landslide_rcnn.nn import losses
from landslide_rcnn.nn.losses import smooth_l1
from landslide_rcnn.nn.ops import boxes as box_ops
from landslide_rcnn.nn.ops.matching import take_rows
from landslide_rcnn.nn.ops.packing import flatten_rows
from landslide_rcnn.nn.proposals import refine_detections
from landslide_rcnn.nn.targets import GroundTruth, MaskTargets, RoiTargets, RpnTargets

# --- Boxes ----------------------------------------------------------------------------------


def apply_box_deltas_graph(boxes: Any, deltas: Any) -> Any:
    """Move boxes [N, 4] by deltas [N, 4] that are already multiplied by the std_dev."""
    return box_ops.decode_boxes(boxes, deltas, (1.0, 1.0, 1.0, 1.0))


def clip_boxes_graph(boxes: Any, window: Any) -> Any:
    """Cut boxes [N, 4] at a window [(y1, x1, y2, x2)]."""
    return box_ops.clip_boxes(boxes, window)


def overlaps_graph(boxes1: Any, boxes2: Any) -> Any:
    """Return the IoU of every pair: [N, 4], [M, 4] -> [N, M]."""
    return box_ops.iou(ops.convert_to_tensor(boxes1), ops.convert_to_tensor(boxes2))


def norm_boxes_graph(boxes: Any, shape: Any) -> Any:
    """Turn half-open pixel boxes [..., 4] into normalised ones; shape [(H, W)]."""
    return box_ops.norm_boxes(boxes, shape[0], shape[1])


def denorm_boxes_graph(boxes: Any, shape: Any) -> Any:
    """Turn normalised boxes [..., 4] into half-open pixel ones, rounded to int32."""
    return ops.cast(ops.round(box_ops.denorm_boxes(boxes, shape[0], shape[1])), "int32")


def trim_zeros_graph(boxes: Any, name: str | None = None) -> tuple[Any, Any]:
    """Drop the boxes of [N, 4] that are zeros; also return which ones stayed, [N] bool."""
    there = ops.any(ops.not_equal(boxes, 0), axis=1)
    return ops.take(boxes, ops.nonzero(there)[0], axis=0), there


def batch_pack_graph(x: Any, counts: Sequence[int], num_rows: int) -> Any:
    """Put the first counts[i] rows of each x[i], [num_rows, R, ...], below one another."""
    return ops.concatenate([x[i, : counts[i]] for i in range(num_rows)], axis=0)


def log2_graph(x: Any) -> Any:
    """Return the logarithm to base 2."""
    return ops.log2(x)


# --- Targets and detections of one image ----------------------------------------------------


def detection_targets_graph(
    proposals: Any, gt_class_ids: Any, gt_boxes: Any, gt_masks: Any, config: Config
) -> tuple[Any, Any, Any, Any]:
    """Choose the rois that the heads are trained on, and what they must answer.

    Args:
        proposals: [R, 4], normalised, zeros for padding.
        gt_class_ids: [N]; 0 = padding, negative = crowd.
        gt_boxes: [N, 4], normalised.
        gt_masks: [h, w, N], mini masks with USE_MINI_MASK, else of IMAGE_SHAPE.
        config: As for training.

    Returns:
        rois [T, 4], normalised; class ids [T] int32; deltas [T, 4]; masks [T, *MASK_SHAPE].
    """
    masks = ops.transpose(ops.cast(gt_masks, "uint8"), (2, 0, 1))[None]
    truth = GroundTruth(
        ops.cast(gt_class_ids, "int32")[None], ops.cast(gt_boxes, "float32")[None], masks
    )
    return detection_targets(proposals, truth, config.IMAGE_SHAPE, config)


def refine_detections_graph(rois: Any, probs: Any, deltas: Any, window: Any, config: Config) -> Any:
    """Turn the box head's answers for one image into detections.

    Args:
        rois: [R, 4], normalised, zeros for padding.
        probs: [R, K].
        deltas: [R, K, 4].
        window: [4], normalised: the part of the image that is not padding.
        config: DETECTION_* and BBOX_STD_DEV.

    Returns:
        [D, (y1, x1, y2, x2, class_id, score)], normalised, zeros for padding.
    """
    rois = ops.convert_to_tensor(rois)
    return refine_detections(
        rois[None],
        ops.any(rois != 0, axis=-1)[None],
        ops.log(ops.maximum(ops.cast(probs, "float32"), 1e-30))[None],
        ops.convert_to_tensor(deltas)[None],
        ops.cast(window, "float32")[None],
        min_confidence=config.DETECTION_MIN_CONFIDENCE,
        iou_threshold=config.DETECTION_NMS_THRESHOLD,
        max_detections=config.DETECTION_MAX_INSTANCES,
        std_dev=tuple(float(v) for v in config.BBOX_STD_DEV),
    )[0]


# --- Losses ---------------------------------------------------------------------------------


def smooth_l1_loss(y_true: Any, y_pred: Any) -> Any:
    """Return the smooth L1 loss, element by element."""
    return smooth_l1(y_true, y_pred)


def rpn_class_loss_graph(rpn_match: Any, rpn_class_logits: Any) -> Any:
    """Cross entropy of anchors: rpn_match [B, A, 1] of 1, -1, 0 (unused), logits [B, A, 2]."""
    return losses.rpn_class_loss(
        {"rpn_targets": _rpn_targets(rpn_match), "rpn_class_logits": rpn_class_logits}
    )


def rpn_bbox_loss_graph(config: Config, target_bbox: Any, rpn_match: Any, rpn_bbox: Any) -> Any:
    """Smooth L1 of the positive anchors' deltas.

    Args:
        config: Accepted for matterport's signature.
        target_bbox: [B, S, 4]: those of the positive anchors in their order, then zeros.
        rpn_match: [B, A, 1] of 1, -1, 0 (unused).
        rpn_bbox: [B, A, 4].
    """
    targets = _rpn_targets(rpn_match)
    # The n-th positive anchor has the n-th row of target_bbox.
    row = ops.cumsum(ops.cast(targets.positive, "int32"), axis=1) - 1
    row = ops.clip(row, 0, target_bbox.shape[1] - 1)
    targets = targets._replace(deltas=take_rows(ops.convert_to_tensor(target_bbox), row))
    return losses.rpn_bbox_loss({"rpn_targets": targets, "rpn_bbox": rpn_bbox})


def mrcnn_class_loss_graph(
    target_class_ids: Any, pred_class_logits: Any, active_class_ids: Any
) -> Any:
    """Cross entropy of rois: ids [B, T], logits [B, T, K], active classes [B, K] of each image.

    Every roi counts: matterport's arguments do not tell padding from background.
    """
    targets = _roi_targets(target_class_ids)
    return losses.mrcnn_class_loss(
        {
            "roi_targets": targets._replace(used=ops.ones_like(targets.positive)),
            "mrcnn_class_logits": pred_class_logits,
            "active_class_ids": ops.convert_to_tensor(active_class_ids),
        }
    )


def mrcnn_bbox_loss_graph(target_bbox: Any, target_class_ids: Any, pred_bbox: Any) -> Any:
    """Smooth L1 of positive rois' deltas: [B, T, 4], ids [B, T], answers [B, T, K, 4]."""
    targets = _roi_targets(target_class_ids)._replace(deltas=target_bbox)
    return losses.mrcnn_bbox_loss({"roi_targets": targets, "mrcnn_bbox": pred_bbox})


def mrcnn_mask_loss_graph(target_masks: Any, target_class_ids: Any, pred_masks: Any) -> Any:
    """Cross entropy of positive rois' masks.

    Args:
        target_masks: [B, T, h, w], 0 or 1.
        target_class_ids: [B, T].
        pred_masks: [B, T, h, w, K], probabilities; taken as at least 1e-7 from 0 and 1.
    """
    probability = ops.clip(ops.cast(pred_masks, "float32"), 1e-7, 1 - 1e-7)
    logits = flatten_rows(ops.log(probability) - ops.log1p(-probability))
    class_ids = ops.reshape(ops.cast(target_class_ids, "int32"), (-1,))
    masks = flatten_rows(ops.cast(target_masks, "float32"))
    targets = MaskTargets(None, None, class_ids > 0, class_ids, masks)
    return losses.mrcnn_mask_loss({"mask_targets": targets, "mrcnn_mask_logits": logits})


def _rpn_targets(rpn_match: Any) -> RpnTargets:
    match = ops.squeeze(ops.convert_to_tensor(rpn_match), -1)  # [B, A]
    # The losses take answers at drawn anchors; here all are drawn, in their order.
    return RpnTargets(indices=None, used=match != 0, positive=match == 1, deltas=None)


def _roi_targets(class_ids: Any) -> RoiTargets:
    class_ids = ops.cast(class_ids, "int32")
    return RoiTargets(None, None, class_ids > 0, class_ids, None, None)
