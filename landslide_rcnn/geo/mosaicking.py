"""Several files of one scene as one source, without copying any of them.

The first file's grid goes on over all of them. A file whose pixels lie on it, moved by whole
pixels, is read exactly; any other is put on it window by window. Where files overlap, the first
one that is usable wins.

Shape letters: h, w pixels of a window; C bands; F files.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.windows import Window

from landslide_rcnn.errors import GeoReferenceError, RasterError
from landslide_rcnn.geo.regrid import places_on
from landslide_rcnn.geo.resampled import Resampled
from landslide_rcnn.geo.source import Source
from landslide_rcnn.geo.windows import part_inside, size_of

OPEN_FILES = 16
ON_GRID_PX = 1e-3  # so near a whole pixel, an offset is the rounding of a file's header
OUTLINE_POINTS = 33  # along each side, where grids are not parallel


class Mosaic(Source):
    """Files of one scene, read as one.

    Args:
        paths: The files.
        open_one: Opens one of them.

    Attributes:
        acquired: The first file's date.

    Raises:
        RasterError: The files' bands or dtypes differ.
        GeoReferenceError: A file has no place on the map of the first.
    """

    def __init__(
        self, paths: Sequence[str | Path], open_one: Callable[[str | Path], Source]
    ) -> None:
        self._paths, self._open_one = list(paths), open_one
        self._open: OrderedDict[int, Source] = OrderedDict()
        with open_one(self._paths[0]) as first:
            self.crs, self.dtype, self.band_names = first.crs, first.dtype, first.band_names
            self.acquired = first.acquired
            boxes, exact = zip(*(self._place(path, first) for path in self._paths))
        boxes = np.array(boxes)
        left, top = boxes[:, :2].min(axis=0)
        self._boxes = boxes - (left, top, left, top)
        self._is_exact = list(exact)
        self.width, self.height = (int(side) for side in self._boxes[:, 2:].max(axis=0))
        self.transform = first.transform * Affine.translation(int(left), int(top))

    def close(self) -> None:
        """Close the files."""
        while self._open:
            self._open.popitem()[1].close()

    def _place(self, path: str | Path, first: Source) -> tuple[tuple[int, ...], bool]:
        """Return a file's box (left, top, right, bottom) in pixels of the first; if it is exact."""
        with self._open_one(path) as file:
            self._check_alike(path, file)
            try:
                x, y = places_on(first, file)(*_outline(file))
            except GeoReferenceError as error:
                raise GeoReferenceError(f"{error} The rasters are of one scene: {path}.") from error
            if not (np.isfinite(x) & np.isfinite(y)).all():
                raise GeoReferenceError(
                    "The files of a scene must lie in one part of the world. Received: "
                    f"{path}, which the CRS of {self._paths[0]} cannot show. Reproject it."
                )
            columns, rows = _outline(file)
            left, top = round(float(x[0] - columns[0])), round(float(y[0] - rows[0]))
            if max(np.abs(x - columns - left).max(), np.abs(y - rows - top).max()) < ON_GRID_PX:
                return (left, top, left + file.width, top + file.height), True
            near = (
                math.floor(x.min()),
                math.floor(y.min()),
                math.ceil(x.max()),
                math.ceil(y.max()),
            )
            return near, False

    def _check_alike(self, path: str | Path, file: Source) -> None:
        if file.band_names != self.band_names or file.dtype != self.dtype:
            raise RasterError(
                f"The files of a scene must have the same bands and dtype. Received: "
                f"{self._paths[0]} with {', '.join(self.band_names)} in {self.dtype}, and {path} "
                f"with {', '.join(file.band_names)} in {file.dtype}. Convert one of them."
            )
        if self.crs is None:
            raise GeoReferenceError(
                "The files of a scene must have a CRS and a transform, which say how they lie "
                f"together. Received: {path} without. Georeference it, or give its CRS."
            )

    def _file(self, index: int) -> Source:
        """Return an open file; the longest unused one is closed where there are too many."""
        if index not in self._open:
            if len(self._open) >= OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            file = self._open_one(self._paths[index])
            if not self._is_exact[index]:
                file = Resampled(file, self.grid)
            self._open[index] = file
        self._open.move_to_end(index)
        return self._open[index]

    def _tile_inside(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        image = np.zeros((*size_of(window), self.band_count), self.dtype)
        valid_mask = np.zeros(size_of(window), bool)
        top, left = round(window.row_off), round(window.col_off)
        starts, stops = self._boxes[:, :2], self._boxes[:, 2:]
        ends = (left + valid_mask.shape[1], top + valid_mask.shape[0])
        near = ((starts < ends) & (stops > (left, top))).all(axis=1)
        for index in np.flatnonzero(near):
            (column, row), (right, bottom) = starts[index].tolist(), stops[index].tolist()
            here = Window(left - column, top - row, *valid_mask.shape[::-1])
            part = part_inside(here, bottom - row, right - column)
            if valid_mask[part.target].all():
                continue
            # An exact file has its own grid's windows; others are on the mosaic's grid already.
            moved = (0, 0) if self._is_exact[index] else (column, row)
            there = Window(
                part.columns.start + moved[0],
                part.rows.start + moved[1],
                part.columns.stop - part.columns.start,
                part.rows.stop - part.rows.start,
            )
            pixels, usable = self._file(index).read_tile(there)
            taken = usable & ~valid_mask[part.target]
            image[part.target][taken] = pixels[taken]
            valid_mask[part.target] |= taken
        return image, valid_mask


def _outline(file: Source) -> tuple[np.ndarray, np.ndarray]:
    """Return (columns, rows) of points along a file's edge."""
    share = np.linspace(0, 1, OUTLINE_POINTS)
    nothing, all_of_it = np.zeros_like(share), np.ones_like(share)
    columns = file.width * np.concatenate([share, share, nothing, all_of_it])
    rows = file.height * np.concatenate([nothing, all_of_it, share, share])
    return columns, rows
