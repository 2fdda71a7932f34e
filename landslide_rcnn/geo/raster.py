"""Rasters in: a scene is read window by window.

First step of the way through the package. Only this room opens raster files.

Shape letters: H, W pixels of the scene; h, w pixels of a window; C bands.
Units: windows in pixels of the scene, bounds in units of the CRS, `pixel_size_m` in metres.
CRS: the file's own, never changed or invented.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.coords import BoundingBox
from rasterio.crs import CRS
from rasterio.enums import MaskFlags, Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import array_bounds
from rasterio.windows import Window

from landslide_rcnn.errors import GeoReferenceError, RasterError
from landslide_rcnn.geo.ground import pixel_size_m
from landslide_rcnn.geo.opening import one_line, open_raster
from landslide_rcnn.geo.validity import OutsideMap, colour_bands, needs_outside_map, outside_map
from landslide_rcnn.geo.windows import part_inside, size_of


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
