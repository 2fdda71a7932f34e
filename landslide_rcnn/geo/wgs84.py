"""Polygons in any CRS -> longitude and latitude, cut where they cross the antimeridian.

For the formats that know no other coordinates: GeoJSON and STAC. Units: degrees.
"""

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from shapely.geometry.base import BaseGeometry

from landslide_rcnn.errors import GeoReferenceError
from landslide_rcnn.geo.vector import POLYGON_TYPES
from landslide_rcnn.geo.writing import Grid

WGS84 = "EPSG:4326"
EDGE_POINTS = 32  # along a side of a scene: a straight side is curved in other coordinates
WORLD = shapely.box(-180, -90, 180, 90)


def to_wgs84(polygons: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return polygons with longitudes from -180 to 180 and latitudes.

    A polygon that crosses the antimeridian becomes two parts, one on each side (RFC 7946, 3.1.9).

    Args:
        polygons: Each less than half the earth wide; longitudes of a geographic CRS may lie
            beyond 180.

    Raises:
        GeoReferenceError: They have no CRS, or one from which there is no way to WGS84.
    """
    if polygons.crs is None:
        raise GeoReferenceError(
            "Longitude and latitude need a CRS. Received: polygons in pixel coordinates. "
            "Georeference the scene, or choose a format that keeps its coordinates."
        )
    shapes = np.asarray(polygons.geometry.array, object)
    given, owner = shapely.get_coordinates(shapes, return_index=True)
    try:
        moved = polygons.to_crs(WGS84)
    except pyproj.exceptions.ProjError as error:
        raise GeoReferenceError(
            f"Polygons must be transformable to WGS84. Received: {polygons.crs.to_string()} "
            f"({' '.join(str(error).split())}). Choose a format that keeps their coordinates."
        ) from error
    shapes = np.asarray(moved.geometry.array, object)
    points = shapely.get_coordinates(shapes)
    if not np.isfinite(points).all():
        raise GeoReferenceError(
            "Polygons must be transformable to WGS84. Received: points beyond where "
            f"{polygons.crs.to_string()} is defined. Check the scene's CRS and transform."
        )
    # PROJ returns longitudes from -180 to 180: those of one polygon are brought side by side,
    # next to where a geographic CRS has them, else next to the polygon's first point.
    _, first = np.unique(owner, return_index=True)
    near = given[:, 0] if polygons.crs.is_geographic else points[first, 0][owner]
    points[:, 0] -= 360 * np.round((points[:, 0] - near) / 360)
    shapes = shapely.set_coordinates(shapes.copy(), points)
    low, _, high, _ = shapely.bounds(shapes).reshape(-1, 4).T
    for index in np.flatnonzero((low < -180) | (high > 180)):
        shapes[index] = _cut(shapes[index])
    return moved.set_geometry(gpd.GeoSeries(shapes, moved.index, WGS84))


def _cut(polygon: BaseGeometry) -> BaseGeometry:
    """Return the parts of a polygon on each side of the antimeridian, all within -180 to 180."""
    low, _, high, _ = polygon.bounds
    turns = range(int((low + 180) // 360), int((high + 180) // 360) + 1)
    parts = [
        shapely.intersection(
            shapely.transform(polygon, lambda points, turn=turn: points - [360 * turn, 0]), WORLD
        )
        for turn in turns
    ]
    parts = shapely.get_parts(shapely.get_parts(parts))
    parts = [
        part
        for part in parts
        if shapely.get_type_id(part) in POLYGON_TYPES and not shapely.is_empty(part)
    ]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def footprint(grid: Grid) -> BaseGeometry:
    """Return the outline of a whole raster in longitude and latitude.

    Args:
        grid: A grid or scene. Around a pole, where longitudes end, the outline is the cap down
            to the raster's farthest corner.

    Raises:
        GeoReferenceError: It has no CRS, or one from which there is no way to WGS84.
    """
    height, width = grid.height, grid.width
    share = np.arange(EDGE_POINTS) / EDGE_POINTS
    columns = np.concatenate([share, np.ones_like(share), 1 - share, np.zeros_like(share)]) * width
    rows = np.concatenate([np.zeros_like(share), share, np.ones_like(share), 1 - share]) * height
    outline = shapely.Polygon(np.column_stack(grid.transform * (columns, rows)))
    crs = None if grid.crs is None else grid.crs.to_wkt()
    table = gpd.GeoDataFrame(geometry=[outline], crs=crs)
    for pole in (-90, 90):
        if table.crs is not None and _lies_in(outline, table.crs, pole):
            # Only the latitudes: the longitudes wind around the pole.
            latitudes = shapely.get_coordinates(table.to_crs(WGS84).geometry[0])[:, 1]
            return shapely.box(-180, min(pole, *latitudes), 180, max(pole, *latitudes))
    return to_wgs84(table).geometry[0]


def _lies_in(outline: BaseGeometry, crs: pyproj.CRS, pole: int) -> bool:
    """Return whether a pole is inside an outline in a projected CRS."""
    if crs.is_geographic:
        return False
    try:
        to_map = pyproj.Transformer.from_crs(WGS84, crs, always_xy=True)
    except pyproj.exceptions.ProjError:
        return False  # a site's own grid
    point = to_map.transform(0, pole)
    return bool(np.isfinite(point).all()) and outline.contains(shapely.Point(point))
