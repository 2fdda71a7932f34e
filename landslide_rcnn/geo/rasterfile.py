"""One raster file, read by windows: its bands, which of its pixels are usable, where they lie.

The only place that reads pixels from files, besides `validity.py`'s search for black borders.

Shape letters: H, W pixels of the file; h, w pixels of a window; C bands.
CRS: the file's own, or the one that is given to a file without.
"""

import contextlib
import datetime
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rasterio.crs import CRS
from rasterio.enums import MaskFlags, Resampling
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landslide_rcnn.errors import RasterError
from landslide_rcnn.geo.georeference import find_place, grid_around
from landslide_rcnn.geo.opening import LOCAL, Access, named_damage, open_raster, read_bands
from landslide_rcnn.geo.resampled import Resampled
from landslide_rcnn.geo.source import Source, overview_size
from landslide_rcnn.geo.validity import OutsideMap, colour_bands, needs_outside_map, outside_map
from landslide_rcnn.geo.windows import size_of
from landslide_rcnn.geo.writing import Grid

# Where files say when their image was taken, the surest first: (domain of tags, tag).
DATE_TAGS = (
    ("IMAGERY", "ACQUISITIONDATETIME"),
    (None, "EXIF_DateTimeOriginal"),
    (None, "ACQUISITION_DATE"),
    (None, "TIFFTAG_DATETIME"),
    (None, "EXIF_DateTime"),
)


class RasterFile(Source):
    """A raster file, open to read.

    Args:
        path: The file.
        bands: The bands to read, 1-based, in this order; None = all but alpha.
        allow_no_crs: Take a file without a CRS in pixel coordinates.
        crs: Of a file that says none.
        access: What else may be opened than a local file.

    Attributes:
        acquired: The date of the image, None where the file does not say.
        pixels_of: Only where control points bend the file; see `georeference.Place`.

    Raises:
        RasterError: The file cannot be opened, or lacks a selected band.
        GeoReferenceError: It has no place on the map.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        bands: Sequence[int] | None = None,
        allow_no_crs: bool = False,
        crs: CRS | str | int | None = None,
        access: Access = LOCAL,
    ) -> None:
        self.path, self._access = path, access
        with contextlib.ExitStack() as until_checked:
            # Not entered: it would bring GDAL settings of this thread, and no other could close it.
            self._dataset = open_raster(path, access)
            until_checked.callback(self._dataset.close)
            self._bands = _selected_bands(self._dataset, bands, path)
            place = find_place(self._dataset, path, crs, allow_no_crs)
            until_checked.pop_all()
        self.crs, self.transform = place.crs, place.transform
        if place.pixels_of is not None:
            self.pixels_of = place.pixels_of
        self.height, self.width = self._dataset.height, self._dataset.width
        self.band_names = tuple(_band_name(self._dataset, band) for band in self._bands)
        self.dtype = np.result_type(*(self._dataset.dtypes[band - 1] for band in self._bands))
        self.acquired = _acquired(self._dataset)
        flags = [self._dataset.mask_flag_enums[band - 1] for band in self._bands]
        self._has_mask = any(
            MaskFlags.all_valid not in flags for flags in self._dataset.mask_flag_enums
        )
        # In unsigned imagery one band at the nodata value is a colour. In measured values (signed
        # or real numbers) it is a hole, as NaN is.
        self._is_hole_by_band = self.dtype.kind in "if" and any(
            MaskFlags.nodata in flag for flag in flags
        )
        self._needs_outside = needs_outside_map(self._dataset)
        self._outside: OutsideMap | None = None

    def overview(self, max_size: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Read the whole file at a smaller size; from its own overviews where it has some."""
        height, width, factor = overview_size(self.height, self.width, max_size)
        rows, columns = (
            np.minimum((np.arange(size) + 0.5) * (full / size), full - 1).astype(int)
            for size, full in ((height, self.height), (width, self.width))
        )
        bands = read_bands(
            self._dataset,
            self._bands,
            self.window,
            self.path,
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

    def _tile_inside(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        bands = read_bands(self._dataset, self._bands, window, self.path)
        return _bands_last(bands), self._valid_of(window, bands)

    def _image_inside(self, window: Window) -> np.ndarray:
        return _bands_last(read_bands(self._dataset, self._bands, window, self.path))

    def _valid_inside(self, window: Window) -> np.ndarray:
        return self._valid_of(window, None)

    def _valid_of(self, window: Window, bands: np.ndarray | None) -> np.ndarray:
        """Return [h, w] bool for a window inside the file; `bands` [C, h, w] where it is read."""
        valid_mask = np.ones(size_of(window), bool)
        with named_damage(self.path, window):
            if self._is_hole_by_band:
                valid_mask = self._dataset.read_masks(self._bands, window=window).all(axis=0)
            elif self._has_mask:
                valid_mask = self._dataset.dataset_mask(window=window) > 0
        if self.dtype.kind == "f":
            if bands is None:
                bands = read_bands(self._dataset, self._bands, window, self.path)
            valid_mask &= np.isfinite(bands).all(axis=0)
        elif self._needs_outside:
            if self._outside is None:
                self._outside = outside_map(self.path, self._access)
            valid_mask &= ~self._outside.read(window)
        return valid_mask


def open_file(path: str | Path, **options) -> Source:
    """Open a raster file; one that control points bend is warped while it is read.

    Args:
        path: The file.
        options: See `RasterFile`.
    """
    file = RasterFile(path, **options)
    if not hasattr(file, "pixels_of"):
        return file
    height, width, transform = grid_around(file, file.pixels_of)
    warped = Resampled(file, Grid(height, width, file.crs, transform))
    warped.acquired = file.acquired
    return warped


def _bands_last(bands: np.ndarray) -> np.ndarray:
    """Return [h, w, C] from [C, h, w]; six times as fast as copying a transposed view."""
    image = np.empty((*bands.shape[1:], bands.shape[0]), bands.dtype)
    for band, pixels in enumerate(bands):
        image[..., band] = pixels
    return image


def _selected_bands(
    dataset: DatasetReader, bands: Sequence[int] | None, path: str | Path
) -> list[int]:
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


def _band_name(dataset: DatasetReader, band: int) -> str:
    """Return a band's description, else its colour, else its number."""
    colour = dataset.colorinterp[band - 1].name
    is_named = colour not in ("undefined", "gray")
    return dataset.descriptions[band - 1] or (colour if is_named else f"band {band}")


def _acquired(dataset: DatasetReader) -> datetime.date | None:
    """Return the date that a file's tags say, the surest first."""
    for domain, tag in DATE_TAGS:
        said = dataset.tags(ns=domain).get(tag, "")
        numbers = re.match(r"\s*(\d{4})\D?(\d{2})\D?(\d{2})(?!\d)", said)
        if numbers:
            with contextlib.suppress(ValueError):  # cameras without a clock write 0000:00:00
                return datetime.date(*(int(number) for number in numbers.groups()))
    return None
