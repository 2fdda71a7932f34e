"""Overlaps of predicted and true landslides -> which was found, which is a false alarm.

Second step after `objects`. Each predicted landslide answers for at most one true one and the
other way round, so that neither one blob over many landslides nor many crumbs in one count as
many finds.

Shape letters: P predicted and T true objects; M matches. Units: square metres on the ground.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.evaluation.objects import Overlaps

MATCH_IOU = 0.5
# Outlines of the same small landslide by two experts often agree less than by 0.5, so what is
# found at a lower IoU is told beside it.
MATCH_IOUS = (0.1, 0.3, MATCH_IOU)

# (name, from, to) in square metres, `to` excluded: the decades in which frequencies of landslide
# areas are drawn (Malamud et al. 2004).
SIZE_CLASSES_M2 = (
    ("very small", 0.0, 100.0),
    ("small", 100.0, 1_000.0),
    ("medium", 1_000.0, 10_000.0),
    ("large", 10_000.0, 100_000.0),
    ("very large", 100_000.0, None),
)

# What each number of `landslide_metrics` is, for the JSON files.
LANDSLIDE_DEFINITIONS = {
    "landslide": "a predicted or true polygon, or a 4-connected region of a mask, as the valid "
    "pixels of the map's grid that it covers; without one it does not count",
    "matched": f"pairs of a predicted and a true landslide with an IoU of {MATCH_IOU} or more, "
    "each landslide in one pair at most, taken in the order of falling IoU",
    "detection_rate": "matched / true; null without true landslides",
    "false_alarms": "predicted landslides that are not matched",
    "false_alarm_rate": "false_alarms / predicted; null without predicted or true landslides",
    "mean_matched_iou": "mean IoU of the matched pairs; null without any",
    "by_iou": "the same at other smallest IoUs of a match",
    "by_size": "true, found and detection_rate over the true landslides of a class of ground "
    "area, predicted and false_alarms over the predicted ones of it; null without a CRS in metres",
    "area_error": "(predicted - true) / true ground area of all landslides, in pixels without a "
    "CRS; pixels of landslides that overlap count for each; null without true landslides",
    "matched_area_error": "mean of |predicted - true| / true area over the matched pairs; null "
    "without any",
}


@dataclass(frozen=True)
class Matching:
    """Which predicted and true objects are one landslide.

    Attributes:
        true_of: [P] int64, the true object of each predicted one, -1 for none.
        predicted_of: [T] int64, the other way round.
        iou: [P] float64, of the match, NaN for none.
    """

    true_of: np.ndarray
    predicted_of: np.ndarray
    iou: np.ndarray

    @property
    def count(self) -> int:
        """M, the number of pairs."""
        return int(np.count_nonzero(self.true_of >= 0))


def match_objects(overlaps: Overlaps, iou: float = MATCH_IOU) -> Matching:
    """Match one to one, the pair with the highest IoU first.

    Of objects that do not overlap on their own side, none has two partners with an IoU above
    0.5: there every rule gives this matching. Below, and for overlapping ones, the best pair
    wins, and of equals the one that comes first.

    Args:
        overlaps: Of `objects`.
        iou: Smallest IoU of a match, above 0, at most 1.

    Raises:
        ConfigError: `iou` is outside that range.
    """
    if not 0 < iou <= 1:
        raise ConfigError(
            f"The smallest IoU of a match must lie above 0, at most at 1. Received: {iou}. "
            f"Use {MATCH_IOU}."
        )
    values = overlaps.iou()
    true_of = np.full(len(overlaps.predicted_pixels), -1, np.int64)
    predicted_of = np.full(len(overlaps.true_pixels), -1, np.int64)
    matched_iou = np.full(len(true_of), np.nan)
    enough = np.flatnonzero(values >= iou)
    for index in enough[np.argsort(-values[enough], kind="stable")]:
        predicted, true = overlaps.pairs[index]
        if true_of[predicted] < 0 and predicted_of[true] < 0:
            true_of[predicted], predicted_of[true] = true, predicted
            matched_iou[predicted] = values[index]
    return Matching(true_of, predicted_of, matched_iou)


def landslide_metrics(overlaps: Overlaps) -> dict[str, Any]:
    """Return counts, rates and areas of landslides; see `LANDSLIDE_DEFINITIONS` for each.

    Undefined numbers are None. Areas are None where `overlaps` has none in square metres.
    """
    matching = match_objects(overlaps)
    measured = overlaps.predicted_m2 is not None and overlaps.true_m2 is not None
    predicted_area, true_area = (
        (overlaps.predicted_m2, overlaps.true_m2)
        if measured
        else (overlaps.predicted_pixels, overlaps.true_pixels)
    )
    pairs = matching.true_of >= 0
    own, partner = predicted_area[pairs], true_area[matching.true_of[pairs]]
    total, true_total = float(predicted_area.sum()), float(true_area.sum())
    return {
        "predicted": len(overlaps.predicted_pixels),
        "true": len(overlaps.true_pixels),
        **_rates(overlaps, matching),
        "mean_matched_iou": _mean(matching.iou[pairs]),
        "by_iou": [
            {"iou": iou, **_rates(overlaps, match_objects(overlaps, iou))} for iou in MATCH_IOUS
        ],
        "by_size": _by_size(overlaps, matching) if measured else None,
        "area_true_m2": true_total if measured else None,
        "area_predicted_m2": total if measured else None,
        "area_error": (total - true_total) / true_total if len(true_area) else None,
        "matched_area_error": _mean(np.abs(own - partner) / partner),
    }


def _rates(overlaps: Overlaps, matching: Matching) -> dict[str, Any]:
    predicted, true = len(overlaps.predicted_pixels), len(overlaps.true_pixels)
    false_alarms = predicted - matching.count
    return {
        "matched": matching.count,
        "detection_rate": matching.count / true if true else None,
        "false_alarms": false_alarms,
        "false_alarm_rate": false_alarms / predicted if predicted and true else None,
    }


def _by_size(overlaps: Overlaps, matching: Matching) -> list[dict[str, Any]]:
    """Return the counts of each of `SIZE_CLASSES_M2`."""
    rows = []
    for name, low, high in SIZE_CLASSES_M2:
        end = np.inf if high is None else high
        true = (overlaps.true_m2 >= low) & (overlaps.true_m2 < end)
        predicted = (overlaps.predicted_m2 >= low) & (overlaps.predicted_m2 < end)
        true_count = int(true.sum())
        found = int((true & (matching.predicted_of >= 0)).sum())
        rows.append(
            {
                "name": name,
                "from_m2": low,
                "to_m2": high,
                "true": true_count,
                "found": found,
                "detection_rate": found / true_count if true_count else None,
                "predicted": int(predicted.sum()),
                "false_alarms": int((predicted & (matching.true_of < 0)).sum()),
            }
        )
    return rows


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
