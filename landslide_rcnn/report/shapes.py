"""Polygons -> what the page draws and lists: whole numbers for the map, columns for the table.

Corners are pixel coordinates of the scene in units of `1 / UNITS` pixel, each as the difference
from the one before: small numbers, which compress well and are read by the browser's own JSON.

Shape letters: N landslides. Units: pixels of the scene for corners; of columns as they say.
"""

from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from landslide_rcnn.geo.writing import Grid
from landslide_rcnn.inference.outlines import rings_of

UNITS = 10  # of a corner's coordinates in a pixel
MAX_CORNERS = 500_000  # that a page draws smoothly, and that keep it to some megabytes
MAX_LANDSLIDES = 50_000
FIRST_TOLERANCE = 0.4  # pixels; of simplifying for the page, doubled until it is enough


class Column(NamedTuple):
    """How a column of polygons is shown.

    Attributes:
        label: Its heading.
        unit: Behind the numbers; "" without one.
        digits: After the decimal point; None = text.
        listed: Whether the table has it; the others are told of the chosen landslide.
    """

    label: str
    unit: str
    digits: int | None
    listed: bool = True


# In the order in which the table shows them. What is not here comes after them.
COLUMNS = {
    "id": Column("Number", "", 0),
    "area_m2": Column("Area", "m²", 0),
    "area_px": Column("Area", "px", 0),
    "score": Column("Score", "", 2),
    "slope_mean_deg": Column("Slope", "°", 1),
    "relief_m": Column("Relief", "m", 0),
    "elevation_mean_m": Column("Elevation", "m", 0),
    "length_m": Column("Length", "m", 0),
    "width_m": Column("Width", "m", 0),
    "length_px": Column("Length", "px", 0),
    "width_px": Column("Width", "px", 0),
    "centroid_lon": Column("Longitude", "°", 5),
    "centroid_lat": Column("Latitude", "°", 5),
    "perimeter_m": Column("Perimeter", "m", 0, listed=False),
    "perimeter_px": Column("Perimeter", "px", 0, listed=False),
    "elevation_min_m": Column("Lowest point", "m", 0, listed=False),
    "elevation_max_m": Column("Highest point", "m", 0, listed=False),
    "aspect_deg": Column("Aspect", "°", 0, listed=False),
    "tiles": Column("Seen in tiles", "", 0, listed=False),
    "class_id": Column("Class", "", 0, listed=False),
    "model": Column("Model", "", None, listed=False),
    "scene": Column("Scene", "", None, listed=False),
    "date": Column("Date", "", None, listed=False),
}
# Not shown where they say the same of all landslides: the page says it once.
ALIKE = ("class_id", "model", "scene", "date")


class Drawn(NamedTuple):
    """Polygons as the page has them.

    Attributes:
        shapes: N lists of rings; a ring is [x, y, dx, dy, ...], not closed.
        tolerance_px: By which they were simplified for the page; 0 = not at all.
        corners: How many there are.
    """

    shapes: list[list[list[int]]]
    tolerance_px: float
    corners: int


def drawn(polygons: gpd.GeoDataFrame, grid: Grid, max_corners: int = MAX_CORNERS) -> Drawn:
    """Return polygons in pixel coordinates, simplified only as far as their number asks for.

    Args:
        polygons: In the grid's CRS.
        grid: Of the map.
        max_corners: That the page may hold.
    """
    exact = np.asarray(polygons.geometry.array, object)
    inverse = ~grid.transform
    linear = np.array([[inverse.a, inverse.b], [inverse.d, inverse.e]])
    exact = shapely.transform(exact, lambda xy: xy @ linear.T + (inverse.c, inverse.f))
    shapes, tolerance = exact, 0.0
    while (corners := int(shapely.get_num_coordinates(shapes).sum())) > max_corners:
        tolerance = 2 * tolerance or FIRST_TOLERANCE
        shapes = shapely.simplify(exact, tolerance, preserve_topology=True)
        if tolerance > max(grid.height, grid.width):
            break  # as few corners as there can be
    return Drawn(_rings(shapes), tolerance, corners)


def _rings(shapes: np.ndarray) -> list[list[list[int]]]:
    """Return the rings of each shape, delta-coded."""
    found: list[list[list[int]]] = [[] for _ in shapes]
    rings, part, owner = rings_of(shapes)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    points = np.rint(points * UNITS).astype(np.int64)
    starts = np.flatnonzero(np.diff(ring, prepend=-1))
    steps = np.diff(points, axis=0, prepend=0)
    steps[starts] = points[starts]
    for number, start in enumerate(starts):
        stop = starts[number + 1] if number + 1 < len(starts) else len(points)
        flat = steps[start : stop - 1]  # the last corner is the first one
        moved = np.any(flat != 0, axis=1)
        moved[0] = True
        found[owner[part[number]]].append(flat[moved].ravel().tolist())
    return found


def columns(polygons: gpd.GeoDataFrame, grid: Grid) -> list[dict[str, Any]]:
    """Return the columns of a table of polygons, as JSON.

    Those that hold nothing, or that this package wrote and that say the same of all, are left
    out; undefined numbers are None. The centres' coordinates are added.

    Args:
        polygons: In the grid's CRS.
        grid: Of the map.
    """
    table = pd.DataFrame(polygons.drop(columns=polygons.geometry.name))
    if "id" not in table:
        table.insert(0, "id", np.arange(1, len(table) + 1))
    known = [name for name in COLUMNS if name in table]
    others = [name for name in table if name not in COLUMNS]
    found = []
    for name in (*known, *others):
        values = table[name]
        if name != "id" and values.isna().all() or name in ALIKE and values.nunique() == 1:
            continue
        column = COLUMNS.get(name) or _guessed(str(name), values)
        found.append(_column(str(name), column, values))
    return found + _centres(polygons, grid)


def _column(name: str, column: Column, values: pd.Series) -> dict[str, Any]:
    return {"name": name, **column._asdict(), "values": _values(values, column)}


def _centres(polygons: gpd.GeoDataFrame, grid: Grid) -> list[dict[str, Any]]:
    """Return the centroids in the map's own coordinates."""
    where = "column, row" if grid.crs is None else grid.crs.to_string()
    points = shapely.get_coordinates(shapely.centroid(np.asarray(polygons.geometry.array, object)))
    return [
        _column(
            f"centre_{axis}",
            Column(f"{axis} ({where})", "", coordinate_digits(grid), listed=False),
            pd.Series(points[:, index], dtype=float),
        )
        for index, axis in enumerate("xy")
    ]


def coordinate_digits(grid: Grid) -> int:
    """Return how many digits after the point tell a map's pixels apart."""
    size = np.hypot(grid.transform.a, grid.transform.d)  # of a pixel, in units of the CRS
    return int(np.clip(np.ceil(-np.log10(size)), 0, 8))


def _guessed(name: str, values: pd.Series) -> Column:
    """Return how to show a column that this package does not make."""
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    whole = pd.api.types.is_integer_dtype(values)
    return Column(name, "", (0 if whole else 2) if numeric else None)


def _values(values: pd.Series, column: Column) -> list[Any]:
    if column.digits is None:
        return [None if pd.isna(each) else str(each) for each in values]
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(float)
    # One digit more than is shown, so that sorting does not see ties that are none.
    rounded = np.round(numbers, column.digits + 1)
    return [None if not np.isfinite(each) else _short(each) for each in rounded.tolist()]


def _short(number: float) -> float | int:
    return int(number) if number == int(number) else number
