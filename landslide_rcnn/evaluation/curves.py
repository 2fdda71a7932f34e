"""A threshold sweep -> what can be drawn of it: the precision-recall curve, and the calibration.

Used by `maps.evaluate_map`; the sweep holds counts, so this costs nothing whatever the scene's
size. Undefined numbers are None.

Shape letters: T thresholds; R bins of the reliability diagram.
"""

from typing import Any

import numpy as np

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.evaluation.metrics import known
from landslide_rcnn.evaluation.pixels import ThresholdSweep

MAX_CURVE_POINTS = 200
RELIABILITY_BINS = 10

CURVE_DEFINITIONS = {
    "average_precision": "area under the precision-recall curve of the pixels, the sum over all "
    "thresholds of the precision times the gain in recall, from threshold 1 down to 0, not "
    "interpolated; null without a true landslide pixel. Davis and Goadrich 2006, on why lines "
    "between its points would be too high",
    "expected_calibration_error": "mean over the bins of the reliability diagram, weighted by "
    "their pixels, of the distance between the mean probability and the share of true landslide "
    "pixels; null without a pixel. Guo et al. 2017. Most of a scene is background of low "
    "probability, which it is dominated by: look at the bins too",
}
PERCENT_NOTE = (
    "The map holds probabilities in percent, rounded down. A pixel of n % counts as n + 0.5 % in "
    "the calibration, one of 0 % as 0; wherever in their percents the probabilities really lie, "
    "the expected calibration error is within its bounds."
)


def average_precision(sweep: ThresholdSweep) -> float | None:
    """Return the area under the precision-recall curve; None without a true landslide pixel.

    Probabilities between two thresholds of the sweep count as equal, so that it is exact for maps
    in percent.
    """
    counts = sweep.counts()
    positives = counts.tp[0]
    if positives == 0:
        return None
    tp = counts.tp[::-1]  # thresholds from 1 to 0
    predicted = tp + counts.fp[::-1]
    gained = np.diff(tp, prepend=0) / positives
    return float(np.sum(gained * tp / np.maximum(predicted, 1)))


def precision_recall_curve(sweep: ThresholdSweep) -> dict[str, Any]:
    """Return the curve over at most `MAX_CURVE_POINTS` thresholds, with the best one, for JSON.

    Returns:
        threshold, precision, recall, f1: Lists of one length, thresholds rising; None where a
            metric is undefined.
        average_precision: Of all thresholds, not only those that are listed.
    """
    curve = sweep.curve()
    count = len(curve["threshold"])
    chosen = np.linspace(0, count - 1, min(count, MAX_CURVE_POINTS - 1)).round().astype(int)
    best = sweep.best_threshold()
    if best is not None:
        chosen = np.append(chosen, round(best * sweep.bins) - 1)
    chosen = np.unique(chosen)
    points = {
        name: [known(value) for value in curve[name][chosen]]
        for name in ("threshold", "precision", "recall", "f1")
    }
    return {**points, "average_precision": average_precision(sweep)}


def calibration(sweep: ThresholdSweep, *, rounded_down: bool = False) -> dict[str, Any] | None:
    """Return the reliability diagram and the expected calibration error; None without a pixel.

    Args:
        sweep: Its number of bins is a multiple of `RELIABILITY_BINS`.
        rounded_down: The probabilities were rounded down to the sweep's thresholds, as in a map
            of percents.

    Returns:
        bins: {from, to, count, mean_probability, share_landslide} each; the last one has 1 too.
        expected_calibration_error: See `CURVE_DEFINITIONS`.
        expected_calibration_error_bounds: {low, high}, where it lies whatever was rounded away;
            only of probabilities that were.

    Raises:
        ConfigError: The sweep's bins cannot be joined to those of the diagram.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, eqs. 2, 3 and 5.
    Differs: the probability of the landslide class, not that of the more likely class.
    """
    if sweep.bins % RELIABILITY_BINS:
        raise ConfigError(
            f"A sweep for a reliability diagram needs a multiple of {RELIABILITY_BINS} bins. "
            f"Received: {sweep.bins}. Use {RELIABILITY_BINS * 100}."
        )
    positive, negative, sums = sweep.histogram()
    counts = positive + negative
    if not counts.any():
        return None
    step = 1 / sweep.bins if rounded_down else 0.0
    # A pixel of exactly 1 was not rounded; one of 0 is most often one that no landslide reached.
    could_be_more, halved = counts.copy(), counts.copy()
    could_be_more[-1] = halved[-1] = halved[0] = 0
    count, true, low, above, half = (
        _joined(each) for each in (counts, positive, sums, could_be_more, halved)
    )
    filled = count > 0
    count, true, low, above, half = (each[filled] for each in (count, true, low, above, half))
    share, low = true / count, low / count
    mean, high = low + step / 2 * half / count, low + step * above / count
    weight = count / count.sum()
    nearest = np.clip(share, low, high)
    farthest = np.where(share - low > high - share, low, high)
    result = {
        "bins": _bins(filled, count, mean, share),
        "expected_calibration_error": float(weight @ np.abs(share - mean)),
    }
    if rounded_down:
        result["expected_calibration_error_bounds"] = {
            "low": float(weight @ np.abs(share - nearest)),
            "high": float(weight @ np.abs(share - farthest)),
        }
    return result


def _joined(counts: np.ndarray) -> np.ndarray:
    """Return [R] sums of [bins + 1] numbers; the last bin takes what is exactly 1."""
    joined = counts[:-1].reshape(RELIABILITY_BINS, -1).sum(axis=1)
    joined[-1] += counts[-1]
    return joined


def _bins(
    filled: np.ndarray, count: np.ndarray, mean: np.ndarray, share: np.ndarray
) -> list[dict[str, Any]]:
    """Return the diagram's [R] bins, of which the filled ones have numbers."""
    numbers = iter(zip(count.tolist(), mean.tolist(), share.tolist(), strict=True))
    bins = []
    for index, is_filled in enumerate(filled):
        pixels, mean_probability, landslide = next(numbers) if is_filled else (0, None, None)
        bins.append(
            {
                "from": index / RELIABILITY_BINS,
                "to": (index + 1) / RELIABILITY_BINS,
                "count": int(pixels),
                "mean_probability": mean_probability,
                "share_landslide": landslide,
            }
        )
    return bins
