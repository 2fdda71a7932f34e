"""A map's folder, and the truth if there is one -> one HTML page: `landslide-rcnn report`.

evaluate_map, unless metrics.json is there -> collect -> write_report
"""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from landslide_rcnn.evaluation.error_map import ERROR_MAP_NAME
from landslide_rcnn.evaluation.maps import METRICS_NAME, evaluate_map
from landslide_rcnn.files import refuse_to_overwrite
from landslide_rcnn.report.collect import collect, kept_metrics
from landslide_rcnn.report.page import write_report


def make_report(
    result: str | Path,
    output: str | Path,
    *,
    truth: str | Path | None = None,
    scene: str | Path | Sequence[str | Path] | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Make a page of a map.

    Args:
        result: A folder that `predict_scene` wrote. A `metrics.json` in it is used if it is
            newer than the map and was measured with the same truth.
        output: The HTML file.
        truth: Polygons or a mask, as `evaluate_map` takes them. None: that of `metrics.json`.
        scene: The scene's file or files. None: where they lay when the map was made.
        overwrite: Replace an earlier page.
        progress: Show bars on stderr.

    Returns:
        `output`.

    Raises:
        OutputExistsError: The page is there already and `overwrite` is False.
        RasterError: A file is missing or unreadable.
        DatasetError, GeoReferenceError: The truth cannot be used.
    """
    refuse_to_overwrite(output, overwrite=overwrite)
    output = Path(output)
    evaluation, metrics = Path(result), kept_metrics(result)
    with ExitStack() as until_written:
        if truth is not None and not _measured_with(metrics, truth, evaluation):
            # Near the page, where there is room; a truth that is refused leaves no new folders.
            near = next(each for each in output.absolute().parents if each.is_dir())
            work = tempfile.TemporaryDirectory(prefix=".partial-", dir=near)
            evaluation = Path(until_written.enter_context(work))
            metrics = evaluate_map(result, truth, evaluation, progress=progress)
        if truth is None and metrics is not None and Path(str(metrics.get("truth", ""))).is_file():
            truth = metrics["truth"]
        error_map = evaluation / ERROR_MAP_NAME
        has_errors = metrics is not None and error_map.is_file()
        facts = collect(result, metrics, truth, error_map if has_errors else None)
        return write_report(facts, output, scene=scene, overwrite=overwrite, progress=progress)


def _measured_with(metrics: dict[str, Any] | None, truth: str | Path, folder: Path) -> bool:
    """Whether the metrics of a folder are those of a truth, which has not changed since."""
    if metrics is None or not metrics.get("truth") or not Path(truth).is_file():
        return False
    is_same = Path(metrics["truth"]).resolve() == Path(truth).resolve()
    return is_same and Path(truth).stat().st_mtime <= (folder / METRICS_NAME).stat().st_mtime
