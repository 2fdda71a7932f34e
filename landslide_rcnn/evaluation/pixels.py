"""Pixels -> counts -> metrics: a confusion matrix, and one for each of many thresholds.

Counts are added block by block, so that scenes of any size and whole data sets give the same
numbers as one array would. What the metrics are is defined in `metrics.py`; each is None (null in
JSON) where it says nothing.

Shape letters: H, W pixels; T thresholds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from landslide_rcnn.errors import ConfigError, ShapeError
from landslide_rcnn.evaluation.metrics import DEFINITIONS, METRICS, Counts, known

# Sums of probabilities are kept as whole multiples of this: float32 has 24 bits, and sums of
# integers are the same in whatever order blocks are added.
PROBABILITY_UNIT = 2.0**-24


@dataclass
class ConfusionMatrix:
    """Counts of valid pixels; the landslide is the positive class.

    Attributes:
        tp: Landslide predicted and true.
        fp: Landslide predicted, background true.
        fn: Background predicted, landslide true.
        tn: Background predicted and true.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def add(
        self, predicted: np.ndarray, truth: np.ndarray, valid_mask: np.ndarray | None = None
    ) -> None:
        """Count the pixels of one block.

        Args:
            predicted: [H, W], non-zero = landslide.
            truth: [H, W], non-zero = landslide.
            valid_mask: [H, W] bool, True = count this pixel. None: all of them.

        Raises:
            ShapeError: The shapes differ.
        """
        predicted, truth = _valid_pixels(predicted, truth, valid_mask)
        predicted, truth = predicted.astype(bool), truth.astype(bool)
        tp = int(np.count_nonzero(predicted & truth))
        fp = int(np.count_nonzero(predicted)) - tp
        fn = int(np.count_nonzero(truth)) - tp
        self.tp += tp
        self.fp += fp
        self.fn += fn
        self.tn += predicted.size - tp - fp - fn

    @property
    def counts(self) -> Counts:
        """The four numbers as `metrics` takes them."""
        return Counts(self.tp, self.fp, self.fn, self.tn)

    @property
    def total(self) -> int:
        """All counted pixels."""
        return self.tp + self.fp + self.fn + self.tn

    def metric(self, name: str) -> float | None:
        """Return one of `metrics.METRICS`; None where it is undefined."""
        return known(METRICS[name](self.counts))

    @property
    def precision(self) -> float | None:
        """See `metrics.precision`."""
        return self.metric("precision")

    @property
    def recall(self) -> float | None:
        """See `metrics.recall`."""
        return self.metric("recall")

    @property
    def f1(self) -> float | None:
        """See `metrics.f1`."""
        return self.metric("f1")

    @property
    def iou(self) -> float | None:
        """See `metrics.iou`."""
        return self.metric("iou")

    @property
    def background_iou(self) -> float | None:
        """See `metrics.background_iou`."""
        return self.metric("background_iou")

    @property
    def miou(self) -> float | None:
        """See `metrics.miou`."""
        return self.metric("miou")

    @property
    def overall_accuracy(self) -> float | None:
        """See `metrics.overall_accuracy`."""
        return self.metric("overall_accuracy")


class ThresholdSweep:
    """Confusion matrices at many thresholds, from one pass over probabilities.

    Two histograms, of the probabilities of true landslide and of background pixels, and the sum
    of the probabilities in each bin hold all that is needed: memory is `bins` numbers, whatever
    the data. Thresholds are 1 / bins,
    2 / bins, ..., 1; at these the counts are exact, not approximated.

    Args:
        bins: Number of thresholds.

    Raises:
        ConfigError: `bins` is below 1.
    """

    def __init__(self, bins: int = 1000) -> None:
        if bins < 1:
            raise ConfigError(
                f"A threshold sweep needs 1 bin or more. Received: bins={bins}. Use 1000."
            )
        self.bins = bins
        # The comparison `probability >= threshold` happens in float32 wherever maps are made.
        self._edges = (np.arange(bins + 1) / bins).astype(np.float32)
        self._positive = np.zeros(bins + 1, np.int64)
        self._negative = np.zeros(bins + 1, np.int64)
        self._sums = np.zeros(bins + 1, np.int64)  # of probabilities, in PROBABILITY_UNIT

    def add(
        self, probability: np.ndarray, truth: np.ndarray, valid_mask: np.ndarray | None = None
    ) -> None:
        """Count the pixels of one block.

        Args:
            probability: [H, W], in [0, 1]; compared as float32.
            truth: [H, W], non-zero = landslide.
            valid_mask: [H, W] bool, True = count this pixel. None: all of them.

        Raises:
            ShapeError: The shapes differ.
            ConfigError: A counted probability is NaN or outside [0, 1].
        """
        probability, truth = _valid_pixels(probability, truth, valid_mask)
        if probability.size == 0:
            return
        low, high = probability.min(), probability.max()
        if not (low >= 0 and high <= 1):
            raise ConfigError(
                f"Probabilities must lie in [0, 1]. Received: values from {low} to {high}. "
                "Mark pixels without a prediction in valid_mask, and scale the others."
            )
        probability = probability.astype(np.float32)
        index = self._bin_of(probability)
        size = self.bins + 1
        both = np.bincount(index + size * truth.astype(bool), minlength=2 * size)
        self._negative += both[:size]
        self._positive += both[size:]
        # Exact: float64 holds the sum of a whole block of such integers.
        units = np.rint(probability.astype(np.float64) / PROBABILITY_UNIT)
        self._sums += np.bincount(index, units, minlength=size).astype(np.int64)

    def _bin_of(self, probability: np.ndarray) -> np.ndarray:
        """Return the largest k with probability >= edge k, exactly as the comparison sees it."""
        index = (probability * self.bins).astype(np.int64)
        index -= probability < self._edges[index]
        index += probability >= self._edges[np.minimum(index + 1, self.bins)]
        return np.minimum(index, self.bins)

    def confusion_at(self, threshold: float) -> ConfusionMatrix:
        """Return the counts for `probability >= threshold`.

        Args:
            threshold: In [0, 1]; taken to the nearest multiple of 1 / bins.

        Raises:
            ConfigError: It lies outside [0, 1].
        """
        if not 0 <= threshold <= 1:
            raise ConfigError(
                f"A threshold lies in [0, 1]. Received: {threshold}. Use 0.5, for example."
            )
        index = round(threshold * self.bins)
        return ConfusionMatrix(*(int(each[index]) for each in self.counts()))

    def counts(self) -> Counts:
        """Return the counts at all thresholds, [bins + 1] each: 0, 1 / bins, ..., 1."""
        tp, fp = (np.cumsum(each[::-1])[::-1] for each in (self._positive, self._negative))
        return Counts(tp, fp, tp[0] - tp, fp[0] - fp)

    def histogram(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what lies from each threshold to the next, the last bin being exactly 1.

        Returns:
            positive: [bins + 1] true landslide pixels.
            negative: [bins + 1] true background pixels.
            sums: [bins + 1] float64, the sum of the probabilities of both.
        """
        return self._positive.copy(), self._negative.copy(), self._sums * PROBABILITY_UNIT

    def best_threshold(self) -> float | None:
        """Return the threshold with the highest F1; None without a true landslide pixel.

        Of several with the same F1 the middle one: where no pixel lies between two groups of
        probabilities, it stays farthest from both, which carries over best to other data.
        Threshold 0, everything a landslide, is not among the choices.
        """
        f1 = self.curve()["f1"]
        if np.isnan(f1).all():
            return None
        best = np.flatnonzero(f1 == f1.max())
        return float((best[len(best) // 2] + 1) / self.bins)

    def curve(self) -> dict[str, np.ndarray]:
        """Return the landslide class over all thresholds.

        Returns:
            `threshold`, `precision`, `recall`, `f1`, `iou`: [T] float64 each, thresholds rising
            from 1 / bins to 1; NaN where a metric is undefined.
        """
        counts = Counts(*(each[1:] for each in self.counts()))
        return {
            "threshold": np.arange(1, self.bins + 1) / self.bins,
            **{name: METRICS[name](counts) for name in ("precision", "recall", "f1", "iou")},
        }


def metrics_dict(confusion: ConfusionMatrix) -> dict[str, Any]:
    """Return counts and metrics for JSON: None becomes null; `definition` says what each is."""
    return {
        "tp": confusion.tp,
        "fp": confusion.fp,
        "fn": confusion.fn,
        "tn": confusion.tn,
        **{name: confusion.metric(name) for name in METRICS},
        "definition": dict(DEFINITIONS),
    }


def _valid_pixels(
    first: np.ndarray, second: np.ndarray, valid_mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return both arrays' pixels, flat, where `valid_mask` is True.

    Raises:
        ShapeError: The shapes differ.
    """
    shapes = {np.shape(first), np.shape(second)}
    if valid_mask is not None:
        shapes.add(np.shape(valid_mask))
    if len(shapes) > 1:
        raise ShapeError(
            "Prediction, truth and valid_mask must have one shape. "
            f"Received: {', '.join(map(str, sorted(shapes)))}. Cut them to the same window."
        )
    if valid_mask is None:
        return np.ravel(first), np.ravel(second)
    valid = np.asarray(valid_mask, bool)
    return np.asarray(first)[valid], np.asarray(second)[valid]
