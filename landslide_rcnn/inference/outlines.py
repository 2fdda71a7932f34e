"""Merged instances -> exact outlines of their pixels, and outlines -> pixels again.

Outlines are polygons in pixel coordinates of the scene (x = column, y = row) whose corners are
whole numbers, so unions, holes and areas are exact, and painting them gives the same pixels back.
`PolygonTable` cleans them and makes map polygons of them; `rasterize_map` makes the mask raster of
the same outlines, so that raster and polygons tell one story.

Shape letters: h, w pixels of a window; N outlines; E edges. Units: pixels.
"""

from collections.abc import Callable, Iterator

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from landslide_rcnn.geo.vector import polygons_of_mask
from landslide_rcnn.geo.windows import size_of
from landslide_rcnn.inference.candidates import PackedMask

LANDSLIDE, BACKGROUND, INVALID = 1, 0, 255  # what the mask raster holds

# Rows that are painted at once: those of a block of the output rasters.
BAND_ROWS = 256


def outline_of(parts: list[tuple[np.ndarray, int, int]]) -> BaseGeometry:
    """Outline all True pixels of disjoint masks.

    The masks are outlined one by one and the outlines united, which costs what the landslide's
    border costs: a landslide as wide and high as the scene needs no array of that size.

    Args:
        parts: (mask [h, w] bool, its first row, its first column).

    Returns:
        A polygon, or a multipolygon where the pixels are not 4-connected; empty without pixels.
    """
    shapes = [
        polygons_of_mask(mask, Affine.translation(left, top))
        for mask, top, left in parts
        if mask.any()
    ]
    if len(shapes) == 1:
        return shapes[0]
    if not shapes:
        return shapely.MultiPolygon()
    # With edges of one pixel the edges of neighbours are equal and cancel out: linear in their
    # number, where a general union of large outlines takes minutes.
    # Dividing an edge rounds; unrounded, some halves of long edges would not meet.
    edges = shapely.transform(shapely.segmentize(shapes, 1), np.rint)
    united = shapely.coverage_union_all(edges)
    return _corners_only(np.array([united], object))[0]


def _corners_only(shapes: np.ndarray) -> np.ndarray:
    """Remove the points at which a border of pixels goes straight on."""
    rings, part, owner = rings_of(shapes)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    opens = np.diff(ring, prepend=-1) > 0  # a ring's first point, which closes it too
    points, ring = points[~opens], ring[~opens]
    starts = np.flatnonzero(np.diff(ring, prepend=-1) > 0)
    stops = np.append(starts[1:], len(ring))
    before, after = np.arange(len(ring)) - 1, np.arange(len(ring)) + 1
    before[starts], after[stops - 1] = stops - 1, starts
    upright = points[:, 0] == points[after, 0]
    corner = upright != upright[before]
    rings = shapely.linearrings(points[corner], indices=ring[corner])  # closes them
    return polygons_of_rings(rings, part, owner)


def rings_of(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take polygons and multipolygons apart.

    Returns:
        rings: Of each polygon the shell first, then its holes.
        part: The number of the polygon of each ring.
        owner: The index of the shape of each polygon.
    """
    parts, owner = shapely.get_parts(shapes, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    return rings, part, owner


def polygons_of_rings(rings: np.ndarray, part: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Put together what `rings_of` took apart; numbers may be left out, not all of a shape."""
    numbers, part = np.unique(part, return_inverse=True)
    parts, owner = shapely.polygons(rings, indices=part), owner[numbers]
    shapes = shapely.multipolygons(parts, indices=owner)
    single = np.bincount(owner) == 1
    shapes[single] = parts[single[owner]]
    return shapes


def unpacked(parts: tuple[PackedMask, ...]) -> list[tuple[np.ndarray, int, int]]:
    """Return an instance's parts as `outline_of` wants them."""
    return [(part.cut(part.box), part.box[0], part.box[1]) for part in parts]


class OutlineRaster:
    """Paints outlines into windows, by their vertical edges.

    Along a row of pixels one enters an outline through an edge that runs one way and leaves it
    through one that runs the other way; so the running sum of signed labels over a row is the
    label of each pixel. That is exact, and a window costs the edges beside it, whatever the
    number and size of the outlines. The edges are kept as 32-bit integers, cut into bands of
    `BAND_ROWS` rows so that those of a window are found at once.

    Args:
        outlines: [N] polygons in pixel coordinates with corners at whole numbers, which do not
            overlap. Outline i paints the label i + 1.
    """

    def __init__(self, outlines: np.ndarray) -> None:
        columns, tops, bottoms, labels = _vertical_edges(np.asarray(outlines, object))
        first, last = tops // BAND_ROWS, (bottoms - 1) // BAND_ROWS
        repeats = last - first + 1
        edge = np.repeat(np.arange(len(columns)), repeats)
        before = np.cumsum(repeats) - repeats
        band = first[edge] + np.arange(len(edge)) - before[edge]
        order = np.argsort(band, kind="stable")
        edge, band = edge[order], band[order]
        self._columns, self._labels = columns[edge], labels[edge]
        self._tops = np.maximum(tops[edge], band * BAND_ROWS).astype(np.int32)
        self._bottoms = np.minimum(bottoms[edge], (band + 1) * BAND_ROWS).astype(np.int32)
        # _starts[b] is the first edge of band b, _starts[b + 1] the first one after it.
        self._starts = np.searchsorted(band, np.arange(int(band.max(initial=-1)) + 2))

    def labels(self, window: Window) -> np.ndarray:
        """Return [h, w] int32: 0 = no outline, i + 1 = outline i.

        Args:
            window: Inside the scene.
        """
        height, width = size_of(window)
        top, left = round(window.row_off), round(window.col_off)
        steps = np.zeros((height, width), np.int32)
        bands = len(self._starts) - 1
        start = self._starts[min(top // BAND_ROWS, bands)]
        stop = self._starts[min((top + height - 1) // BAND_ROWS + 1, bands)]
        near = np.arange(start, stop)
        near = near[
            (self._tops[near] < top + height)
            & (self._bottoms[near] > top)
            & (self._columns[near] < left + width)
        ]
        tops = np.maximum(self._tops[near] - top, 0)
        heights = np.minimum(self._bottoms[near] - top, height) - tops
        # Every edge becomes one step a row; those left of the window act on its first column.
        edge = np.repeat(np.arange(len(near)), heights)
        rows = tops[edge] + np.arange(len(edge)) - (np.cumsum(heights) - heights)[edge]
        columns = np.maximum(self._columns[near] - left, 0)[edge]
        np.add.at(steps, (rows, columns), self._labels[near][edge])
        return np.cumsum(steps, axis=1, dtype=np.int32)


def _vertical_edges(outlines: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return column, top, bottom and signed label of each vertical edge, [E] int32 each."""
    outlines = shapely.orient_polygons(outlines) if len(outlines) else outlines
    rings, part, owner = rings_of(outlines)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    points = np.rint(points).astype(np.int32)
    starts, ends = points[:-1], points[1:]
    vertical = (ring[:-1] == ring[1:]) & (starts[:, 0] == ends[:, 0]) & (starts[:, 1] != ends[:, 1])
    starts, ends = starts[vertical], ends[vertical]
    label = owner[part[ring[:-1][vertical]]].astype(np.int32) + 1
    # Shells run so that y falls along their left side, where a row of pixels enters.
    signed = np.where(ends[:, 1] < starts[:, 1], label, -label).astype(np.int32)
    tops = np.minimum(starts[:, 1], ends[:, 1])
    return starts[:, 0], tops, np.maximum(starts[:, 1], ends[:, 1]), signed


def rasterize_map(
    outlines: gpd.GeoDataFrame, height: int, width: int, read_valid: Callable[[Window], np.ndarray]
) -> Iterator[tuple[Window, np.ndarray]]:
    """Paint the mask raster of a map, band by band.

    Args:
        outlines: `PolygonTable.outlines()`.
        height, width: Of the scene, pixels.
        read_valid: Window of whole rows -> [rows, width] bool, True = usable pixel.

    Yields:
        (window, [rows, width] uint8): 1 = landslide, 0 = none, 255 = invalid, which wins: a
        filled hole may hold pixels that nobody saw.
    """
    raster = OutlineRaster(np.asarray(outlines.geometry.array, object))
    for top in range(0, height, BAND_ROWS):
        window = Window(0, top, width, min(BAND_ROWS, height - top))
        classes = np.where(raster.labels(window) > 0, LANDSLIDE, BACKGROUND).astype(np.uint8)
        classes[~read_valid(window)] = INVALID
        yield window, classes
