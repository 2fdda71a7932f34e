"""A predictor and a scene of any size -> probability raster, mask raster, polygons, summary.

The flow, tile row by tile row; nothing grows with the scene's height but the list of polygons:

    tile_grid -> read -> predict_tiles -> Mosaic         -> probability.tif, mask.tif
                                       -> InstanceMerger -> PolygonTable -> landslides.gpkg

Any `prediction.Predictor` works: instances come from the model where it has them, and are the
connected regions of the final mask where it has not. What is written:

- `probability.tif`: float32 in [0, 1], NaN where the scene is invalid. Not scaled to uint8: every
  reader gets probabilities without knowing a scale, and thresholding it gives exactly `mask.tif`.
- `mask.tif`: uint8; 1 where the probability reaches the threshold, else 0; 255 = nodata.
- `landslides.gpkg`, layer `landslides`: one row a landslide, largest first. They do not overlap,
  and with the small ones, which can be left out here, they cover exactly the ones of `mask.tif`.
- `summary.json`: counts, areas, settings, versions.

Shape letters: B tiles of a batch; H, W pixels of a tile; C bands; X the scene's width.
"""

import itertools
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from rasterio.windows import Window
from tqdm import tqdm

from landslide_rcnn.data.tiles import tile_grid
from landslide_rcnn.errors import RasterError, ShapeError, WeightsError
from landslide_rcnn.files import refuse_to_overwrite, write_json
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import write_polygons
from landslide_rcnn.geo.writing import BLOCK_SIZE, RasterWriter
from landslide_rcnn.inference.candidates import ROUNDING, candidates_of
from landslide_rcnn.inference.merge import InstanceMerger
from landslide_rcnn.inference.mosaic import Mosaic
from landslide_rcnn.inference.summary import MapCounts, MapSettings, summary_of
from landslide_rcnn.inference.vectorize import PolygonTable
from landslide_rcnn.prediction import Predictor, TilePrediction

POLYGONS_NAME = "landslides.gpkg"
PROBABILITY_NAME = "probability.tif"
MASK_NAME = "mask.tif"
SUMMARY_NAME = "summary.json"
OUTPUT_NAMES = (POLYGONS_NAME, PROBABILITY_NAME, MASK_NAME, SUMMARY_NAME)
LAYER = "landslides"

MASK_NODATA = 255
MASK_COLORS = {0: (0, 0, 0, 0), 1: (215, 48, 39, 255), MASK_NODATA: (0, 0, 0, 0)}

# Rows that are written at once: those of a block of the output rasters, so that a compressed
# block is written one time, whatever the tiles' stride.
BAND_ROWS = BLOCK_SIZE


@dataclass(frozen=True)
class MapResult:
    """What `predict_scene` made.

    Attributes:
        directory: The output folder; the four paths lie in it.
        polygons: What `polygons_path` holds: id, class_id, score, area_m2 (area_px where the
            scene has no CRS) and geometry, largest first.
        summary: What `summary_path` holds.
    """

    directory: Path
    polygons: gpd.GeoDataFrame
    summary: dict[str, Any]

    @property
    def polygons_path(self) -> Path:
        return self.directory / POLYGONS_NAME

    @property
    def probability_path(self) -> Path:
        return self.directory / PROBABILITY_NAME

    @property
    def mask_path(self) -> Path:
        return self.directory / MASK_NAME

    @property
    def summary_path(self) -> Path:
        return self.directory / SUMMARY_NAME


def predict_scene(
    predictor: Predictor,
    scene: Scene,
    output_dir: str | Path,
    *,
    tile_size: int,
    overlap: int,
    batch_size: int = 4,
    threshold: float = 0.5,
    min_area_m2: float = 0.0,
    min_pixels: int = 0,
    overwrite: bool = False,
    card_summary: dict[str, Any] | None = None,
    progress: bool = True,
) -> MapResult:
    """Map the landslides of a scene.

    Writes the four files of the module's head, all or none, in the scene's CRS and the rasters
    on its exact grid.

    Args:
        predictor: The model.
        scene: Open; its bands are in the model's order.
        output_dir: Made if it is missing.
        tile_size: Pixels a side.
        overlap: Pixels that neighbouring tiles share, at least 1: landslides of neighbouring
            tiles are recognised as one there. An eighth to a half of the tile is usual.
        batch_size: Tiles predicted at once.
        threshold: Of probability, and of score x mask probability of instances; above 0.
        min_area_m2: Smaller landslides get no polygon; needs a CRS.
        min_pixels: Likewise, in pixels.
        overwrite: Replace earlier results.
        card_summary: What the summary shall say about the model.
        progress: Show a bar on stderr.

    Raises:
        OutputExistsError: A result is there already and `overwrite` is False.
        ConfigError: A setting cannot work.
        GeoReferenceError: `min_area_m2` for a scene without a CRS.
        ShapeError: The predictor answers with another number or size of tiles.
        WeightsError: The predictor answers with NaN or numbers outside [0, 1].
    """
    settings = MapSettings(tile_size, overlap, batch_size, threshold)
    table = PolygonTable(scene.transform, scene.crs, min_area_m2, min_pixels)
    output_dir = Path(output_dir)
    refuse_to_overwrite(*(output_dir / name for name in OUTPUT_NAMES), overwrite=overwrite)
    started = time.perf_counter()
    with _all_or_none(output_dir) as staging:
        counts = _write_rasters(predictor, scene, staging, settings, table, progress)
        polygons = table.table()
        write_polygons(polygons, staging / POLYGONS_NAME, LAYER)
        seconds = time.perf_counter() - started
        summary = summary_of(scene, polygons, table, settings, counts, seconds, card_summary)
        write_json(staging / SUMMARY_NAME, summary)
    return MapResult(output_dir, polygons, summary)


def _write_rasters(
    predictor: Predictor,
    scene: Scene,
    staging: Path,
    settings: MapSettings,
    table: PolygonTable,
    progress: bool,
) -> MapCounts:
    """Predict all tiles; write both rasters into `staging` and fill `table`."""
    windows = tile_grid(scene.height, scene.width, settings.tile_size, settings.overlap)
    with (
        RasterWriter(
            staging / PROBABILITY_NAME,
            like=scene,
            dtype="float32",
            nodata=float("nan"),
            descriptions=("landslide probability",),
        ) as probability_writer,
        RasterWriter(
            staging / MASK_NAME,
            like=scene,
            dtype="uint8",
            nodata=MASK_NODATA,
            colormap=MASK_COLORS,
            descriptions=("landslide",),
        ) as mask_writer,
        tqdm(total=len(windows), desc="Mapping", unit="tile", disable=not progress) as bar,
    ):
        mapping = _Mapping(scene, settings, table, probability_writer, mask_writer)
        tiles = _valid_tiles(scene, windows, bar)
        for window, valid_mask, prediction in _predict(predictor, tiles, settings.batch_size, bar):
            mapping.add(window, valid_mask, prediction)
        return mapping.finish(tile_count=len(windows))


class _Mapping:
    """The state between tiles: what came in, and what has been written.

    Args:
        scene: For its size.
        settings: Of the map.
        table: Takes the finished landslides.
        probability_writer, mask_writer: Take the finished rows.
    """

    def __init__(
        self,
        scene: Scene,
        settings: MapSettings,
        table: PolygonTable,
        probability_writer: RasterWriter,
        mask_writer: RasterWriter,
    ) -> None:
        self._scene, self._threshold, self._table = scene, settings.threshold, table
        self._probability_writer, self._mask_writer = probability_writer, mask_writer
        rows = settings.tile_size + BAND_ROWS
        self._mosaic = Mosaic(rows, scene.width)
        self._merger = InstanceMerger(rows, scene.width)
        self._written_rows = 0
        self._counts = MapCounts()

    def add(self, window: Window, valid_mask: np.ndarray, prediction: TilePrediction) -> None:
        """Take a tile in; first let go of the rows above it, which no later tile can reach."""
        while self._written_rows + BAND_ROWS <= window.row_off:
            self._write_band(self._written_rows + BAND_ROWS)
        self._mosaic.add(prediction.probability, valid_mask, window)
        candidates = candidates_of(prediction, valid_mask, window, self._threshold)
        self._merger.add_tile(window, candidates)
        self._counts.tiles_predicted += 1

    def finish(self, tile_count: int) -> MapCounts:
        """Write the rows that are left, and return the counts of the whole map."""
        while self._written_rows < self._scene.height:
            self._write_band(min(self._written_rows + BAND_ROWS, self._scene.height))
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
        window = Window(0, self._written_rows, self._scene.width, row_end - self._written_rows)
        self._probability_writer.write(probability, window)
        self._mask_writer.write(classes, window)
        for instance in self._merger.close_band(mask, probability):
            self._table.add(instance)
        self._counts.valid_pixels += int(np.count_nonzero(valid_mask))
        self._counts.landslide_pixels += int(np.count_nonzero(mask))
        self._written_rows = row_end


def _valid_tiles(
    scene: Scene, windows: Iterable[Window], bar: tqdm
) -> Iterator[tuple[Window, np.ndarray, np.ndarray]]:
    """Yield (window, tile [H, W, C], valid_mask [H, W]) of the tiles with any valid pixel."""
    for window in windows:
        valid_mask = scene.read_valid(window)
        if valid_mask.any():
            yield window, scene.read(window), valid_mask
        else:
            bar.update()


def _predict(
    predictor: Predictor,
    tiles: Iterator[tuple[Window, np.ndarray, np.ndarray]],
    batch_size: int,
    bar: tqdm,
) -> Iterator[tuple[Window, np.ndarray, TilePrediction]]:
    """Yield (window, valid_mask, prediction) for each tile, in order."""
    while batch := list(itertools.islice(tiles, batch_size)):
        windows, images, valid_masks = zip(*batch, strict=True)
        predictions = predictor.predict_tiles(np.stack(images), np.stack(valid_masks))
        if len(predictions) != len(batch):
            raise ShapeError(
                "A predictor must answer with one prediction a tile. "
                f"Received: {len(predictions)} for {len(batch)} tiles. Correct predict_tiles."
            )
        for window, valid_mask, prediction in zip(windows, valid_masks, predictions, strict=True):
            _check_prediction(prediction, valid_mask, window)
            yield window, valid_mask, prediction
        bar.update(len(batch))


def _check_prediction(prediction: TilePrediction, valid_mask: np.ndarray, window: Window) -> None:
    """Refuse an answer that would spoil the map."""
    if prediction.probability.shape != valid_mask.shape:
        raise ShapeError(
            f"A predicted probability must have its tile's size, {valid_mask.shape}. "
            f"Received: {prediction.probability.shape}. Correct predict_tiles."
        )
    values = prediction.probability[valid_mask]
    low, high = values.min(), values.max()
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        raise WeightsError(
            "Predicted probabilities must lie in [0, 1]. "
            f"Received: values from {low} to {high} in the tile at row {window.row_off}, column "
            f"{window.col_off}. The weights are probably broken: load others, or train again."
        )


@contextmanager
def _all_or_none(output_dir: Path) -> Iterator[Path]:
    """Give a folder to write the outputs into; they move to `output_dir` when nothing failed.

    It lies inside `output_dir`, on the same disk, so that moving is a rename. After an error or
    an interrupt nothing new is left, and earlier results are as they were.

    Raises:
        RasterError: `output_dir` is a file.
    """
    if output_dir.exists() and not output_dir.is_dir():
        raise RasterError(
            f"Results are written into a folder. Received: {output_dir}, a file. Name a folder."
        )
    made = not output_dir.exists()
    staging = output_dir / f".partial-{uuid.uuid4().hex[:8]}"
    staging.mkdir(parents=True)
    complete = False
    try:
        yield staging
        for name in OUTPUT_NAMES:
            os.replace(staging / name, output_dir / name)
        complete = True
    finally:
        shutil.rmtree(staging)
        if made and not complete:
            output_dir.rmdir()
