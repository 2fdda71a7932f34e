"""Rasters in and out: a scene is read, and results are written, window by window.

First and last step of the way through the package. Only this room opens raster files.

Shape letters: H, W pixels of the scene; h, w pixels of a window; C bands.
Units: windows in pixels of the scene, bounds in units of the CRS, `pixel_size_m` in metres.
CRS: the file's own, never changed or invented.
"""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import rasterio
from affine import Affine
from rasterio.coords import BoundingBox
from rasterio.crs import CRS
from rasterio.enums import MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import array_bounds
from rasterio.windows import Window

from landslide_rcnn.errors import GeoReferenceError, RasterError, ShapeError
from landslide_rcnn.files import atomic_path
from landslide_rcnn.geo.ground import pixel_size_m
from landslide_rcnn.geo.opening import one_line, open_raster
from landslide_rcnn.geo.validity import OutsideMap, colour_bands, needs_outside_map, outside_map
from landslide_rcnn.geo.windows import part_inside, size_of

BLOCK_SIZE = 256  # pixels; the side of a block of the rasters that are written
NO_CRS_TAG = {"COORDINATES": "pixels of the scene, which has no CRS"}


class Scene:
    """A raster of any size, open to read; a context manager.

    Nothing is read before a window is asked for. Not thread-safe: each thread opens its own.

    Args:
        path: A local GeoTIFF, JPEG 2000, PNG or JPEG file.
        bands: The bands to read, 1-based, in this order; None = all but alpha.
        allow_no_crs: Take a file without a CRS in pixel coordinates (x right, y down).

    Attributes:
        path: The file.
        height: H, pixels.
        width: W, pixels.
        band_count: C, of the selected bands.
        band_names: Their descriptions in the file, else their colours, else "band 1", ...
        dtype: Of the pixels.
        crs: None for pixel coordinates.
        transform: From (column, row) to map coordinates; the identity where the file has none.
        bounds: (left, bottom, right, top), map coordinates.
        pixel_size_m: Mean ground size of a pixel at the scene's centre, metres; None without CRS.

    Raises:
        RasterError: The file is missing, not local, not a raster, or lacks a selected band.
        GeoReferenceError: It has no CRS (or no transform) and `allow_no_crs` is False.
    """

    def __init__(
        self, path: str | Path, *, bands: Sequence[int] | None = None, allow_no_crs: bool = False
    ) -> None:
        self.path = Path(path)
        with contextlib.ExitStack() as until_checked:
            self._dataset = until_checked.enter_context(open_raster(path))
            self._bands = _selected_bands(self._dataset, bands, self.path)
            self.crs, self.transform = _georeference(self._dataset, self.path, allow_no_crs)
            until_checked.pop_all()
        self.height, self.width = self._dataset.height, self._dataset.width
        self.band_count = len(self._bands)
        self.band_names = tuple(_band_name(self._dataset, band) for band in self._bands)
        self.dtype = np.result_type(*(self._dataset.dtypes[band - 1] for band in self._bands))
        self.bounds = BoundingBox(*array_bounds(self.height, self.width, self.transform))
        self.pixel_size_m = pixel_size_m(self.crs, self.transform, self.height, self.width)
        self._has_mask = any(
            MaskFlags.all_valid not in flags for flags in self._dataset.mask_flag_enums
        )
        self._outside: OutsideMap | None = None

    @property
    def window(self) -> Window:
        """The whole scene."""
        return Window(0, 0, self.width, self.height)

    def read(self, window: Window) -> np.ndarray:
        """Read a window as [h, w, C] in the scene's dtype.

        Args:
            window: May reach beyond the scene, where the result is 0.

        Raises:
            RasterError: The file is damaged there.
        """
        image = np.zeros((*size_of(window), self.band_count), self.dtype)
        part = part_inside(window, self.height, self.width)
        if not part.is_empty:
            with self._named_errors(part.window):
                bands = self._dataset.read(self._bands, window=part.window)
            image[part.target] = np.moveaxis(bands, 0, -1)
        return image

    def read_valid(self, window: Window) -> np.ndarray:
        """Read which pixels of a window are usable, as [h, w] bool.

        A pixel is unusable where the file's nodata tag, alpha or mask band says so, where a
        selected band of a float raster is not finite, beyond the scene, and, in integer imagery
        that says nothing, in the black outside of the survey (`geo/validity.py`).

        Raises:
            RasterError: The file is damaged there.
        """
        valid_mask = np.zeros(size_of(window), bool)
        part = part_inside(window, self.height, self.width)
        if not part.is_empty:
            with self._named_errors(part.window):
                valid_mask[part.target] = self._valid_inside(part.window)
        return valid_mask

    def any_valid(self, window: Window) -> bool:
        """Return whether a window has a usable pixel."""
        return bool(self.read_valid(window).any())

    def overview(self, max_size: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Read the whole scene at a smaller size, to look at.

        Args:
            max_size: Of the longer side, pixels. A smaller scene is not enlarged.

        Returns:
            image: [h, w, C] in the scene's dtype, averaged over the pixels left out.
            valid_mask: [h, w] bool.
            factor: Pixels of the scene per pixel of the overview, at least 1.
        """
        factor = max(max(self.height, self.width) / max_size, 1.0)
        height, width = (max(round(side / factor), 1) for side in (self.height, self.width))
        rows, columns = (
            np.minimum((np.arange(size) + 0.5) * (full / size), full - 1).astype(int)
            for size, full in ((height, self.height), (width, self.width))
        )
        with self._named_errors(self.window):
            bands = self._dataset.read(
                self._bands,
                out_shape=(self.band_count, height, width),
                resampling=Resampling.average if factor > 1 else Resampling.nearest,
            )
            valid_mask = np.stack(
                [self._valid_inside(Window(0, row, self.width, 1))[0, columns] for row in rows]
            )
        return np.moveaxis(bands, 0, -1).astype(self.dtype), valid_mask, factor

    def close(self) -> None:
        """Close the file."""
        self._dataset.close()

    def __enter__(self) -> "Scene":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        crs = "no CRS" if self.crs is None else self.crs.to_string()
        return (
            f"Scene({self.path}, {self.height} x {self.width} px, {self.band_count} bands, {crs})"
        )

    def _valid_inside(self, window: Window) -> np.ndarray:
        """Return [h, w] bool for a window inside the scene."""
        if self._has_mask:
            valid_mask = self._dataset.dataset_mask(window=window) > 0
        else:
            valid_mask = np.ones(size_of(window), bool)
        if self.dtype.kind == "f":
            bands = self._dataset.read(self._bands, window=window)
            valid_mask &= np.isfinite(bands).all(axis=0)
        elif needs_outside_map(self._dataset):
            if self._outside is None:
                self._outside = outside_map(self.path.resolve())
            valid_mask &= ~self._outside.read(window)
        return valid_mask

    @contextlib.contextmanager
    def _named_errors(self, window: Window) -> Iterator[None]:
        try:
            yield
        except RasterioError as error:
            raise RasterError(
                f"A scene must be readable throughout. Received: {self.path}, damaged at row "
                f"{window.row_off}, column {window.col_off} ({one_line(error)}). Replace the file."
            ) from error


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
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.height, self.width, self.count = like.height, like.width, count
        self.dtype = np.dtype(dtype)
        no_crs_tag = NO_CRS_TAG if like.crs is None else {}
        self._tags = {**no_crs_tag, **{name: str(value) for name, value in (tags or {}).items()}}
        self._colormap, self._descriptions = colormap, descriptions
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
            "blockysize": BLOCK_SIZE,
            "compress": "deflate",
            "BIGTIFF": "IF_SAFER",
        }

    def __enter__(self) -> "RasterWriter":
        with contextlib.ExitStack() as opened, self._named_errors():
            partial = opened.enter_context(atomic_path(self.path))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                dataset = opened.enter_context(rasterio.open(partial, "w", **self._profile))
            if self._descriptions is not None:
                dataset.descriptions = tuple(self._descriptions)
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


def _selected_bands(dataset: DatasetReader, bands: Sequence[int] | None, path: Path) -> list[int]:
    """Return 1-based band indexes, checked; all but alpha for None."""
    if bands is None:
        selected = colour_bands(dataset) or list(dataset.indexes)
    else:
        selected = [int(band) for band in bands]
        if not selected or not set(selected) <= set(dataset.indexes):
            raise RasterError(
                f"Bands are numbered from 1 to the count in the file, {dataset.count}. "
                f"Received: bands={selected} for {path}. Choose among them."
            )
    if any(np.dtype(dataset.dtypes[band - 1]).kind not in "uif" for band in selected):
        raise RasterError(
            f"A scene must hold integers or real numbers. Received: {path} with "
            f"{dataset.dtypes[0]}. Convert it, e.g. to its amplitude."
        )
    return selected


def _georeference(
    dataset: DatasetReader, path: Path, allow_no_crs: bool
) -> tuple[CRS | None, Affine]:
    """Return CRS and transform; no CRS where the file lacks one of the two."""
    missing = [
        name
        for name, is_missing in (
            ("CRS", dataset.crs is None),
            ("transform", dataset.transform == Affine.identity()),
        )
        if is_missing
    ]
    if not missing:
        return dataset.crs, dataset.transform
    if not allow_no_crs:
        raise GeoReferenceError(
            f"A scene must have a CRS and a transform. Received: {path} without "
            f"{' and '.join(missing)}. Georeference it (gdal_edit -a_srs), or use --no-crs "
            "(allow_no_crs=True) to work in pixel coordinates."
        )
    return None, dataset.transform


def _band_name(dataset: DatasetReader, band: int) -> str:
    """Return a band's description, else its colour, else its number."""
    colour = dataset.colorinterp[band - 1].name
    is_named = colour not in ("undefined", "gray")
    return dataset.descriptions[band - 1] or (colour if is_named else f"band {band}")
