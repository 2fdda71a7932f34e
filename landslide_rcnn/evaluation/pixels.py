"""Pixel counts -> precision, recall, F1, IoU, mIoU and overall accuracy.

Counts are added block by block, so that scenes of any size and whole data sets give the same
numbers as one array would. Every metric of the landslide class is None (null in JSON) where it
says nothing: it is never 0 or 1 by default.

Shape letters: H, W pixels; T thresholds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from landslide_rcnn.errors import ConfigError, ShapeError

# What each number of `metrics_dict` is, for the JSON files.
DEFINITIONS = {
    "precision": "tp / (tp + fp), landslide class; null without true or predicted landslide pixels",
    "recall": "tp / (tp + fn), landslide class; null without true landslide pixels",
    "f1": "2 tp / (2 tp + fp + fn), landslide class; null without true landslide pixels",
    "iou": "tp / (tp + fp + fn), landslide class; null without true landslide pixels",
    "miou": "mean of the landslide's and the background's IoU; null unless the truth has both",
    "overall_accuracy": "(tp + tn) / all valid pixels; null without valid pixels",
}


@dataclass
class ConfusionMatrix:
    """Counts of valid pixels; the landslide is the positive class.

    The metrics are those of Liu et al. 2021: precision, recall and F1 of the
    landslide class alone, overall accuracy, and mIoU as the mean over both classes. Without a
    true landslide pixel nothing about landslides can be measured, so all four metrics of that
    class are None then, whatever was predicted.

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
    def total(self) -> int:
        """All counted pixels."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def precision(self) -> float | None:
        """Share of the predicted landslide pixels that are true: tp / (tp + fp).

        None without a true or without a predicted landslide pixel..
        """
        return self._of_landslides(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Share of the true landslide pixels that are predicted: tp / (tp + fn).

        None without a true landslide pixel..
        """
        return self._of_landslides(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn).

        None without a true landslide pixel; 0 where landslides exist and none is predicted.
        """
        return self._of_landslides(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float | None:
        """Intersection over union of the landslide class: tp / (tp + fp + fn).

        None without a true landslide pixel.
        """
        return self._of_landslides(self.tp, self.tp + self.fp + self.fn)

    @property
    def background_iou(self) -> float | None:
        """Intersection over union of the background: tn / (tn + fp + fn).

        None without a true background pixel.
        """
        if self.tn + self.fp == 0:
            return None
        return self.tn / (self.tn + self.fp + self.fn)

    @property
    def miou(self) -> float | None:
        """Mean of the two classes' IoU, as in the papers. None unless both classes are true."""
        if self.iou is None or self.background_iou is None:
            return None
        return (self.iou + self.background_iou) / 2

    @property
    def overall_accuracy(self) -> float | None:
        """Share of all pixels that are right: (tp + tn) / total. None without a pixel."""
        return (self.tp + self.tn) / self.total if self.total else None

    def _of_landslides(self, part: int, whole: int) -> float | None:
        if self.tp + self.fn == 0 or whole == 0:
            return None
        return part / whole


class ThresholdSweep:
    """Confusion matrices at many thresholds, from one pass over probabilities.

    Two histograms, of the probabilities of true landslide and of background pixels, hold all
    that is needed: memory is `bins` numbers, whatever the data. Thresholds are 1 / bins,
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
        index = self._bin_of(probability.astype(np.float32))
        positive = truth.astype(bool)
        self._positive += np.bincount(index[positive], minlength=self.bins + 1)
        self._negative += np.bincount(index[~positive], minlength=self.bins + 1)

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
        tp, fp = int(self._positive[index:].sum()), int(self._negative[index:].sum())
        fn, tn = int(self._positive.sum()) - tp, int(self._negative.sum()) - fp
        return ConfusionMatrix(tp=tp, fp=fp, fn=fn, tn=tn)

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
            from 1 / bins to 1; NaN where a metric is undefined (see `ConfusionMatrix`).
        """
        tp = np.cumsum(self._positive[::-1])[::-1][1:].astype(float)
        fp = np.cumsum(self._negative[::-1])[::-1][1:].astype(float)
        positives = float(self._positive.sum())
        fn = positives - tp
        nothing = np.full(len(tp), np.nan)

        def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
            return np.divide(part, whole, out=nothing.copy(), where=(whole > 0) & (positives > 0))

        return {
            "threshold": np.arange(1, self.bins + 1) / self.bins,
            "precision": share(tp, tp + fp),
            "recall": share(tp, tp + fn),
            "f1": share(2 * tp, 2 * tp + fp + fn),
            "iou": share(tp, tp + fp + fn),
        }


def metrics_dict(confusion: ConfusionMatrix) -> dict[str, Any]:
    """Return counts and metrics for JSON: None becomes null; `definition` says what each is."""
    return {
        "tp": confusion.tp,
        "fp": confusion.fp,
        "fn": confusion.fn,
        "tn": confusion.tn,
        **{name: getattr(confusion, name) for name in DEFINITIONS},
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
