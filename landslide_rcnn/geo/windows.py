"""Arithmetic of integer windows: what of a window lies inside a scene.

Used by the readers and writers of `geo/`. A window may reach beyond its scene on any side.
"""

from typing import NamedTuple

import numpy as np
from affine import Affine
from rasterio.coords import BoundingBox
from rasterio.windows import Window


class Part(NamedTuple):
    """The part of a window that lies inside a scene.

    Attributes:
        rows: Rows of the scene, half-open slice.
        columns: Columns of the scene, half-open slice.
        target: Index of the same pixels in an array of the window's size.
    """

    rows: slice
    columns: slice
    target: tuple[slice, slice]

    @property
    def is_empty(self) -> bool:
        """Whether window and scene have no pixel in common."""
        return self.rows.start >= self.rows.stop or self.columns.start >= self.columns.stop

    @property
    def window(self) -> Window:
        """The part as a rasterio window."""
        return Window.from_slices(self.rows, self.columns)


def size_of(window: Window) -> tuple[int, int]:
    """Return a window's (height, width) as integers."""
    return round(window.height), round(window.width)


def bounds_of(window: Window, transform: Affine) -> BoundingBox:
    """Return (left, bottom, right, top) of a window on the map, left <= right, bottom <= top.

    rasterio's own take two corners, which on turned and south-up grids are not the outermost.
    """
    height, width = size_of(window)
    corners = [
        transform * (window.col_off + column, window.row_off + row)
        for column in (0, width)
        for row in (0, height)
    ]
    (left, bottom), (right, top) = np.min(corners, axis=0), np.max(corners, axis=0)
    return BoundingBox(float(left), float(bottom), float(right), float(top))


def part_inside(window: Window, height: int, width: int) -> Part:
    """Clip a window to a scene of `height` x `width` pixels."""
    top, left = round(window.row_off), round(window.col_off)
    window_height, window_width = size_of(window)
    rows = slice(max(top, 0), min(top + window_height, height))
    columns = slice(max(left, 0), min(left + window_width, width))
    target = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    return Part(rows, columns, target)
