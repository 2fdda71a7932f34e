"""Polygons in and out, and between polygons and pixels.

Only this room opens vector files. Every step that joins polygons with a scene checks both CRSs.

Shape letters: h, w pixels of a window. Units: areas in square metres.
CRS: read polygons keep their file's; `align_crs` brings them into the scene's.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pyproj
import rasterio.features
import rasterio.windows
import shapely
from affine import Affine
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from landslide_rcnn.errors import DatasetError, GeoReferenceError, RasterError
from landslide_rcnn.files import atomic_path
from landslide_rcnn.geo.georeference import same_crs
from landslide_rcnn.geo.opening import local_file, one_line
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.windows import bounds_of, size_of
from landslide_rcnn.geo.writing import NO_CRS_TAG

logger = logging.getLogger(__name__)

DEFAULT_LAYER = "landslides"
REPAIRED_ROWS = "repaired_rows"  # in `attrs` of what was read: rows that were invalid
POLYGON_TYPES = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
# GeoPackage says "undefined" with a CRS of its own, geographic or engineering; other formats of
# GDAL with an "unknown" engineering one. A projection made from parameters is "unknown" as well,
# by name only: it says where things are.
UNDEFINED_CRS_NAME, UNKNOWN_CRS_NAME = "undefined", "unknown"


def read_polygons(
    path: str | Path, layer: str | None = None, *, allow_empty: bool = False
) -> gpd.GeoDataFrame:
    """Read the polygons of a local vector file, of any format that GDAL's wheels read.

    Rows without a polygon are left out and invalid polygons repaired; both are counted in a
    warning. Heights (Z) are dropped.

    Args:
        path: The file.
        layer: None takes the only layer of polygons, or the one called "landslides".
        allow_empty: Accept a file without any polygon.

    Returns:
        Polygons and multipolygons with their attributes, numbered from 0. `crs` is None where
        the file does not say one; `attrs` lists the rows that were repaired.

    Raises:
        RasterError: The file is missing, not local, or unreadable, or has no such layer.
        DatasetError: It holds no polygon, or several layers of them.
    """
    path = local_file(path, "polygon file")
    try:
        table = pyogrio.read_dataframe(path, layer=layer or _polygon_layer(path))
    except (DataSourceError, DataLayerError) as error:
        raise RasterError(
            "A polygon file must be readable, e.g. a GeoPackage, Shapefile or GeoJSON. "
            f"Received: {path} ({one_line(error)}). Convert or replace it."
        ) from error
    if not isinstance(table, gpd.GeoDataFrame):  # a table without any geometry
        table = gpd.GeoDataFrame(table, geometry=[None] * len(table))
    polygons = _only_polygons(table, path)
    if polygons.empty and not allow_empty:
        raise DatasetError(
            f"A polygon file must hold at least one polygon. Received: {path} with "
            f"{len(table)} rows, none a polygon. Name a file, or a layer, that holds some."
        )
    if polygons.crs is not None and _says_nothing(polygons.crs):
        polygons = polygons.set_crs(None, allow_override=True)
    return polygons


def _says_nothing(crs: pyproj.CRS) -> bool:
    """Whether a CRS only stands for the lack of one."""
    name = crs.name.lower()
    return name.startswith(UNDEFINED_CRS_NAME) or (
        name.startswith(UNKNOWN_CRS_NAME) and crs.is_engineering
    )


def _polygon_layer(path: Path) -> str | None:
    """Return the layer to read; None where the file has none."""
    layers = {name: kind for name, kind in pyogrio.list_layers(path)}
    polygonal = [
        name
        for name, kind in layers.items()
        if kind is not None and ("Polygon" in kind or "Unknown" in kind or "Collection" in kind)
    ]
    if DEFAULT_LAYER in polygonal:
        return DEFAULT_LAYER
    if len(polygonal) > 1:
        raise DatasetError(
            f"One layer of polygons must be chosen. Received: {path} with the layers "
            f"{', '.join(polygonal)}. Name one, or call it {DEFAULT_LAYER!r}."
        )
    return next(iter(polygonal or layers), None)


def _only_polygons(table: gpd.GeoDataFrame, path: Path) -> gpd.GeoDataFrame:
    """Return the rows that hold polygons, valid ones; say what was left out or repaired."""
    geometry = shapely.force_2d(np.asarray(table.geometry.array, object))
    is_polygon = np.isin(shapely.get_type_id(geometry), POLYGON_TYPES)
    is_polygon &= ~shapely.is_empty(geometry)
    invalid = is_polygon & ~shapely.is_valid(geometry)
    geometry[invalid] = [repaired(polygon) for polygon in geometry[invalid]]
    kept = is_polygon & ~shapely.is_empty(geometry)
    if not kept.all():
        logger.warning("%s: %d of %d rows hold no polygon", path, (~kept).sum(), len(kept))
    if invalid.any():
        logger.warning("%s: %d invalid polygons were repaired", path, (invalid & kept).sum())
    polygons = table.set_geometry(gpd.GeoSeries(geometry, table.index, table.crs))[kept]
    polygons = polygons.reset_index(drop=True)
    polygons.attrs[REPAIRED_ROWS] = np.flatnonzero(invalid[kept]).tolist()
    return polygons


def repaired(polygon: BaseGeometry) -> BaseGeometry:
    """Return the polygonal part of a valid version; make_valid may add lines and points."""
    parts = shapely.get_parts(shapely.make_valid(polygon))
    parts = shapely.get_parts(parts)  # of a collection of multipolygons
    polygons = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(list(polygons))


def align_crs(polygons: gpd.GeoDataFrame, scene: Scene) -> gpd.GeoDataFrame:
    """Bring polygons into a scene's CRS; both without one are in pixel coordinates.

    A reprojection, and polygons that lie nowhere on the scene, are said in a warning.

    Raises:
        GeoReferenceError: Only one of the two has a CRS, or there is no way between them.
    """
    if (polygons.crs is None) != (scene.crs is None):
        with_crs, without = ("scene", "polygons") if polygons.crs is None else ("polygons", "scene")
        raise GeoReferenceError(
            f"Polygons and scene must both have a CRS, or neither. Received: {with_crs} with, "
            f"{without} without, for {scene.path}. Set the CRS of the {without} "
            "(QGIS: Assign Projection)."
        )
    if scene.crs is not None and not same_crs(polygons.crs, scene.crs):
        logger.warning(
            "polygons reprojected from %s to the scene's %s",
            polygons.crs.to_string(),
            scene.crs.to_string(),
        )
        try:
            polygons = polygons.to_crs(scene.crs.to_wkt())
        except pyproj.exceptions.ProjError as error:
            raise GeoReferenceError(
                "Polygons must be transformable into the scene's CRS. Received: "
                f"{polygons.crs.to_string()} ({one_line(error)}). Reproject them beforehand."
            ) from error
    if len(polygons) and not polygons.intersects(shapely.box(*scene.bounds)).any():
        logger.warning("none of the %d polygons lies on %s", len(polygons), scene.path)
    return polygons


def write_polygons(polygons: gpd.GeoDataFrame, path: str | Path, layer: str) -> None:
    """Write polygons to a GeoPackage, atomically.

    All become multipolygons, since a layer has one type. A table without rows, or without a CRS,
    keeps its columns; without a CRS the layer's description says that coordinates are pixels.

    Raises:
        RasterError: The file cannot be written.
    """
    _write_table(polygons, path, layer, "MultiPolygon")


def write_lines(lines: gpd.GeoDataFrame, path: str | Path, layer: str) -> None:
    """Write lines to a GeoPackage, atomically; see `write_polygons`."""
    _write_table(lines, path, layer, "MultiLineString")


def _write_table(table: gpd.GeoDataFrame, path: str | Path, layer: str, kind: str) -> None:
    with named_write_errors(path), atomic_path(path) as partial:
        write_layer(table, partial, layer=layer, driver="GPKG", geometry_type=kind)


def write_layer(table: gpd.GeoDataFrame, path: Path, **options: Any) -> None:
    """Write one layer, of multipolygons or multilines, into a file that nobody reads yet.

    Args:
        table: Where it has no CRS, the layer's description says that coordinates are pixels.
        path: As GDAL shall write it.
        **options: Of `pyogrio.write_dataframe`: driver, layer, geometry_type, append, ...
    """
    if table.crs is None:
        # A GIS shows the description beside the layer; an unknown CRS alone would be a riddle.
        said = (
            {"DESCRIPTION": "; ".join(NO_CRS_TAG.values())} if options["driver"] == "GPKG" else {}
        )
        options["layer_options"] = {**options.get("layer_options", {}), **said}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*'crs' was not provided.*")
        pyogrio.write_dataframe(table, path, **{"promote_to_multi": True, **options})


@contextlib.contextmanager
def named_write_errors(path: str | Path) -> Iterator[None]:
    """Turn what GDAL says while writing into a `RasterError` that names the final file."""
    try:
        yield
    except (DataSourceError, DataLayerError) as error:
        raise RasterError(
            f"A result must be writable. Received: {path} ({one_line(error)}). "
            "Check the folder's permissions, the free space and the columns' types."
        ) from error


def rasterize_instances(
    polygons: gpd.GeoDataFrame,
    window: Window,
    transform: Affine,
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Paint polygons into a window: a pixel belongs to a polygon that covers its centre.

    Args:
        polygons: In the scene's CRS.
        window: Pixels of the scene; may reach beyond it.
        transform: The scene's.
        rows: [N] int, the rows of `polygons` to paint; None: all.

    Returns:
        [h, w] int32: 0 = background, i + 1 = row i of `polygons`. Later rows lie on top.
    """
    labels = np.zeros(size_of(window), np.int32)
    geometry = np.asarray(polygons.geometry.array, object)
    frame = shapely.box(*bounds_of(window, transform))
    rows = np.arange(len(geometry)) if rows is None else rows
    near = rows[shapely.intersects(frame, shapely.envelope(geometry[rows]))]
    near = near[~shapely.is_empty(geometry[near])]
    if near.size:
        rasterio.features.rasterize(
            ((geometry[row], row + 1) for row in near),
            out=labels,
            transform=rasterio.windows.transform(window, transform),
        )
    return labels


def polygons_of_mask(mask: np.ndarray, transform: Affine) -> BaseGeometry:
    """Outline all True pixels of a mask.

    Args:
        mask: [h, w] bool.
        transform: From (column, row) of the mask to the map.

    Returns:
        A polygon, or a multipolygon where the pixels are not 4-connected; holes kept, valid.
        Empty for an empty mask.
    """
    shapes = rasterio.features.shapes(
        mask.astype(np.uint8), mask=mask.astype(bool), connectivity=4, transform=transform
    )
    parts = [shapely.geometry.shape(outline) for outline, _ in shapes]
    geometry = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    if not geometry.is_valid:  # two holes of one polygon that touch along their corners
        geometry = repaired(geometry)
    return geometry
