"""The state of a map while its tiles stream by: blending, merging, and writing finished rows.

Behind the runners in `tiled.predict_scene`. Tiles arrive in row-major order; nothing grows with
the scene's height but the list of polygons.

    TileAnswer -> Mosaic         -> rows of probability
               -> ClassMosaic    -> the class of their pixels, of a model that knows several
               -> InstanceMerger -> PolygonTable
"""

from collections.abc import Callable

import numpy as np
from rasterio.windows import Window

from landslide_rcnn.inference.answers import TileAnswer
from landslide_rcnn.inference.merge import InstanceMerger
from landslide_rcnn.inference.mosaic import ClassMosaic, Mosaic
from landslide_rcnn.inference.settings import MapSettings
from landslide_rcnn.inference.summary import MapCounts
from landslide_rcnn.inference.vectorize import PolygonTable

# Rows that are blended, merged and written at once; also the height of the work raster's blocks,
# so that a compressed block is written one time, whatever the tiles' stride. A multiple of 16.
# Low, because all that is held for them is as wide as the scene.
BAND_ROWS = 64


class Mapping:
    """Blends and merges the tiles of a scene, and writes its probability.

    Args:
        height, width: Of the scene, pixels.
        settings: Of the map.
        table: Takes the finished landslides.
        write: Takes the finished rows, [rows, X] float32, NaN where the scene is invalid, and
            their window.

    Attributes:
        candidates: For each predicted tile, by its (row_off, col_off), how many landslides the
            model saw in it.
    """

    def __init__(
        self,
        height: int,
        width: int,
        settings: MapSettings,
        table: PolygonTable,
        write: Callable[[np.ndarray, Window], None],
    ) -> None:
        self._height, self._width, self._threshold = height, width, settings.threshold
        self._table, self._write = table, write
        self._rows = settings.tile_size + BAND_ROWS
        self._mosaic = Mosaic(self._rows, width)
        self._classes: ClassMosaic | None = None  # made at the first tile that has classes
        self._merger = InstanceMerger(self._rows, width)
        self._written_rows = 0
        self._counts = MapCounts()
        self.candidates: dict[tuple[int, int], int] = {}

    def add(self, answer: TileAnswer) -> None:
        """Take a tile in; first let go of the rows above it, which no later tile can reach."""
        while self._written_rows + BAND_ROWS <= answer.window.row_off:
            self._write_band(self._written_rows + BAND_ROWS)
        self._mosaic.add(answer.probability, answer.valid_mask, answer.window)
        if answer.class_map is not None:
            if self._classes is None:
                self._classes = ClassMosaic(self._rows, self._width, self._written_rows)
            self._classes.add(
                answer.class_map, answer.probability, answer.valid_mask, answer.window
            )
        self._merger.add_tile(answer.window, answer.candidates)
        place = (answer.window.row_off, answer.window.col_off)
        self.candidates[place] = len(answer.candidates)

    def finish(self, tile_count: int) -> MapCounts:
        """Write the rows that are left, and return the counts of the whole map."""
        while self._written_rows < self._height:
            self._write_band(min(self._written_rows + BAND_ROWS, self._height))
        for instance in self._merger.finish():
            self._table.add(instance)
        self._counts.tiles, self._counts.tiles_predicted = tile_count, len(self.candidates)
        self._counts.dissolved = self._merger.dissolved_count
        return self._counts

    def _write_band(self, row_end: int) -> None:
        """Write the rows from those already written to `row_end`."""
        probability = self._mosaic.pop(row_end)
        valid_mask = ~np.isnan(probability)
        mask = probability >= self._threshold
        window = Window(0, self._written_rows, self._width, row_end - self._written_rows)
        self._write(probability, window)
        classes = None if self._classes is None else self._classes.pop(row_end)
        for instance in self._merger.close_band(mask, probability, classes):
            self._table.add(instance)
        self._counts.valid_pixels += int(np.count_nonzero(valid_mask))
        self._written_rows = row_end
