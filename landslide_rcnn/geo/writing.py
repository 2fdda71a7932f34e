"""Rasters out: results are written window by window.

Last step but one of the way through the package, for what lies on a scene's grid; `cog.py`
turns what is written here into Cloud Optimized GeoTIFFs.

Shape letters: H, W pixels of the raster; h, w pixels of a window; C bands.
CRS: of the scene that the result is for, never changed or invented.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from landslide_rcnn.errors import RasterError, ShapeError
from landslide_rcnn.files import atomic_path
from landslide_rcnn.geo.opening import one_line
from landslide_rcnn.geo.windows import part_inside, size_of

if TYPE_CHECKING:
    from landslide_rcnn.geo.raster import Scene

BLOCK_SIZE = 256  # pixels; the side of a block of the rasters that are written, as a rule
NO_CRS_TAG = {"COORDINATES": "pixels of the scene, which has no CRS"}


class Grid(NamedTuple):
    """Where the pixels of a raster lie, for results that come from no scene.

    Attributes:
        height, width: Pixels.
        crs: Of the map; None for pixel coordinates.
        transform: From (column, row) to map coordinates.
    """

    height: int
    width: int
    crs: CRS | None
    transform: Affine

    @property
    def window(self) -> Window:
        """The whole raster."""
        return Window(0, 0, self.width, self.height)


def write_tile(
    path: str | Path,
    image: np.ndarray,
    valid_mask: np.ndarray,
    grid: Grid,
    band_names: Sequence[str],
) -> None:
    """Write a small image as a GeoTIFF of its own, with its mask of usable pixels; atomically.

    Args:
        path: The final file.
        image: [H, W, C], of a dtype that GeoTIFF has.
        valid_mask: [H, W] bool.
        grid: Where its pixels lie.
        band_names: One a band.

    Raises:
        RasterError: The file cannot be written.
    """
    is_rgb = [name.lower() for name in band_names] == ["red", "green", "blue"]
    profile = {
        "driver": "GTiff",
        "height": grid.height,
        "width": grid.width,
        "count": image.shape[-1],
        "dtype": image.dtype.name,
        "crs": grid.crs,
        "transform": grid.transform,
        "compress": "deflate",
        # Else GDAL takes the last of four bands of bytes for an alpha channel.
        "photometric": "RGB" if is_rgb else "MINISBLACK",
        "ALPHA": "NO",
    }
    try:
        # The mask is in the file, so that no tile can lose its own.
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), atomic_path(path) as partial:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with rasterio.open(partial, "w", **profile) as dataset:
                    dataset.write(np.moveaxis(image, -1, 0))
                    dataset.write_mask(valid_mask)
                    dataset.descriptions = tuple(band_names)
                    if grid.crs is None:
                        dataset.update_tags(**NO_CRS_TAG)
    except RasterioError as error:
        raise RasterError(
            f"A tile must be writable. Received: {path} ({one_line(error)}). Check the folder's "
            "permissions and the free space."
        ) from error


class RasterWriter:
    """Writes a GeoTIFF on a scene's grid, window by window; a context manager.

    Tiled, deflate-compressed, BigTIFF where the size may need it. The file appears at its path
    only when the block ends without an error.

    Args:
        path: The final file.
        like: The scene (or grid) whose size, CRS and transform the result has.
        dtype: Of the pixels, a NumPy name.
        count: Bands.
        nodata: The value of unusable pixels; also what unwritten pixels hold.
        colormap: {value: (red, green, blue, alpha)}, 0 to 255, for one band of uint8.
        descriptions: A name for each band.
        block_rows: Height of a block, a multiple of 16: what is written at once should be whole
            blocks.
        scale: What readers multiply all bands' values by; None = they are what they are.
        unit: Of the scaled values of all bands.
        tags: Metadata of the file.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        like: Scene | Grid,
        dtype: str,
        count: int = 1,
        nodata: float | None = None,
        colormap: Mapping[int, tuple[int, int, int, int]] | None = None,
        descriptions: Sequence[str] | None = None,
        block_rows: int = BLOCK_SIZE,
        scale: float | None = None,
        unit: str | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.height, self.width, self.count = like.height, like.width, count
        self.dtype = np.dtype(dtype)
        no_crs_tag = NO_CRS_TAG if like.crs is None else {}
        self._tags = {**no_crs_tag, **{name: str(value) for name, value in (tags or {}).items()}}
        self._colormap, self._descriptions = colormap, descriptions
        self._scale, self._unit = scale, unit
        self._profile = {
            "driver": "GTiff",
            "height": like.height,
            "width": like.width,
            "count": count,
            "dtype": self.dtype.name,
            "crs": like.crs,
            "transform": like.transform,
            "nodata": nodata,
            "tiled": True,
            "blockxsize": BLOCK_SIZE,
            "blockysize": block_rows,
            "compress": "deflate",
            "BIGTIFF": "IF_SAFER",
        }

    def __enter__(self) -> RasterWriter:
        with contextlib.ExitStack() as opened, self._named_errors():
            partial = opened.enter_context(atomic_path(self.path))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                dataset = opened.enter_context(rasterio.open(partial, "w", **self._profile))
            if self._descriptions is not None:
                dataset.descriptions = tuple(self._descriptions)
            if self._scale is not None:
                dataset.scales = (self._scale,) * self.count
            if self._unit is not None:
                dataset.units = (self._unit,) * self.count
            if self._colormap is not None:
                dataset.write_colormap(1, dict(self._colormap))
            if self._tags:
                dataset.update_tags(**self._tags)
            self._dataset = dataset
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._named_errors():
            self._opened.__exit__(error_type, error, traceback)

    def write(self, array: np.ndarray, window: Window) -> None:
        """Write a window; the part of it beyond the scene is cut off.

        Args:
            array: [h, w] (one band) or [h, w, C], of the window's size, of a dtype that fits.
            window: In pixels of the scene.

        Raises:
            ShapeError: The array's size or dtype does not fit.
            RasterError: The file cannot be written.
        """
        bands = array[..., None] if array.ndim == 2 else array
        if bands.shape != (*size_of(window), self.count) or not np.can_cast(
            bands.dtype, self.dtype, "same_kind"
        ):
            height, width = size_of(window)
            raise ShapeError(
                f"What is written must be [{height}, {width}, {self.count}] and fit into "
                f"{self.dtype}. Received: {list(array.shape)}, {array.dtype}. Convert it first."
            )
        part = part_inside(window, self.height, self.width)
        if part.is_empty:
            return
        with self._named_errors():
            self._dataset.write(
                np.moveaxis(bands[part.target], -1, 0).astype(self.dtype), window=part.window
            )

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except RasterioError as error:
            raise RasterError(
                f"A result must be writable. Received: {self.path} ({one_line(error)}). "
                "Check the folder's permissions and the free space."
            ) from error
