"""A map that `predict_scene` wrote + the truth -> `metrics.json`, an error map and a table.

The map is read in bands of rows, so that scenes of any size are evaluated exactly: the metrics
are those of the whole arrays. Pixels where the map has no probability, the truth is unknown, or
that lie outside the area of interest are not counted; how many they are is said.

What the map calls landslide is its `mask.tif`: at the map's own threshold, and after whatever was
done to the mask (filled holes, slope limits). Other thresholds are tried on `probability.tif`. It
usually holds percent, so those are whole percents: between two of them percent cannot tell, and
the trial is exact at each of them.

    results.ResultMap, truth.Truth, area.Area -> blocks.BlockCounts -> metrics, uncertainty
                                              -> pixels.ThresholdSweep -> curves
                                              -> landslides.LandslideCounter
                                              -> boundaries.BoundaryCounter
                                              -> error_map.ErrorMap

Shape letters: h, w pixels of a band.
"""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window
from tqdm import tqdm

from landslide_rcnn.evaluation.area import Area
from landslide_rcnn.evaluation.blocks import BlockCounts
from landslide_rcnn.evaluation.boundaries import BOUNDARY_DEFINITIONS, BoundaryCounter
from landslide_rcnn.evaluation.curves import (
    CURVE_DEFINITIONS,
    PERCENT_NOTE,
    calibration,
    precision_recall_curve,
)
from landslide_rcnn.evaluation.error_map import ERROR_MAP_NAME, ERROR_PICTURE_NAME, ErrorMap
from landslide_rcnn.evaluation.landslides import DEFINITIONS as LANDSLIDE_DEFINITIONS
from landslide_rcnn.evaluation.landslides import LandslideCounter
from landslide_rcnn.evaluation.metrics import DEFINITIONS
from landslide_rcnn.evaluation.pixels import ConfusionMatrix, ThresholdSweep, metrics_dict
from landslide_rcnn.evaluation.results import ResultMap
from landslide_rcnn.evaluation.truth import Truth, open_truth
from landslide_rcnn.evaluation.uncertainty import (
    block_intervals,
    describe_method,
    few_blocks_note,
)
from landslide_rcnn.files import refuse_to_overwrite, write_json
from landslide_rcnn.inference.result import MASK_NAME, PROBABILITY_NAME

METRICS_NAME = "metrics.json"
OUTPUT_NAMES = (METRICS_NAME, ERROR_MAP_NAME, ERROR_PICTURE_NAME)

MAP_DEFINITIONS = {
    **DEFINITIONS,
    **CURVE_DEFINITIONS,
    **LANDSLIDE_DEFINITIONS,
    **BOUNDARY_DEFINITIONS,
    "at_map_threshold": f"the pixels that {MASK_NAME} calls landslide",
    "at_best_threshold": f"the threshold of {PROBABILITY_NAME} with the highest F1 on this very "
    "truth: an upper bound, not a fair estimate",
}


def evaluate_map(
    prediction_dir: str | Path,
    truth: str | Path,
    output_dir: str | Path | None = None,
    *,
    overwrite: bool = False,
    within: Window | Sequence[float] | None = None,
    aoi: str | Path | None = None,
    block_px: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Compare a map with the truth.

    Args:
        prediction_dir: A folder that `predict_scene` wrote.
        truth: A polygon file (reprojected if its CRS is not the map's), or a mask raster of any
            grid and CRS, where 0 is background and every other value landslide; pixels beyond
            it, or with the file's nodata value, if not 0, do not count.
        output_dir: Where to write `metrics.json`, `error_map.tif` and `error_map.png`. None:
            nowhere.
        overwrite: Replace an earlier evaluation.
        within: The part to evaluate, for instance the part never trained on: a rasterio window,
            or map bounds (left, bottom, right, top). Pixels whose centres lie in it count.
        aoi: Polygons of interest, in any CRS; only pixels whose centres lie in one count.
        block_px: Side of the blocks that intervals are drawn from, pixels. None: the map's tile
            size.
        progress: Show a bar on stderr.

    Returns:
        What `metrics.json` holds: `pixels`; `at_map_threshold` and `at_best_threshold` (a
        threshold with the entries of `pixels.metrics_dict`); `curve` and `calibration` (see
        `curves`); `landslides` and `boundaries` (see those modules); `intervals` of the numbers
        at the map's threshold; `definition` and `notes`. Undefined numbers are None.

    Raises:
        RasterError: A file is missing or unreadable.
        DatasetError: A polygon file holds no polygon.
        GeoReferenceError: The truth or `aoi` has no CRS, or `within` or `aoi` misses the map.
        ConfigError: `block_px` is below 1.
        OutputExistsError: An evaluation is there already and `overwrite` is False.
    """
    if output_dir is not None:
        refuse_to_overwrite(
            *(Path(output_dir) / name for name in OUTPUT_NAMES), overwrite=overwrite
        )
    with ExitStack() as opened:
        result_map = opened.enter_context(ResultMap(prediction_dir))
        true_map = opened.enter_context(closing(open_truth(truth, result_map.mask)))
        area = Area(result_map.mask, within, aoi)
        judged = _Judged(result_map, area, block_px or result_map.tile_px)
        if output_dir is not None:
            judged.error_map = opened.enter_context(ErrorMap(output_dir, result_map.mask))
        for window in tqdm(list(area.bands()), "Evaluating", unit="band", disable=not progress):
            judged.add(window, true_map)
        result = {
            "prediction": str(prediction_dir),
            "truth": str(truth),
            "aoi": None if aoi is None else str(aoi),
            "within": area.describe(),
            **judged.numbers(true_map),
        }
    if output_dir is not None:
        write_json(Path(output_dir) / METRICS_NAME, result)
    return result


class _Judged:
    """Everything that is counted while the bands of a map stream by."""

    def __init__(self, result_map: ResultMap, area: Area, block_px: int) -> None:
        self._map, self._area = result_map, area
        self._blocks = BlockCounts(area.region, block_px)
        self._sweep = ThresholdSweep(result_map.probability.steps or 1000)
        self._landslides = LandslideCounter(result_map.landslides(), result_map.mask)
        self._boundaries = BoundaryCounter()
        self._outside = self._without_prediction = self._without_truth = 0
        self.error_map: ErrorMap | None = None

    def add(self, window: Window, truth: Truth) -> None:
        """Count one band's pixels."""
        predicted, probability = self._map.read(window)
        inside = self._area.inside(window)
        with_prediction = inside & ~np.isnan(probability)
        band = truth.read(window, with_prediction)
        true, valid_mask, _ = band
        self._blocks.add(window, predicted, true, valid_mask)
        self._sweep.add(probability, true, valid_mask)
        self._landslides.add(window, predicted, band)
        self._boundaries.add(predicted, true, valid_mask)
        self._outside += inside.size - np.count_nonzero(inside)
        self._without_prediction += np.count_nonzero(inside) - np.count_nonzero(with_prediction)
        self._without_truth += np.count_nonzero(with_prediction) - np.count_nonzero(valid_mask)
        if self.error_map is not None:
            self.error_map.write(window, predicted, true, valid_mask)

    def numbers(self, truth: Truth) -> dict[str, Any]:
        """Return all numbers, once every band was added."""
        confusion = self._blocks.total()
        blocks = self._blocks.counts
        landslides = self._landslides.finish(truth.owners())
        return {
            "pixels": self._pixels(confusion),
            "at_map_threshold": _metrics_at(self._map.threshold, confusion),
            "at_best_threshold": _best_metrics(self._sweep),
            "curve": precision_recall_curve(self._sweep),
            "calibration": calibration(self._sweep, rounded_down=self._map.in_percent),
            "landslides": landslides.numbers(),
            "boundaries": self._boundaries.finish(self._map.mask.pixel_size_m),
            "intervals": {
                **block_intervals(blocks),
                **landslides.intervals(),
                "method": describe_method(len(blocks.tp), self._blocks.block_px),
            },
            "definition": MAP_DEFINITIONS,
            "notes": [
                *truth.notes,
                *self._area.notes,
                *self._left_out_notes(confusion),
                *few_blocks_note(len(blocks.tp)),
                *([PERCENT_NOTE] if self._map.in_percent else []),
            ],
        }

    def _pixels(self, confusion: ConfusionMatrix) -> dict[str, int]:
        """Return how many pixels the numbers stand on, and why others were left out."""
        left_out = {
            "outside_area": int(self._outside),
            "without_prediction": int(self._without_prediction),
            "without_truth": int(self._without_truth),
        }
        return {
            "evaluated": confusion.total,
            "left_out": sum(left_out.values()),
            **left_out,
            "true_landslide": confusion.tp + confusion.fn,
            "predicted_landslide": confusion.tp + confusion.fp,
        }

    def _left_out_notes(self, confusion: ConfusionMatrix) -> list[str]:
        notes = []
        if self._without_prediction:
            notes.append(
                f"{self._without_prediction:,} pixels have no prediction and do not count."
            )
        if self._without_truth:
            notes.append(
                f"{self._without_truth:,} pixels have a prediction but no truth and do not count."
            )
        if confusion.total == 0:
            notes.append("No pixel has both a prediction and a truth: nothing could be measured.")
        elif confusion.tp + confusion.fn == 0:
            notes.append("There is no true landslide pixel: nothing can be said of landslides.")
        return notes


def _metrics_at(threshold: float | None, confusion: ConfusionMatrix) -> dict[str, Any]:
    """Return the threshold, the counts and the metrics; the definitions are told once for all."""
    metrics = metrics_dict(confusion)
    del metrics["definition"]
    return {"threshold": threshold, **metrics}


def _best_metrics(sweep: ThresholdSweep) -> dict[str, Any]:
    """Return `_metrics_at` the threshold with the best F1; without one, None for every entry."""
    threshold = sweep.best_threshold()
    if threshold is None:
        return dict.fromkeys(_metrics_at(None, ConfusionMatrix()))
    return _metrics_at(threshold, sweep.confusion_at(threshold))
