"""Targets: boxes and ground truth in, what the RPN and the heads must answer out.

The one place where a box is declared positive or negative. Nothing here carries a gradient.
Shape letters: `landslide_rcnn.nn`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from landslide_rcnn.nn.ops.boxes import denorm_boxes, encode_boxes
from landslide_rcnn.nn.ops.matching import (
    is_best_of_an_instance,
    match_boxes,
    sample,
    take_rows,
)
from landslide_rcnn.nn.ops.packing import flatten_rows, pack

RPN_POSITIVE_IOU = 0.7  # Ren et al. 2015, section 3.1.2
RPN_NEGATIVE_IOU = 0.3
ROI_POSITIVE_IOU = 0.5  # Girshick 2015 (Fast R-CNN), section 2.3


class GroundTruth(NamedTuple):
    """A batch's instances.

    Attributes:
        class_ids: [B, N] int32; 0 is padding, a negative id a crowd.
        boxes: [B, N, 4], normalised.
        masks: [B, N, h, w] uint8, of the whole image or of the box (`masks_in_boxes`).
    """

    class_ids: Any
    boxes: Any
    masks: Any

    @property
    def is_instance(self):
        """[B, N] bool: a real instance."""
        return self.class_ids > 0

    @property
    def is_crowd(self):
        """[B, N] bool: a box around many instances, to be left out of the losses."""
        return self.class_ids < 0

    def trimmed(self) -> "GroundTruth":
        """Leave out the slots that no image uses; on TensorFlow only, others want fixed shapes.

        Images have few instances and room for many: matching against padding would take longer
        than everything else between the RPN and the heads.
        """
        if keras.backend.backend() != "tensorflow":
            return self
        slots = ops.arange(1, self.class_ids.shape[1] + 1, dtype="int32")
        last = ops.max(ops.where(self.class_ids != 0, slots, 1))
        return GroundTruth(*(ops.convert_to_tensor(part)[:, :last] for part in self))


class RpnTargets(NamedTuple):
    """S anchors of each image: indices, used, positive [B, S]; deltas [B, S, 4]."""

    indices: Any
    used: Any
    positive: Any
    deltas: Any


class RoiTargets(NamedTuple):
    """T rois of each image, the positive ones first.

    Attributes:
        rois: [B, T, 4], normalised.
        used: [B, T] bool, False for padding.
        positive: [B, T] bool.
        class_ids: [B, T] int32; 0 for a negative roi.
        deltas: [B, T, 4], what the box head must answer; 0 for a negative roi.
        instances: [B, T] int32, the instance that a positive roi answers for.
    """

    rois: Any
    used: Any
    positive: Any
    class_ids: Any
    deltas: Any
    instances: Any


class MaskTargets(NamedTuple):
    """The batch's positive rois, one after another: P of them.

    Attributes:
        rois: [P, 4], normalised.
        images: [P] int32, the image of each.
        used: [P] bool, False for padding.
        class_ids: [P] int32.
        masks: [P, h, w] float32, 0 or 1, what the mask head must answer; 0 for padding.
    """

    rois: Any
    images: Any
    used: Any
    class_ids: Any
    masks: Any


def rpn_targets(
    anchors,
    truth: GroundTruth,
    *,
    count: int,
    std_dev: Sequence[float],
    seed: keras.random.SeedGenerator,
) -> RpnTargets:
    """Choose the anchors that the RPN is trained on.

    Positive: an IoU of at least 0.7 with an instance, or the best of an instance. Negative: below
    0.3 with all and outside crowds. At most half of `count` are positive; negatives fill up.

    Args:
        anchors: [A, 4], normalised.
        truth: The batch's instances.
        count: Anchors drawn from an image.
        std_dev: 4 floats, `encode_boxes`.
        seed: State of the random numbers.

    Empty: an image without instances has only negatives.
    Source: Ren et al. 2015, section 3.1.2.
    """
    truth = truth.trimmed()
    overlaps, best_iou, best, in_crowd = match_boxes(
        anchors, truth.boxes, truth.is_instance, truth.is_crowd
    )
    positive = (best_iou >= RPN_POSITIVE_IOU) | is_best_of_an_instance(overlaps)
    negative = (best_iou < RPN_NEGATIVE_IOU) & ~positive & ~in_crowd

    positive_indices, positive_used = sample(positive, count // 2, seed)
    negative_indices, negative_used = sample(negative, count, seed)
    positives = ops.sum(ops.cast(positive_used, "int32"), axis=1, keepdims=True)
    negative_used = negative_used & (ops.arange(count)[None] < count - positives)

    instance_boxes = take_rows(truth.boxes, take_rows(best, positive_indices))
    deltas = encode_boxes(ops.take(anchors, positive_indices, axis=0), instance_boxes, std_dev)
    deltas = ops.where(positive_used[..., None], deltas, 0.0)
    return RpnTargets(
        indices=ops.concatenate([positive_indices, negative_indices], axis=1),
        used=ops.concatenate([positive_used, negative_used], axis=1),
        positive=ops.concatenate([positive_used, ops.zeros_like(negative_used)], axis=1),
        deltas=ops.pad(ops.stop_gradient(deltas), [[0, 0], [0, count], [0, 0]]),
    )


def roi_targets(
    proposals,
    is_proposal,
    truth: GroundTruth,
    *,
    count: int,
    positive_ratio: float,
    std_dev: Sequence[float],
    seed: keras.random.SeedGenerator,
) -> RoiTargets:
    """Choose the rois that the heads are trained on, and what the box head must answer.

    The instances' own boxes are among the proposals, so that the heads see positives from the
    first step (torchvision does the same). Positive: IoU of at least 0.5 with an instance, at
    most `positive_ratio` of the rois. The rest is filled with negatives, also in an image
    without positives.

    Args:
        proposals: [B, R, 4], normalised.
        is_proposal: [B, R] bool, False for padding.
        truth: The batch's instances.
        count: T, rois an image.
        positive_ratio: Largest share of positives: `most_positives`.
        std_dev: 4 floats, `encode_boxes`.
        seed: State of the random numbers.

    Source: Girshick 2015 (Fast R-CNN), section 2.3; He et al. 2017, section 3.1.
    """
    candidates = ops.stop_gradient(ops.concatenate([proposals, truth.boxes], axis=1))
    exists = ops.concatenate([is_proposal, truth.is_instance], axis=1)
    truth = truth.trimmed()
    _, best_iou, best, in_crowd = match_boxes(
        candidates, truth.boxes, truth.is_instance, truth.is_crowd
    )
    positive = exists & (best_iou >= ROI_POSITIVE_IOU)
    negative = exists & (best_iou < ROI_POSITIVE_IOU) & ~in_crowd

    limit = most_positives(count, positive_ratio)
    indices, used, is_positive = _positives_first(positive, negative, count, limit, seed)
    rois = take_rows(candidates, indices)
    rois = ops.where(used[..., None], rois, 0.0)
    instance = take_rows(best, indices)
    deltas = encode_boxes(rois, take_rows(truth.boxes, instance), std_dev)
    return RoiTargets(
        rois=rois,
        used=used,
        positive=is_positive,
        class_ids=ops.where(is_positive, take_rows(truth.class_ids, instance), 0),
        deltas=ops.stop_gradient(ops.where(is_positive[..., None], deltas, 0.0)),
        instances=ops.cast(instance, "int32"),
    )


def most_positives(count: int, positive_ratio: float) -> int:
    """Return how many of `count` rois may be positive: at least 1."""
    return max(1, int(count * positive_ratio))


def mask_targets(
    targets: RoiTargets,
    truth: GroundTruth,
    *,
    limit: int,
    mask_size: int,
    masks_in_boxes: bool,
    image_height: int,
    image_width: int,
) -> MaskTargets:
    """Gather the positive rois of the batch, and cut what the mask head must answer for them.

    The mask head is by far the dearest stage for a roi; it sees no negative ones.

    Args:
        targets: From `roi_targets`.
        truth: The batch's instances.
        limit: Slots of an image in which positive rois may be, `most_positives`.
        mask_size: h = w, cells a side of a target mask.
        masks_in_boxes: `truth.masks` show the inside of the boxes (mini masks).
        image_height: Pixels of the image.
        image_width: Pixels of the image.
    """
    indices, used = pack(targets.positive[:, :limit])
    rois, class_ids, instances = (
        ops.take(flatten_rows(part[:, :limit]), indices, axis=0)
        for part in (targets.rois, targets.class_ids, targets.instances)
    )
    images = indices // limit
    instances = images * truth.boxes.shape[1] + instances  # in the batch's list of instances
    masks = _target_masks(
        rois,
        ops.take(flatten_rows(truth.boxes), instances, axis=0),
        ops.take(flatten_rows(truth.masks), instances, axis=0),
        mask_size,
        masks_in_boxes,
        image_height,
        image_width,
    )
    return MaskTargets(
        rois=ops.where(used[:, None], rois, 0.0),
        images=images,
        used=used,
        class_ids=ops.where(used, class_ids, 0),
        masks=ops.where(used[:, None, None], masks, 0.0),
    )


def _positives_first(positive, negative, count: int, most_positives: int, seed):
    """Draw rois: indices, used and positive, each [B, count]."""
    positive_indices, positive_drawn = sample(positive, most_positives, seed)
    negative_indices, negative_drawn = sample(negative, count, seed)
    positives = ops.sum(ops.cast(positive_drawn, "int32"), axis=1, keepdims=True)  # [B, 1]
    slot = ops.arange(count, dtype="int32")[None]
    is_positive = slot < positives
    position = ops.maximum(slot - positives, 0)
    padding = [[0, 0], [0, count - most_positives]]
    indices = ops.where(
        is_positive,
        ops.pad(positive_indices, padding),
        ops.take_along_axis(negative_indices, position, axis=1),
    )
    used = is_positive | ops.take_along_axis(negative_drawn, position, axis=1)
    return indices, used, is_positive


def _target_masks(rois, gt_boxes, gt_masks, size, masks_in_boxes, image_height, image_width):
    """Cut the instances' masks inside the rois: [P, size, size] float32, 0 or 1."""
    height, width = gt_masks.shape[1:]
    roi_px = denorm_boxes(rois, image_height, image_width)
    if masks_in_boxes:
        gt_px = denorm_boxes(gt_boxes, image_height, image_width)
        corner = ops.concatenate([gt_px[..., :2]] * 2, axis=-1)
        side = ops.maximum(gt_px[..., 2:] - gt_px[..., :2], 1e-6)
        side = ops.concatenate([side, side], axis=-1)
        scale = ops.convert_to_tensor([height, width, height, width], "float32")
        roi_px = (roi_px - corner) / side * scale
    cut = crop_masks(gt_masks, roi_px, size)
    return ops.stop_gradient(ops.cast(cut >= 0.5, "float32"))


def crop_masks(masks, boxes, size: int):
    """Resample masks inside boxes by bilinear interpolation.

    Args:
        masks: [..., h, w], any dtype.
        boxes: [..., (y1, x1, y2, x2)], float32, in the mask's pixels from edge to edge, half-open.
        size: Cells a side of the cut.

    Returns:
        [..., size, size], float32. Outside the mask is 0.
    """
    height, width = masks.shape[-2:]
    rows = _interpolation(boxes[..., 0], boxes[..., 2], height, size)  # [..., size, h]
    columns = _interpolation(boxes[..., 1], boxes[..., 3], width, size)  # [..., size, w]
    masks = ops.cast(masks, "float32")
    return ops.matmul(ops.matmul(rows, masks), ops.swapaxes(columns, -1, -2))


def _interpolation(low, high, length: int, size: int):
    """Return [..., size, length]: the weight of each of `length` pixels at `size` positions."""
    step = (ops.arange(size, dtype="float32") + 0.5) / size
    position = low[..., None] + (high - low)[..., None] * step - 0.5
    inside = (position >= -0.5) & (position <= length - 0.5)
    position = ops.clip(position, 0.0, length - 1.0)
    distance = ops.abs(position[..., None] - ops.arange(length, dtype="float32"))
    weight = ops.maximum(1.0 - distance, 0.0)
    return ops.where(inside[..., None], weight, 0.0)
