"""Units of work: some consecutive tiles of a scene, predicted together, kept together.

`plan_units` cuts the grid; `runners.py` and `cluster.py` predict units, here or on other
machines. Batches never reach across units, so that a unit's answer depends on nothing but its
own tiles: on no resume, and on no worker.

Shape letters: B tiles of a batch; H, W pixels of a tile; C bands.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from rasterio.windows import Window

from landslide_rcnn.errors import ShapeError
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.prediction import Predictor, TilePrediction

# What a kill can lose, and what a worker is handed at once: seconds of work, not minutes. In
# pixels, since several units wait in memory: 32 tiles of 256 px, 2 of 1024 px.
UNIT_PIXELS = 32 * 256**2


class Unit(NamedTuple):
    """Consecutive tiles of a grid, in row-major order.

    Attributes:
        index: Of the unit, from 0 in scene order.
        windows: Of its tiles.
    """

    index: int
    windows: tuple[Window, ...]


class Batch(NamedTuple):
    """Tiles that the model gets at once; each has at least one valid pixel.

    Attributes:
        windows: B places.
        tiles: [B, H, W, C], in the scene's dtype.
        valid_masks: [B, H, W] bool.
    """

    windows: tuple[Window, ...]
    tiles: np.ndarray
    valid_masks: np.ndarray


class PredictedTile(NamedTuple):
    """A tile as it leaves the model."""

    window: Window
    valid_mask: np.ndarray
    prediction: TilePrediction


def plan_units(windows: Sequence[Window], batch_size: int) -> list[Unit]:
    """Cut a grid into units of about `UNIT_PIXELS` pixels, whole batches each."""
    tile_pixels = windows[0].height * windows[0].width
    size = max(UNIT_PIXELS // (tile_pixels * batch_size), 1) * batch_size
    return [
        Unit(index, tuple(windows[first : first + size]))
        for index, first in enumerate(range(0, len(windows), size))
    ]


def read_batches(scene: Scene, unit: Unit, batch_size: int) -> Iterator[Batch]:
    """Read a unit's tiles; those without any valid pixel are left out."""
    tiles = _valid_tiles(scene, unit.windows)
    while batch := list(itertools.islice(tiles, batch_size)):
        windows, images, valid_masks = zip(*batch, strict=True)
        yield Batch(windows, np.stack(images), np.stack(valid_masks))


def _valid_tiles(
    scene: Scene, windows: Iterable[Window]
) -> Iterator[tuple[Window, np.ndarray, np.ndarray]]:
    for window in windows:
        image, valid_mask = scene.read_tile(window)
        if valid_mask.any():
            yield window, image, valid_mask


def predict_batch(predictor: Predictor, batch: Batch) -> list[PredictedTile]:
    """Ask the model about a batch.

    Raises:
        ShapeError: It answers with another number of tiles.
    """
    predictions = predictor.predict_tiles(batch.tiles, batch.valid_masks)
    if len(predictions) != len(batch.windows):
        raise ShapeError(
            "A predictor must answer with one prediction a tile. "
            f"Received: {len(predictions)} for {len(batch.windows)} tiles. Correct predict_tiles."
        )
    return [
        PredictedTile(*tile)
        for tile in zip(batch.windows, batch.valid_masks, predictions, strict=True)
    ]
