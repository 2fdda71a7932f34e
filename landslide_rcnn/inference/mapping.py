"""The state of a map while its tiles stream by: blending, merging, and writing finished rows.

Behind the runners in `tiled.predict_scene`. Tiles arrive in row-major order; nothing grows with
the scene's height but the list of polygons.

    TileAnswer -> Mosaic         -> rows of probability
               -> InstanceMerger -> PolygonTable
"""

import numpy as np
from rasterio.windows import Window

from landslide_rcnn.geo.writing import BLOCK_SIZE, RasterWriter
from landslide_rcnn.inference.answers import TileAnswer
from landslide_rcnn.inference.merge import InstanceMerger
from landslide_rcnn.inference.mosaic import Mosaic
from landslide_rcnn.inference.summary import MapCounts, MapSettings
from landslide_rcnn.inference.vectorize import PolygonTable

# Rows that are written at once: those of a block of the output rasters, so that a compressed
# block is written one time, whatever the tiles' stride.
BAND_ROWS = BLOCK_SIZE

MASK_NODATA = 255


class Mapping:
    """Blends and merges the tiles of a scene, and writes its probability.

    Args:
        height, width: Of the scene, pixels.
        settings: Of the map.
        table: Takes the finished landslides.
        probability_writer: Takes the finished rows, NaN where the scene is invalid.
        mask_writer: Takes the finished rows, `MASK_NODATA` where the scene is invalid.
    """

    def __init__(
        self,
        height: int,
        width: int,
        settings: MapSettings,
        table: PolygonTable,
        probability_writer: RasterWriter,
        mask_writer: RasterWriter,
    ) -> None:
        self._height, self._width, self._threshold = height, width, settings.threshold
        self._table = table
        self._probability_writer, self._mask_writer = probability_writer, mask_writer
        rows = settings.tile_size + BAND_ROWS
        self._mosaic = Mosaic(rows, width)
        self._merger = InstanceMerger(rows, width)
        self._written_rows = 0
        self._counts = MapCounts()

    def add(self, answer: TileAnswer) -> None:
        """Take a tile in; first let go of the rows above it, which no later tile can reach."""
        while self._written_rows + BAND_ROWS <= answer.window.row_off:
            self._write_band(self._written_rows + BAND_ROWS)
        self._mosaic.add(answer.probability, answer.valid_mask, answer.window)
        self._merger.add_tile(answer.window, answer.candidates)
        self._counts.tiles_predicted += 1

    def finish(self, tile_count: int) -> MapCounts:
        """Write the rows that are left, and return the counts of the whole map."""
        while self._written_rows < self._height:
            self._write_band(min(self._written_rows + BAND_ROWS, self._height))
        for instance in self._merger.finish():
            self._table.add(instance)
        self._counts.tiles = tile_count
        self._counts.dissolved = self._merger.dissolved_count
        return self._counts

    def _write_band(self, row_end: int) -> None:
        """Write the rows from those already written to `row_end`."""
        probability = self._mosaic.pop(row_end)
        valid_mask = ~np.isnan(probability)
        mask = probability >= self._threshold
        classes = np.where(valid_mask, mask, MASK_NODATA).astype(np.uint8)
        window = Window(0, self._written_rows, self._width, row_end - self._written_rows)
        self._probability_writer.write(probability, window)
        self._mask_writer.write(classes, window)
        for instance in self._merger.close_band(mask, probability):
            self._table.add(instance)
        self._counts.valid_pixels += int(np.count_nonzero(valid_mask))
        self._counts.landslide_pixels += int(np.count_nonzero(mask))
        self._written_rows = row_end
