"""Who predicts the units of a scene: this process, or a cluster (`cluster.py`).

A runner yields a `UnitResult` for every unit, in scene order, taking from the journal what an
earlier run has finished. `tiled.py` makes the map of them and needs to know nothing else.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.inference.answers import TileAnswer, answer_of, decode
from landslide_rcnn.inference.journal import Journal
from landslide_rcnn.inference.threads import read_ahead
from landslide_rcnn.inference.units import (
    Batch,
    PredictedTile,
    Unit,
    predict_batch,
    read_batches,
)
from landslide_rcnn.prediction import Predictor

BATCHES_AHEAD = 3  # read while the model is busy; a slow disk is waited for, memory stays small


class UnitResult(NamedTuple):
    """What is known of a unit: predictions fresh from the model, or packed answers.

    Attributes:
        unit: Which.
        predicted: Its valid tiles; None where `packed` is given.
        packed: `answers.encode` of it, as it lies in the journal.
    """

    unit: Unit
    predicted: list[PredictedTile] | None
    packed: bytes | None = None

    def answers(self, threshold: float) -> list[TileAnswer]:
        """Return the unit's tiles as the map takes them."""
        if self.predicted is None:
            return decode(self.packed)
        return [
            answer_of(tile.prediction, tile.valid_mask, tile.window, threshold)
            for tile in self.predicted
        ]


@dataclass(frozen=True)
class Work:
    """What a runner shall do.

    Attributes:
        scene: Open; not used by anyone else meanwhile.
        units: Of the whole scene.
        batch_size: Tiles for the model at once.
        threshold: Of the map.
        journal: Holds finished units. The caller adds what a runner gives as `predicted`.
        done: Called with numbers of tiles as they are done.
    """

    scene: Scene
    units: Sequence[Unit]
    batch_size: int
    threshold: float
    journal: Journal
    done: Callable[[int], object]


class Runner(Protocol):
    """Predicts units.

    Attributes:
        predicting_seconds: How long the model has been at work; None where that is not known.
    """

    predicting_seconds: float | None

    def run(self, work: Work) -> Iterator[UnitResult]:
        """Yield every unit's result, in order."""


class LocalRunner:
    """Predicts in this process; tiles are read ahead in a thread.

    Args:
        predictor: The model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.predicting_seconds = 0.0

    def run(self, work: Work) -> Iterator[UnitResult]:
        """See `Runner`."""
        predicted: list[PredictedTile] = []
        with closing(read_ahead(_read(work), BATCHES_AHEAD)) as stream:
            for unit, item in stream:
                if isinstance(item, Batch):
                    started = time.perf_counter()
                    predicted += predict_batch(self._predictor, item)
                    self.predicting_seconds += time.perf_counter() - started
                    work.done(len(item.windows))
                elif item is None:  # the end of a unit
                    work.done(len(unit.windows) - len(predicted))  # those without a valid pixel
                    yield UnitResult(unit, predicted)
                    predicted = []
                else:
                    work.done(len(unit.windows))
                    yield UnitResult(unit, None, item)


def _read(work: Work) -> Iterator[tuple[Unit, Batch | bytes | None]]:
    """Yield (unit, batch) for the batches of each unit and (unit, None) after them.

    A unit of the journal is one (unit, its bytes).
    """
    for unit in work.units:
        packed = work.journal.load(unit.index)
        if packed is not None:
            yield unit, packed
            continue
        for batch in read_batches(work.scene, unit, work.batch_size):
            yield unit, batch
        yield unit, None
