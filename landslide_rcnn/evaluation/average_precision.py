"""Overlaps of landslides with scores -> COCO's average precision.

Beside `matching` after `objects`: over all scores instead of at the map's own threshold. Our own
code of COCO's rules, bit for bit the numbers of pycocotools' COCOeval, from the few pairs that
share pixels instead of a table of all pairs: a scene is one image with many thousand landslides.

Shape letters: I images; P predicted (of these D the best) and T true objects of an image; N
predictions of all images; Q thresholds of IoU; R = 101 recalls; K classes; A ranges of area.
Units: areas in pixels, as in COCO.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landslide_rcnn.errors import ShapeError
from landslide_rcnn.evaluation.objects import Overlaps

# As COCOeval writes them: another way of stepping differs in the last bits.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
AREAS_PX = {
    "all": (0, 1e5**2),
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, 1e5**2),
}

# name: (position in IOU_THRESHOLDS or all, range of area)
NUMBERS = {
    "ap": (slice(None), "all"),
    "ap50": (slice(0, 1), "all"),
    "ap75": (slice(5, 6), "all"),
    "ap_small": (slice(None), "small"),
    "ap_medium": (slice(None), "medium"),
    "ap_large": (slice(None), "large"),
}

AP_DEFINITIONS = {
    "ap": "COCO's average precision: the mean of the precision at 101 recalls, over the IoU "
    "thresholds 0.50, 0.55, ..., 0.95 (Lin et al. 2014); null without true landslides",
    "ap50": "the same at IoU 0.50 alone",
    "ap75": "the same at IoU 0.75 alone",
    "ap_small": "ap of landslides of up to 32 x 32 pixels; null without such true ones",
    "ap_medium": "ap of landslides from 32 x 32 to 96 x 96 pixels; null without such true ones",
    "ap_large": "ap of landslides of 96 x 96 pixels or more; null without such true ones",
}


@dataclass(frozen=True)
class ScoredOverlaps:
    """The objects of an image with what COCO wants to know of them.

    Attributes:
        overlaps: Of `objects`.
        scores: [P] float.
        crowd: [T] bool, objects that stand for an unknown number: predictions inside are neither
            right nor wrong, and the IoU is the share of the prediction that lies inside. None:
            no one. COCO's flag "ignore" is the same: COCOeval overwrites it with this.
        predicted_classes: [P] int; None: all 1.
        true_classes: [T].

    Raises:
        ShapeError: A length is not that of the objects.
    """

    overlaps: Overlaps
    scores: np.ndarray
    crowd: np.ndarray | None = None
    predicted_classes: np.ndarray | None = None
    true_classes: np.ndarray | None = None

    def __post_init__(self) -> None:
        predicted, true = len(self.overlaps.predicted_pixels), len(self.overlaps.true_pixels)
        for name, count in (
            ("scores", predicted),
            ("crowd", true),
            ("predicted_classes", predicted),
            ("true_classes", true),
        ):
            values = getattr(self, name)
            if values is not None and len(values) != count:
                raise ShapeError(
                    f"Each object needs one value. Received: {name} of {len(values)} for {count} "
                    "objects. Take the values of the objects that were counted (their ids)."
                )


def average_precision(
    images: Sequence[ScoredOverlaps], *, max_detections: int | None = None
) -> dict[str, float | None]:
    """Compute COCO's six average precisions.

    Args:
        images: In COCO's order, that of the images' ids: of predictions with equal scores the
            first counts first.
        max_detections: Of each image and class only so many predictions count, the best. None
            takes all, as a scene needs; COCO's own is 100.

    Returns:
        `NUMBERS`; see `AP_DEFINITIONS`. None where there is no true object of the size; 0 where
        there is one and nothing is predicted.

    Source: Lin et al. 2014 (COCO), as pycocotools 2.0 computes it.
    """
    classes = np.unique(np.concatenate([np.zeros(0, int), *(_classes(i)[1] for i in images)]))
    curves = {
        area: np.stack(
            [_curve(images, each, limits, max_detections) for each in classes], axis=-1
        )  # [Q, R, K]
        if len(classes)
        else np.full((len(IOU_THRESHOLDS), len(RECALLS), 1), -1.0)
        for area, limits in AREAS_PX.items()
    }
    result: dict[str, float | None] = {}
    for name, (thresholds, area) in NUMBERS.items():
        values = curves[area][thresholds]
        known = values[values > -1]
        result[name] = float(np.mean(known)) if len(known) else None
    return result


def _classes(image: ScoredOverlaps) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes of the predicted [P] and of the true objects [T]."""
    predicted, true = image.predicted_classes, image.true_classes
    return (
        np.ones(len(image.scores), int) if predicted is None else np.asarray(predicted),
        np.ones(len(image.overlaps.true_pixels), int) if true is None else np.asarray(true),
    )


def _curve(
    images: Sequence[ScoredOverlaps],
    class_id: int,
    limits: tuple[float, float],
    max_detections: int | None,
) -> np.ndarray:
    """Return the precision at each recall [Q, R] for one class and range of areas.

    -1 everywhere without a true object.
    """
    parts = [_judge(image, class_id, limits, max_detections) for image in images]
    precision = np.full((len(IOU_THRESHOLDS), len(RECALLS)), -1.0)
    true_count = sum(part[3] for part in parts)
    if not true_count:
        return precision
    order = np.argsort(-np.concatenate([part[0] for part in parts]), kind="stable")
    right = np.concatenate([part[1] for part in parts], axis=1)[:, order]  # [Q, N]
    wrong = np.concatenate([part[2] for part in parts], axis=1)[:, order]
    right = np.cumsum(right, axis=1).astype(float)
    wrong = np.cumsum(wrong, axis=1).astype(float)
    recall = right / true_count
    raw = right / (wrong + right + np.spacing(1))  # no 0 / 0 before the first that counts
    falling = np.maximum.accumulate(raw[:, ::-1], axis=1)[:, ::-1]
    for row in range(len(IOU_THRESHOLDS)):
        place = np.searchsorted(recall[row], RECALLS, side="left")
        reached = place < recall.shape[1]
        precision[row] = 0.0
        precision[row, reached] = falling[row, place[reached]]
    return precision


def _judge(
    image: ScoredOverlaps,
    class_id: int,
    limits: tuple[float, float],
    max_detections: int | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Match one image's predictions, best score first.

    Returns:
        scores: [D], falling.
        right: [Q, D] bool, matched with a true object that counts.
        wrong: [Q, D] bool, not matched and of an area that counts.
        true_count: True objects that count.
    """
    predicted_classes, true_classes = _classes(image)
    overlaps, scores = image.overlaps, np.asarray(image.scores, float)
    chosen = np.flatnonzero(predicted_classes == class_id)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")][:max_detections]
    crowd = np.zeros(len(true_classes), bool)
    if image.crowd is not None:
        crowd |= np.asarray(image.crowd, bool)
    low, high = limits
    ignored = crowd | (overlaps.true_pixels < low) | (overlaps.true_pixels > high)
    partners = _partners(image, crowd, true_classes == class_id)
    shape = (len(IOU_THRESHOLDS), len(chosen))
    matched, of_ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    answered = [(d, partners[p]) for d, p in enumerate(chosen.tolist()) if p in partners]
    for row, threshold in enumerate(IOU_THRESHOLDS.tolist()):
        taken: set[int] = set()
        for position, candidates in answered:
            found = _best(candidates, threshold, taken, ignored)
            if found is not None:
                matched[row, position], of_ignored[row, position] = True, ignored[found]
                if not crowd[found]:
                    taken.add(found)
    areas = overlaps.predicted_pixels[chosen]
    outside = (areas < low) | (areas > high)
    true_count = int(np.count_nonzero((true_classes == class_id) & ~ignored))
    return scores[chosen], matched & ~of_ignored, ~matched & ~outside, true_count


def _partners(
    image: ScoredOverlaps, crowd: np.ndarray, wanted: np.ndarray
) -> dict[int, list[tuple[int, float]]]:
    """Return for predicted objects (true object, IoU) of those of a class that could match."""
    overlaps = image.overlaps
    predicted, true = overlaps.pairs.T
    share = overlaps.shared / overlaps.predicted_pixels[predicted]
    iou = np.where(crowd[true], share, overlaps.iou())
    near = wanted[true] & (iou >= IOU_THRESHOLDS[0])
    partners: dict[int, list[tuple[int, float]]] = {}
    for first, second, value in zip(predicted[near], true[near], iou[near], strict=True):
        partners.setdefault(int(first), []).append((int(second), float(value)))
    return partners


def _best(
    candidates: list[tuple[int, float]], threshold: float, taken: set[int], ignored: np.ndarray
) -> int | None:
    """Return the free true object with the highest IoU; one that counts before one that does not.

    Of equals the last one, as in COCOeval.
    """
    best, best_iou = None, threshold
    for only_ignored in (False, True):
        for true, iou in candidates:
            if ignored[true] == only_ignored and true not in taken and iou >= best_iou:
                best, best_iou = true, iou
        if best is not None:
            break
    return best
