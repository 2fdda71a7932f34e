"""A finished map: its files and their names.

What `tiled.predict_scene` returns, and what a resumed run finds when nothing is left to do.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd

from landslide_rcnn.errors import RasterError
from landslide_rcnn.files import as_json
from landslide_rcnn.geo.formats import VECTOR_FORMATS
from landslide_rcnn.geo.vector import read_polygons
from landslide_rcnn.inference.outlines import BACKGROUND, INVALID, LANDSLIDE
from landslide_rcnn.inference.run_folder import FOLDER_NAME, differences

POLYGONS_NAME = "landslides.gpkg"
PROBABILITY_NAME = "probability.tif"
MASK_NAME = "mask.tif"
SUMMARY_NAME = "summary.json"
ITEM_NAME = "item.json"
LAYER = "landslides"
FIX = "Name the output folder of detect (predict_scene)."

# What every map has; where one of these lies, there is a map.
OUTPUT_NAMES = (POLYGONS_NAME, PROBABILITY_NAME, MASK_NAME, SUMMARY_NAME)
# What a map may have besides. Left by an earlier map, they would tell another story.
OPTIONAL_NAMES = (
    ITEM_NAME,
    "mask.qml",
    "probability.qml",
    *(each.file_name for each in VECTOR_FORMATS.values()),
    *(f"landslides.{suffix}" for suffix in ("shx", "dbf", "prj", "cpg")),
    # Of a GIS that looked at the earlier map: statistics, and what SQLite had still to write,
    # which it would write into the new file.
    *(f"{name}.aux.xml" for name in (PROBABILITY_NAME, MASK_NAME)),
    *(f"{POLYGONS_NAME}-{suffix}" for suffix in ("wal", "shm", "journal")),
)
KNOWN_NAMES = (*OUTPUT_NAMES, *OPTIONAL_NAMES)

# A TIFF's colours have no alpha; in QGIS, mask.qml makes the background transparent.
MASK_COLORS = {
    BACKGROUND: (255, 255, 255, 255),
    LANDSLIDE: (215, 48, 39, 255),
    INVALID: (0, 0, 0, 255),
}


@dataclass(frozen=True)
class MapResult:
    """What `predict_scene` made.

    Attributes:
        directory: The output folder; all files lie in it.
        polygons: The layer "landslides" of `polygons_path`, largest first; see
            `vectorize.PolygonTable.table` for its columns.
        summary: What `summary_path` holds.
    """

    directory: Path
    polygons: gpd.GeoDataFrame
    summary: dict[str, Any]

    @property
    def polygons_path(self) -> Path:
        return self.directory / POLYGONS_NAME

    @property
    def probability_path(self) -> Path:
        return self.directory / PROBABILITY_NAME

    @property
    def mask_path(self) -> Path:
        return self.directory / MASK_NAME

    @property
    def summary_path(self) -> Path:
        return self.directory / SUMMARY_NAME


def read_record(path: Path) -> dict[str, Any]:
    """Read an object of JSON that stands in a map's folder.

    Raises:
        RasterError: It is missing, unreadable or something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RasterError(
            f"A map's folder must hold {path.name}. Received: {path.parent}. {FIX}"
        ) from None
    except (OSError, ValueError) as error:
        raise RasterError(f"{path} cannot be read. Received: {error}. {FIX}") from error
    if not isinstance(content, dict):
        raise RasterError(f"{path} must hold an object. Received: {type(content).__name__}. {FIX}")
    return content


def finished_map(output_dir: Path, fingerprint: dict[str, Any]) -> MapResult | None:
    """Return the map that is complete in a folder; None where there is none, or another one.

    Args:
        output_dir: Of the map.
        fingerprint: Of the map that is wanted.
    """
    if (output_dir / FOLDER_NAME).exists():
        return None
    try:
        summary = read_record(output_dir / SUMMARY_NAME)
    except RasterError:
        return None
    if differences(summary.get("fingerprint"), as_json(fingerprint)):
        return None
    if not all((output_dir / name).exists() for name in OUTPUT_NAMES):
        return None
    polygons = read_polygons(output_dir / POLYGONS_NAME, LAYER, allow_empty=True)
    return MapResult(output_dir, polygons, summary)
