"""A predictor + a labelled dataset -> a threshold sweep over all its pixels, and metrics.

How a model is judged on tiles: while it trains (the best epoch, the threshold) and afterwards.

Shape letters: H, W pixels of an image; N images.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.evaluation.curves import average_precision, calibration
from landslide_rcnn.evaluation.metrics import Counts
from landslide_rcnn.evaluation.pixels import ConfusionMatrix, ThresholdSweep, metrics_dict
from landslide_rcnn.evaluation.uncertainty import block_intervals
from landslide_rcnn.prediction import Predictor


def sweep_dataset(
    predictor: Predictor,
    dataset: Dataset,
    *,
    sweep: ThresholdSweep | None = None,
    batch_size: int = 4,
    progress: bool = True,
) -> ThresholdSweep:
    """Predict every image of a dataset and compare it with its masks, in the image's own pixels.

    Args:
        predictor: A model that takes images of several sizes at once, as both families do.
        dataset: Prepared. An image without instances is background.
        sweep: Of other datasets, to go on with. None: a new one.
        batch_size: Images predicted together.
        progress: Show a progress bar on stderr.

    Returns:
        The counts of every threshold, all images' pixels together: `sweep`, where one was given.
    """
    sweep = ThresholdSweep() if sweep is None else sweep
    for compared in _compared(predictor, dataset, batch_size, progress):
        sweep.add(*compared)
    return sweep


def evaluate_dataset(
    predictor: Predictor,
    dataset: Dataset,
    threshold: float,
    *,
    batch_size: int = 4,
    progress: bool = True,
) -> dict[str, Any]:
    """Judge a model on a dataset, at a threshold that was chosen on other data.

    Args:
        predictor: As of `sweep_dataset`.
        dataset: Likewise.
        threshold: In [0, 1]; a pixel is landslide from there on.
        batch_size: Images predicted together.
        progress: Show a progress bar on stderr.

    Returns:
        For JSON: the entries of `pixels.metrics_dict` at the threshold, but for the definitions;
        `threshold`; `intervals` of the metrics, from draws of whole images; `best_threshold` and
        `f1_at_best_threshold` on this very dataset; `average_precision` and
        `expected_calibration_error`. Undefined numbers are None.
    """
    sweep, images = ThresholdSweep(), []
    for probability, truth, valid_mask in _compared(predictor, dataset, batch_size, progress):
        sweep.add(probability, truth, valid_mask)
        image = ConfusionMatrix()
        image.add(probability.astype(np.float32) >= np.float32(threshold), truth, valid_mask)
        images.append(image)
    total = ConfusionMatrix(*(sum(each) for each in zip(*(i.counts for i in images))))
    counts = Counts(*np.array([i.counts for i in images if i.total], np.int64).reshape(-1, 4).T)
    metrics = metrics_dict(total)
    del metrics["definition"]
    best = sweep.best_threshold()
    calibrated = calibration(sweep) or {}
    return {
        **metrics,
        "threshold": threshold,
        "intervals": block_intervals(counts),
        "best_threshold": best,
        "f1_at_best_threshold": None if best is None else sweep.confusion_at(best).f1,
        "average_precision": average_precision(sweep),
        "expected_calibration_error": calibrated.get("expected_calibration_error"),
    }


def _compared(
    predictor: Predictor, dataset: Dataset, batch_size: int, progress: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the probability, the truth and the valid mask [H, W] of each image."""
    ids = list(dataset.image_ids)
    with tqdm(total=len(ids), desc="evaluate", unit="image", disable=not progress) as bar:
        for part in _batches(ids, batch_size):
            images = [dataset.load_image(i) for i in part]
            valid = [dataset.load_valid_mask(i) for i in part]
            predictions = predictor.predict_tiles(images, valid)
            for image_id, prediction, valid_mask in zip(part, predictions, valid, strict=True):
                masks, class_ids = dataset.load_mask(image_id)
                # A crowd (negative id) is no truth to compare with: its pixels are left out.
                truth = masks[..., class_ids > 0].any(axis=-1)
                crowd = masks[..., class_ids < 0].any(axis=-1)
                yield prediction.probability, truth, valid_mask & ~crowd
            bar.update(len(part))


def _batches(items: list, size: int) -> Iterator[list]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
