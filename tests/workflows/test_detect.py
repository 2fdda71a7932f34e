"""`landslide-rcnn detect` from the command line, with a stand-in for the network."""

import json
from dataclasses import asdict

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
from click.testing import CliRunner
from rasterio.transform import from_origin

from landslide_rcnn.cli import main
from landslide_rcnn.ensemble import Ensemble
from landslide_rcnn.files import sha256_of
from landslide_rcnn.geo.probability import ProbabilityMap
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.prediction import TilePrediction
from landslide_rcnn.weights import Card, card_path, write_ensemble
from landslide_rcnn.workflows import detect as workflow

PIXEL_M, LEFT, TOP = 2.0, 500_000.0, 3_500_000.0


class RedIsLandslide:
    """Landslide where the first band, the model's red, is above 150."""

    def __init__(self, interrupt_at=None):
        self.interrupt_at, self.calls, self.bands, self.level = interrupt_at, 0, None, 0.9

    def predict_tiles(self, tiles, valid_masks=None):
        self.calls += 1
        self.bands = tiles.shape[-1]
        if self.calls == self.interrupt_at:
            raise KeyboardInterrupt
        return [
            TilePrediction(np.where(tile[..., 0] > 150, np.float32(self.level), np.float32(0.05)))
            for tile in tiles
        ]


@pytest.fixture
def predictor(monkeypatch):
    """The stand-in; nothing loads TensorFlow."""
    stand_in = RedIsLandslide()
    monkeypatch.setattr(workflow, "load_predictor", lambda *_: stand_in)
    return stand_in


@pytest.fixture
def weights(tmp_path):
    """A file with a card; what is in it is never read."""
    return write_weights(tmp_path / "model.weights.h5", ["red", "green", "blue"])


def write_weights(path, bands):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"weights")
    config = {"IMAGE_MAX_DIM": 64, "BATCH_SIZE": 2, "BACKBONE": "resnet50"}
    card = Card(config, bands, ["BG", "landslide"], pixel_size_m=2.0, sha256=sha256_of(path))
    card_path(path).write_text(json.dumps(asdict(card)))
    return path


def write_raster(path, bands, left=LEFT, top=TOP, pixel=PIXEL_M, names=None, crs="EPSG:32648"):
    bands = np.asarray(bands)
    with rasterio.open(
        path, "w", driver="GTiff", dtype=bands.dtype, count=len(bands), height=bands.shape[1],
        width=bands.shape[2], crs=crs, transform=from_origin(left, top, pixel, pixel),
        photometric="MINISBLACK",
    ) as file:  # fmt: skip
        file.write(bands)
        if names:
            file.descriptions = names
    return path


def image(height=150, width=200):
    """Red, green, blue; one landslide of 30 x 40 pixels with a hole, one of 2 x 2."""
    bands = np.full((3, height, width), 60, np.uint8)
    bands[0, 40:70, 50:90] = 200
    bands[0, 50:52, 60:62] = 60
    bands[0, 100:102, 150:152] = 200
    bands[2, :30] = 250
    return bands


def detect(*arguments, code=0):
    result = CliRunner().invoke(main, ["detect", *map(str, arguments), "-q"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result


def test_the_plain_command(tmp_path, weights, predictor):
    scene = write_raster(tmp_path / "scene.tif", image())
    result = detect(scene, "--weights", weights, "--output", tmp_path / "map")
    assert result.stdout == f"2 landslides: {tmp_path / 'map' / 'landslides.gpkg'}\n"
    polygons = gpd.read_file(tmp_path / "map" / "landslides.gpkg", layer="landslides")
    assert polygons["area_m2"].tolist() == [(1200 - 4) * 4.0, 16.0]
    assert polygons.geometry[0].bounds == (LEFT + 100, TOP - 140, LEFT + 180, TOP - 80)
    assert polygons["scene"].unique() == ["scene.tif"]
    assert polygons["model"][0].startswith("model.weights.h5 ")
    layers = {name for name, _ in pyogrio.list_layers(tmp_path / "map" / "landslides.gpkg")}
    assert {"landslides", "tiles", "aoi"} <= layers


def test_everything_that_can_be_asked_for(tmp_path, weights, predictor):
    scene = write_raster(tmp_path / "scene.tif", image())
    slope = np.tile(np.arange(200, dtype=np.float32) * 0.5, (150, 1))[None]  # rises eastwards
    dem = write_raster(tmp_path / "dem.tif", 1000 + slope * 2)
    result = detect(
        scene, "--weights", weights, "--output", tmp_path / "map",
        "--dem", dem, "--max-slope", 60, "--max-elevation", 1085, "--min-pixels", 5,
        "--fill-holes", 20, "--simplify", 1, "--date", "2022-09-05", "--probability", "float32",
        *(part for name in ("geojson", "shapefile", "flatgeobuf", "coco")
          for part in ("--format", name)),
    )  # fmt: skip
    assert "1 landslides" in result.stdout
    folder = tmp_path / "map"
    [row] = gpd.read_file(folder / "landslides.gpkg", layer="landslides").itertuples()
    # Elevation is 1000 + column: columns 86 to 89 lie above the limit.
    assert row.area_m2 == pytest.approx(30 * 36 * 4)
    assert row.date == "2022-09-05"
    assert row.slope_mean_deg == pytest.approx(np.degrees(np.arctan(0.5)), abs=0.01)
    assert row.aspect_deg == pytest.approx(270, abs=0.1)
    assert row.elevation_max_m == pytest.approx(1085, abs=0.5)
    summary = json.loads((folder / "summary.json").read_text())
    removed = summary["post_processing"]["removed"]
    assert removed["elevation"]["pixels"] == 30 * 4  # the small one was left out before
    assert removed["holes_filled"]["pixels"] == 4
    assert summary["landslide_pixels"] == 30 * 36
    for name in ("landslides.geojson", "landslides.shp", "landslides.fgb"):
        assert len(gpd.read_file(folder / name)) == 1
    coco = json.loads((folder / "landslides.coco.json").read_text())
    assert coco["annotations"][0]["bbox"] == [50, 40, 36, 30]
    item = json.loads((folder / "item.json").read_text())
    assert item["properties"]["datetime"].startswith("2022-09-05")
    with ProbabilityMap(folder / "probability.tif") as probability:
        assert probability.steps is None


def test_formats_of_an_earlier_map_do_not_stay(tmp_path, weights, predictor):
    scene = write_raster(tmp_path / "scene.tif", image())
    command = (scene, "--weights", weights, "--output", tmp_path / "map")
    detect(*command, "--format", "shapefile")
    (tmp_path / "map" / "mine.txt").write_text("not a result")
    detect(*command, "--overwrite")
    names = {path.name for path in (tmp_path / "map").iterdir()}
    assert not any(name.endswith((".shp", ".dbf", ".shx")) for name in names)
    assert "mine.txt" in names


def test_bands_are_taken_by_their_names(tmp_path, weights, predictor, caplog):
    red, green, blue = image()
    bands = np.stack([blue, green, red, green])
    scene = write_raster(tmp_path / "s.tif", bands, names=("Blue", "Green", "Red", "NIR"))
    detect(scene, "--weights", weights, "--output", tmp_path / "map")
    polygons = gpd.read_file(tmp_path / "map" / "landslides.gpkg", layer="landslides")
    assert len(polygons) == 2 and predictor.bands == 3
    assert not caplog.text


def test_bands_of_other_names_are_taken_in_order_and_that_is_said(
    tmp_path, weights, predictor, caplog
):
    scene = write_raster(tmp_path / "s.tif", image(), names=("nir", "red", "green"))
    detect(scene, "--weights", weights, "--output", tmp_path / "map")
    assert "nir for red, red for green, green for blue" in caplog.text
    assert "--bands" in caplog.text


def test_another_resolution(tmp_path, weights, predictor, caplog):
    fine = image().repeat(8, axis=1).repeat(8, axis=2)
    scene = write_raster(tmp_path / "fine.tif", fine, pixel=0.25)
    command = (scene, "--weights", weights, "--output")
    detect(*command, tmp_path / "a", "--overlap", 8)
    assert "--resolution 2" in caplog.text
    caplog.clear()
    detect(*command, tmp_path / "b", "--resolution", 2)
    assert not caplog.text
    polygons = gpd.read_file(tmp_path / "b" / "landslides.gpkg", layer="landslides")
    assert polygons["area_m2"].tolist() == pytest.approx([(1200 - 4) * 4.0, 16.0])
    with rasterio.open(tmp_path / "b" / "mask.tif") as mask:
        assert mask.shape == (150, 200) and mask.res == (2, 2)


def test_two_files_of_one_scene(tmp_path, weights, predictor):
    whole = image()
    west = write_raster(tmp_path / "west.tif", whole[:, :, :70])
    east = write_raster(tmp_path / "east.tif", whole[:, :, 70:], left=LEFT + 140)
    detect(west, east, "--weights", weights, "--output", tmp_path / "map")
    polygons = gpd.read_file(tmp_path / "map" / "landslides.gpkg", layer="landslides")
    assert polygons["area_m2"].tolist() == [(1200 - 4) * 4.0, 16.0]
    with Scene(tmp_path / "map" / "mask.tif") as mask:
        assert (mask.height, mask.width) == (150, 200)


def test_companions_are_further_bands(tmp_path, predictor):
    weights = write_weights(tmp_path / "m.weights.h5", ["red", "green", "blue", "dem"])
    scene = write_raster(tmp_path / "scene.tif", image())
    dem = write_raster(tmp_path / "dem.tif", np.full((1, 20, 40), 900, np.float32), pixel=8.0)
    command = (scene, "--weights", weights, "--companion", dem, "--output")
    detect(*command, tmp_path / "map")
    assert predictor.bands == 4
    summary = json.loads((tmp_path / "map" / "summary.json").read_text())
    # The DEM covers 80 rows and 160 columns of 150 and 200.
    [share] = summary["scene"]["outside_companions"].values()
    assert share == pytest.approx(1 - 80 * 160 / (150 * 200), abs=0.01)
    assert summary["scene"]["valid_pixels"] == 80 * 160
    detect(*command, tmp_path / "filled", "--companion-fill", 0)
    summary = json.loads((tmp_path / "filled" / "summary.json").read_text())
    assert summary["scene"]["valid_pixels"] == 150 * 200
    result = detect(
        scene, "--weights", weights, "--output", tmp_path / "o", code=1
    )  # without the companion
    assert "--companion" in result.stderr


def test_ctrl_c_says_how_to_go_on(tmp_path, weights, predictor, caplog, monkeypatch):
    monkeypatch.setattr("landslide_rcnn.inference.units.UNIT_PIXELS", 2 * 64**2)
    scene = write_raster(tmp_path / "scene.tif", image())
    command = (scene, "--weights", weights, "--output", tmp_path / "map")
    predictor.interrupt_at = 4
    result = detect(*command, code=130)
    assert result.stdout == "" and "--resume" in caplog.text
    assert "--resume" in detect(*command, code=1).stderr
    result = detect(*command, "--resume", "--threshold", 0.7, code=1)
    assert "threshold 0.5, now 0.7" in result.stderr
    predictor.interrupt_at = None
    assert "2 landslides" in detect(*command, "--resume").stdout
    assert not (tmp_path / "map" / ".unfinished").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (("--max-slope", 30), "need a DEM"),
        (("--format", "kml"), "geojson"),
        (("--date", "yesterday"), "YYYY-MM-DD"),
        (("--resolution", -1), "resolution"),
        (("--scheduler", "tcp://127.0.0.1:9"), "Dask"),
        (("--min-area", -2), "min_area_m2=-2"),
    ],
)
def test_what_cannot_work_is_one_line(tmp_path, weights, predictor, monkeypatch, options, message):
    monkeypatch.setattr("landslide_rcnn.inference.cluster.CONNECT_SECONDS", 0.5)
    scene = write_raster(tmp_path / "scene.tif", image())
    result = detect(scene, "--weights", weights, "--output", tmp_path / "o", *options, code=1)
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert message in line
    assert not (tmp_path / "o").exists()


def test_a_folder_of_folds_in_the_place_of_weights(tmp_path, monkeypatch):
    """Mean probability 0.6: landslides by the ensemble's threshold, not by a member's 0.5."""
    members = [
        write_weights(tmp_path / "folds" / f"fold-{i}.weights.h5", ["red", "green", "blue"])
        for i in (1, 2)
    ]
    write_ensemble(tmp_path / "folds", members, threshold=0.625)
    low, high = RedIsLandslide(), RedIsLandslide()
    low.level, high.level = 0.3, 0.9
    monkeypatch.setattr(workflow, "load_predictor", lambda *_: Ensemble([low, high]))
    scene = write_raster(tmp_path / "scene.tif", image())
    command = (scene, "--weights", tmp_path / "folds", "--output")
    assert detect(*command, tmp_path / "none").stdout.startswith("0 landslides")
    detect(*command, tmp_path / "map", "--threshold", 0.5)
    polygons = gpd.read_file(tmp_path / "map" / "landslides.gpkg", layer="landslides")
    assert polygons["area_m2"].tolist() == [(1200 - 4) * 4.0, 16.0]
    assert polygons["score"].tolist() == pytest.approx([0.6, 0.6])
    assert polygons["model"][0].startswith("folds ")
    model = json.loads((tmp_path / "map" / "summary.json").read_text())["model"]
    assert model["architecture"] == "ensemble" and model["sha256"] == sha256_of(
        tmp_path / "folds" / "ensemble.json"
    )
    assert [(each["weights"], each["sha256"]) for each in model["members"]] == [
        (path.name, sha256_of(path)) for path in members
    ]
    assert model["members"][0]["backbone"] == "resnet50"
