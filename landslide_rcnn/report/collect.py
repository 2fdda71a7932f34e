"""A map's folder -> the facts that the page tells: summary, grid, polygons, metrics, checksums.

First step of a report. Nothing is computed here that `inference/` or `evaluation/` has not.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd

from landslide_rcnn.errors import RasterError
from landslide_rcnn.evaluation.maps import METRICS_NAME
from landslide_rcnn.files import sha256_of
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import read_polygons
from landslide_rcnn.geo.writing import Grid
from landslide_rcnn.inference.result import (
    FIX,
    LAYER,
    MASK_NAME,
    OUTPUT_NAMES,
    POLYGONS_NAME,
    PROBABILITY_NAME,
    SUMMARY_NAME,
    read_record,
)

# What `summary.json` says in several entries each.
SUMMARY_PARTS = ("scene", "tiles", "post_processing", "fingerprint", "versions")


@dataclass
class Facts:
    """What a report tells.

    Attributes:
        directory: The map's folder.
        summary: What `summary.json` holds.
        grid: Of the map.
        pixel_size_m: Mean ground size of a pixel; None without CRS.
        polygons: The landslides, in the map's CRS.
        metrics: What `evaluate_map` returned; None = not measured.
        truth: The file that the map was judged by; None = it is not at hand.
        error_map: `error_map.tif` of that evaluation; None = there is none.
        checksums: File name -> sha256 of the map's files.
        notes: What a reader of the page must know; more is added on the way.
    """

    directory: Path
    summary: dict[str, Any]
    grid: Grid
    pixel_size_m: float | None
    polygons: gpd.GeoDataFrame
    metrics: dict[str, Any] | None = None
    truth: Path | None = None
    error_map: Path | None = None
    checksums: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def mask_path(self) -> Path:
        return self.directory / MASK_NAME

    @property
    def probability_path(self) -> Path:
        return self.directory / PROBABILITY_NAME

    @property
    def scene_paths(self) -> list[Path]:
        """The files of the scene, where they lay when it was mapped; may be gone."""
        scene = self.summary.get("scene", {})
        return [Path(each) for each in scene.get("paths") or [scene.get("path")] if each]

    @property
    def scene_name(self) -> str:
        """What to call the scene."""
        names = [path.name for path in self.scene_paths]
        if not names:
            return self.directory.name
        return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def collect(
    directory: str | Path,
    metrics: dict[str, Any] | None = None,
    truth: str | Path | None = None,
    error_map: str | Path | None = None,
) -> Facts:
    """Read a map's folder.

    Args:
        directory: A folder that `predict_scene` wrote.
        metrics: Of this map, from `evaluate_map`.
        truth: The file that they were measured with.
        error_map: Of the same evaluation.

    Raises:
        RasterError: A file of the map is missing or unreadable.
    """
    directory = Path(directory)
    missing = [name for name in OUTPUT_NAMES if not (directory / name).is_file()]
    if missing:
        raise RasterError(
            f"A map's folder must hold {', '.join(OUTPUT_NAMES)}. Received: {directory} without "
            f"{', '.join(missing)}. {FIX}"
        )
    summary = read_record(directory / SUMMARY_NAME)
    summary = {name: value for name, value in summary.items() if value is not None}
    strange = [name for name in SUMMARY_PARTS if not isinstance(summary.get(name, {}), dict)]
    if strange:
        raise RasterError(
            f"{directory / SUMMARY_NAME} must hold objects of these names. Received: something "
            f"else for {', '.join(strange)}. {FIX}"
        )
    with Scene(directory / MASK_NAME, allow_no_crs=True) as mask:
        grid, pixel_size_m = mask.grid, mask.pixel_size_m
    return Facts(
        directory,
        summary,
        grid,
        pixel_size_m,
        read_polygons(directory / POLYGONS_NAME, LAYER, allow_empty=True),
        metrics,
        None if truth is None else Path(truth),
        None if error_map is None else Path(error_map),
        {name: sha256_of(directory / name) for name in OUTPUT_NAMES},
    )


def kept_metrics(directory: str | Path) -> dict[str, Any] | None:
    """Return the `metrics.json` of a map's folder; None without one, or where the map is newer.

    Raises:
        RasterError: It cannot be read.
    """
    path = Path(directory) / METRICS_NAME
    summary = Path(directory) / SUMMARY_NAME
    if not path.is_file() or not summary.is_file():
        return None
    if path.stat().st_mtime < summary.stat().st_mtime:
        return None
    return read_record(path)
