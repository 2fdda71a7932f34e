"""Maps made by a Dask cluster of two processes equal the local ones."""

import os
import signal
from pathlib import Path

import distributed
import numpy as np
import pytest

from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.inference import predict_scene, units
from landslide_rcnn.inference.cluster import ClusterError, ClusterRunner
from tests.inference.test_resume import assert_same_map
from tests.inference.test_tiled import BandPredictor, random_band, write_scene

OPTIONS = {"tile_size": 8, "overlap": 3, "progress": False, "card_summary": "band"}


class Traced(BandPredictor):
    """Leaves a file for each process that made one.

    Args:
        folder: For the files.
        kill_at: Kill the own process at this call, if no other process has done so before.
        always: Kill it even then.
    """

    def __init__(self, folder, kill_at=None, always=False):
        super().__init__(instances=True)
        self.folder, self.kill_at, self.always = Path(folder), kill_at, always
        (self.folder / f"loaded-{os.getpid()}-{os.urandom(4).hex()}").touch()

    def predict_tiles(self, tiles, valid_masks=None):
        if len(self.batches) == self.kill_at:
            try:
                (self.folder / "killed").touch(exist_ok=self.always)
                os.kill(os.getpid(), signal.SIGKILL)
            except FileExistsError:
                pass
        return super().predict_tiles(tiles, valid_masks)


class Factory:
    """A picklable way to make a `Traced`."""

    def __init__(self, *args, **options):
        self.args, self.options = args, options

    def __call__(self):
        return Traced(*self.args, **self.options)


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    band = random_band(np.random.default_rng(5), 200, 60)
    with Scene(write_scene(tmp_path_factory.mktemp("scene") / "scene.tif", band)) as scene:
        yield scene


@pytest.fixture(autouse=True)
def small_units(monkeypatch):
    monkeypatch.setattr(units, "UNIT_PIXELS", 32 * 8**2)


@pytest.fixture
def local(scene, tmp_path):
    return predict_scene(BandPredictor(instances=True), scene, tmp_path / "local", **OPTIONS)


def test_the_map_is_the_local_one_and_each_worker_loads_the_model_once(
    cluster, scene, local, tmp_path
):
    runner = ClusterRunner(cluster.scheduler_address, Factory(tmp_path))
    result = predict_scene(runner, scene, tmp_path / "map", **OPTIONS)
    assert_same_map(result, local)
    loaded = [path.name.split("-")[1] for path in tmp_path.glob("loaded-*")]
    assert len(set(loaded)) == len(loaded) == 2
    assert str(os.getpid()) not in loaded


def test_a_worker_that_dies_half_way_is_survived(cluster, scene, local, tmp_path):
    runner = ClusterRunner(cluster.scheduler_address, Factory(tmp_path, kill_at=40))
    result = predict_scene(runner, scene, tmp_path / "map", **OPTIONS)
    assert (tmp_path / "killed").exists()
    assert_same_map(result, local)


def test_tiles_that_kill_every_worker_are_named_and_the_rest_is_kept(
    cluster, scene, local, tmp_path
):
    with distributed.Client(cluster, set_as_default=False) as client:
        client.run_on_scheduler(_allow_no_failures)
    runner = ClusterRunner(cluster.scheduler_address, Factory(tmp_path, kill_at=30, always=True))
    with pytest.raises(ClusterError, match="tiles from row"):
        predict_scene(runner, scene, tmp_path / "map", **OPTIONS)
    # What was finished before is not predicted again, here or there.
    predictor = BandPredictor(instances=True)
    result = predict_scene(predictor, scene, tmp_path / "map", resume=True, **OPTIONS)
    assert_same_map(result, local)
    predicted = sum(len(tiles) for tiles, _ in predictor.batches)
    assert 0 < predicted < local.summary["tiles"]["predicted"]


def _allow_no_failures(dask_scheduler):
    dask_scheduler.allowed_failures = 0


def test_an_address_without_a_scheduler_is_an_error(scene, tmp_path, monkeypatch):
    monkeypatch.setattr("landslide_rcnn.inference.cluster.CONNECT_SECONDS", 0.5)
    runner = ClusterRunner("tcp://127.0.0.1:9", Factory(tmp_path))
    with pytest.raises(ClusterError, match="tcp://127.0.0.1:9"):
        predict_scene(runner, scene, tmp_path / "map", **OPTIONS)
    assert not (tmp_path / "map").exists()


def test_a_cluster_without_workers_is_an_error(scene, tmp_path, monkeypatch):
    monkeypatch.setattr("landslide_rcnn.inference.cluster.CONNECT_SECONDS", 1)
    with distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty:
        runner = ClusterRunner(empty.scheduler_address, Factory(tmp_path))
        with pytest.raises(ClusterError, match="at least one worker"):
            predict_scene(runner, scene, tmp_path / "map", **OPTIONS)
