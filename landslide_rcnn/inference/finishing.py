"""All tiles are in: the files of the map are made.

Last step of `predict_scene`, from the work raster of probabilities and the table of landslides:

    outlines -> mask.tif        probability -> probability.tif
    polygons, tiles, aoi -> landslides.gpkg, and further formats on request
    what was done -> summary.json      where and when, with checksums -> item.json
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from rasterio.windows import Window

from landslide_rcnn.errors import GeoReferenceError
from landslide_rcnn.files import write_json
from landslide_rcnn.geo.cog import write_cog
from landslide_rcnn.geo.formats import write_format
from landslide_rcnn.geo.geopackage import write_geopackage
from landslide_rcnn.geo.qgis_style import write_raster_style
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.stac import Asset, write_stac_item
from landslide_rcnn.geo.writing import RasterWriter
from landslide_rcnn.inference.layers import TileRecord, aoi_table, tiles_table
from landslide_rcnn.inference.outlines import INVALID, rasterize_map
from landslide_rcnn.inference.result import (
    ITEM_NAME,
    LAYER,
    MASK_COLORS,
    MASK_NAME,
    POLYGONS_NAME,
    PROBABILITY_NAME,
    SUMMARY_NAME,
)
from landslide_rcnn.inference.run_folder import RunFolder
from landslide_rcnn.inference.settings import MapSettings
from landslide_rcnn.inference.summary import MapCounts, summary_of
from landslide_rcnn.inference.vectorize import PolygonTable

logger = logging.getLogger(__name__)


def finish_map(
    run: RunFolder,
    scene: Scene,
    settings: MapSettings,
    table: PolygonTable,
    windows: Sequence[Window],
    candidates: Mapping[tuple[int, int], int],
    counts: MapCounts,
    fingerprint: dict[str, Any],
) -> tuple[gpd.GeoDataFrame, dict[str, Any]]:
    """Make all files of a map in the run's staging folder.

    Args:
        run: Its work folder has the raster `PROBABILITY_NAME`.
        scene: The mapped one, for its grid.
        settings: Of the map.
        table: Of the landslides.
        windows: Of all tiles.
        candidates: Of the predicted ones, by (row_off, col_off): what the model saw in them.
        counts: So far; the pixels of the mask are added.
        fingerprint: Of the run, for the summary.

    Returns:
        The final table, and what `summary.json` holds.
    """
    counts.landslide_pixels = _finish_rasters(run.work, run.staging, scene, table)
    date = settings.date or (scene.acquired and scene.acquired.isoformat())
    model = fingerprint["model"]
    polygons = table.table(model=_name_of(model), scene=scene.path.name, date=date)
    _finish_polygons(run.staging, scene, polygons, windows, candidates, settings.formats)
    summary = summary_of(scene, polygons, table, settings, counts, model)
    summary["fingerprint"] = fingerprint
    write_json(run.staging / SUMMARY_NAME, summary)
    _write_item(run.staging, scene, settings, date, _name_of(model))
    return polygons, summary


def _finish_rasters(work: Path, staging: Path, scene: Scene, table: PolygonTable) -> int:
    """Make both rasters of the map; return how many pixels are landslide.

    Args:
        work: Folder with the work raster `PROBABILITY_NAME`; gets the work raster of the mask.
        staging: Folder for the results.
        scene: The mapped one, for its grid.
        table: Of the landslides.
    """
    landslide_pixels = 0
    with (
        Scene(work / PROBABILITY_NAME, allow_no_crs=True) as probability,
        RasterWriter(
            work / MASK_NAME,
            like=scene,
            dtype="uint8",
            nodata=INVALID,
            colormap=MASK_COLORS,
            descriptions=("landslide",),
        ) as writer,
    ):
        for window, classes in rasterize_map(
            table.outlines(), scene.height, scene.width, probability.read_valid
        ):
            writer.write(classes, window)
            landslide_pixels += int(np.count_nonzero(classes == 1))
    write_cog(work / PROBABILITY_NAME, staging / PROBABILITY_NAME, "continuous")
    write_cog(work / MASK_NAME, staging / MASK_NAME, "classes")
    write_raster_style(staging / PROBABILITY_NAME, "probability")
    write_raster_style(staging / MASK_NAME, "mask")
    return landslide_pixels


def _finish_polygons(
    staging: Path,
    scene: Scene,
    polygons: gpd.GeoDataFrame,
    windows: Sequence[Window],
    candidates: Mapping[tuple[int, int], int],
    formats: Sequence[str],
) -> None:
    """Write the polygons, the tiles and the mapped area.

    Args:
        staging: Folder for the results; has the probability raster.
        scene: The mapped one, for its grid.
        polygons: The final table.
        windows: Of all tiles.
        candidates: `Mapping.candidates`: of the predicted ones.
        formats: Further files; `geo.formats.VECTOR_FORMATS`.
    """
    records = []
    for window in windows:
        count = candidates.get((window.row_off, window.col_off))
        state = "skipped" if count is None else "predicted"
        records.append(TileRecord(window, state, count or 0))
    with Scene(staging / PROBABILITY_NAME, allow_no_crs=True) as probability:
        layers = {
            LAYER: polygons,
            "tiles": tiles_table(records, scene),
            "aoi": aoi_table(probability),
        }
    write_geopackage(staging / POLYGONS_NAME, layers)
    for name in formats:
        write_format(name, polygons, scene.grid, scene.path.name, staging)


def _write_item(
    staging: Path, scene: Scene, settings: MapSettings, date: str | None, model: str
) -> None:
    """Write the STAC item of all files in `staging`, unless the scene lies nowhere on earth.

    Args:
        staging: Folder with all other results.
        scene: The mapped one.
        settings: Of the map.
        date: When the scene was taken, YYYY-MM-DD, if that is known.
        model: Name of the model.
    """
    if scene.crs is None:
        return
    assets = {}
    for path in sorted(staging.iterdir()):
        roles = ("metadata",) if path.name == SUMMARY_NAME else ("data",)
        assets[path.name.replace(".", "_")] = Asset(path, TITLES.get(path.name, path.name), roles)
    try:
        write_stac_item(
            staging / ITEM_NAME,
            scene.grid,
            assets,
            item_id=f"{scene.path.stem}-landslides",
            mapped_at=datetime.now(UTC).isoformat(timespec="seconds"),
            scene_date=date,
            properties={"landslides:model": model, "landslides:threshold": settings.threshold},
        )
    except GeoReferenceError as error:  # a site's own grid, or a corner beyond a projection
        logger.warning("%s is left out: %s", ITEM_NAME, error)


TITLES = {
    POLYGONS_NAME: "Landslides, tiles and the mapped area",
    PROBABILITY_NAME: "Landslide probability",
    MASK_NAME: "Landslide mask",
    SUMMARY_NAME: "What was done",
}


def _name_of(model: Any) -> str:
    """Return the short name of a model for a column of a table."""
    if isinstance(model, Mapping):
        digest = str(model.get("sha256") or model.get("weights_sha256") or "")[:8]
        return " ".join(part for part in (str(model.get("weights", "")), digest) if part)
    return str(model)
