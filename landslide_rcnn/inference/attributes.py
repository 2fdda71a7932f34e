"""What is told of each landslide besides its outline: sizes, place, ground.

Last part of `PolygonTable`. Sizes are those of the final polygons, the ground's those of the
pixels that they came from.

Shape letters: N landslides; h, w pixels of a window. Units: metres, square metres, degrees; pixels
where the scene has no CRS.
"""

from typing import Protocol

import numpy as np
import shapely
from rasterio.windows import Window

from landslide_rcnn.geo.measure import Ruler
from landslide_rcnn.inference.outlines import BAND_ROWS, OutlineRaster

BLOCK_COLUMNS = 1024  # with BAND_ROWS the window of terrain that is read at once


class TerrainReader(Protocol):
    """What `geo.terrain.Terrain` offers: terrain on the scene's grid.

    `read` returns [h, w, (elevation_m, slope_deg, fall_east, fall_north)] float32, NaN where
    nothing is known; the fall is the unit vector of steepest descent, (0, 0) on flat ground.
    `elevation` returns [h, w] float32.
    """

    height: int
    width: int

    def read(self, window: Window) -> np.ndarray: ...

    def elevation(self, window: Window) -> np.ndarray: ...


def size_columns(shapes: np.ndarray, ruler: Ruler) -> dict[str, np.ndarray]:
    """Return area, perimeter, length and width, each [N] float64.

    Length and width are the sides of the smallest rectangle around a landslide, turned freely.
    Without a CRS the names end in `_px`.
    """
    area, perimeter = ruler.area_and_perimeter(shapes)
    length, width = ruler.rectangle_sides(shapes)
    unit = "px" if ruler.crs is None else "m"
    return {
        "area_px" if ruler.crs is None else "area_m2": area,
        f"perimeter_{unit}": perimeter,
        f"length_{unit}": length,
        f"width_{unit}": width,
    }


def place_columns(shapes: np.ndarray, ruler: Ruler) -> dict[str, np.ndarray]:
    """Return the centroids' WGS84 degrees, [N] float64 each; NaN without a CRS."""
    degrees = ruler.lonlat(shapely.get_coordinates(shapely.centroid(shapes)))
    return {"centroid_lon": degrees[:, 0], "centroid_lat": degrees[:, 1]}


def terrain_columns(outlines: np.ndarray, terrain: TerrainReader) -> dict[str, np.ndarray]:
    """Return elevation, slope and aspect of landslides, each [N] float64.

    Taken over the pixels of the outlines. The aspect is the direction of the mean of the unit
    vectors of steepest descent, clockwise from north (the map's, in a projected CRS); flat pixels
    have none. NaN where nothing is known.

    Args:
        outlines: [N] in pixel coordinates.
        terrain: On the scene's grid.
    """
    count = len(outlines)
    sums = np.zeros((4, count + 1))
    counts = np.zeros((4, count + 1))
    lowest, highest = np.full(count + 1, np.inf), np.full(count + 1, -np.inf)
    raster = OutlineRaster(outlines)
    for window in _blocks(outlines, terrain.height, terrain.width):
        labels, window = _tight(raster.labels(window), window)
        inside = labels > 0
        if not inside.any():
            continue
        label, values = labels[inside], terrain.read(window)[inside].T.astype(float)
        for layer, value in enumerate(values):
            known = ~np.isnan(value)
            sums[layer] += np.bincount(label[known], value[known], minlength=count + 1)
            counts[layer] += np.bincount(label[known], minlength=count + 1)
        known = ~np.isnan(values[0])
        np.minimum.at(lowest, label[known], values[0, known])
        np.maximum.at(highest, label[known], values[0, known])
    with np.errstate(invalid="ignore", divide="ignore"):
        elevation, slope, east, north = (sums / counts)[:, 1:]
    known = counts[0, 1:] > 0
    lowest, highest = (np.where(known, each[1:], np.nan) for each in (lowest, highest))
    # A sum of directions that cancel is noise.
    aims = np.hypot(east, north) > 1e-6
    aspect = np.where(aims, np.degrees(np.arctan2(east, north)) % 360, np.nan)
    return {
        "elevation_min_m": lowest,
        "elevation_mean_m": elevation,
        "elevation_max_m": highest,
        "slope_mean_deg": slope,
        "aspect_deg": aspect,
        "relief_m": highest - lowest,
    }


def _tight(labels: np.ndarray, window: Window) -> tuple[np.ndarray, Window]:
    """Return the part of a window, and its labels [h, w], that holds all labels but 0."""
    rows, cols = (np.flatnonzero(labels.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return labels[:0, :0], window
    top, left, height, width = rows[0], cols[0], np.ptp(rows) + 1, np.ptp(cols) + 1
    place = Window(window.col_off + left, window.row_off + top, width, height)
    return labels[top : top + height, left : left + width], place


def _blocks(outlines: np.ndarray, height: int, width: int) -> list[Window]:
    """Return the windows of a grid over the scene that the outlines' boxes meet."""
    windows = [
        Window(left, top, min(BLOCK_COLUMNS, width - left), min(BAND_ROWS, height - top))
        for top in range(0, height, BAND_ROWS)
        for left in range(0, width, BLOCK_COLUMNS)
    ]
    corners = np.array([(w.col_off, w.row_off, w.width, w.height) for w in windows])
    boxes = shapely.box(*corners[:, :2].T, *(corners[:, :2] + corners[:, 2:]).T)
    met = np.unique(shapely.STRtree(boxes).query(outlines, "intersects")[1])
    return [windows[index] for index in met]
