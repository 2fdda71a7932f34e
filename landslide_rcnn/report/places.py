"""Where on earth a pixel is, for the page: a small grid of longitudes and latitudes.

A browser knows no projections. Between the points of the grid it interpolates, and the grid is
as fine as that needs to be right.

Units: degrees; the error in metres.
"""

from typing import Any

import numpy as np
import pyproj

from landslide_rcnn.geo.wgs84 import WGS84
from landslide_rcnn.geo.writing import Grid

SIDES = 9, 17, 33, 65  # points a side that are tried
GOOD_M = 0.05  # an error that nobody sees: half of the last digit that is shown
METRES_PER_DEGREE = 111_320


def place_grid(grid: Grid) -> dict[str, Any] | None:
    """Return longitudes and latitudes over a map; None where there is no way to them.

    Returns:
        side: n, points a side, evenly over the map from its first to its last corner.
        lon, lat: n x n numbers, row by row. Longitudes go on beyond 180 at the antimeridian.
        error_m: The largest error of interpolating halfway between points.
    """
    if grid.crs is None:
        return None
    try:
        to_degrees = pyproj.Transformer.from_crs(grid.crs.to_wkt(), WGS84, always_xy=True)
    except pyproj.exceptions.ProjError:
        return None  # a site's own grid
    for side in SIDES:
        lon, lat = _degrees(grid, to_degrees, np.linspace(0, 1, side))
        if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
            return None
        if np.abs(np.diff(lon, axis=0)).max() > 90 or np.abs(np.diff(lon, axis=1)).max() > 90:
            return None  # around a pole there is nothing to interpolate
        error = _error_m(grid, to_degrees, lon, lat)
        if error <= GOOD_M:
            break
    return {
        "side": side,
        "lon": np.round(lon.ravel(), 8).tolist(),
        "lat": np.round(lat.ravel(), 8).tolist(),
        "error_m": round(error, 3),
    }


def _degrees(
    grid: Grid, to_degrees: pyproj.Transformer, shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return degrees [n, n] at shares [n] of the map's width and height."""
    columns, rows = np.meshgrid(shares * grid.width, shares * grid.height)
    lon, lat = to_degrees.transform(*(grid.transform * (columns, rows)))
    # Side by side, also where 180 meets -180.
    return np.unwrap(np.unwrap(lon, axis=0, period=360), axis=1, period=360), lat


def _error_m(grid: Grid, to_degrees: pyproj.Transformer, lon: np.ndarray, lat: np.ndarray) -> float:
    side = len(lon)
    true_lon, true_lat = _degrees(grid, to_degrees, (np.arange(side - 1) + 0.5) / (side - 1))
    middle_lon, middle_lat = (
        (each[:-1, :-1] + each[1:, :-1] + each[:-1, 1:] + each[1:, 1:]) / 4 for each in (lon, lat)
    )
    turns = 360 * np.round((middle_lon - true_lon) / 360)
    east = (middle_lon - true_lon - turns) * np.cos(np.radians(true_lat))
    return float(np.hypot(east, middle_lat - true_lat).max() * METRES_PER_DEGREE)
