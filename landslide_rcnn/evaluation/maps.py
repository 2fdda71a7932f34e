"""A map that `predict_scene` wrote + the truth -> `metrics.json` and a table.

The map is read in bands of rows, so that scenes of any size are evaluated exactly: the metrics
are those of the whole arrays. Pixels where the map has no probability are not counted.

What the map calls landslide is its `mask.tif`: at the map's own threshold, and after whatever was
done to the mask (filled holes, slope limits). Other thresholds are tried on `probability.tif`. It
usually holds percent, so those are whole percents: between two of them percent cannot tell, and
the trial is exact at each of them.

Shape letters: h, w pixels of a band.
"""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window
from shapely.geometry import Polygon
from tqdm import tqdm

from landslide_rcnn.errors import GeoReferenceError, RasterError
from landslide_rcnn.evaluation.pixels import (
    DEFINITIONS,
    ConfusionMatrix,
    ThresholdSweep,
    metrics_dict,
)
from landslide_rcnn.evaluation.truth import FOUND_SHARE, Truth, open_truth
from landslide_rcnn.files import refuse_to_overwrite, write_json
from landslide_rcnn.geo.probability import ProbabilityMap
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import read_polygons
from landslide_rcnn.inference.result import (
    LAYER,
    MASK_NAME,
    POLYGONS_NAME,
    PROBABILITY_NAME,
    SUMMARY_NAME,
)

METRICS_NAME = "metrics.json"
BAND_ROWS = 256

MAP_DEFINITIONS = {
    **DEFINITIONS,
    "true_found": f"true landslides of which at least {FOUND_SHARE:.0%} of the valid pixels are "
    "predicted at the map's threshold",
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
    progress: bool = True,
) -> dict[str, Any]:
    """Compare a map with the truth.

    Args:
        prediction_dir: A folder that `predict_scene` wrote.
        truth: A polygon file (reprojected if its CRS is not the map's, with a note in the
            result), or a mask raster on the map's grid, where 0 is background and every other
            value landslide; pixels with the file's nodata value, if not 0, do not count.
        output_dir: Where to write `metrics.json`. None: nowhere.
        overwrite: Replace an earlier `metrics.json`.
        within: The part to evaluate, for instance the part never trained on: a rasterio window,
            or map bounds (left, bottom, right, top). Pixels whose centres lie in it count.
        progress: Show a bar on stderr.

    Returns:
        What `metrics.json` holds: `pixels`, `at_map_threshold` and `at_best_threshold` (a
        threshold with the entries of `pixels.metrics_dict`), `landslides` (predicted; true with
        a valid pixel; true ones found), `definition` and `notes`. Undefined numbers are None.

    Raises:
        RasterError: A file is missing or unreadable.
        DatasetError: The polygon file holds no polygon.
        GeoReferenceError: The truth has no CRS or another grid, or `within` misses the map.
        OutputExistsError: `metrics.json` is there already and `overwrite` is False.
    """
    prediction_dir = Path(prediction_dir)
    if output_dir is not None:
        refuse_to_overwrite(Path(output_dir) / METRICS_NAME, overwrite=overwrite)
    summary = _read_summary(prediction_dir)
    threshold = float(summary["threshold"])
    with (
        ProbabilityMap(prediction_dir / PROBABILITY_NAME) as probability_map,
        Scene(prediction_dir / MASK_NAME, allow_no_crs=True) as mask,
        closing(open_truth(truth, mask)) as true_map,
    ):
        confusion, sweep = ConfusionMatrix(), ThresholdSweep(probability_map.steps or 1000)
        region = _region(mask, within)
        windows = list(_bands(region))
        for window in tqdm(windows, "Evaluating", unit="band", disable=not progress):
            _compare(probability_map, mask, true_map, window, confusion, sweep)
        result = {
            "prediction": str(prediction_dir),
            "truth": str(truth),
            "within": _describe(region, mask),
            "pixels": _pixel_counts(region, confusion),
            "at_map_threshold": _metrics_at(threshold, confusion),
            "at_best_threshold": _best_metrics(sweep),
            "landslides": {
                "predicted": _predicted_count(prediction_dir, summary, mask, region),
                **true_map.found(),
            },
            "definition": MAP_DEFINITIONS,
            "notes": true_map.notes,
        }
    if output_dir is not None:
        write_json(Path(output_dir) / METRICS_NAME, result)
    return result


def format_table(metrics: dict[str, Any]) -> str:
    """Return the result of `evaluate_map` as a table for people; "-" where undefined."""
    at_map, at_best = metrics["at_map_threshold"], metrics["at_best_threshold"]
    lines = [f"{'':<18}{'map threshold':>15}{'best threshold':>16}"]
    for name in ("threshold", *DEFINITIONS):
        label = name.replace("_", " ")
        lines.append(f"{label:<18}{_number(at_map[name]):>15}{_number(at_best[name]):>16}")
    counts, pixels = metrics["landslides"], metrics["pixels"]
    lines += [
        "",
        f"landslides: {counts['true']} true, {counts['true_found']} of them found; "
        f"{counts['predicted']} predicted",
        f"pixels: {pixels['evaluated']:,} evaluated, {pixels['true_landslide']:,} of them true "
        f"landslide; {pixels['left_out']:,} without prediction or truth left out",
        *(f"note: {note}" for note in metrics["notes"]),
    ]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _read_summary(prediction_dir: Path) -> dict[str, Any]:
    """Read `summary.json`: the map's threshold and the number of its landslides.

    Raises:
        RasterError: The folder is not one that `predict_scene` wrote.
    """
    path = prediction_dir / SUMMARY_NAME
    fix = "Name the output folder of detect (predict_scene)."
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RasterError(
            f"A map's folder must hold {SUMMARY_NAME}. Received: {prediction_dir}. {fix}"
        ) from None
    except (OSError, ValueError) as error:
        raise RasterError(f"{path} cannot be read. Received: {error}. {fix}") from error
    if not isinstance(summary, dict) or not {"threshold", "landslides"} <= set(summary):
        raise RasterError(
            f"A map's {SUMMARY_NAME} must hold threshold and landslides. Received: {path}. {fix}"
        )
    return summary


def _region(scene: Scene, within: Window | Sequence[float] | None) -> Window:
    """Return the part of the scene to evaluate, whole pixels inside the scene.

    Raises:
        GeoReferenceError: Nothing of the map lies in it.
    """
    if within is None:
        return Window(0, 0, scene.width, scene.height)
    if isinstance(within, Window):
        left, top = within.col_off, within.row_off
        right, bottom = left + within.width, top + within.height
    else:
        west, south, east, north = within
        corners = [~scene.transform * (x, y) for x in (west, east) for y in (south, north)]
        left, right = min(x for x, _ in corners), max(x for x, _ in corners)
        top, bottom = min(y for _, y in corners), max(y for _, y in corners)
    # Pixel i has its centre at i + 0.5.
    first_col, end_col = max(math.ceil(left - 0.5), 0), min(math.ceil(right - 0.5), scene.width)
    first_row, end_row = max(math.ceil(top - 0.5), 0), min(math.ceil(bottom - 0.5), scene.height)
    if first_col >= end_col or first_row >= end_row:
        raise GeoReferenceError(
            "The part to evaluate must overlap the map. "
            f"Received: within={within}; the map's bounds: {tuple(scene.bounds)}. "
            "Give bounds (left, bottom, right, top) in the map's CRS, or a pixel window."
        )
    return Window(first_col, first_row, end_col - first_col, end_row - first_row)


def _bands(region: Window) -> Iterator[Window]:
    """Yield windows of up to `BAND_ROWS` rows that fill the region from top to bottom."""
    end = region.row_off + region.height
    for row in range(region.row_off, end, BAND_ROWS):
        yield Window(region.col_off, row, region.width, min(BAND_ROWS, end - row))


def _compare(
    probability_map: ProbabilityMap,
    mask: Scene,
    truth: Truth,
    window: Window,
    confusion: ConfusionMatrix,
    sweep: ThresholdSweep,
) -> None:
    """Count one band's pixels."""
    probability = probability_map.read(window)
    valid_mask = ~np.isnan(probability)
    predicted = (mask.read(window)[..., 0] == 1) & valid_mask
    true, valid_mask = truth.compare(window, predicted, valid_mask)
    confusion.add(predicted, true, valid_mask)
    sweep.add(probability, true, valid_mask)


def _pixel_counts(region: Window, confusion: ConfusionMatrix) -> dict[str, int]:
    """Return how many pixels the numbers stand on."""
    return {
        "evaluated": confusion.total,
        "left_out": region.height * region.width - confusion.total,
        "true_landslide": confusion.tp + confusion.fn,
    }


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


def _corners(region: Window, scene: Scene) -> list[tuple[float, float]]:
    """Return the region's four corners in map coordinates."""
    left, top = region.col_off, region.row_off
    right, bottom = left + region.width, top + region.height
    pixels = ((left, top), (right, top), (right, bottom), (left, bottom))
    return [scene.transform * pixel for pixel in pixels]


def _describe(region: Window, scene: Scene) -> dict[str, Any]:
    """Return the evaluated region as a pixel window and as map bounds."""
    x, y = zip(*_corners(region, scene), strict=True)
    return {
        "window": {
            "col_off": region.col_off,
            "row_off": region.row_off,
            "width": region.width,
            "height": region.height,
        },
        "bounds": [min(x), min(y), max(x), max(y)],
    }


def _predicted_count(
    prediction_dir: Path, summary: dict[str, Any], scene: Scene, region: Window
) -> int:
    """Return how many predicted landslides reach into the region."""
    everything = (region.height, region.width) == (scene.height, scene.width)
    if everything or summary["landslides"] == 0:
        return summary["landslides"]
    polygons = read_polygons(prediction_dir / POLYGONS_NAME, LAYER)
    inside = polygons.geometry.intersection(Polygon(_corners(region, scene)))
    return int((inside.area > 0).sum())
