"""A source on another grid: of a given ground resolution, or of another raster.

Between one file or a mosaic and `Scene`; the pixels are moved by `regrid.py`.
"""

import math

import numpy as np
from affine import Affine
from rasterio.windows import Window

from landslide_rcnn.errors import ConfigError, GeoReferenceError
from landslide_rcnn.geo.regrid import SAME_PLACE, read_on_grid
from landslide_rcnn.geo.source import OnGrid, Source, as_dtype
from landslide_rcnn.geo.writing import Grid

MAX_FINER = 64  # than the scene; more is a slip of the unit, and fills memory and disk


class Resampled(Source):
    """A source, read as if its pixels lay on another grid.

    Args:
        source: Closed together with this.
        grid: The other grid.
        resampling: See `read_on_grid`.
        dtype: Of the pixels; None = the source's.
    """

    def __init__(
        self,
        source: Source,
        grid: OnGrid,
        resampling: str = "smooth",
        dtype: np.dtype | type | None = None,
    ) -> None:
        self.source, self._resampling = source, resampling
        self.height, self.width = grid.height, grid.width
        self.crs, self.transform = grid.crs, grid.transform
        self.dtype = source.dtype if dtype is None else np.dtype(dtype)
        self.band_names = source.band_names

    def close(self) -> None:
        """Close the source."""
        self.source.close()

    def _tile_inside(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        values, valid_mask = read_on_grid(self.source, self.grid, window, self._resampling)
        return as_dtype(values, self.dtype), valid_mask


def grid_of_resolution(source: OnGrid, resolution_m: float, pixel_size_m: float | None) -> Grid:
    """Return a source's grid with pixels of another ground size, from the same first corner.

    Args:
        source: Of which CRS, orientation and corner are kept.
        resolution_m: The mean ground size of a pixel, metres.
        pixel_size_m: The source's own.

    Raises:
        ConfigError: The resolution is not positive, or far from the source's.
        GeoReferenceError: The source has no unit of length.
    """
    if not 0 < resolution_m < math.inf:
        raise ConfigError(
            "A resolution must be positive, in metres. "
            f"Received: resolution_m={resolution_m}. Use the model's, e.g. 0.8."
        )
    if pixel_size_m is None:
        raise GeoReferenceError(
            "A scene must have a CRS to be read at a resolution in metres. Received: "
            f"resolution_m={resolution_m} for a scene in pixel coordinates. Give its CRS "
            "(crs=...), or leave the resolution out."
        )
    scale = resolution_m / pixel_size_m
    coarsest = max(source.height, source.width)
    if not 1 / MAX_FINER <= scale <= coarsest:
        raise ConfigError(
            f"A resolution must be at most {MAX_FINER} times finer than the scene, and leave it "
            f"more than a pixel. Received: resolution_m={resolution_m}, for pixels of "
            f"{pixel_size_m:.3g} m. Use the model's, in metres."
        )
    height, width = (
        max(math.ceil(side / scale - SAME_PLACE), 1) for side in (source.height, source.width)
    )
    return Grid(height, width, source.crs, source.transform * Affine.scale(scale))
