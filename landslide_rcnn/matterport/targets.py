"""What RPN and heads must answer, for one image, as matterport's notebooks look at it.

`nn/targets.py` decides; here arrays in pixels go in and come out. Training does not come here:
its targets are made inside the network. Shape letters: A anchors; S anchors drawn; N instances;
R proposals; T rois; H, W pixels; h, w pixels of a mask; K classes with background 0.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from landslide_rcnn.boxes import denorm_boxes, norm_boxes
from landslide_rcnn.config import Config
from landslide_rcnn.nn.targets import (
    GroundTruth,
    mask_targets,
    most_positives,
    roi_targets,
    rpn_targets,
)


def build_rpn_targets(
    image_shape: Sequence[int],
    anchors: np.ndarray,
    gt_class_ids: np.ndarray,
    gt_boxes: np.ndarray,
    config: Config,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the anchors that the RPN is trained on, and their deltas.

    Args:
        image_shape: (H, W, C) of the padded image.
        anchors: [A, 4], pixels.
        gt_class_ids: [N]; 0 = padding, negative = crowd.
        gt_boxes: [N, 4], pixels, half-open.
        config: RPN_TRAIN_ANCHORS_PER_IMAGE and RPN_BBOX_STD_DEV.

    Returns:
        rpn_match: [A] int32: 1 positive, -1 negative, 0 not used.
        rpn_bbox: [S, (dy, dx, log dh, log dw)] float32 of the positive anchors in their order,
            divided by RPN_BBOX_STD_DEV; then zeros. S = RPN_TRAIN_ANCHORS_PER_IMAGE.
    """
    count = config.RPN_TRAIN_ANCHORS_PER_IMAGE
    truth = _truth(gt_class_ids, gt_boxes, None, image_shape)
    targets = rpn_targets(
        ops.convert_to_tensor(norm_boxes(anchors, image_shape)),
        truth,
        count=count,
        std_dev=tuple(config.RPN_BBOX_STD_DEV),
        seed=_fresh_seed(),
    )
    indices, used, positive, deltas = (ops.convert_to_numpy(part)[0] for part in targets)
    rpn_match = np.zeros(len(anchors), np.int32)
    rpn_match[indices[used & ~positive]] = -1
    rpn_match[indices[positive]] = 1
    rpn_bbox = np.zeros((count, 4), np.float32)
    in_order = np.argsort(indices[positive])
    rpn_bbox[: len(in_order)] = deltas[positive][in_order]
    return rpn_match, rpn_bbox


def build_detection_targets(
    rpn_rois: np.ndarray,
    gt_class_ids: np.ndarray,
    gt_boxes: np.ndarray,
    gt_masks: np.ndarray,
    config: Config,
    *,
    image_shape: Sequence[int] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Choose the rois that the heads are trained on, and what they must answer.

    The instances' own boxes are candidates beside `rpn_rois`. Where there are too few rois, the
    rest is zeros (matterport repeats negatives).

    Args:
        rpn_rois: [R, 4], pixels.
        gt_class_ids: [N]; 0 = padding, negative = crowd.
        gt_boxes: [N, 4], pixels, half-open.
        gt_masks: [h, w, N], mini masks with USE_MINI_MASK, else of the image.
        config: TRAIN_ROIS_PER_IMAGE, ROI_POSITIVE_RATIO, BBOX_STD_DEV, MASK_SHAPE.
        image_shape: (H, W, ...) of the image; without it that of full masks, or IMAGE_SHAPE.

    Returns:
        rois: [T, 4] int32, pixels, positive ones first. T = TRAIN_ROIS_PER_IMAGE.
        roi_gt_class_ids: [T] int32, 0 for a negative one.
        bboxes: [T, K, 4] float32, non-zero for the class of the roi.
        masks: [T, *MASK_SHAPE, K] float32, 0 or 1, non-zero for the class of the roi.
    """
    if image_shape is None:
        image_shape = config.IMAGE_SHAPE if config.USE_MINI_MASK else np.shape(gt_masks)
    truth = _truth(gt_class_ids, gt_boxes, gt_masks, image_shape)
    rois, class_ids, deltas, masks = (
        ops.convert_to_numpy(part)
        for part in detection_targets(norm_boxes(rpn_rois, image_shape), truth, image_shape, config)
    )
    own = np.eye(config.NUM_CLASSES, dtype=np.float32)[class_ids] * (class_ids > 0)[:, None]
    rois_px = np.where(rois.any(axis=1, keepdims=True), denorm_boxes(rois, image_shape), 0)
    return (
        rois_px.astype(np.int32),
        class_ids.astype(np.int32),
        deltas[:, None, :] * own[..., None],
        masks[..., None] * own[:, None, None, :],
    )


def detection_targets(
    rois: np.ndarray, truth: GroundTruth, image_shape: Sequence[int], config: Config
) -> tuple[Any, Any, Any, Any]:
    """Call `roi_targets` and `mask_targets` for one image with the numbers of a `Config`.

    Args:
        rois: [R, 4], normalised; a row of zeros is padding.
        truth: A batch of one.
        image_shape: (H, W, ...).
        config: As for training.

    Returns:
        rois [T, 4], normalised, positive ones first; class ids [T]; deltas [T, 4]; masks
        [T, *MASK_SHAPE].
    """
    rois = ops.convert_to_tensor(rois)[None]
    count, share = config.TRAIN_ROIS_PER_IMAGE, config.ROI_POSITIVE_RATIO
    targets = roi_targets(
        rois,
        ops.any(rois != 0, axis=-1),
        truth,
        count=count,
        positive_ratio=share,
        std_dev=tuple(float(v) for v in config.BBOX_STD_DEV),
        seed=_fresh_seed(),
    )
    masks = mask_targets(
        targets,
        truth,
        limit=most_positives(count, share),
        mask_size=config.MASK_SHAPE[0],
        masks_in_boxes=config.USE_MINI_MASK,
        image_height=int(image_shape[0]),
        image_width=int(image_shape[1]),
    ).masks[:count]
    masks = ops.pad(masks, [[0, count - masks.shape[0]], [0, 0], [0, 0]])
    return targets.rois[0], targets.class_ids[0], targets.deltas[0], masks


def generate_random_rois(
    image_shape: Sequence[int],
    count: int,
    gt_class_ids: np.ndarray,
    gt_boxes: np.ndarray,
    *,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Draw rois as an RPN might propose them: nine tenths near instances, the rest anywhere.

    Args:
        image_shape: (H, W, ...).
        count: Rois.
        gt_class_ids: [N]; 0 = padding.
        gt_boxes: [N, 4], pixels.
        rng: A fresh generator if None.

    Returns:
        [count, (y1, x1, y2, x2)] int32, pixels, each of at least one pixel, inside the image.
        Without instances all are drawn anywhere.
    """
    rng = rng or np.random.default_rng()
    height, width = image_shape[:2]
    boxes = np.asarray(gt_boxes, np.int64)[np.asarray(gt_class_ids) != 0]
    near = int(0.9 * count) if len(boxes) else 0
    # Around an instance: anywhere within its own size beyond its sides.
    around = boxes[np.arange(near) % max(len(boxes), 1)].reshape(-1, 4)
    sides = around[:, 2:] - around[:, :2]
    everywhere = np.tile([0, 0, height, width], (count - near, 1))
    limits = np.concatenate(
        [
            np.concatenate([around[:, :2] - sides, around[:, 2:] + sides], axis=1),
            everywhere,
        ]
    )
    rois = np.zeros((count, 4), np.int32)
    for first, second, size in ((0, 2, height), (1, 3, width)):
        low = np.clip(limits[:, first, None], 0, size - 1)
        high = np.clip(limits[:, second, None], low + 1, size)
        ends = np.sort(rng.integers(low, high + 1, (count, 2)), axis=1)
        rois[:, first] = np.minimum(ends[:, 0], high[:, 0] - 1)
        rois[:, second] = np.maximum(ends[:, 1], rois[:, first] + 1)
    return rois


def _truth(class_ids, boxes, masks, image_shape: Sequence[int]) -> GroundTruth:
    """Make a batch of one: class ids [N], pixel boxes [N, 4], masks [h, w, N] or None."""
    class_ids = np.asarray(class_ids, np.int32)
    masks = np.zeros((1, 1, len(class_ids))) if masks is None else np.asarray(masks)
    boxes = norm_boxes(boxes, image_shape)
    if not len(class_ids):  # one slot of padding: targets need an axis to look along
        class_ids, boxes = np.zeros(1, np.int32), np.zeros((1, 4), np.float32)
        masks = np.zeros((*masks.shape[:2], 1))
    parts = class_ids, boxes, masks.transpose(2, 0, 1).astype(np.uint8)
    return GroundTruth(*(ops.convert_to_tensor(part[None]) for part in parts))


def _fresh_seed() -> keras.random.SeedGenerator:
    # numpy.random.seed makes a notebook repeatable, as it does with matterport's.
    return keras.random.SeedGenerator(int(np.random.randint(2**31 - 1)))
