"""The one place where pixels move from one grid to another.

Used by mosaics, companions, other resolutions and overviews. Every pixel of the target is computed
from its own place in the whole grid, so that it has the same value, to the last bit, in whatever
window it is read. GDAL's warper does not promise that (its kernels follow the size of the chunk),
and its average takes the box between two corners of a pixel, which is empty on a grid that is
turned by 45 degrees.

On grids with parallel axes a pixel is averaged over exactly its area (where the source is finer)
or interpolated between four centres (where it is coarser), axis by axis. Between other grids it
is the mean of interpolated points, spread evenly in it and at least as dense as the source.
A source pixel that is not usable never adds to a value.

Shape letters: h, w pixels of a window of the target; H', W' pixels of the source's part; C bands.
Coordinates: pixels, (0, 0) = the outer corner of the first pixel, its centre (0.5, 0.5).
CRS: any two that PROJ can join; longitudes are the same after a full turn.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyproj
from rasterio.crs import CRS
from rasterio.windows import Window
from scipy.sparse import csr_array

from landslide_rcnn.errors import ConfigError, GeoReferenceError
from landslide_rcnn.geo.georeference import full_turn, same_crs
from landslide_rcnn.geo.windows import size_of

RESAMPLING = ("smooth", "nearest")
PART_BYTES = 64 * 2**20  # of the source, as float32, read at once
PART_POINTS = 2**20  # at which the source is interpolated at once
MAX_POINTS_PER_SIDE = 16  # of a pixel; more source pixels than that are sampled, not averaged
SAME_PLACE = 1e-6  # pixels; places nearer than that are one, against the noise of arithmetic
NO_WEIGHT = 1e-7
MIN_VALID_SHARE = 0.5


def read_on_grid(
    source, grid, window: Window, resampling: str = "smooth"
) -> tuple[np.ndarray, np.ndarray]:
    """Read a window of a grid from a source that lies on another grid.

    Args:
        source: A `Source`, or whatever has `height`, `width`, `crs`, `transform`,
            `read(window)` and `read_valid(window)`.
        grid: Has `height`, `width`, `crs` and `transform`.
        window: In pixels of the grid; may reach beyond it and beyond the source.
        resampling: "smooth" averages where the source is finer and interpolates where it is
            coarser; "nearest" takes the source pixel at the centre, for classes.

    Returns:
        values: [h, w, C] float32; 0 where not valid.
        valid_mask: [h, w] bool: at least half of the pixel's area is usable in the source.

    Raises:
        ConfigError: There is no such resampling.
        GeoReferenceError: Only one of the two has a CRS, or PROJ knows no way between them.
        RasterError: A file is damaged.
    """
    if resampling not in RESAMPLING:
        raise ConfigError(
            f"Resampling must be one of {', '.join(RESAMPLING)}. "
            f"Received: resampling={resampling!r}. Choose one of them."
        )
    way = _way(source, grid)
    if way.axes is not None:
        return _along_axes(source, way.axes, window, resampling)
    points = 1 if resampling == "nearest" else way.points_per_side
    return _by_points(source, way.places, points, window, resampling)


def places_on(source, grid) -> Callable:
    """Return a function from (columns, rows) of a grid to (x, y) in pixels of a source.

    Places that the source's CRS cannot show are NaN.

    Raises:
        GeoReferenceError: Only one of the two has a CRS, or PROJ knows no way between them.
    """
    return _way(source, grid).places


class _Way(NamedTuple):
    """From the pixels of a grid to those of a source.

    Attributes:
        axes: ((scale, offset) of rows, of columns) where both grids' axes are parallel.
        places: (columns, rows) of the grid -> (x, y) in pixels of the source; NaN = nowhere.
        points_per_side: Points in a pixel of the grid, as dense as the source's pixels.
    """

    axes: tuple[tuple[float, float], tuple[float, float]] | None
    places: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    points_per_side: int


def _way(source, grid) -> _Way:
    if (source.crs is None) != (grid.crs is None):
        raise GeoReferenceError(
            "Two rasters on different grids must both have a CRS, or neither. Received: "
            f"{source.crs} and {grid.crs}. Give the one without its CRS (gdal_edit -a_srs)."
        )
    is_same_crs = source.crs is None or same_crs(source.crs, grid.crs)
    pixels_of = getattr(source, "pixels_of", None)
    if pixels_of is None and is_same_crs and not _is_wrapped(source, grid):
        relative = ~source.transform * grid.transform
        turned_px = max(abs(relative.b) * grid.height, abs(relative.d) * grid.width)
        if turned_px < SAME_PLACE:
            axes = (relative.e, relative.f), (relative.a, relative.c)
            return _Way(axes, lambda columns, rows: relative * (columns, rows), 1)
    project = None if is_same_crs else _transformer(grid.crs.to_wkt(), source.crs.to_wkt())
    turn = 0.0 if source.crs is None else full_turn(source.crs)
    to_pixels = pixels_of or (lambda x, y: ~source.transform * (x, y))
    middle_x = (source.transform * (source.width / 2, source.height / 2))[0]

    def places(columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = grid.transform * (columns, rows)
        if project is not None:
            x, y = project.transform(x, y)
        found = np.isfinite(x) & np.isfinite(y)
        x, y = np.where(found, x, middle_x), np.where(found, y, 0.0)
        if turn:
            x = x + turn * np.rint((middle_x - x) / turn)
        x, y = to_pixels(x, y)
        return np.where(found, x, np.nan), np.where(found, y, np.nan)

    return _Way(None, places, _points_per_side(places, grid))


@functools.lru_cache(maxsize=64)
def _transformer(from_wkt: str, to_wkt: str) -> pyproj.Transformer:
    try:
        return pyproj.Transformer.from_crs(from_wkt, to_wkt, always_xy=True)
    except pyproj.exceptions.ProjError as error:
        raise GeoReferenceError(
            "Two rasters must have CRSs with a way between them. Received: "
            f"{CRS.from_wkt(from_wkt)} and {CRS.from_wkt(to_wkt)} "
            f"({' '.join(str(error).split())}). Reproject one of them beforehand."
        ) from error


def _is_wrapped(source, grid) -> bool:
    """Whether a grid reaches the source only, or also, after a full turn of longitude."""
    turn = 0.0 if source.crs is None else full_turn(source.crs)
    if not turn:
        return False
    (left, right), (grid_left, grid_right) = (_x_range(place) for place in (source, grid))
    turns = (np.ceil((left - grid_right) / turn), np.floor((right - grid_left) / turn))
    return turns[0] <= turns[1] and turns != (0, 0)


def _x_range(place) -> tuple[float, float]:
    corners = [(x, y) for x in (0, place.width) for y in (0, place.height)]
    across = [(place.transform * corner)[0] for corner in corners]
    return min(across), max(across)


def _points_per_side(places: Callable, grid) -> int:
    """Return how many source pixels a pixel in the grid's middle is wide; the same everywhere."""
    middle = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    x, y = places(grid.width / 2 + middle[0], grid.height / 2 + middle[1])
    longest = np.hypot(x[1:] - x[0], y[1:] - y[0]).max()
    if not np.isfinite(longest):
        return 1
    return int(np.clip(math.ceil(longest - SAME_PLACE), 1, MAX_POINTS_PER_SIDE))


def _tile_of(source, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Return [H', W', C] float with 0 where not valid, and [H', W'] bool."""
    if hasattr(source, "read_tile"):
        image, valid = source.read_tile(window)
    else:
        image, valid = source.read(window), source.read_valid(window)
    # float32 holds what has up to 16 bits; wider numbers are summed in float64.
    image = image.astype(np.result_type(image.dtype, np.float32))
    image[~valid] = 0
    return image, valid


def _halves(window: Window) -> tuple[Window, Window, int]:
    """Return a window's two halves, and the axis along which they are joined."""
    height, width = size_of(window)
    top, left = round(window.row_off), round(window.col_off)
    if height >= width:
        half = height // 2
        lower = Window(left, top + half, width, height - half)
        return Window(left, top, width, half), lower, 0
    half = width // 2
    return Window(left, top, half, height), Window(left + half, top, width - half, height), 1


def _joined(read: Callable[[Window], tuple], window: Window) -> tuple[np.ndarray, np.ndarray]:
    first, second, axis = _halves(window)
    pieces = list(zip(read(first), read(second)))
    return np.concatenate(pieces[0], axis), np.concatenate(pieces[1], axis)


# Parallel axes: a matrix of weights for the rows, one for the columns.


class _AxisWeights(NamedTuple):
    """What the source's pixels along one axis give to the target's.

    Attributes:
        first, stop: The source's pixels that are needed, half-open.
        of_values: [target, stop - first], of the pixels' values.
        of_area: Likewise, the share of the target pixel's extent that each covers.
    """

    first: int
    stop: int
    of_values: csr_array
    of_area: csr_array


def _along_axes(source, axes: tuple, window: Window, resampling: str) -> tuple:
    height, width = size_of(window)
    rows, columns = (
        _axis_weights(*axis, start=round(start), count=count, source_size=size, kind=resampling)
        for axis, start, count, size in zip(
            axes,
            (window.row_off, window.col_off),
            (height, width),
            (source.height, source.width),
        )
    )
    part = Window(columns.first, rows.first, columns.stop - columns.first, rows.stop - rows.first)
    if part.width <= 0 or part.height <= 0:
        bands = source.read(Window(0, 0, 0, 0)).shape[-1]
        return np.zeros((height, width, bands), np.float32), np.zeros((height, width), bool)
    bytes_read = part.width * part.height * 4 * getattr(source, "band_count", 1)
    if bytes_read > PART_BYTES and height * width > 1:
        return _joined(lambda half: _along_axes(source, axes, half, resampling), window)
    image, valid = _tile_of(source, part)
    counted = valid[..., None].astype(np.float32)
    total = _weighted(rows.of_values, columns.of_values, image)
    weight = _weighted(rows.of_values, columns.of_values, counted)
    share = _weighted(rows.of_area, columns.of_area, counted)[..., 0]
    valid_mask = (share >= MIN_VALID_SHARE - SAME_PLACE) & (weight[..., 0] > 0)
    values = np.divide(total, weight, out=np.zeros_like(total), where=valid_mask[..., None])
    return values.astype(np.float32), valid_mask


def _weighted(rows: csr_array, columns: csr_array, image: np.ndarray) -> np.ndarray:
    """Return [h, w, C] from [H', W', C]: rows, then columns."""
    source_height, source_width, bands = image.shape
    down = rows.astype(image.dtype) @ image.reshape(source_height, -1)
    across = np.moveaxis(down.reshape(-1, source_width, bands), 1, 0)
    sums = columns.astype(image.dtype) @ np.ascontiguousarray(across).reshape(source_width, -1)
    return np.moveaxis(sums.reshape(columns.shape[0], -1, bands), 0, 1)


def _axis_weights(
    scale: float, offset: float, *, start: int, count: int, source_size: int, kind: str
) -> _AxisWeights:
    edges = np.stack([scale * (start + np.arange(count) + end) + offset for end in (0, 1)])
    low, high = edges.min(axis=0), edges.max(axis=0)
    area = _area_weights(low, high)
    if kind == "nearest":
        values = area = _nearest_weights((low + high) / 2)
    elif abs(scale) > 1 + SAME_PLACE:
        values = area
    else:
        values = _linear_weights((low + high) / 2)
    inside = [
        (pixels >= 0) & (pixels < source_size) & (weights > 0) for pixels, weights in (values, area)
    ]
    needed = [pixels[kept] for (pixels, _), kept in zip((values, area), inside)]
    needed = np.concatenate(needed)
    if not needed.size:
        empty = csr_array((count, 0), dtype=np.float64)
        return _AxisWeights(0, 0, empty, empty)
    first, stop = int(needed.min()), int(needed.max()) + 1
    matrices = []
    for (pixels, weights), kept in zip((values, area), inside):
        target = np.broadcast_to(np.arange(count)[:, None], pixels.shape)[kept]
        places = (target, pixels[kept] - first)
        matrices.append(csr_array((weights[kept], places), shape=(count, stop - first)))
    return _AxisWeights(first, stop, *matrices)


def _area_weights(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the source pixels [n, k] under each extent, and the share of it that they cover."""
    most = int(np.ceil((high - low).max())) + 1
    pixels = np.floor(low).astype(np.int64)[:, None] + np.arange(most)
    covered = np.minimum(high[:, None], pixels + 1) - np.maximum(low[:, None], pixels)
    weights = np.clip(covered, 0, None) / (high - low)[:, None]
    return pixels, np.where(weights > NO_WEIGHT, weights, 0)


def _linear_weights(centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pixels, fraction = _neighbour(centre)
    return pixels[:, None] + np.arange(2), np.stack([1 - fraction, fraction], axis=1)


def _nearest_weights(centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.floor(centre + SAME_PLACE).astype(np.int64)
    return pixels[:, None], np.ones((len(pixels), 1))


def _neighbour(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixel whose centre is next below, and how far beyond it, of the way to the next.

    Places within the noise of a centre are on it: a grid that is not moved gives exact copies.
    """
    pixels = np.floor(place - 0.5 + NO_WEIGHT)
    fraction = place - 0.5 - pixels
    return pixels.astype(np.int64), np.where(fraction > NO_WEIGHT, fraction, 0.0)


# Any grids: points in every pixel.


def _by_points(source, places: Callable, points: int, window: Window, resampling: str) -> tuple:
    def read(part: Window) -> tuple:
        return _by_points(source, places, points, part, resampling)

    height, width = size_of(window)
    if height * width * points**2 > PART_POINTS and height * width > 1:
        return _joined(read, window)
    columns, rows = (
        (round(start) * points + np.arange(count * points) + 0.5) / points
        for start, count in ((window.col_off, width), (window.row_off, height))
    )
    x, y = places(*np.meshgrid(columns, rows))
    inside = (x >= -1) & (x <= source.width + 1) & (y >= -1) & (y <= source.height + 1)
    if not inside.any():
        bands = source.read(Window(0, 0, 0, 0)).shape[-1]
        return np.zeros((height, width, bands), np.float32), np.zeros((height, width), bool)
    left, top = (math.floor(place[inside].min()) - 1 for place in (x, y))
    right, bottom = (math.ceil(place[inside].max()) + 2 for place in (x, y))
    part = Window(left, top, right - left, bottom - top)
    bytes_read = part.width * part.height * 4 * getattr(source, "band_count", 1)
    if bytes_read > PART_BYTES and height * width > 1:
        return _joined(read, window)
    image, valid = _tile_of(source, part)
    # Points far outside are sent to the part's rim, which `inside` keeps from counting.
    x, y = np.where(inside, x, left + 1.0), np.where(inside, y, top + 1.0)
    hit = inside & valid[_pixel(y) - top, _pixel(x) - left]
    if resampling == "nearest":
        total = image[_pixel(y) - top, _pixel(x) - left] * hit[..., None]
        weight = hit.astype(image.dtype)
    else:
        total, weight = _interpolated(image, valid, x, y, left, top, inside)
    weight, share, total = (_per_pixel(layer, points) for layer in (weight, hit * 1, total))
    valid_mask = (share >= (MIN_VALID_SHARE - SAME_PLACE) * points**2) & (weight > 0)
    values = np.divide(
        total, weight[..., None], out=np.zeros_like(total), where=valid_mask[..., None]
    )
    return values.astype(np.float32), valid_mask


def _per_pixel(layer: np.ndarray, points: int) -> np.ndarray:
    """Sum the points of each pixel, always in one order: NumPy's own follows the window's shape."""
    places = ((i, j) for i in range(points) for j in range(points))
    return functools.reduce(np.add, (layer[i::points, j::points] for i, j in places))


def _pixel(place: np.ndarray) -> np.ndarray:
    return np.floor(place + SAME_PLACE).astype(np.int64)


def _interpolated(
    image: np.ndarray,
    valid: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    left: int,
    top: int,
    inside: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return weighted sums [..., C] of the four nearest usable pixels, and of the weights [...]."""
    (column, right_share), (row, lower_share) = _neighbour(x), _neighbour(y)
    total = np.zeros((*x.shape, image.shape[-1]), image.dtype)
    weight = np.zeros(x.shape, image.dtype)
    for down, row_weight in ((0, 1 - lower_share), (1, lower_share)):
        for across, column_weight in ((0, 1 - right_share), (1, right_share)):
            pixels = (row - top + down, column - left + across)
            part = (row_weight * column_weight * (valid[pixels] & inside)).astype(image.dtype)
            total += part[..., None] * image[pixels]
            weight += part
    return total, weight
