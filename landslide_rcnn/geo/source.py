"""What is read by windows: the face that a scene and its parts have in common.

Between the files and `Scene`: one file (`rasterfile.py`), a mosaic of files (`mosaicking.py`), a
raster on another grid (`resampled.py`) and a scene with companions (`companions.py`) each say how
a window inside them is read; what every window needs is here.

Shape letters: H, W pixels of the source; h, w pixels of a window; C bands.
Units: windows in pixels, bounds in units of the CRS, `pixel_size_m` in metres.
"""

from abc import ABC, abstractmethod
from typing import Protocol, Self

import numpy as np
from affine import Affine
from rasterio.coords import BoundingBox
from rasterio.crs import CRS
from rasterio.windows import Window

from landslide_rcnn.geo.ground import pixel_size_m
from landslide_rcnn.geo.regrid import read_on_grid
from landslide_rcnn.geo.windows import bounds_of, part_inside, size_of
from landslide_rcnn.geo.writing import Grid

OVERVIEW_BLOCK = 256  # pixels of the overview that are made at once


class OnGrid(Protocol):
    """Whatever has a place on the map: a source, a scene, a `Grid`."""

    height: int
    width: int
    crs: CRS | None
    transform: Affine


class Source(ABC):
    """Pixels on a grid, read by windows. Subclasses set the attributes and `_tile_inside`.

    Attributes:
        height: H, pixels.
        width: W, pixels.
        crs: None for pixel coordinates.
        transform: From (column, row) to map coordinates.
        dtype: Of the pixels.
        band_names: One a band.
    """

    height: int
    width: int
    crs: CRS | None
    transform: Affine
    dtype: np.dtype
    band_names: tuple[str, ...]
    _kept: tuple | None = None

    @property
    def band_count(self) -> int:
        """C, of the bands that are read."""
        return len(self.band_names)

    @property
    def window(self) -> Window:
        """The whole of it."""
        return Window(0, 0, self.width, self.height)

    @property
    def grid(self) -> Grid:
        """Where its pixels lie."""
        return Grid(self.height, self.width, self.crs, self.transform)

    @property
    def bounds(self) -> BoundingBox:
        """(left, bottom, right, top), map coordinates."""
        return bounds_of(self.window, self.transform)

    @property
    def pixel_size_m(self) -> float | None:
        """Mean ground size of a pixel at the centre, metres; None without CRS."""
        return pixel_size_m(self.crs, self.transform, self.height, self.width)

    def read(self, window: Window) -> np.ndarray:
        """Read a window as [h, w, C] in the source's dtype.

        Args:
            window: May reach beyond the source, where the result is 0.

        Raises:
            RasterError: A file is damaged there.
        """
        part = part_inside(window, self.height, self.width)
        image = np.zeros((*size_of(window), self.band_count), self.dtype)
        if not part.is_empty:
            image[part.target] = self._image_inside(part.window)
        return image

    def read_valid(self, window: Window) -> np.ndarray:
        """Read which pixels of a window are usable, as [h, w] bool; none is beyond the source.

        Raises:
            RasterError: A file is damaged there.
        """
        part = part_inside(window, self.height, self.width)
        valid_mask = np.zeros(size_of(window), bool)
        if not part.is_empty:
            valid_mask[part.target] = self._valid_inside(part.window)
        return valid_mask

    def read_tile(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read a window's pixels and which are usable in one pass; see `read`, `read_valid`.

        Returns:
            image: [h, w, C] in the source's dtype.
            valid_mask: [h, w] bool.

        Raises:
            RasterError: A file is damaged there.
        """
        part = part_inside(window, self.height, self.width)
        image = np.zeros((*size_of(window), self.band_count), self.dtype)
        valid_mask = np.zeros(size_of(window), bool)
        if not part.is_empty:
            image[part.target], valid_mask[part.target] = self._tile_inside(part.window)
        return image, valid_mask

    def any_valid(self, window: Window) -> bool:
        """Return whether a window has a usable pixel."""
        return bool(self.read_valid(window).any())

    def overview(self, max_size: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Read the whole at a smaller size, to look at.

        Args:
            max_size: Of the longer side, pixels. A smaller source is not enlarged.

        Returns:
            image: [h, w, C] in the source's dtype, averaged over the usable pixels left out.
            valid_mask: [h, w] bool.
            factor: Pixels of the source per pixel of the overview, at least 1.
        """
        height, width, factor = overview_size(self.height, self.width, max_size)
        scale = Affine.scale(self.width / width, self.height / height)
        grid = Grid(height, width, self.crs, self.transform * scale)
        image = np.zeros((height, width, self.band_count), self.dtype)
        valid_mask = np.zeros((height, width), bool)
        for row in range(0, height, OVERVIEW_BLOCK):
            for column in range(0, width, OVERVIEW_BLOCK):
                block = Window(column, row, OVERVIEW_BLOCK, OVERVIEW_BLOCK)
                part = part_inside(block, height, width)
                values, valid = read_on_grid(self, grid, part.window, "smooth")
                image[part.rows, part.columns] = as_dtype(values, self.dtype)
                valid_mask[part.rows, part.columns] = valid
        return image, valid_mask, factor

    def close(self) -> None:  # noqa: B027  not every source has files of its own
        """Close the files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def _tile_inside(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return [h, w, C] and [h, w] bool for a window inside the source."""

    def _image_inside(self, window: Window) -> np.ndarray:
        return self._last_tile(window)[0]

    def _valid_inside(self, window: Window) -> np.ndarray:
        return self._last_tile(window)[1]

    def _last_tile(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return a tile; kept for the next call, since `read_valid` and `read` come in pairs."""
        if self._kept is None or self._kept[0] != window:
            self._kept = (window, self._tile_inside(window))
        return self._kept[1]


def overview_size(height: int, width: int, max_size: int) -> tuple[int, int, float]:
    """Return the height and width of an overview, and pixels of the source per pixel of it."""
    factor = max(max(height, width) / max_size, 1.0)
    return max(round(height / factor), 1), max(round(width / factor), 1), factor


def as_dtype(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return values in a dtype: rounded and limited to its range where it is an integer."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    # float64 holds every limit up to 32 bits exactly; float32 would round them up.
    return np.clip(np.rint(values.astype(np.float64)), limits.min, limits.max).astype(dtype)
