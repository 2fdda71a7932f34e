"""The metrics of a confusion matrix: one definition each, for one matrix or for many at once.

Used wherever counts become numbers: single maps, threshold sweeps, and the thousands of resampled
counts of a confidence interval. The docstring of each is the `definition` in the JSON files.

Everywhere: tp, fp, fn, tn count pixels, the landslide is the positive class, and what cannot be
known is NaN (null in JSON), never 0 or 1 by default. Of a truth without landslides nothing about
landslides can be said, whatever was predicted; the same holds for the background.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Counts(NamedTuple):
    """Pixels of one or many confusion matrices.

    Attributes:
        tp: Landslide predicted and true; a number or an array, as all of them.
        fp: Landslide predicted, background true.
        fn: Background predicted, landslide true.
        tn: Background predicted and true.
    """

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """All counted pixels."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def of_background(self) -> "Counts":
        """The same pixels with the background as the positive class."""
        return Counts(self.tn, self.fn, self.fp, self.tp)


def precision(counts: Counts) -> np.ndarray:
    """Share of the predicted landslide pixels that are true: tp / (tp + fp). Null without a true
    or without a predicted landslide pixel. Landslide class alone, as in Liu et al. 2021."""
    return _of_landslides(counts, counts.tp, counts.tp + counts.fp)


def recall(counts: Counts) -> np.ndarray:
    """Share of the true landslide pixels that are predicted: tp / (tp + fn). Null without a true
    landslide pixel. Landslide class alone, as in Liu et al. 2021."""
    return _of_landslides(counts, counts.tp, counts.tp + counts.fn)


def f1(counts: Counts) -> np.ndarray:
    """Harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn). Null without a true
    landslide pixel; 0 where landslides exist and none is predicted. Landslide class alone, as in
    Liu et al. 2021."""
    return _of_landslides(counts, 2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


def iou(counts: Counts) -> np.ndarray:
    """Intersection over union of the landslide class: tp / (tp + fp + fn). Null without a true
    landslide pixel. The landslide's row of the table per class in Yang et al. 2022 (PSPNet)."""
    return _of_landslides(counts, counts.tp, counts.tp + counts.fp + counts.fn)


def miou(counts: Counts) -> np.ndarray:
    """Mean of the landslide's and the background's IoU. Null unless the truth has both classes.
    Liu et al. 2021; Yang et al. 2022 (PSPNet)."""
    return _mean_of_classes(iou, counts)


def overall_accuracy(counts: Counts) -> np.ndarray:
    """Share of all evaluated pixels that are right: (tp + tn) / (tp + fp + fn + tn). Null without
    a pixel. Liu et al. 2021."""
    return _share(counts.tp + counts.tn, counts.total)


def kappa(counts: Counts) -> np.ndarray:
    """Agreement beyond chance: (po - pe) / (1 - pe), po = overall accuracy, pe = the accuracy of
    a map drawn at random with the same areas. Null unless the truth has both classes. Cohen
    1960."""
    tp, fp, fn, tn = (np.asarray(each, float) for each in counts)
    # The same fraction without the differences of nearly equal numbers.
    part = 2 * (tp * tn - fn * fp)
    whole = (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn)
    return _share(part, whole, (tp + fn > 0) & (fp + tn > 0))


def macro_precision(counts: Counts) -> np.ndarray:
    """Mean of the precisions of landslide and background. Null unless the truth has both classes
    and both are predicted. The mean over classes of Yang et al. 2022 (PSPNet)."""
    return _mean_of_classes(precision, counts)


def macro_recall(counts: Counts) -> np.ndarray:
    """Mean of the recalls of landslide and background; the same as the mean accuracy per class.
    Null unless the truth has both classes. The mean over classes of Yang et al. 2022 (PSPNet)."""
    return _mean_of_classes(recall, counts)


def macro_f1(counts: Counts) -> np.ndarray:
    """Mean of the F1 of landslide and background (not the F1 of the mean precision and recall).
    Null unless the truth has both classes. After the means of Yang et al. 2022 (PSPNet)."""
    return _mean_of_classes(f1, counts)


def background_precision(counts: Counts) -> np.ndarray:
    """Share of the predicted background pixels that are true: tn / (tn + fn). Null without a true
    or without a predicted background pixel."""
    return precision(counts.of_background)


def background_recall(counts: Counts) -> np.ndarray:
    """Share of the true background pixels that are predicted: tn / (tn + fp). Null without a true
    background pixel."""
    return recall(counts.of_background)


def background_f1(counts: Counts) -> np.ndarray:
    """Harmonic mean of the background's precision and recall: 2 tn / (2 tn + fp + fn). Null
    without a true background pixel."""
    return f1(counts.of_background)


def background_iou(counts: Counts) -> np.ndarray:
    """Intersection over union of the background: tn / (tn + fp + fn). Null without a true
    background pixel."""
    return iou(counts.of_background)


METRICS: dict[str, Callable[[Counts], np.ndarray]] = {
    metric.__name__: metric
    for metric in (
        *(precision, recall, f1, iou, miou, overall_accuracy, kappa),
        *(macro_precision, macro_recall, macro_f1),
        *(background_precision, background_recall, background_f1, background_iou),
    )
}

# What each number is, for the JSON files.
DEFINITIONS = {name: " ".join((each.__doc__ or "").split()) for name, each in METRICS.items()}


def known(value: float | np.ndarray) -> float | None:
    """Return a number for JSON: None where it is NaN."""
    return None if np.isnan(value) else float(value)


def _share(part: np.ndarray, whole: np.ndarray, defined: np.ndarray | bool = True) -> np.ndarray:
    part, whole, defined = np.broadcast_arrays(part, whole, defined)
    shares = np.full(part.shape, np.nan)
    np.divide(part, whole, out=shares, where=defined & (whole > 0))
    return shares


def _of_landslides(counts: Counts, part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return _share(part, whole, np.asarray(counts.tp + counts.fn) > 0)


def _mean_of_classes(metric: Callable[[Counts], np.ndarray], counts: Counts) -> np.ndarray:
    return (metric(counts) + metric(counts.of_background)) / 2
