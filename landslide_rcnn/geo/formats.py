"""Landslide polygons in other formats than GeoPackage, on request.

| name       | files                                 | coordinates                               |
|------------|---------------------------------------|-------------------------------------------|
| geojson    | landslides.geojson                    | longitude, latitude (RFC 7946)            |
| shapefile  | landslides.shp, .shx, .dbf, .prj, .cpg | the scene's; column names of 10 characters |
| flatgeobuf | landslides.fgb                        | the scene's; with a spatial index         |
| coco       | landslides.coco.json                  | pixels of the scene                       |
"""

import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from landslide_rcnn.errors import RasterError, RegistryError
from landslide_rcnn.geo.coco import write_coco
from landslide_rcnn.geo.geopackage import valid_polygons
from landslide_rcnn.geo.vector import named_write_errors, write_layer
from landslide_rcnn.geo.wgs84 import to_wgs84
from landslide_rcnn.geo.writing import Grid

logger = logging.getLogger(__name__)

LAYER = "landslides"
DEGREE_DECIMALS = 7  # about a centimetre, as RFC 7946 (11.2) calls enough
SHAPEFILE_MAX_BYTES = 2**31 - 1  # of .shp and of .dbf; other readers fail beyond it
SHAPEFILE_NAME_LENGTH = 10
SHAPEFILE_TEXT_BYTES = 254

# What a cut after ten letters would make alike, or unreadable.
SHORT_NAMES = {
    "perimeter_m": "perim_m",
    "perimeter_px": "perim_px",
    "centroid_lon": "centr_lon",
    "centroid_lat": "centr_lat",
    "elevation_min_m": "elev_min_m",
    "elevation_mean_m": "elev_avg_m",
    "elevation_max_m": "elev_max_m",
    "slope_mean_deg": "slope_deg",
}


class VectorFormat(NamedTuple):
    """One way to write polygons.

    Attributes:
        file_name: The main file; a format may write others beside it.
        write: Takes polygons, path, grid and the scene's name.
    """

    file_name: str
    write: Callable[[gpd.GeoDataFrame, Path, Grid, str], None]


def write_format(
    name: str, polygons: gpd.GeoDataFrame, grid: Grid, scene_name: str, folder: str | Path
) -> list[Path]:
    """Write polygons in one of `VECTOR_FORMATS`; all its files appear at the end, or none.

    Args:
        name: Of the format.
        polygons: In the CRS of `grid`; repaired where invalid, with a warning.
        grid: The scene, or its grid.
        scene_name: What a format that names its image calls it.
        folder: Made if it is missing.

    Returns:
        The files, the main one first.

    Raises:
        RegistryError: There is no such format.
        GeoReferenceError: The format needs a CRS, and there is none.
        DatasetError: A row is not a polygon.
        RasterError: It cannot be written, or not in this format.
    """
    if name not in VECTOR_FORMATS:
        raise RegistryError(
            f"A vector format must be one of {', '.join(VECTOR_FORMATS)}. Received: {name}. "
            "Choose among them; a GeoPackage is always written."
        )
    main, write = VECTOR_FORMATS[name]
    folder = Path(folder)
    staging = folder / f".partial-{uuid.uuid4().hex[:8]}"
    staging.mkdir(parents=True)
    try:
        with named_write_errors(folder / main):
            write(valid_polygons(polygons, LAYER), staging / main, grid, scene_name)
        # The main file moves last: where it lies, the others are.
        written = sorted(staging.iterdir(), key=lambda path: path.name == main)
        for path in written:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        for path in written:
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(staging)
    return [folder / path.name for path in reversed(written)]


def _write_geojson(polygons: gpd.GeoDataFrame, path: Path, grid: Grid, scene_name: str) -> None:
    """Write RFC 7946: WGS84, outer rings counter-clockwise, cut at the antimeridian.

    Not by GDAL, which writes 105.0000003 as 105.0: of pixels of a few centimetres that leaves
    polygons that cross themselves.
    """
    moved = to_wgs84(polygons)
    shapes = np.asarray(moved.geometry.array, object)
    rounded = shapely.set_precision(shapes, 10.0**-DEGREE_DECIMALS)  # stays valid
    too_small = shapely.is_empty(rounded)
    rounded[too_small] = shapes[too_small]
    # The grid's points are off by the last bit, which would be written as ten more digits. Two
    # digits are to spare, for the polygons that are smaller than the grid.
    rounded = shapely.transform(rounded, lambda points: np.round(points, DEGREE_DECIMALS + 2))
    rounded = shapely.orient_polygons(rounded) if len(rounded) else rounded
    columns = [name for name in moved.columns if name != moved.geometry.name]
    values = (map(_json_value, moved[name].tolist()) for name in columns)
    rows = zip(*values, strict=True) if columns else [()] * len(moved)
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for index, (shape, row) in enumerate(zip(shapely.to_geojson(rounded), rows, strict=True)):
            properties = dict(zip(columns, row, strict=True))
            file.write(",\n" if index else "\n")
            file.write('{"type": "Feature", "properties": ')
            json.dump(properties, file, ensure_ascii=False, allow_nan=False)
            file.write(f', "geometry": {shape}}}')
        file.write("\n]}\n")


def _json_value(value: object) -> object:
    """Return a value as JSON knows it: what is missing is null, a time its ISO text."""
    if isinstance(value, (list, tuple)):
        return [_json_value(item) for item in value]
    if pd.isna(value) or value in (float("inf"), float("-inf")):
        return None
    return value if isinstance(value, (bool, int, float)) else str(value)


def _write_shapefile(polygons: gpd.GeoDataFrame, path: Path, grid: Grid, scene_name: str) -> None:
    """Write a Shapefile, whose limits are said: short names, short texts, 2 GB."""
    columns = [name for name in polygons.columns if name != polygons.geometry.name]
    short = shapefile_names(columns)
    renamed = {name: short[name] for name in columns if short[name] != name}
    if renamed:
        pairs = ", ".join(f"{name} -> {new}" for name, new in renamed.items())
        logger.warning("%s: column names have 10 characters at most: %s", path.name, pairs)
    texts = {}
    for name in columns:
        long = _byte_lengths(polygons[name]) > SHAPEFILE_TEXT_BYTES
        if long.any():
            logger.warning("%s: %d texts of %s are cut to 254 bytes", path.name, long.sum(), name)
            texts[name] = polygons[name].where(~long, polygons[name].map(_cut_text))
    polygons = polygons.assign(**texts)
    size = _shapefile_bytes(polygons, columns)
    if size > SHAPEFILE_MAX_BYTES:
        raise RasterError(
            f"A Shapefile must not exceed 2 GB. Received: {len(polygons)} polygons that need "
            f"{size / 2**30:.1f} GB. Use the GeoPackage, or flatgeobuf."
        )
    write_layer(
        polygons.rename(columns=renamed),
        path,
        layer=LAYER,
        driver="ESRI Shapefile",
        geometry_type="Polygon",  # a Shapefile's polygons may have several parts
        promote_to_multi=False,
        layer_options={"ENCODING": "UTF-8"},
    )


def _write_flatgeobuf(polygons: gpd.GeoDataFrame, path: Path, grid: Grid, scene_name: str) -> None:
    """Write FlatGeobuf; its spatial index orders the rows."""
    write_layer(polygons, path, layer=LAYER, driver="FlatGeobuf", geometry_type="MultiPolygon")


VECTOR_FORMATS = {
    "geojson": VectorFormat("landslides.geojson", _write_geojson),
    "shapefile": VectorFormat("landslides.shp", _write_shapefile),
    "flatgeobuf": VectorFormat("landslides.fgb", _write_flatgeobuf),
    "coco": VectorFormat("landslides.coco.json", write_coco),
}


def shapefile_names(columns: Iterable[str]) -> dict[str, str]:
    """Return a column's name in a Shapefile: at most 10 bytes, each a different one."""
    names: dict[str, str] = {}
    for column in columns:
        wanted = _cut_to(SHORT_NAMES.get(column, column), SHAPEFILE_NAME_LENGTH)
        name, number = wanted, 1
        # A .dbf does not tell upper from lower case.
        while name.lower() in {taken.lower() for taken in names.values()}:
            number += 1
            name = _cut_to(wanted, SHAPEFILE_NAME_LENGTH - len(str(number))) + str(number)
        names[column] = name
    return names


def _cut_to(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


def _cut_text(value: object) -> object:
    return _cut_to(value, SHAPEFILE_TEXT_BYTES) if isinstance(value, str) else value


def _byte_lengths(column: pd.Series) -> np.ndarray:
    """Return the bytes of each text of a column; 0 for what is no text."""
    return np.array([len(v.encode()) if isinstance(v, str) else 0 for v in column], np.int64)


def _shapefile_bytes(polygons: gpd.GeoDataFrame, columns: list[str]) -> int:
    """Return the size of the larger of .shp and .dbf.

    Source: ESRI Shapefile Technical Description 1998: a header of 100 bytes; a polygon has 8 + 44
    bytes, 4 a ring and 16 a point.
    """
    shapes = np.asarray(polygons.geometry.array, object)
    parts = shapely.get_parts(shapes)
    rings = len(parts) + int(shapely.get_num_interior_rings(parts).sum())
    points = int(shapely.get_num_coordinates(shapes).sum())
    table = 0
    for name in columns:
        texts = _byte_lengths(polygons[name])
        # Numbers take up to 24 digits; a column of texts is as wide as its longest.
        table += min(int(texts.max(initial=0)), SHAPEFILE_TEXT_BYTES) or 24
    return max(100 + 52 * len(shapes) + 4 * rings + 16 * points, (table + 1) * len(shapes))
