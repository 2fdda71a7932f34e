"""Predicting the units of a scene on an existing Dask cluster (extra `[cluster]`).

Beside `runners.LocalRunner`; the map is made here, on the client, from the units' answers, so
that it equals the local one. Each worker process opens the scene and loads the model once; both
must lie where the workers can read them. A worker that dies is replaced by Dask, and its unit
is given to another one. Finished units go to the journal as they come, in any order.
"""

import pickle
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from landslide_rcnn.errors import LandslideError
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.inference.answers import answer_of, encode
from landslide_rcnn.inference.journal import Journal
from landslide_rcnn.inference.runners import BATCHES_AHEAD, UnitResult, Work
from landslide_rcnn.inference.threads import read_ahead
from landslide_rcnn.inference.units import Unit, predict_batch, read_batches
from landslide_rcnn.prediction import Predictor

UNITS_PER_THREAD = 2  # one at work, one waiting, for each thread of the cluster
CONNECT_SECONDS = 30


class ClusterError(LandslideError, RuntimeError):
    """The cluster cannot be reached, or cannot do the work."""


@dataclass(frozen=True)
class Job:
    """What a worker needs to predict any unit of a run.

    Attributes:
        token: Of the run; a worker keeps scene and model as long as it stays the same.
        scene: The pickled `Scene`: how to open it, not its pixels.
        load_predictor: Makes the model; picklable.
        batch_size: Tiles for the model at once.
        threshold: Of the map.
    """

    token: str
    scene: bytes
    load_predictor: Callable[[], Predictor]
    batch_size: int
    threshold: float


class ClusterRunner:
    """Predicts on a cluster; see `runners.Runner`.

    Args:
        scheduler: Address of the Dask scheduler, such as "tcp://10.0.0.1:8786".
        load_predictor: Called once in each worker process; importable there.
    """

    predicting_seconds = None

    def __init__(self, scheduler: str, load_predictor: Callable[[], Predictor]) -> None:
        self._scheduler, self._load_predictor = scheduler, load_predictor

    def run(self, work: Work) -> Iterator[UnitResult]:
        """See `runners.Runner`; what is `packed` is in the journal already.

        Raises:
            ClusterError: There is no scheduler or worker, or a unit kills its workers.
        """
        job = Job(
            uuid.uuid4().hex,
            pickle.dumps(work.scene),
            self._load_predictor,
            work.batch_size,
            work.threshold,
        )
        work.done(sum(len(unit.windows) for unit in work.units if unit.index in work.journal))
        with _connect(self._scheduler) as client:
            in_flight = _InFlight(client, job, work.units, work.journal)
            for unit in work.units:
                while (packed := work.journal.load(unit.index)) is None:
                    finished = in_flight.finish_one(unit)
                    work.done(len(finished.windows))
                yield UnitResult(unit, None, packed)


class _InFlight:
    """The units that the cluster is working on.

    Args:
        client: Of Dask.
        job: Of the run.
        units: All of the run.
        journal: Takes the finished ones.
    """

    def __init__(self, client, job: Job, units: Sequence[Unit], journal: Journal) -> None:
        from distributed import as_completed

        self._client, self._job, self._journal = client, job, journal
        self._upcoming = iter([unit for unit in units if unit.index not in journal])
        self._futures: dict[str, Unit] = {}
        self._completed = as_completed(loop=client.loop)

    def finish_one(self, wanted: Unit) -> Unit:
        """Wait until any unit is finished and in the journal; return it.

        Args:
            wanted: One that must not be left out: submitted here if nothing is under way, which
                happens when its file was damaged.
        """
        threads = sum(self._client.nthreads().values()) or 1
        while len(self._futures) < UNITS_PER_THREAD * threads:
            unit = next(self._upcoming, None)
            if unit is None:
                break
            self._submit(unit)
        if not self._futures:
            self._submit(wanted)
        future = next(self._completed)
        unit = self._futures.pop(future.key)
        self._journal.store(unit.index, _result_of(future, unit))
        return unit

    def _submit(self, unit: Unit) -> None:
        key = f"landslides-{self._job.token}-{unit.index}"
        future = self._client.submit(_predict_unit, self._job, unit, key=key, pure=False)
        self._futures[future.key] = unit
        self._completed.add(future)


def _connect(scheduler: str):
    """Return a client of a cluster that has a worker; a context manager."""
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError(
            "Mapping on a cluster needs Dask. Received: an installation without it. "
            "Install landslide_rcnn[cluster]."
        ) from error
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"A Dask scheduler must answer at the given address. Received: {scheduler} "
            f"({' '.join(str(error).split())}). Start one with `dask scheduler`, and name it."
        ) from error
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError as error:
        client.close()
        raise ClusterError(
            f"A cluster must have at least one worker. Received: {scheduler} without any. "
            f"Start some with `dask worker {scheduler}`."
        ) from error
    return client


def _result_of(future, unit: Unit) -> bytes:
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        first = unit.windows[0]
        raise ClusterError(
            "The workers must survive their work. Received: several that died one after the "
            f"other on the tiles from row {first.row_off}, column {first.col_off}. They probably "
            "lack memory: give them more, or use a smaller --batch-size; --resume then goes on."
        ) from error


# --- In the workers -----------------------------------------------------------------------------

# A scene is not thread-safe, and a model fills all cores: a process does one unit at a time.
_one_at_a_time = threading.Lock()

# Token of the run -> what it needs; at most one run at a time.
_opened: dict[str, tuple[Scene, Predictor]] = {}


def _predict_unit(job: Job, unit: Unit) -> bytes:
    """Return the packed answers of a unit."""
    with _one_at_a_time:
        if job.token not in _opened:
            _opened.clear()
            _opened[job.token] = pickle.loads(job.scene), job.load_predictor()
        scene, predictor = _opened[job.token]
        answers = []
        for batch in read_ahead(read_batches(scene, unit, job.batch_size), BATCHES_AHEAD):
            for tile in predict_batch(predictor, batch):
                answers.append(
                    answer_of(tile.prediction, tile.valid_mask, tile.window, job.threshold)
                )
        return encode(answers)
