"""Two maps of one scene + the truth -> which is better, and whether that could be chance.

Both maps are judged as their `mask.tif` calls landslide, on the same pixels: those where both
have a prediction and the truth is known. A second map on another grid is read on the first one's.
Beside `maps`, which judges one map.

Shape letters: h, w pixels of a band; T true landslides.
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
from landslide_rcnn.evaluation.grids import ClassesOnGrid
from landslide_rcnn.evaluation.landslides import DEFINITIONS as LANDSLIDE_DEFINITIONS
from landslide_rcnn.evaluation.landslides import CountedLandslides, LandslideCounter
from landslide_rcnn.evaluation.metrics import DEFINITIONS, METRICS
from landslide_rcnn.evaluation.results import ResultMap
from landslide_rcnn.evaluation.truth import Truth, open_truth
from landslide_rcnn.evaluation.uncertainty import (
    describe_method,
    difference_intervals,
    few_blocks_note,
    mcnemar,
    share_difference_interval,
)
from landslide_rcnn.files import refuse_to_overwrite, write_json
from landslide_rcnn.geo.vector import align_crs
from landslide_rcnn.inference.outlines import LANDSLIDE

COMPARISON_NAME = "comparison.json"
COMPARISON_DEFINITIONS = {
    **DEFINITIONS,
    "difference": "the second map's number minus the first one's: above 0 the second is higher",
    "mcnemar": "test of whether both maps err equally often, on the pixels (or true landslides) "
    "where only one of them is right. McNemar 1947",
    "matched": LANDSLIDE_DEFINITIONS["matched"],
    "detection_rate": LANDSLIDE_DEFINITIONS["detection_rate"],
    **BOUNDARY_DEFINITIONS,
}
CAVEAT = (
    "McNemar's test takes pixels for independent, and neighbours are not: its p-value is too "
    "small. Go by the interval of the difference in overall accuracy, which is drawn over blocks."
)


def compare_maps(
    first_dir: str | Path,
    second_dir: str | Path,
    truth: str | Path,
    output_dir: str | Path | None = None,
    *,
    overwrite: bool = False,
    within: Window | Sequence[float] | None = None,
    aoi: str | Path | None = None,
    block_px: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Compare two maps of one scene with the truth and with each other.

    Args:
        first_dir: A folder that `predict_scene` wrote.
        second_dir: Another one.
        truth: As of `maps.evaluate_map`.
        output_dir: Where to write `comparison.json`. None: nowhere.
        overwrite: Replace an earlier `comparison.json`.
        within: As of `maps.evaluate_map`, on the first map's grid.
        aoi: As of `maps.evaluate_map`.
        block_px: Side of the blocks that intervals are drawn from, pixels of the first map.
            None: the first map's tile size.
        progress: Show a bar on stderr.

    Returns:
        What `comparison.json` holds: `pixels`; `metrics`, `landslides` and `boundaries`, with the
        numbers of both, their difference (second minus first) and its interval for each (none of
        boundaries, which are not counted by block); `mcnemar` of the pixels and of the
        landslides; `definition` and `notes`. Undefined numbers are None.

    Raises:
        RasterError, DatasetError, GeoReferenceError, ConfigError: As `maps.evaluate_map`.
        OutputExistsError: `comparison.json` is there already and `overwrite` is False.
    """
    if output_dir is not None:
        refuse_to_overwrite(Path(output_dir) / COMPARISON_NAME, overwrite=overwrite)
    with ExitStack() as opened:
        first, second = (opened.enter_context(ResultMap(each)) for each in (first_dir, second_dir))
        true_map = opened.enter_context(closing(open_truth(truth, first.mask)))
        area = Area(first.mask, within, aoi)
        pair = _Pair(first, second, area, block_px or first.tile_px)
        for window in tqdm(list(area.bands()), "Comparing", unit="band", disable=not progress):
            pair.add(window, true_map)
        result = {
            "first": {"prediction": str(first_dir), "threshold": first.threshold},
            "second": {"prediction": str(second_dir), "threshold": second.threshold},
            "truth": str(truth),
            "aoi": None if aoi is None else str(aoi),
            "within": area.describe(),
            **pair.numbers(true_map),
        }
    if output_dir is not None:
        write_json(Path(output_dir) / COMPARISON_NAME, result)
    return result


class _Pair:
    """Everything that is counted while the bands of two maps stream by."""

    def __init__(self, first: ResultMap, second: ResultMap, area: Area, block_px: int) -> None:
        grid = first.mask
        self._area = area
        self._masks = [
            ClassesOnGrid(first.mask, grid, "The first map"),
            ClassesOnGrid(second.mask, grid, "The second map"),
        ]
        self._blocks = [BlockCounts(area.region, block_px) for _ in range(2)]
        self._landslides = [
            LandslideCounter(align_crs(each.landslides(), grid), grid) for each in (first, second)
        ]
        self._boundaries = [BoundaryCounter() for _ in range(2)]
        self._pixel_size_m = grid.pixel_size_m
        self._only_right = [0, 0]

    def add(self, window: Window, truth: Truth) -> None:
        """Count one band's pixels."""
        valid_mask = self._area.inside(window)
        predicted = []
        for mask in self._masks:
            classes, valid = mask.read(window)
            predicted.append((classes == LANDSLIDE) & valid)
            valid_mask &= valid
        band = truth.read(window, valid_mask)
        for index, each in enumerate(predicted):
            self._blocks[index].add(window, each, band.truth, band.valid_mask)
            self._landslides[index].add(window, each, band)
            self._boundaries[index].add(each, band.truth, band.valid_mask)
        differing = (predicted[0] != predicted[1]) & band.valid_mask
        first_right = int(np.count_nonzero(differing & (predicted[0] == band.truth)))
        self._only_right[0] += first_right
        self._only_right[1] += int(np.count_nonzero(differing)) - first_right

    def numbers(self, truth: Truth) -> dict[str, Any]:
        """Return all numbers, once every band was added."""
        totals = [blocks.total() for blocks in self._blocks]
        counts = [blocks.counts for blocks in self._blocks]
        intervals = difference_intervals(*counts)
        block_count = len(counts[0].tp)
        landslides = [each.finish(truth.owners()) for each in self._landslides]
        region = self._area.region
        return {
            "pixels": {
                "evaluated": totals[0].total,
                "left_out": region.height * region.width - totals[0].total,
                "true_landslide": totals[0].tp + totals[0].fn,
            },
            "metrics": {
                name: _difference(*(total.metric(name) for total in totals), intervals[name])
                for name in METRICS
            },
            "landslides": _landslide_differences(*landslides),
            "boundaries": _boundary_differences(
                *(each.finish(self._pixel_size_m) for each in self._boundaries)
            ),
            "mcnemar": {"pixels": mcnemar(*self._only_right), "caveat": CAVEAT},
            "intervals": {"method": describe_method(block_count, self._blocks[0].block_px)},
            "definition": COMPARISON_DEFINITIONS,
            "notes": [
                *truth.notes,
                *self._area.notes,
                *(note for mask in self._masks for note in mask.notes),
                *_nothing_note(totals[0].total),
                *few_blocks_note(block_count),
            ],
        }


def _nothing_note(pixels: int) -> list[str]:
    """Return a note where no pixel could be compared."""
    return [] if pixels else ["No pixel has both maps and a truth: nothing could be compared."]


def _difference(
    first: float | None, second: float | None, interval: dict[str, float] | None = None
) -> dict[str, Any]:
    undefined = first is None or second is None
    return {
        "first": first,
        "second": second,
        "difference": None if undefined else second - first,
        "interval": interval,
    }


def _landslide_differences(first: CountedLandslides, second: CountedLandslides) -> dict[str, Any]:
    """Return which true landslides each map found; the order of both is the truth's."""
    one, other = first.matched_true, second.matched_true
    rates = [float(each.mean()) if len(each) else None for each in (one, other)]
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    return {
        "true": len(one),
        "predicted": {
            "first": len(first.matched_predicted),
            "second": len(second.matched_predicted),
        },
        "matched_by_both": int((one & other).sum()),
        "matched_by_neither": int((~one & ~other).sum()),
        "detection_rate": _difference(*rates, share_difference_interval(one, other)),
        "mcnemar": mcnemar(only_first, only_second),
    }


def _boundary_differences(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return what both say of borders, one number after the other."""
    f_scores = {
        f"boundary_f_score_{one['tolerance_px']}px": _difference(one["value"], other["value"])
        for one, other in zip(first["f_score"], second["f_score"], strict=True)
    }
    names = ("boundary_iou", "mean_distance_px", "mean_distance_m", "p95_distance_px")
    return {**f_scores, **{name: _difference(first[name], second[name]) for name in names}}
