"""River lines as a band: how far a pixel is from the river, in six levels.

One of the landslide-inducing factors of Yang et al. 2022 (Ludian). Zones around the lines are
built once, in metres on the ground, and painted into any window, so that no window needs to know
of what lies beyond it.

Units: distances in metres, in a projection around the scene's centre (azimuthal equidistant: within
100 km of it lengths are true to 1 in 25,000).
"""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pyproj
import rasterio.features
import shapely
from affine import Affine
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from landslide_rcnn.errors import DatasetError, GeoReferenceError, RasterError
from landslide_rcnn.geo.opening import local_file, one_line
from landslide_rcnn.geo.source import OnGrid, Source
from landslide_rcnn.geo.windows import size_of

RIVER_BAND = "river_level"
SURFACE_M = 30  # the river itself reaches so far from its line: level 0
BUFFERS_M = (200, 500, 1000, 2000)  # around the river's surface: levels 1 to 4
BEYOND = len(BUFFERS_M) + 1
DISTANCES_M = (SURFACE_M, *(SURFACE_M + width for width in BUFFERS_M))

QUARTER_SEGMENTS = 16  # of a circle; its radius is then true to 0.12 %
SEGMENT_M = 500  # longer segments are cut: lines straight here are bent in the other projection
PIECE_POINTS = 64  # of a line: buffers of short pieces are quicker to make and to unite
PART_POINTS = 256  # of the zones that are painted
PART_PIXELS = 64
LINE_TYPES = (
    shapely.GeometryType.LINESTRING,
    shapely.GeometryType.LINEARRING,
    shapely.GeometryType.MULTILINESTRING,
)


class RiverLevels(Source):
    """The river-distance level of every pixel's centre: [h, w, 1] uint8.

    0 = on the river (within 30 m of its line), 1 to 4 = within 200, 500, 1000, 2000 m of its
    surface, 5 = beyond.

    Args:
        path: A vector file of lines, with a CRS.
        grid: The scene's.

    Raises:
        RasterError: The file cannot be read.
        DatasetError: It holds no line, or other shapes.
        GeoReferenceError: The file or the grid has no CRS.
    """

    def __init__(self, path: str | Path, grid: OnGrid) -> None:
        self.height, self.width = grid.height, grid.width
        self.crs, self.transform = grid.crs, grid.transform
        self.dtype, self.band_names = np.dtype(np.uint8), (RIVER_BAND,)
        if grid.crs is None:
            raise GeoReferenceError(
                "Distances from rivers need a scene with a CRS. "
                f"Received: {path} with a scene without. Give the scene's CRS (crs=...)."
            )
        lines = _read_lines(Path(path))
        ground, to_grid = _ground_of(grid)
        pieces = _pieces_near(lines, ground, grid)
        shapes, levels = [], []
        for level, distance_m in enumerate(DISTANCES_M):
            buffers = shapely.buffer(pieces, distance_m, quad_segs=QUARTER_SEGMENTS)
            zone = shapely.segmentize(shapely.union_all(buffers), SEGMENT_M)
            parts = _cut(shapely.transform(zone, to_grid), (0, 0, grid.width, grid.height))
            shapes += parts
            levels += [level] * len(parts)
        self._shapes, self._levels = np.array(shapes, object), np.array(levels, int)
        self._tree = shapely.STRtree(self._shapes)

    def _tile_inside(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        height, width = size_of(window)
        levels = np.full((height, width), BEYOND, np.uint8)
        left, top = round(window.col_off), round(window.row_off)
        near = self._tree.query(shapely.box(left, top, left + width, top + height))
        if near.size:
            # The farthest first: nearer levels are painted over it.
            near = near[np.argsort(-self._levels[near], kind="stable")]
            rasterio.features.rasterize(
                ((self._shapes[index], self._levels[index]) for index in near),
                out=levels,
                transform=Affine.translation(left, top),
            )
        return levels[..., None], np.ones((height, width), bool)


def _cut(zone: BaseGeometry, frame: tuple[int, int, int, int]) -> list[BaseGeometry]:
    """Return a zone in small parts, cut between pixels; a window then paints only those near it."""
    part = shapely.clip_by_rect(zone, *frame)
    if part.is_empty:
        return []
    left, top, right, bottom = frame
    wide, high = right - left, bottom - top
    if shapely.get_num_coordinates(part) <= PART_POINTS or max(wide, high) <= PART_PIXELS:
        return [part]
    if wide >= high:
        middle = left + wide // 2
        halves = ((left, top, middle, bottom), (middle, top, right, bottom))
    else:
        middle = top + high // 2
        halves = ((left, top, right, middle), (left, middle, right, bottom))
    return [piece for half in halves for piece in _cut(part, half)]


def _read_lines(path: Path) -> gpd.GeoSeries:
    """Return the lines of a file; its only layer, or the one called "rivers"."""
    path = local_file(path, "file of river lines")
    try:
        layers = [name for name, kind in pyogrio.list_layers(path) if kind is not None]
        layer = "rivers" if "rivers" in layers else next(iter(layers), None)
        if len(layers) > 1 and layer != "rivers":
            raise DatasetError(
                f"One layer of lines must be chosen. Received: {path} with the layers "
                f"{', '.join(layers)}. Call it 'rivers'."
            )
        table = pyogrio.read_dataframe(path, layer=layer, columns=[])
    except (DataSourceError, DataLayerError) as error:
        raise RasterError(
            "A companion must be a readable raster, or a vector file of river lines. "
            f"Received: {path} ({one_line(error)}). Convert or replace it."
        ) from error
    shapes = np.asarray(getattr(table, "geometry", np.zeros(0, object)), object)
    shapes = shapes[[shape is not None and not shape.is_empty for shape in shapes]]
    if not len(shapes) or not np.isin(shapely.get_type_id(shapes), LINE_TYPES).all():
        raise DatasetError(
            f"River lines must be lines. Received: {path} with {len(shapes)} shapes, "
            "not all of them lines. Name a file of the rivers' centre lines."
        )
    if table.crs is None:
        raise GeoReferenceError(
            f"River lines must have a CRS. Received: {path} without. Set it (QGIS: Assign "
            "Projection)."
        )
    return gpd.GeoSeries(shapely.force_2d(shapes), crs=table.crs)


def _ground_of(grid: OnGrid) -> tuple[pyproj.CRS, object]:
    """Return the projection in metres around a grid's centre, and the way from it to pixels."""
    crs = pyproj.CRS.from_wkt(grid.crs.to_wkt())
    to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    middle = grid.transform * (grid.width / 2, grid.height / 2)
    longitude, latitude = to_degrees.transform(*middle)
    ground = pyproj.CRS.from_dict(
        {"proj": "aeqd", "lon_0": longitude, "lat_0": latitude, "datum": "WGS84", "units": "m"}
    )
    project = pyproj.Transformer.from_crs(ground, crs, always_xy=True)
    inverse = ~grid.transform
    turn = 360.0 if crs.is_geographic else 0.0

    def to_grid(points: np.ndarray) -> np.ndarray:
        x, y = project.transform(points[:, 0], points[:, 1])
        if turn:  # a scene across the dateline
            x = x + turn * np.rint((middle[0] - x) / turn)
        return np.stack(inverse * (x, y), axis=1)

    return ground, to_grid


def _pieces_near(lines: gpd.GeoSeries, ground: pyproj.CRS, grid: OnGrid) -> np.ndarray:
    """Return the lines within reach of a grid, in metres, cut into short pieces."""
    project = pyproj.Transformer.from_crs(lines.crs, ground, always_xy=True)
    shapes = shapely.get_parts(np.asarray(lines.array, object))
    shapes = shapely.transform(
        shapes, lambda points: np.stack(project.transform(points[:, 0], points[:, 1]), axis=1)
    )
    shapes = shapes[np.isfinite(shapely.bounds(shapes)).all(axis=1)]
    share = np.linspace(0, 1, 17)
    columns, rows = (size * axis for size, axis in zip(
        (grid.width, grid.height), map(np.ravel, np.meshgrid(share, share))))  # fmt: skip
    from_grid = pyproj.Transformer.from_crs(
        pyproj.CRS.from_wkt(grid.crs.to_wkt()), ground, always_xy=True
    )
    x, y = from_grid.transform(*(grid.transform * (columns, rows)))
    reach = 2 * max(DISTANCES_M)
    frame = (x.min() - reach, y.min() - reach, x.max() + reach, y.max() + reach)
    near = shapely.get_parts(shapely.clip_by_rect(shapely.segmentize(shapes, SEGMENT_M), *frame))
    near = near[shapely.get_type_id(near) == shapely.GeometryType.LINESTRING]
    near = near[~shapely.is_empty(near)]
    pieces = []
    for line in near:
        points = shapely.get_coordinates(line)
        starts = range(0, max(len(points) - 1, 1), PIECE_POINTS - 1)
        pieces += [shapely.LineString(points[start : start + PIECE_POINTS]) for start in starts]
    return np.array(pieces, object)
