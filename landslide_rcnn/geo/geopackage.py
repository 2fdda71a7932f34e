"""Tables of polygons -> one GeoPackage with a layer each, and a style that QGIS loads by itself.

Last step of a vector result. Written by GDAL, in the CRS of the tables, whether it has a code or
only a definition.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely

from landslide_rcnn.errors import DatasetError
from landslide_rcnn.files import atomic_path
from landslide_rcnn.geo.qgis_style import STYLES
from landslide_rcnn.geo.vector import POLYGON_TYPES, named_write_errors, repaired, write_layer

logger = logging.getLogger(__name__)

STYLE_TABLE = "layer_styles"  # the name that QGIS looks for
GEOMETRY_COLUMN = "geom"
VERSION = "1.3"  # GDAL before 3.7 warns of later ones, of which nothing is needed


def write_geopackage(
    path: str | Path,
    layers: Mapping[str, gpd.GeoDataFrame],
    styles: Mapping[str, str] = STYLES,
    written_at: str | None = None,
) -> None:
    """Write polygons to a GeoPackage, atomically.

    All become multipolygons, since a layer has one type. A table without rows, or without a CRS,
    keeps its columns; without a CRS the layer's description says that coordinates are pixels.
    Invalid polygons are repaired, and counted in a warning.

    Args:
        path: The final file.
        layers: Name -> table of polygons; the first is what a GIS shows first.
        styles: Name of a layer -> QML of its default style; names that are not written do not
            matter.
        written_at: The time that the file says it was written at, "2026-05-01T12:00:00Z". With
            it, equal tables give equal bytes. None: now.

    Raises:
        DatasetError: A row is not a polygon.
        RasterError: The file cannot be written.
    """
    with named_write_errors(path), atomic_path(path) as partial, _gdal_options(written_at):
        for index, (name, table) in enumerate(layers.items()):
            write_layer(
                valid_polygons(table, name),
                partial,
                layer=name,
                driver="GPKG",
                geometry_type="MultiPolygon",
                append=index > 0,
                dataset_options={} if index else {"VERSION": VERSION},
                layer_options={"GEOMETRY_NAME": GEOMETRY_COLUMN},
            )
        styled = [name for name in layers if name in styles]
        if styled:
            _write_styles(partial, {name: styles[name] for name in styled}, written_at)


def valid_polygons(table: gpd.GeoDataFrame, name: str) -> gpd.GeoDataFrame:
    """Return the table with invalid polygons repaired, which is said in a warning.

    Raises:
        DatasetError: A row is not a polygon.
    """
    geometry = np.asarray(table.geometry.array, object).copy()
    wrong = ~np.isin(shapely.get_type_id(geometry), POLYGON_TYPES) | shapely.is_empty(geometry)
    if wrong.any():
        raise DatasetError(
            f"Every row of a result must hold a polygon. Received: {int(wrong.sum())} of "
            f"{len(table)} rows of {name} without. Leave them out."
        )
    invalid = ~shapely.is_valid(geometry)
    if not invalid.any():
        return table
    logger.warning("%s: %d invalid polygons were repaired", name, invalid.sum())
    geometry[invalid] = [repaired(polygon) for polygon in geometry[invalid]]
    return table.set_geometry(gpd.GeoSeries(geometry, table.index, table.crs))


def _write_styles(path: Path, styles: Mapping[str, str], written_at: str | None) -> None:
    """Write QGIS's table of styles; GDAL registers it as one without geometry."""
    now = pd.Timestamp.now("UTC") if written_at is None else pd.Timestamp(written_at)
    table = pd.DataFrame(
        {
            "f_table_catalog": "",
            "f_table_schema": "",  # QGIS asks for an empty text, and does not find NULL
            "f_table_name": list(styles),
            "f_geometry_column": GEOMETRY_COLUMN,
            "styleName": list(styles),
            "styleQML": list(styles.values()),
            "styleSLD": pd.Series([None] * len(styles), dtype=object),
            "useAsDefault": True,
            "description": "How the layer is drawn unless another style is chosen",
            "owner": "",
            "ui": pd.Series([None] * len(styles), dtype=object),
            "update_time": [now.floor("s")] * len(styles),
        }
    )
    options = {"FID": "id", "DESCRIPTION": "Styles of the layers, for QGIS"}
    pyogrio.write_dataframe(
        table, path, layer=STYLE_TABLE, driver="GPKG", append=True, layer_options=options
    )


@contextlib.contextmanager
def _gdal_options(written_at: str | None) -> Iterator[None]:
    """Set the time that GDAL writes into a GeoPackage, and let it write without waiting.

    SQLite would wait for the disk after each step; here the file counts only once it is whole,
    flushed and renamed.
    """
    options = {"OGR_SQLITE_SYNCHRONOUS": "OFF"}
    if written_at is not None:
        stamp = pd.Timestamp(written_at).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        options["OGR_CURRENT_DATE"] = stamp
    before = {name: pyogrio.get_gdal_config_option(name) for name in options}
    pyogrio.set_gdal_config_options(options)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)
