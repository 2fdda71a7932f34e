"""Detected instances and true ones -> matches, average precision, recall.

matterport's metrics, with its names, signatures and order of results. Arrays in, numbers out;
no model is run. An instance of an image is a box, a class, a score and a mask.

Shape letters: H, W pixels; N true instances; D detections, R of them above a score.
"""

from collections.abc import Sequence

import numpy as np

from landslide_rcnn.errors import ShapeError


def compute_overlaps_masks(masks1: np.ndarray, masks2: np.ndarray) -> np.ndarray:
    """Return the intersection over union of every pair of masks.

    Args:
        masks1: [H, W, N], bool or numbers, of which those above 0.5 belong to the mask.
        masks2: [H, W, M].

    Returns:
        [N, M] float32; 0 where both masks are empty.

    Raises:
        ShapeError: The masks are not of one height and width.
    """
    shared, pixels1, pixels2 = compute_shared_pixels(masks1, masks2)
    intersection = shared.astype(np.float32)
    union = (pixels1[:, None] + pixels2 - shared).astype(np.float32)
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def compute_shared_pixels(
    masks1: np.ndarray, masks2: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the pixels of masks and those that every pair has in common.

    Args:
        masks1: [H, W, N], as of `compute_overlaps_masks`.
        masks2: [H, W, M].

    Returns:
        shared: [N, M] int64.
        pixels1: [N] int64.
        pixels2: [M] int64.

    Raises:
        ShapeError: The masks are not of one height and width.
    """
    # The last axis counts the instances: an image of any height may have none.
    empty = masks1.shape[-1] == 0 or masks2.shape[-1] == 0
    if not empty and masks1.shape[:2] != masks2.shape[:2]:
        raise ShapeError(
            "Masks must be of one height and width to overlap. Received: "
            f"{masks1.shape} and {masks2.shape}. Use masks of the same image."
        )
    first, second = (
        (masks > 0.5).reshape(-1, masks.shape[-1]) if masks.size else np.zeros((0, masks.shape[-1]))
        for masks in (masks1, masks2)
    )
    pixels = [np.count_nonzero(masks, axis=0).astype(np.int64) for masks in (first, second)]
    if empty:
        return np.zeros((masks1.shape[-1], masks2.shape[-1]), np.int64), *pixels
    # Products of float32 are the quick ones, and exact up to 2 ** 24 pixels.
    shared = first.astype(np.float32).T @ second.astype(np.float32)
    return np.rint(shared).astype(np.int64), *pixels


def compute_matches(
    gt_boxes: np.ndarray,
    gt_class_ids: np.ndarray,
    gt_masks: np.ndarray,
    pred_boxes: np.ndarray,
    pred_class_ids: np.ndarray,
    pred_scores: np.ndarray,
    pred_masks: np.ndarray,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Match detections, best score first, each with the free true instance it overlaps most.

    Args:
        gt_boxes: [N, 4]. A row of zeros is padding, at the end.
        gt_class_ids: [N].
        gt_masks: [H, W, N].
        pred_boxes: [D, 4]. A row of zeros is padding, at the end.
        pred_class_ids: [D].
        pred_scores: [D].
        pred_masks: [H, W, D].
        iou_threshold: Smallest IoU of masks of a match; the classes must agree too.
        score_threshold: An overlap below it is not looked at (matterport compares the overlap,
            not the score).

    Returns:
        gt_match: [N] float, the detection that an instance is matched with, -1 for none. It
            counts in the order of `pred_match`.
        pred_match: [D] float, best score first: the true instance, -1 for none.
        overlaps: [D, N] IoU of the masks, detections best score first.
    """
    gt_count, count = _unpadded(gt_boxes), _unpadded(pred_boxes)
    gt_masks, gt_class_ids = gt_masks[..., :gt_count], np.asarray(gt_class_ids)[:gt_count]
    order = np.argsort(-np.asarray(pred_scores, float)[:count], kind="stable")
    classes = np.asarray(pred_class_ids)[:count][order]
    overlaps = compute_overlaps_masks(pred_masks[..., :count][..., order], gt_masks)
    gt_match, pred_match = np.full(gt_count, -1.0), np.full(count, -1.0)
    for i in range(count):
        for j in np.argsort(-overlaps[i], kind="stable"):
            if overlaps[i, j] < max(iou_threshold, score_threshold):
                break
            if gt_match[j] == -1 and classes[i] == gt_class_ids[j]:
                gt_match[j], pred_match[i] = i, j
                break
    return gt_match, pred_match, overlaps


def compute_ap(
    gt_boxes: np.ndarray,
    gt_class_ids: np.ndarray,
    gt_masks: np.ndarray,
    pred_boxes: np.ndarray,
    pred_class_ids: np.ndarray,
    pred_scores: np.ndarray,
    pred_masks: np.ndarray,
    iou_threshold: float = 0.5,
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Compute the average precision of one image at one IoU threshold.

    The area under the precision-recall curve, whose precision is made to fall only. All classes
    together: a match needs the right class.

    Args:
        gt_boxes: As all arrays, see `compute_matches`.
        gt_class_ids: [N].
        gt_masks: [H, W, N].
        pred_boxes: [D, 4].
        pred_class_ids: [D].
        pred_scores: [D].
        pred_masks: [H, W, D].
        iou_threshold: Smallest IoU of masks of a match.

    Returns:
        mAP: In [0, 1]. NaN where there is neither an instance nor a detection: nothing to judge;
            0 where there is only one of the two kinds.
        precisions: [D + 2], at each detection, best first; with the curve's ends.
        recalls: [D + 2].
        overlaps: [D, N].

    Source: Everingham et al. 2010 (Pascal VOC), section 4.2, every point.
    """
    _, pred_match, overlaps = compute_matches(
        gt_boxes, gt_class_ids, gt_masks, pred_boxes, pred_class_ids, pred_scores, pred_masks,
        iou_threshold,
    )  # fmt: skip
    found = np.cumsum(pred_match > -1)
    gt_count = overlaps.shape[1]
    precisions = found / (np.arange(len(pred_match)) + 1)
    recalls = found / max(gt_count, 1)
    precisions = np.concatenate([[0.0], precisions, [0.0]])
    recalls = np.concatenate([[0.0], recalls, [1.0]])
    precisions = np.maximum.accumulate(precisions[::-1])[::-1]
    if gt_count == 0:
        return (float("nan") if len(pred_match) == 0 else 0.0), precisions, recalls, overlaps
    return float(np.sum(np.diff(recalls) * precisions[1:])), precisions, recalls, overlaps


def compute_ap_range(
    gt_box: np.ndarray,
    gt_class_id: np.ndarray,
    gt_mask: np.ndarray,
    pred_box: np.ndarray,
    pred_class_id: np.ndarray,
    pred_score: np.ndarray,
    pred_mask: np.ndarray,
    iou_thresholds: Sequence[float] | None = None,
    verbose: int = 1,
) -> float:
    """Average `compute_ap` over IoU thresholds: 0.5, 0.55, ..., 0.95 unless others are given.

    Args:
        gt_box: As all arrays, see `compute_matches`.
        gt_class_id: [N].
        gt_mask: [H, W, N].
        pred_box: [D, 4].
        pred_class_id: [D].
        pred_score: [D].
        pred_mask: [H, W, D].
        iou_thresholds: To average over.
        verbose: 1 prints each threshold's value.
    """
    if iou_thresholds is None:
        iou_thresholds = np.arange(10) * 0.05 + 0.5
    values = []
    for threshold in iou_thresholds:
        value, *_ = compute_ap(
            gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, pred_score, pred_mask,
            iou_threshold=threshold,
        )  # fmt: skip
        if verbose:
            print(f"AP @{threshold:.2f}:\t {value:.3f}")
        values.append(value)
    mean = float(np.mean(values))
    if verbose:
        print(f"AP @{iou_thresholds[0]:.2f}-{iou_thresholds[-1]:.2f}:\t {mean:.3f}")
    return mean


def compute_recall(
    pred_boxes: np.ndarray, gt_boxes: np.ndarray, iou: float
) -> tuple[float, np.ndarray]:
    """Compute how many true boxes some predicted box answers for.

    A predicted box answers for the true box that it overlaps most, if by at least `iou`.

    Args:
        pred_boxes: [D, 4].
        gt_boxes: [N, 4], same frame.
        iou: Smallest IoU of boxes.

    Returns:
        recall: Share of true boxes answered for; NaN without any.
        positive_ids: Indices of the predicted boxes that answer for one.
    """
    from landslide_rcnn.boxes import compute_overlaps  # loads Keras, which nothing else here needs

    if not len(gt_boxes):
        return float("nan"), np.zeros(0, np.int64)
    overlaps = compute_overlaps(pred_boxes, gt_boxes)
    best, answered = overlaps.max(axis=1), overlaps.argmax(axis=1)
    positive_ids = np.flatnonzero(best >= iou)
    return len(set(answered[positive_ids])) / len(gt_boxes), positive_ids


def _unpadded(boxes: np.ndarray) -> int:
    """Return how many rows of [N, 4] there are up to the last one that is not all zeros."""
    filled = np.flatnonzero(np.any(np.asarray(boxes).reshape(-1, 4) != 0, axis=1))
    return int(filled[-1]) + 1 if filled.size else 0
