"""A DEM -> slope, aspect and curvature, on its own grid and on a scene's.

`derivatives` is the mathematics, on arrays. `TerrainLayers` reads any of its layers by windows,
with the pixel around a window that the 3 x 3 neighbourhood needs, so that windows and the whole
raster are equal. `Terrain` brings elevation, slope and direction of fall onto a scene's grid:
they are computed where the DEM's own pixels are, since a DEM that is resampled first shows steps.

The direction of fall goes from grid to grid as a unit vector, (0, 0) on flat ground: degrees would
average 359 and 1 to 180.

Shape letters: H, W pixels of an array; h, w pixels of a window.
Units: elevations and steps in metres, slopes and aspects in degrees, curvatures in 1 / m.
Source: Horn 1981, "Hill shading and the reflectance map" (slope, aspect); Zevenbergen and Thorne
1987, "Quantitative analysis of land surface topography" (curvatures).
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rasterio.windows import Window

from landslide_rcnn.errors import GeoReferenceError, RasterError
from landslide_rcnn.geo.measure import Ruler
from landslide_rcnn.geo.opening import given_as
from landslide_rcnn.geo.rasterfile import open_file
from landslide_rcnn.geo.regrid import read_on_grid
from landslide_rcnn.geo.source import OnGrid, Source
from landslide_rcnn.geo.windows import size_of

# The weights of Horn's differences: a pixel's own row or column counts twice.
HORN = np.array([1.0, 2.0, 1.0]) / 4


def gradient(elevation: np.ndarray, steps_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rise towards east and towards north of an elevation with its rim.

    Args:
        elevation: [H + 2, W + 2], metres; NaN = unknown.
        steps_m: [H, 2, 2] or [2, 2]: metres (east, north) of one step along (a row, a column).

    Returns:
        Two [H, W] float64, metres per metre; NaN where the pixel itself is unknown.

    An unknown neighbour is taken as the continuation of the line through the pixel and the
    neighbour opposite; where both are unknown, a side has the pixel's own height and a corner
    lies in the plane of its two sides. So a plane is a plane up to the border.
    Source: Horn 1981.
    """
    around = _neighbours(elevation)
    along_row = sum(w * (around[i, 2] - around[i, 0]) for i, w in enumerate(HORN)) / 2
    along_column = sum(w * (around[2, j] - around[0, j]) for j, w in enumerate(HORN)) / 2
    return _to_ground(along_row, along_column, steps_m)


def slope_deg(elevation: np.ndarray, steps_m: np.ndarray) -> np.ndarray:
    """Return the slope [H, W], 0 to 90 degrees; see `gradient`."""
    return np.degrees(np.arctan(np.hypot(*gradient(elevation, steps_m))))


def fall(elevation: np.ndarray, steps_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit vector (east, north) of steepest descent, two [H, W]; see `gradient`."""
    east, north = gradient(elevation, steps_m)
    steepness = np.hypot(east, north)
    flat = steepness == 0
    divisor = np.where(flat, 1, steepness)
    return -east / divisor, -north / divisor


def aspect_deg(elevation: np.ndarray, steps_m: np.ndarray) -> np.ndarray:
    """Return where the ground falls to, [H, W], clockwise from north, [0, 360); NaN where flat."""
    east, north = fall(elevation, steps_m)
    return np.where(np.hypot(east, north) > 0, np.degrees(np.arctan2(east, north)) % 360, np.nan)


def curvatures(elevation: np.ndarray, steps_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return profile and plan curvature, two [H, W], 1 / m; 0 on flat ground.

    Profile: along the fall, positive where the ground steepens downhill (a dome). Plan: across
    it, positive where slopes converge (a hollow), negative where they spread (a dome).

    Args:
        elevation, steps_m: See `gradient`.

    Source: Zevenbergen and Thorne 1987: -2 (D G2 + E H2 + F G H) / (G2 + H2) and
    2 (D H2 + E G2 - F G H) / (G2 + H2), without their factor of 100.
    """
    around = _neighbours(elevation)
    centre = around[1, 1]
    p, q = _to_ground((around[1, 2] - around[1, 0]) / 2, (around[2, 1] - around[0, 1]) / 2, steps_m)
    xx = around[1, 2] - 2 * centre + around[1, 0]
    yy = around[2, 1] - 2 * centre + around[0, 1]
    xy = (around[2, 2] - around[2, 0] - around[0, 2] + around[0, 0]) / 4
    # Second derivatives turn with the grid like the first, once for each index.
    to_ground = np.linalg.inv(_per_row(steps_m))
    hessian = np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -2)
    hessian = to_ground @ hessian @ np.swapaxes(to_ground, -1, -2)
    r, s, t = hessian[..., 0, 0], hessian[..., 0, 1], hessian[..., 1, 1]
    steep2 = p**2 + q**2
    flat = steep2 == 0
    divisor = np.where(flat, 1, steep2)
    profile = -(r * p**2 + 2 * s * p * q + t * q**2) / divisor
    plan = (r * q**2 - 2 * s * p * q + t * p**2) / divisor
    return profile, plan


# Name of a layer -> its function. All take (elevation with its rim, steps_m) and give [H, W].
LAYERS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "elevation_m": lambda elevation, steps_m: elevation[1:-1, 1:-1],
    "slope_deg": slope_deg,
    # The aspect is where the ground falls to, clockwise from north.
    "aspect_sin": lambda elevation, steps_m: fall(elevation, steps_m)[0],
    "aspect_cos": lambda elevation, steps_m: fall(elevation, steps_m)[1],
    "profile_curvature": lambda elevation, steps_m: curvatures(elevation, steps_m)[0],
    "plan_curvature": lambda elevation, steps_m: curvatures(elevation, steps_m)[1],
}


class TerrainLayers(Source):
    """Layers of terrain on a DEM's own grid, read by windows.

    Args:
        dem: One band of metres, with a CRS; closed together with this.
        names: Of `LAYERS`, in the order of the bands.

    Raises:
        RasterError: The DEM has several bands.
        GeoReferenceError: It has no CRS: slopes need metres.
    """

    def __init__(self, dem: Source, names: Sequence[str]) -> None:
        if dem.band_count != 1:
            raise RasterError(
                f"A DEM must have one band. Received: {dem} with {dem.band_count}. Choose one."
            )
        if dem.crs is None:
            raise GeoReferenceError(
                f"A DEM must have a CRS, since slopes need metres. Received: {dem}. "
                "Set it (gdal_edit -a_srs)."
            )
        self.height, self.width = dem.height, dem.width
        self.crs, self.transform = dem.crs, dem.transform
        self.dtype = np.dtype(np.float32)
        self.band_names = tuple(names)
        self._dem = dem
        self._ruler = Ruler(dem.crs)

    def close(self) -> None:
        """Close the DEM."""
        self._dem.close()

    def _tile_inside(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        height, width = size_of(window)
        top, left = round(window.row_off), round(window.col_off)
        rim = Window(left - 1, top - 1, width + 2, height + 2)
        valid_mask = self._dem.read_valid(rim)
        elevation = np.where(valid_mask, self._dem.read(rim)[..., 0].astype(float), np.nan)
        steps_m = self._steps_m(top, height)
        layers = [LAYERS[name](elevation, steps_m) for name in self.band_names]
        image = np.stack(layers, axis=-1).astype(np.float32)
        return np.nan_to_num(image, nan=0.0), ~np.isnan(image).any(axis=-1)

    def _steps_m(self, top: int, height: int) -> np.ndarray:
        """Return `steps_m` [height, 2, 2] of the rows from `top`, at the DEM's middle column."""
        rows = top + 0.5 + np.arange(height)
        x, y = self.transform * (np.full(height, self.width / 2), rows)
        scale = self._ruler.metres_per_unit(np.stack([x, y], axis=1))
        steps = np.array(
            [[self.transform.a, self.transform.d], [self.transform.b, self.transform.e]]
        )
        return steps * scale[:, None, :]


class Terrain:
    """A DEM on a scene's grid; a context manager.

    Args:
        dem_path: A raster of metres above the sea, one band, in any CRS.
        grid: The scene, or its grid.

    Attributes:
        height, width: Of the grid, pixels.

    Raises:
        RasterError, GeoReferenceError: The DEM or the grid cannot be used.
    """

    def __init__(self, dem_path: str | Path, grid: OnGrid) -> None:
        if grid.crs is None:
            raise GeoReferenceError(
                "A DEM needs a scene with a CRS. Received: a scene without. Georeference it, or "
                "leave the DEM out."
            )
        self.height, self.width = grid.height, grid.width
        self._grid = grid
        with given_as("DEM"):
            self._dem = open_file(dem_path)
        try:
            self._layers = TerrainLayers(self._dem, ("slope_deg", "aspect_sin", "aspect_cos"))
        except (RasterError, GeoReferenceError):
            self._dem.close()
            raise

    def elevation(self, window: Window) -> np.ndarray:
        """Read elevation [h, w] float32, metres; NaN where it is unknown."""
        return self._read(self._dem, window)[..., 0]

    def read(self, window: Window) -> np.ndarray:
        """Read [h, w, (elevation_m, slope_deg, fall_east, fall_north)] float32; NaN = unknown."""
        layers = (self._read(self._dem, window), self._read(self._layers, window))
        return np.concatenate(layers, axis=-1)

    def _read(self, source: Source, window: Window) -> np.ndarray:
        values, valid_mask = read_on_grid(source, self._grid, window, "smooth")
        values[~valid_mask] = np.nan
        return values

    def close(self) -> None:
        """Close the DEM."""
        self._dem.close()

    def __enter__(self) -> "Terrain":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _neighbours(elevation: np.ndarray) -> np.ndarray:
    """Return [3, 3, H, W]: the neighbourhood of each pixel, without gaps where it is known."""
    height, width = elevation.shape[0] - 2, elevation.shape[1] - 2
    around = np.array(
        [[elevation[i : i + height, j : j + width] for j in range(3)] for i in range(3)], float
    )
    known = ~np.isnan(around)
    if not known.all():
        centre, opposite = around[1, 1], around[::-1, ::-1]
        guess = np.where(known[::-1, ::-1], 2 * centre - opposite, centre)
        around = np.where(known, around, guess)
        for i in (0, 2):
            for j in (0, 2):  # corners of which the opposite is unknown too: the two sides' plane
                unknown = ~known[i, j] & ~known[2 - i, 2 - j]
                around[i, j, unknown] = (around[i, 1] + around[1, j] - centre)[unknown]
        around[:, :, ~known[1, 1]] = np.nan
    return around


def _to_ground(
    along_row: np.ndarray, along_column: np.ndarray, steps_m: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turn rises per step into rises per metre towards east and north."""
    to_ground = np.linalg.inv(_per_row(steps_m))
    east = to_ground[..., 0, 0] * along_row + to_ground[..., 0, 1] * along_column
    north = to_ground[..., 1, 0] * along_row + to_ground[..., 1, 1] * along_column
    return east, north


def _per_row(steps_m: np.ndarray) -> np.ndarray:
    """Return steps as [H or 1, 1, 2, 2], to go with [H, W] pixels."""
    return np.asarray(steps_m, float).reshape(-1, 1, 2, 2)
