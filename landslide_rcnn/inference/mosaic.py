"""Overlapping tiles -> one probability per pixel, held only for a strip of rows.

First half of `predict_scene`: tiles arrive in row-major order, and rows that no later tile can
reach leave the strip as finished bands. Memory is strip height x scene width, whatever the
scene's height.

Shape letters: H, W pixels of a tile or band; S the strip's rows; X the scene's width in pixels.
"""

import math
from functools import lru_cache

import numpy as np
from rasterio.windows import Window

# Weight of a tile's outermost pixel relative to its centre. It is positive so that a pixel which
# only a tile's edge covers (the scene's border, a hole in the valid part) still gets that tile's
# value; it is small so that a tile's edge hardly shows where another tile covers it as well.
EDGE_WEIGHT = 1e-3


@lru_cache(maxsize=8)
def blend_weights(height: int, width: int) -> np.ndarray:
    """Return [H, W] float32 weights that fall from about 1 in the middle to the edges.

    The outer product of two raised cosines (Hann windows sampled at pixel centres) that are
    lifted to `EDGE_WEIGHT`: a network sees least context at a tile's edge, so it is believed
    least there. Read-only, since it is cached.

    Source: the Hann window for tiled segmentation, as in Pielawski and Waehlby 2020,
    "Introducing Hann windows for reducing edge-effects in patch-based image segmentation".
    Differs: the floor, so that no covered pixel has weight 0.
    """

    def taper(size: int) -> np.ndarray:
        hann = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
        return EDGE_WEIGHT + (1 - EDGE_WEIGHT) * hann

    weights = np.outer(taper(height), taper(width)).astype(np.float32)
    weights.flags.writeable = False
    return weights


class Strip:
    """Some rows of a scene-wide array, moving down the scene.

    Attributes:
        row_off: The scene row of the strip's first row.
    """

    def __init__(self, rows: int, width: int, dtype: type) -> None:
        self._array = np.zeros((rows, width), dtype)
        self.row_off = 0

    def view(self, window: Window) -> np.ndarray:
        """Return a writable view [H, W] of a window of the scene whose rows the strip holds.

        Columns beyond the scene are cut off.
        """
        top = window.row_off - self.row_off
        left = window.col_off
        return self._array[top : top + window.height, left : left + window.width]

    def pop(self, row_end: int) -> np.ndarray:
        """Take the rows above scene row `row_end` out: [rows, X]. Zeros come in at the bottom."""
        rows = row_end - self.row_off
        popped = self._array[:rows].copy()
        self._array[: len(self._array) - rows] = self._array[rows:]
        self._array[len(self._array) - rows :] = 0
        self.row_off = row_end
        return popped


class Mosaic:
    """The weighted mean of overlapping tiles.

    The mean is a running one, `mean += share * (value - mean)`: tiles that agree give their
    common value exactly (no quotient of two rounded sums), and a pixel of one tile keeps that
    tile's value to the bit.

    Args:
        rows: Strip height: a tile and the rows that may wait to be popped.
        width: Scene width, pixels.
    """

    def __init__(self, rows: int, width: int) -> None:
        self._mean = Strip(rows, width, np.float32)
        self._weight = Strip(rows, width, np.float32)

    def add(self, probability: np.ndarray, valid_mask: np.ndarray, window: Window) -> None:
        """Blend one tile in.

        Args:
            probability: [H, W], in [0, 1]; values outside `valid_mask` are not looked at.
            valid_mask: [H, W] bool; False beyond the scene.
            window: The tile's place. It may reach beyond the scene's right and bottom edge.
        """
        mean, total = self._mean.view(window), self._weight.view(window)
        height, width = mean.shape
        valid = valid_mask[:height, :width]
        weight = blend_weights(*probability.shape)[:height, :width] * valid
        total += weight
        share = np.divide(weight, total, out=np.zeros_like(weight), where=valid)
        mean += share * (np.where(valid, probability[:height, :width], mean) - mean)

    def pop(self, row_end: int) -> np.ndarray:
        """Return the finished rows above `row_end`: [rows, X] float32, NaN where nothing is."""
        weight = self._weight.pop(row_end)
        return np.where(weight > 0, np.clip(self._mean.pop(row_end), 0, 1), np.float32(math.nan))


class ClassMosaic:
    """The class of each pixel: what the tile says that has the largest share in its probability.

    Classes cannot be averaged as probabilities are, and one number a pixel goes to disk and over
    the network for a tile, whatever the number of classes.

    Args:
        rows: Strip height: a tile and the rows that may wait to be popped.
        width: Scene width, pixels.
        row_off: First row that is still to be popped.
    """

    def __init__(self, rows: int, width: int, row_off: int = 0) -> None:
        self._classes = Strip(rows, width, np.uint16)
        self._share = Strip(rows, width, np.float32)
        self._classes.row_off = self._share.row_off = row_off

    def add(
        self,
        class_map: np.ndarray,
        probability: np.ndarray,
        valid_mask: np.ndarray,
        window: Window,
    ) -> None:
        """Take the classes of one tile, [H, W]; the other arguments are those of `Mosaic.add`."""
        classes, best = self._classes.view(window), self._share.view(window)
        height, width = best.shape
        valid = valid_mask[:height, :width]
        weight = blend_weights(*probability.shape)[:height, :width]
        share = np.where(valid, weight * probability[:height, :width], np.float32(0))
        stronger = share > best
        best[stronger] = share[stronger]
        classes[stronger] = class_map[:height, :width][stronger]

    def pop(self, row_end: int) -> np.ndarray:
        """Return the finished rows above `row_end`: [rows, X] uint16; 0 where nothing is likely."""
        self._share.pop(row_end)
        return self._classes.pop(row_end)
