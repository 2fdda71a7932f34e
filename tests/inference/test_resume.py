"""Maps that are stopped, by an error, Ctrl-C or kill -9, and finished later."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from landslide_rcnn.errors import RasterError
from landslide_rcnn.files import OutputExistsError, as_json
from landslide_rcnn.geo.companions import Companion
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import read_polygons
from landslide_rcnn.inference import PostProcessing, predict_scene, run_folder, units
from landslide_rcnn.inference.fingerprint import fingerprint_of
from landslide_rcnn.inference.journal import Journal
from landslide_rcnn.inference.result import finished_map
from landslide_rcnn.inference.run_folder import UnfinishedRunError, differences
from landslide_rcnn.inference.settings import MapSettings
from tests.helpers import odd_rasters
from tests.inference.test_tiled import (
    TRANSFORM,
    BandPredictor,
    map_band,
    random_band,
    write_scene,
)

RASTERS = ("probability.tif", "mask.tif")
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def small_units(monkeypatch):
    """Units of 32 of these tests' tiny tiles."""
    monkeypatch.setattr(units, "UNIT_PIXELS", 32 * 8**2)


@pytest.fixture(scope="module")
def band():
    return random_band(np.random.default_rng(5), 300, 14)


@pytest.fixture(scope="module")
def undisturbed(band, tmp_path_factory):
    return map_band(tmp_path_factory.mktemp("undisturbed"), band, BandPredictor(instances=True))[0]


def assert_same_map(result, expected):
    for name in RASTERS:
        made, wanted = result.directory / name, expected.directory / name
        assert made.read_bytes() == wanted.read_bytes(), name
    made, wanted = read_polygons(result.polygons_path), read_polygons(expected.polygons_path)
    named = ["model"]  # by the class of the stand-in
    assert made.drop(columns=named).equals(wanted.drop(columns=named))
    assert not (result.directory / ".unfinished").exists()
    assert {p.name for p in result.directory.iterdir()} == {
        p.name for p in expected.directory.iterdir()
    }


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_stopped_run_is_finished_by_predicting_only_the_rest(tmp_path, band, undisturbed, error):
    with pytest.raises(error):
        map_band(tmp_path, band, BandPredictor(True, fail_at=30, error=error))
    predictor = BandPredictor(instances=True)
    result, _, _ = map_band(tmp_path, band, predictor, resume=True)
    assert_same_map(result, undisturbed)
    whole = undisturbed.summary["tiles"]["predicted"]
    predicted = sum(len(tiles) for tiles, _ in predictor.batches)
    assert 0 < predicted < whole - 32


def test_resuming_a_finished_map_predicts_nothing(tmp_path, band, undisturbed):
    map_band(tmp_path, band, BandPredictor(instances=True))
    again = BandPredictor(instances=True)
    result, _, _ = map_band(tmp_path, band, again, resume=True)
    assert not again.batches
    assert_same_map(result, undisturbed)
    assert result.polygons.equals(undisturbed.polygons.drop(columns=[])) or len(result.polygons)


def test_resuming_where_nothing_is_begins(tmp_path, band, undisturbed):
    result, _, _ = map_band(tmp_path, band, BandPredictor(instances=True), resume=True)
    assert_same_map(result, undisturbed)


def test_an_unfinished_run_is_not_begun_anew_unless_asked(tmp_path, band, undisturbed):
    with pytest.raises(RuntimeError):
        map_band(tmp_path, band, BandPredictor(True, fail_at=30))
    with pytest.raises(UnfinishedRunError, match="--resume"):
        map_band(tmp_path, band, BandPredictor(instances=True))
    predictor = BandPredictor(instances=True)
    result, _, _ = map_band(tmp_path, band, predictor, overwrite=True)
    assert_same_map(result, undisturbed)
    predicted = sum(len(tiles) for tiles, _ in predictor.batches)
    assert predicted == undisturbed.summary["tiles"]["predicted"]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"threshold": 0.6}, "threshold 0.5, now 0.6"),
        ({"tile_size": 16}, "tile_size 8, now 16"),
        ({"processing": PostProcessing(min_pixels=3)}, "settings.processing.min_pixels"),
        ({"card_summary": {"sha256": "another"}}, "model"),
    ],
)
def test_another_run_is_not_resumed(tmp_path, band, change, message):
    with pytest.raises(RuntimeError):
        map_band(tmp_path, band, BandPredictor(True, fail_at=30))
    with pytest.raises(UnfinishedRunError, match=message):
        map_band(tmp_path, band, BandPredictor(True), resume=True, **change)


def test_a_changed_scene_is_not_resumed(tmp_path, band):
    with pytest.raises(RuntimeError):
        map_band(tmp_path, band, BandPredictor(True, fail_at=30))
    changed = band.copy()
    changed[0, 0] = 7
    with pytest.raises(UnfinishedRunError, match="scene"):
        map_band(tmp_path, changed, BandPredictor(True), resume=True)


def test_another_band_of_a_companion_is_another_scene(tmp_path, band):
    scene = write_scene(tmp_path / "scene.tif", band)
    both = np.stack([band, 255 - band], axis=-1).astype(np.uint8)
    other = odd_rasters.write(tmp_path / "other.tif", both, transform=TRANSFORM)
    settings, prints = MapSettings(tile_size=8, overlap=3), []
    for bands in ((1,), (2,)):
        with Scene(scene, companions=[Companion(other, bands=bands)]) as opened:
            prints.append(as_json(fingerprint_of(opened, settings, "model"))["scene"])
    first, second = (each.pop("companions")[0] for each in prints)
    assert first.pop("bands") == [1] and second.pop("bands") == [2]
    assert first == second and first["name"] == "other.tif"


def test_a_damaged_summary_is_no_finished_map(tmp_path):
    for content in ("{", "[]", "null"):
        (tmp_path / "summary.json").write_text(content)
        assert finished_map(tmp_path, {}) is None


def test_results_of_another_map_are_not_taken_for_this_one(tmp_path, band):
    scene = write_scene(tmp_path / "scene.tif", band)
    with Scene(scene) as opened:
        options = {"tile_size": 8, "overlap": 3, "progress": False}
        predict_scene(BandPredictor(), opened, tmp_path / "map", **options)
        with pytest.raises(OutputExistsError, match="--overwrite"):
            predict_scene(
                BandPredictor(), opened, tmp_path / "map", threshold=0.7, resume=True, **options
            )


@pytest.mark.parametrize("moves", [0, 1, 2, 3, 4])
def test_results_whose_moving_was_cut_off_are_moved(
    tmp_path, band, undisturbed, monkeypatch, moves
):
    """A kill between two renames: whatever is called next finishes them."""
    replace, moved = os.replace, []

    def cut_off(source, target):
        if Path(target).parent.name == "map":
            if len(moved) == moves:
                raise KeyboardInterrupt
            moved.append(target)
        replace(source, target)

    if moves < 4:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(run_folder.os, "replace", cut_off)
            map_band(tmp_path, band, BandPredictor(instances=True))
    predictor = BandPredictor(instances=True)
    result, _, _ = map_band(tmp_path, band, predictor, resume=True)
    assert_same_map(result, undisturbed)
    assert not predictor.batches or moves == 4


def test_a_damaged_unit_is_predicted_again(tmp_path, caplog):
    journal = Journal(tmp_path / "units")
    journal.store(3, b"some answers")
    journal.store(4, b"others")
    path = next(p for p in (tmp_path / "units").iterdir() if "3" in p.name)
    path.write_bytes(path.read_bytes()[:-1])
    (tmp_path / "units" / ".partial-12-unit-0000005.bin").write_bytes(b"half")
    journal = Journal(tmp_path / "units")
    assert len(journal) == 2 and 5 not in journal
    assert journal.load(4) == b"others"
    assert journal.load(3) is None and 3 not in journal
    assert "predicted again" in caplog.text


def test_two_processes_do_not_work_on_one_map(tmp_path, band):
    with Scene(write_scene(tmp_path / "scene.tif", band)) as scene:
        options = {"tile_size": 8, "overlap": 3, "progress": False}

        class Intruder(BandPredictor):
            def predict_tiles(self, tiles, valid_masks=None):
                if len(self.batches) == 20:
                    with pytest.raises(UnfinishedRunError, match="at work"):
                        predict_scene(
                            BandPredictor(), scene, tmp_path / "map", resume=True, **options
                        )
                return super().predict_tiles(tiles, valid_masks)

        predictor = Intruder()
        predict_scene(predictor, scene, tmp_path / "map", **options)
        assert len(predictor.batches) > 20


def test_differences_name_the_entry():
    stored = {"model": {"sha256": "a"}, "threshold": 0.5, "same": [1, 2]}
    given = {"model": {"sha256": "b"}, "threshold": 0.5, "same": [1, 2]}
    assert differences(stored, given) == ["model.sha256 a, now b"]
    assert differences(stored, stored) == []


SLOW_RUN = """
import signal, sys, time
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.inference import predict_scene, units
from tests.inference.test_tiled import BandPredictor

units.UNIT_PIXELS = 32 * 8**2
# What a shell starts in the background inherits that it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

class Slow(BandPredictor):
    def predict_tiles(self, tiles, valid_masks=None):
        time.sleep(0.004)
        return super().predict_tiles(tiles, valid_masks)

with Scene(sys.argv[1]) as scene:
    print("begun", flush=True)
    predict_scene(Slow(instances=True), scene, sys.argv[2], tile_size=8, overlap=3,
                  progress=False, probability="float32", resume=True)
"""


def start(scene, output):
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_RUN, str(scene), str(output)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
def test_kill_9_at_random_moments_changes_nothing(tmp_path, band, undisturbed):
    scene = write_scene(tmp_path / "scene.tif", band)
    moments = random.Random(0)
    kills = 0
    for round_number in range(5):
        output = tmp_path / f"map{round_number}"
        while True:
            run = start(scene, output)
            run.stdout.readline()
            try:
                run.wait(timeout=moments.uniform(0.05, 0.6))
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGKILL)
                run.communicate()
                kills += 1
                continue
            _, errors = run.communicate()
            assert run.returncode == 0, errors.decode()
            break
        with Scene(scene) as opened:
            result = predict_scene(
                BandPredictor(instances=True),
                opened,
                output,
                tile_size=8,
                overlap=3,
                progress=False,
                probability="float32",
                resume=True,
                card_summary="Slow",
            )
        assert_same_map(result, undisturbed)
    assert kills >= 5


@pytest.mark.slow
def test_ctrl_c_leaves_a_state_to_resume(tmp_path, band, undisturbed):
    scene = write_scene(tmp_path / "scene.tif", band)
    run = start(scene, tmp_path / "map")
    run.stdout.readline()
    time.sleep(0.25)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=30)
    assert run.returncode != 0 and b"KeyboardInterrupt" in errors
    assert (tmp_path / "map" / ".unfinished" / "run.json").exists()
    run = start(scene, tmp_path / "map")
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors.decode()
    for name in RASTERS:
        made, wanted = tmp_path / "map" / name, undisturbed.directory / name
        assert made.read_bytes() == wanted.read_bytes()


def test_a_kill_while_the_runs_folder_is_removed_is_no_riddle(tmp_path, band, undisturbed):
    """Of the folder any part may be left; the results are there and are taken."""
    for left in ("publishing", "units"):
        folder = tmp_path / left
        folder.mkdir()
        result, _, _ = map_band(folder, band, BandPredictor(instances=True))
        unfinished = result.directory / ".unfinished"
        (unfinished / "units").mkdir(parents=True)
        if left == "publishing":
            (unfinished / "publishing").write_text('{"move": ["mask.tif"], "remove": []}')
        again = BandPredictor(instances=True)
        assert_same_map(map_band(folder, band, again, resume=True)[0], undisturbed)
        assert not again.batches


@pytest.mark.parametrize("name", ["landslides.gpkg", "item.json", "landslides.geojson"])
@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
def test_a_folder_in_the_place_of_a_result_is_refused_at_once(tmp_path, band, name, options):
    (tmp_path / "map" / name).mkdir(parents=True)
    predictor = BandPredictor()
    with pytest.raises(RasterError, match=f"{name}, a folder. Rename it"):
        map_band(tmp_path, band, predictor, **options)
    assert not predictor.batches
    assert [path.name for path in (tmp_path / "map").iterdir()] == [name]


@pytest.mark.parametrize("name", ["landslides.shp", "landslides.geojson", "item.json"])
def test_files_that_a_map_may_have_are_somebodys(tmp_path, band, name):
    """An inventory beside the scene was removed, as if left by an earlier map."""
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / name).write_text("mine")
    with pytest.raises(OutputExistsError, match=f"{name}. Use --overwrite"):
        map_band(tmp_path, band, BandPredictor())
    assert (tmp_path / "map" / name).read_text() == "mine"


@pytest.mark.parametrize("link", [False, True])
def test_a_map_does_not_replace_its_scene(tmp_path, band, link):
    scene = write_scene(tmp_path / "mask.tif", band)
    before, output = scene.read_bytes(), tmp_path
    if link:
        output = tmp_path / "there"
        output.symlink_to(tmp_path)
    with Scene(scene) as opened, pytest.raises(RasterError, match="made of.*mask.tif.*another"):
        predict_scene(
            BandPredictor(), opened, output, tile_size=8, overlap=3, overwrite=True, progress=False
        )
    assert scene.read_bytes() == before


def test_what_a_gis_left_of_an_earlier_map_goes_with_it(tmp_path, band):
    """SQLite would write an old journal into the new file."""
    result, _, _ = map_band(tmp_path, band, BandPredictor(instances=True))
    names = {path.name for path in result.directory.iterdir()}
    for name in ("landslides.gpkg-wal", "landslides.gpkg-shm", "mask.tif.aux.xml"):
        (result.directory / name).write_bytes(b"of the earlier map")
    result, _, _ = map_band(tmp_path, band, BandPredictor(instances=True), overwrite=True)
    assert {path.name for path in result.directory.iterdir()} == names


def test_an_output_folder_below_a_file(tmp_path, band):
    (tmp_path / "file").write_text("")
    with Scene(write_scene(tmp_path / "scene.tif", band)) as scene:
        with pytest.raises(RasterError, match="file is a file. Name a folder"):
            predict_scene(BandPredictor(), scene, tmp_path / "file" / "map", tile_size=8, overlap=3)
