"""Confusion counts of each block of a scene: what confidence intervals are drawn from.

Neighbouring pixels err together, so that pixels are no independent samples; blocks as large as
the model's tiles nearly are. Filled band by band by `maps.evaluate_map` and
`comparison.compare_maps`; their sum is the confusion matrix of the scene.

Shape letters: h, w pixels of a window; N blocks.
"""

import numpy as np
from rasterio.windows import Window

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.evaluation.metrics import Counts
from landslide_rcnn.evaluation.pixels import ConfusionMatrix
from landslide_rcnn.geo.windows import size_of


class BlockCounts:
    """Confusion counts of square blocks, which begin at the region's first pixel.

    Args:
        region: The part of the scene that is evaluated, whole pixels.
        block_px: Side of a block; those at the right and lower edge may be smaller.

    Raises:
        ConfigError: `block_px` is below 1.
    """

    def __init__(self, region: Window, block_px: int) -> None:
        if block_px < 1:
            raise ConfigError(
                f"A block must have 1 pixel or more. Received: block_px={block_px}. Use 256."
            )
        self.block_px = block_px
        self._region = region
        height, width = size_of(region)
        # [rows, columns, (tp, predicted, true, valid)] of blocks
        self._sums = np.zeros((-(-height // block_px), -(-width // block_px), 4), np.int64)

    def add(
        self, window: Window, predicted: np.ndarray, truth: np.ndarray, valid_mask: np.ndarray
    ) -> None:
        """Count the pixels of a band.

        Args:
            window: Of the scene: as wide as the region, and inside it.
            predicted: [h, w] bool.
            truth: [h, w] bool.
            valid_mask: [h, w] bool, True = count this pixel.
        """
        predicted, truth = predicted & valid_mask, truth & valid_mask
        first_row = round(window.row_off - self._region.row_off)
        height, width = size_of(window)
        # Where the band goes on into the next row of blocks.
        starts = np.arange(-(first_row % self.block_px), height, self.block_px).clip(0)
        first_block = first_row // self.block_px
        columns = np.arange(0, width, self.block_px)
        for index, layer in enumerate((predicted & truth, predicted, truth, valid_mask)):
            by_rows = np.add.reduceat(layer, starts, axis=0, dtype=np.int32)
            sums = np.add.reduceat(by_rows, columns, axis=1, dtype=np.int64)
            self._sums[first_block : first_block + len(starts), :, index] += sums

    @property
    def counts(self) -> Counts:
        """[N] each, of the blocks with a valid pixel, row by row."""
        return counts_of_sums(self._sums[self._sums[..., 3] > 0])

    def total(self) -> ConfusionMatrix:
        """Return the counts of all blocks together."""
        sums = counts_of_sums(self._sums.sum(axis=(0, 1)))
        return ConfusionMatrix(*(int(each) for each in sums))


def counts_of_sums(sums: np.ndarray) -> Counts:
    """Return the confusion counts of [..., (tp, predicted, true, valid)]."""
    tp, predicted, true, valid = np.moveaxis(sums, -1, 0)
    return Counts(tp, predicted - tp, true - tp, valid - predicted - true + tp)
