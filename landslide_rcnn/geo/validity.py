"""The black outside of a survey, for scenes that say nowhere which of their pixels are usable.

Orthophotos are often delivered as a rectangle whose part outside the survey is black, without a
nodata tag, alpha or mask band. `RasterFile` asks `outside_map` for it.

A pixel is *dark* where every band is at most 7 of 255 (exactly 0 in wider integers: JPEG has 8
bits). JPEG leaves values of 1 to 7 in black areas, and a few more beside an edge, hence the rim
below. The *outside* is every 4-connected dark region that touches the scene's edge and
in which at least a tenth of the pixels are exactly black. Shadows and black holes inside the
survey do not touch the edge, and stay valid; dark water at the edge is seldom exactly black.

The scene is read once, by strips of rows. Regions of neighbouring strips are joined by the
pixels they share a border with; what is kept are the outside's bits, compressed, some hundred
bytes a strip. Every window is then read from the same bits, so tiles agree with each other.

Shape letters: H, W pixels of the scene; S rows of a strip; L regions of a strip.
"""

import functools
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from landslide_rcnn.geo.opening import LOCAL, Access, is_remote, open_raster, read_bands
from landslide_rcnn.geo.windows import part_inside, size_of

DARK_BITS_UINT8 = 0b111  # a dark pixel has no other bit set in any band: at most 7
MIN_BLACK_SHARE = 0.1  # real black holes and borders have 0.2 to 0.9, measured on JPEG
RIM_PIXELS = 2  # JPEG brightens the last pixel of the outside above the limit, never the third
MIN_BANDS = 3  # fewer are elevation, masks or class maps, where 0 is a value like others
STRIP_BYTES = 16 * 2**20  # of pixels read at once, where the file's blocks are not larger
MAX_STRIP_BYTES = 128 * 2**20
UNPACKED_STRIPS = 32  # of all scenes together: at most 0.7 MB each where a block is one row
KNOWN_MAPS = 1024  # a mosaic has a map for each of its files


def needs_outside_map(dataset: DatasetReader) -> bool:
    """Whether the black-border rule applies: integer imagery without other validity."""
    flags = {flag for band in dataset.mask_flag_enums for flag in band}
    return (
        flags == {MaskFlags.all_valid}
        and len(colour_bands(dataset)) >= MIN_BANDS
        and all(np.dtype(name).kind in "iu" for name in dataset.dtypes)
    )


def colour_bands(dataset: DatasetReader) -> list[int]:
    """Return the 1-based indexes of all bands but alpha."""
    return [
        index
        for index, meaning in zip(dataset.indexes, dataset.colorinterp)
        if meaning != ColorInterp.alpha
    ]


class OutsideMap:
    """Which pixels of a scene are outside its survey; a compressed mask.

    Safe to share between threads.

    Args:
        height: H of the scene.
        width: W of the scene.
        strip_rows: Rows of a strip; the last one may have fewer.
        strips: Per strip the packed bits [S, ceil(W / 8)], compressed; None = nothing outside.
        rim_pixels: How far the outside is widened when it is read.
    """

    def __init__(
        self, height: int, width: int, strip_rows: int, strips: list[bytes | None], rim_pixels: int
    ) -> None:
        self.height, self.width = height, width
        self.rim_pixels = rim_pixels
        self._strip_rows, self._strips = strip_rows, strips

    @property
    def is_empty(self) -> bool:
        """Whether no pixel is outside."""
        return not any(self._strips)

    @property
    def stored_bytes(self) -> int:
        """What the compressed mask takes in memory."""
        return sum(len(strip) for strip in self._strips if strip)

    def read(self, window: Window) -> np.ndarray:
        """Return [h, w] bool, True = outside, for a window inside the scene."""
        rim = self.rim_pixels
        height, width = size_of(window)
        if self.is_empty:
            return np.zeros((height, width), bool)
        # The rim of a pixel may come from beyond the window, never from beyond the scene.
        wide = Window(window.col_off - rim, window.row_off - rim, width + 2 * rim, height + 2 * rim)
        part = part_inside(wide, self.height, self.width)
        outside = np.zeros((height + 2 * rim, width + 2 * rim), bool)
        outside[part.target] = self._bits(part.rows, part.columns)
        if rim and outside.any():
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1))
            outside = cv2.dilate(outside.view(np.uint8), kernel).view(bool)
        return outside[rim : rim + height, rim : rim + width]

    def _bits(self, rows: slice, columns: slice) -> np.ndarray:
        """Return [rows, columns] bool, without the rim."""
        pieces = []
        for index in range(rows.start // self._strip_rows, -(-rows.stop // self._strip_rows)):
            top = index * self._strip_rows
            start, stop = max(rows.start - top, 0), min(rows.stop - top, self._strip_rows)
            if self._strips[index] is None:
                pieces.append(np.zeros((stop - start, columns.stop - columns.start), bool))
                continue
            first_byte = columns.start // 8
            packed = _unpacked_strip(self, index)[start:stop, first_byte : -(-columns.stop // 8)]
            bits = np.unpackbits(packed, axis=1).view(bool)
            pieces.append(bits[:, columns.start - 8 * first_byte : columns.stop - 8 * first_byte])
        return np.concatenate(pieces)

    def unpack_strip(self, index: int) -> np.ndarray:
        """Return the packed bits [S, ceil(W / 8)] of a strip that has some."""
        packed = np.frombuffer(zlib.decompress(self._strips[index]), np.uint8)
        return packed.reshape(-1, -(-self.width // 8))


@functools.lru_cache(UNPACKED_STRIPS)
def _unpacked_strip(outside: OutsideMap, index: int) -> np.ndarray:
    return outside.unpack_strip(index)


# Finding the outside takes a pass over the file, and training opens a scene once a thread.
_building = threading.Lock()


def outside_map(path: str | Path, access: Access = LOCAL) -> OutsideMap:
    """Return the outside of the survey in a raster; found once for each state of the file.

    Raises:
        RasterError: It is not a raster, or its pixels cannot be read.
    """
    if is_remote(path):
        with _building:
            return _outside_map(str(path), access, 0, 0)
    state = Path(path).stat()
    with _building:
        return _outside_map(Path(path).resolve(), access, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=KNOWN_MAPS)
def _outside_map(path: str | Path, access: Access, _mtime_ns: int, _size: int) -> OutsideMap:
    with open_raster(path, access) as dataset:
        bands = colour_bands(dataset)
        dark_bits = DARK_BITS_UINT8 if set(dataset.dtypes) == {"uint8"} else 0
        strip_rows = _strip_rows(dataset, len(bands))
        strips = (
            read_bands(dataset, bands, Window(0, top, dataset.width, rows), path)
            for top, rows in _strip_places(dataset.height, strip_rows)
        )
        return find_outside(strips, dataset.height, dataset.width, strip_rows, dark_bits)


def _strip_rows(dataset: DatasetReader, band_count: int) -> int:
    """Return how many rows to read at once: whole blocks, within a budget of memory."""
    row_bytes = dataset.width * band_count * np.dtype(dataset.dtypes[0]).itemsize
    block_rows = dataset.block_shapes[0][0]
    if block_rows * row_bytes > MAX_STRIP_BYTES:
        return max(MAX_STRIP_BYTES // row_bytes, 1)
    return max(STRIP_BYTES // row_bytes // block_rows, 1) * block_rows


def _strip_places(height: int, strip_rows: int) -> Iterator[tuple[int, int]]:
    """Yield (first row, row count) of each strip."""
    for top in range(0, height, strip_rows):
        yield top, min(strip_rows, height - top)


@dataclass
class _Regions:
    """The dark regions met so far that can still turn out to be outside.

    All are numbered from 0 through the whole scene.

    Attributes:
        sizes: Pixels of each region, one array [L] a strip.
        black: Exactly black pixels of each.
        at_edge: Whether each touches the scene's edge.
        links: Pairs [2, n] of regions that touch across the border of two strips.
        last_row: [W] int64, the regions in the last row read; -1 = not dark.
    """

    sizes: list[np.ndarray]
    black: list[np.ndarray]
    at_edge: list[np.ndarray]
    links: list[np.ndarray]
    last_row: np.ndarray | None = None
    count: int = 0


def find_outside(
    strips: Iterator[np.ndarray], height: int, width: int, strip_rows: int, dark_bits: int
) -> OutsideMap:
    """Find the outside of a survey in one pass over its rows.

    Args:
        strips: The scene as arrays [C, S, W], from the top; S = `strip_rows`, less in the last.
        height: H of the scene.
        width: W of the scene.
        strip_rows: See `strips`.
        dark_bits: Pixels without any other bit in any band are dark.
    """
    regions = _Regions([], [], [], [])
    dark_strips = []
    for (top, _), bands in zip(_strip_places(height, strip_rows), strips, strict=True):
        bits = np.bitwise_or.reduce(bands, axis=0)
        dark = _touching_border((bits | dark_bits) == dark_bits)
        black = dark & (bits == 0)
        _add_strip(regions, dark, black, first=top == 0, last=top + dark.shape[0] == height)
        dark_strips.append(_pack(dark))

    is_outside, rim_pixels = _decide(regions)
    packed_strips: list[bytes | None] = []
    first = 0
    for packed, sizes in zip(dark_strips, regions.sizes):
        chosen = np.r_[False, is_outside[first : first + len(sizes)]]
        first += len(sizes)
        if packed is None or not chosen.any():
            packed_strips.append(None)
        elif chosen[1:].all():
            packed_strips.append(packed)
        else:
            packed_strips.append(_pack(chosen[_label(_unpack(packed, width))[1]]))
    return OutsideMap(height, width, strip_rows, packed_strips, rim_pixels)


def _add_strip(
    regions: _Regions, dark: np.ndarray, black: np.ndarray, *, first: bool, last: bool
) -> None:
    """Number a strip's regions and note what is known of them."""
    count, labels = _label(dark)
    at_edge = np.zeros(count + 1, bool)
    at_edge[labels[:, [0, -1]]] = True
    if first:
        at_edge[labels[0]] = True
    if last:
        at_edge[labels[-1]] = True
    regions.at_edge.append(at_edge[1:])
    regions.sizes.append(np.bincount(labels[dark], minlength=count + 1)[1:])
    regions.black.append(np.bincount(labels[black], minlength=count + 1)[1:])

    # Label 0 is "not dark"; regions of earlier strips have the numbers below `count`.
    first_row = labels[0].astype(np.int64) + regions.count - 1
    if regions.last_row is not None:
        touching = (labels[0] > 0) & (regions.last_row >= 0)
        pairs = np.stack([regions.last_row[touching], first_row[touching]])
        regions.links.append(np.unique(pairs, axis=1))
    regions.last_row = np.where(labels[-1] > 0, labels[-1].astype(np.int64) + regions.count - 1, -1)
    regions.count += count


def _decide(regions: _Regions) -> tuple[np.ndarray, int]:
    """Return which regions are outside, [all L] bool, and how wide the outside's rim is."""
    if not regions.count:
        return np.zeros(0, bool), 0
    links = np.concatenate([np.zeros((2, 0), np.int64), *regions.links], axis=1)
    graph = coo_array((np.ones(links.shape[1], bool), links), shape=(regions.count,) * 2)
    _, group = connected_components(graph, directed=False)
    sizes = np.bincount(group, np.concatenate(regions.sizes))
    black = np.bincount(group, np.concatenate(regions.black))
    at_edge = np.bincount(group, np.concatenate(regions.at_edge)) > 0
    outside = at_edge & (black >= MIN_BLACK_SHARE * sizes)
    # A perfectly black outside was never compressed with loss: its edge is exact.
    is_exact = (black[outside] == sizes[outside]).all()
    return outside[group], 0 if is_exact else RIM_PIXELS


def _touching_border(dark: np.ndarray) -> np.ndarray:
    """Return `dark` without the regions inside the strip, which cannot reach the scene's edge."""
    if not dark.any() or dark.all():
        return dark
    count, labels = _label(dark)
    kept = np.zeros(count + 1, bool)
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        kept[side] = True
    kept[0] = False
    return kept[labels]


def _label(dark: np.ndarray) -> tuple[int, np.ndarray]:
    """Return the number of 4-connected regions and their labels [S, W] int32, 0 = not dark."""
    count, labels = cv2.connectedComponents(dark.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    return count - 1, labels


def _pack(mask: np.ndarray) -> bytes | None:
    return zlib.compress(np.packbits(mask, axis=1).tobytes(), 1) if mask.any() else None


def _unpack(packed: bytes, width: int) -> np.ndarray:
    bits = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(-1, -(-width // 8))
    return np.unpackbits(bits, axis=1, count=width).view(bool)
