"""Whole maps with predictors that say what the scene's first band says."""

import json
import tracemalloc

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize
from scipy import ndimage

from landslide_rcnn.errors import ConfigError, GeoReferenceError, ShapeError, WeightsError
from landslide_rcnn.files import OutputExistsError
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.inference import PostProcessing, layers, predict_scene, units
from landslide_rcnn.prediction import Instances, TilePrediction, probability_of
from tests.reference import merging

NODATA = 255
NAMES = {"landslides.gpkg", "probability.tif", "mask.tif", "summary.json", "item.json"} | {
    "mask.qml",
    "probability.qml",
}
TRANSFORM = Affine(2, 0, 500_000, 0, -2, 3_500_000)


def write_scene(path, band, crs="EPSG:32648", transform=TRANSFORM):
    """Write a band [H, W] of values 0..200 (probability x 200) or 255 (invalid)."""
    band = np.asarray(band, np.uint8)
    profile = {"driver": "GTiff", "height": band.shape[0], "width": band.shape[1], "count": 1}
    if crs is not None:
        profile |= {"crs": crs, "transform": transform}
    with rasterio.open(path, "w", dtype="uint8", nodata=NODATA, **profile) as file:
        file.write(band, 1)
    return path


def random_band(rng, height, width, invalid_share=0.1):
    """A smooth random field with some invalid pixels."""
    field = ndimage.uniform_filter(rng.random((height, width)), 3)
    low, high = field.min(), field.max()
    band = np.round(200 * (field - low) / max(high - low, 1e-9)).astype(np.uint8)
    band[rng.random((height, width)) < invalid_share] = NODATA
    return band


class BandPredictor:
    """Says the first band / 200; with instances, each 4-connected region from 0.5 is one.

    Args:
        noise: Disagreement between tiles: uniform noise of this size is added to each.
        fail_at: Raise `error` at this call, from 1.
    """

    def __init__(self, instances=False, noise=0.0, fail_at=None, error=RuntimeError):
        self.instances, self.noise, self.fail_at, self.error = instances, noise, fail_at, error
        self.batches = []
        self.rng = np.random.default_rng(0)

    def predict_tiles(self, tiles, valid_masks=None):
        self.batches.append((tiles, valid_masks))
        if len(self.batches) == self.fail_at:
            raise self.error("the network is on fire")
        return [self.predict(*pair) for pair in zip(tiles, valid_masks, strict=True)]

    def predict(self, tile, valid_mask):
        probability = (tile[..., 0] / np.float32(200)).astype(np.float32)
        noise = self.rng.uniform(-self.noise, self.noise, probability.shape)
        probability = np.where(valid_mask, np.clip(probability + noise, 0, 1), 0)
        probability = probability.astype(np.float32)
        if not self.instances:
            return TilePrediction(probability)
        labels, count = ndimage.label(probability >= 0.5)
        boxes = [(y.start, x.start, y.stop, x.stop) for y, x in ndimage.find_objects(labels)]
        instances = Instances(
            np.array(boxes, np.int32).reshape(-1, 4),
            np.ones(count, np.float32),
            np.ones(count, np.int32),
            tuple(
                np.where(labels[y1:y2, x1:x2] == i + 1, probability[y1:y2, x1:x2], 0)
                for i, (y1, x1, y2, x2) in enumerate(boxes)
            ),
        )
        return TilePrediction(probability_of(instances, *probability.shape), instances)


def map_band(folder, band, predictor, **options):
    """Map a band; return the result and what the two rasters hold."""
    scene_path = write_scene(folder / "scene.tif", band)
    options = {
        "tile_size": 8,
        "overlap": 3,
        "progress": False,
        "probability": "float32",
        **options,
    }
    with Scene(scene_path) as scene:
        result = predict_scene(predictor, scene, folder / "map", **options)
    with rasterio.open(result.probability_path) as file:
        probability = file.read(1)
    with rasterio.open(result.mask_path) as file:
        mask = file.read(1)
    return result, probability, mask


def pixels_of_polygons(polygons, shape, transform=TRANSFORM):
    """Return the set of pixels of each polygon."""
    return [
        merging.pixels_of(rasterize([geometry], shape, transform=transform))
        for geometry in polygons.geometry
    ]


@pytest.fixture
def rng():
    return np.random.default_rng(42)


@pytest.mark.parametrize("instances", [False, True])
@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    overlap=st.integers(1, 6),
    batch_size=st.integers(1, 5),
)
def test_any_scene_is_mapped_as_if_it_were_one_tile(
    tmp_path_factory, instances, seed, height, width, overlap, batch_size
):
    rng = np.random.default_rng(seed)
    band = random_band(rng, height, width)
    result, probability, mask = map_band(
        tmp_path_factory.mktemp("scene"),
        band,
        BandPredictor(instances),
        tile_size=7,
        overlap=overlap,
        batch_size=batch_size,
    )
    valid = band != NODATA
    said = band / np.float32(200)
    if instances:
        said = np.where(said >= 0.5, said, 0)
    np.testing.assert_allclose(probability, np.where(valid, said, np.nan), atol=1e-6)
    hits = valid & (band >= 100)
    np.testing.assert_array_equal(mask, np.where(valid, hits, 255))
    found = pixels_of_polygons(result.polygons, band.shape)
    assert sorted(map(sorted, found)) == sorted(map(sorted, merging.connected_regions(hits)))
    assert result.summary["landslide_pixels"] == hits.sum()
    assert result.summary["scene"]["valid_pixels"] == valid.sum()


@pytest.mark.parametrize("instances", [False, True])
def test_polygons_and_mask_tell_one_story_when_tiles_contradict(tmp_path, rng, instances):
    band = random_band(rng, 60, 50)
    predictor = BandPredictor(instances, noise=0.3)
    result, probability, mask = map_band(tmp_path, band, predictor, tile_size=16, overlap=6)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(mask == 1, probability >= np.float32(0.5))
    found = pixels_of_polygons(result.polygons, band.shape)
    assert set().union(*found) == merging.pixels_of(mask == 1)
    assert sum(map(len, found)) == (mask == 1).sum() > 100
    assert result.polygons.geometry.is_valid.all()
    np.testing.assert_allclose(result.polygons["area_m2"], [4 * len(each) for each in found])


def test_outputs_lie_on_the_grid_of_the_scene(tmp_path, rng):
    result, _, _ = map_band(tmp_path, random_band(rng, 300, 20), BandPredictor(), tile_size=64)
    assert {path.name for path in result.directory.iterdir()} == NAMES
    for path, dtype in ((result.probability_path, "float32"), (result.mask_path, "uint8")):
        with rasterio.open(path) as file:
            assert (file.height, file.width, file.count) == (300, 20, 1)
            assert file.transform == TRANSFORM
            assert file.crs == "EPSG:32648"
            assert file.dtypes == (dtype,)
            assert file.profile["tiled"] and file.profile["compress"] == "deflate"
    with rasterio.open(result.mask_path) as file:
        assert file.nodata == 255
        assert file.colormap(1)[1] == (215, 48, 39, 255)
    with rasterio.open(result.probability_path) as file:
        assert np.isnan(file.nodata)
    written = gpd.read_file(result.polygons_path, layer="landslides")
    assert written.crs == "EPSG:32648"
    assert written["id"].tolist() == list(range(1, len(written) + 1))
    assert written["area_m2"].is_monotonic_decreasing
    assert written["score"].between(0.5, 1).all()


def test_the_summary_says_what_was_done(tmp_path):
    band = np.zeros((20, 30), np.uint8)
    band[2:6, 2:7] = 160
    band[15, 15] = 200
    band[:, 20:] = NODATA
    result, _, mask = map_band(
        tmp_path,
        band,
        BandPredictor(True),
        processing=PostProcessing(min_area_m2=5.0),
        card_summary={"name": "fake"},
    )
    summary = result.summary
    assert json.loads(result.summary_path.read_text()) == summary
    assert summary["landslides"] == 1
    assert summary["total_area_m2"] == 80.0
    assert summary["landslide_pixels"] == 20  # the ones of mask.tif
    cleaned = summary["post_processing"]
    assert cleaned["settings"] == {"min_area_m2": 5.0}
    assert cleaned["removed"]["small"] == {"landslides": 1, "pixels": 1, "area_m2": 4.0}
    assert mask[15, 15] == 0 and mask[2, 2] == 1
    assert summary["threshold"] == 0.5
    assert (summary["scene"]["width"], summary["scene"]["height"]) == (30, 20)
    assert summary["scene"]["valid_pixels"] == 400
    assert summary["coordinates"] == "EPSG:32648"
    tiles = summary["tiles"]
    assert (tiles["size"], tiles["overlap"], tiles["total"]) == (8, 3, 24)
    assert (tiles["predicted"], tiles["skipped_without_valid_pixels"]) == (16, 8)
    assert summary["model"] == {"name": "fake"}
    assert summary["versions"]["rasterio"] == rasterio.__version__


def test_tiles_without_valid_pixels_never_reach_the_model(tmp_path, rng):
    band = random_band(rng, 30, 30, invalid_share=0.3)
    band[:, 12:] = NODATA
    predictor = BandPredictor()
    map_band(tmp_path, band, predictor, batch_size=2)
    shown = 0
    for tiles, valid_masks in predictor.batches:
        assert len(tiles) <= 2 and tiles.shape == (len(tiles), 8, 8, 1)
        assert tiles.dtype == np.uint8
        np.testing.assert_array_equal(valid_masks, tiles[..., 0] != NODATA)
        assert valid_masks.any(axis=(1, 2)).all()
        shown += len(tiles)
    assert shown == 18


def test_a_scene_of_one_pixel(tmp_path):
    predictor = BandPredictor(True)
    result, probability, mask = map_band(tmp_path, [[150]], predictor)
    assert probability.tolist() == [[0.75]]
    assert mask.tolist() == [[1]]
    assert result.polygons["area_m2"].tolist() == [4.0]
    ((tiles, valid_masks),) = predictor.batches
    assert tiles.shape == (1, 8, 8, 1)
    assert valid_masks.sum() == 1 and valid_masks[0, 0, 0]


def test_a_scene_without_valid_pixels_gives_an_empty_map(tmp_path):
    predictor = BandPredictor()
    result, probability, mask = map_band(tmp_path, np.full((20, 9), NODATA), predictor)
    assert predictor.batches == []
    assert np.isnan(probability).all()
    assert (mask == 255).all()
    written = gpd.read_file(result.polygons_path, layer="landslides")
    assert len(written) == 0
    assert list(written.columns) == list(result.polygons.columns)
    assert result.summary["landslides"] == 0
    assert result.summary["total_area_m2"] == 0.0


def test_a_long_gap_of_invalid_rows_is_bridged(tmp_path):
    """More rows without any tile than the strip holds."""
    band = np.full((1000, 10), NODATA, np.uint8)
    band[:5] = band[990:] = 180
    result, probability, mask = map_band(tmp_path, band, BandPredictor(True))
    np.testing.assert_array_equal(mask == 1, band == 180)
    assert result.polygons["area_m2"].tolist() == [400.0, 200.0]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_before_the_first_unit_leaves_nothing(tmp_path, rng, error):
    band = random_band(rng, 600, 12)
    with pytest.raises(error):
        map_band(tmp_path, band, BandPredictor(fail_at=2, error=error))
    assert {path.name for path in tmp_path.iterdir()} == {"scene.tif"}


def test_a_failure_leaves_earlier_results_as_they_were(tmp_path, rng):
    band = random_band(rng, 600, 12)
    result, _, _ = map_band(tmp_path, band, BandPredictor())
    before = {path.name: path.read_bytes() for path in result.directory.iterdir()}
    with pytest.raises(RuntimeError):
        map_band(tmp_path, band, BandPredictor(fail_at=30), overwrite=True)
    after = {path.name: path.read_bytes() for path in result.directory.glob("[!.]*")}
    assert after == before


def test_results_are_replaced_only_when_asked(tmp_path):
    map_band(tmp_path, np.full((9, 9), 180), BandPredictor())
    predictor = BandPredictor()
    with pytest.raises(OutputExistsError, match=r"landslides\.gpkg.*--overwrite"):
        map_band(tmp_path, np.full((9, 9), 20), predictor)
    assert predictor.batches == []
    result, probability, _ = map_band(tmp_path, np.full((9, 9), 20), predictor, overwrite=True)
    assert np.unique(probability).tolist() == [np.float32(0.1)]
    assert len(gpd.read_file(result.polygons_path)) == 0
    assert {path.name for path in result.directory.iterdir()} == NAMES


def test_a_scene_without_crs_is_mapped_in_pixels(tmp_path):
    band = np.zeros((12, 12), np.uint8)
    band[2:5, 4:9] = 200
    path = write_scene(tmp_path / "scene.tif", band, crs=None)
    with Scene(path, allow_no_crs=True) as scene:
        options = {"tile_size": 8, "overlap": 3, "progress": False}
        result = predict_scene(BandPredictor(), scene, tmp_path / "map", **options)
        with pytest.raises(GeoReferenceError, match="Use min_pixels"):
            predict_scene(
                BandPredictor(),
                scene,
                tmp_path / "b",
                processing=PostProcessing(min_area_m2=1),
                **options,
            )
    assert result.polygons["area_px"].tolist() == [15]
    assert result.polygons.geometry[0].bounds == (4, 2, 9, 5)
    assert result.polygons.crs is None
    assert result.summary["coordinates"].startswith("pixels of the scene")
    assert result.summary["total_area_px"] == 15
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"overlap": 0}, "must overlap.*Received: overlap=0"),
        ({"overlap": 8}, "overlap"),
        ({"batch_size": 0}, "at least 1 tile.*batch_size=0"),
        ({"threshold": 0}, "above 0.*threshold=0"),
        ({"threshold": 1.5}, "not above 1.*threshold=1.5"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        map_band(tmp_path, np.zeros((20, 20)), BandPredictor(), **options)
    assert not (tmp_path / "map").exists()


class Answer:
    """Answers every batch with the same list."""

    def __init__(self, *predictions):
        self.predictions = list(predictions)

    def predict_tiles(self, tiles, valid_masks=None):
        return self.predictions


@pytest.mark.parametrize(
    "answer, error, message",
    [
        (Answer(), ShapeError, "one prediction a tile. Received: 0 for 1 tiles"),
        (Answer(TilePrediction(np.zeros((4, 4)))), ShapeError, r"Received: \(4, 4\)"),
        (Answer(TilePrediction(np.full((8, 8), np.nan))), WeightsError, "nan.*row 0, column 0"),
        (Answer(TilePrediction(np.full((8, 8), 1.5))), WeightsError, "from 1.5 to 1.5"),
    ],
)
def test_a_predictor_that_answers_nonsense_is_stopped(tmp_path, answer, error, message):
    with pytest.raises(error, match=message):
        map_band(tmp_path, np.zeros((8, 8)), answer)
    assert not (tmp_path / "map").exists()


def test_the_bar_is_on_stderr_and_can_be_turned_off(tmp_path, capsys):
    map_band(tmp_path, np.zeros((20, 20)), BandPredictor(), progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "16/16" in shown.err
    map_band(tmp_path, np.zeros((20, 20)), BandPredictor(), overwrite=True)
    assert capsys.readouterr().err == ""


def test_memory_does_not_grow_with_the_height_of_the_scene(tmp_path, monkeypatch):
    """Landslides everywhere, each closed soon: four times the rows, about the same peak."""
    # A few of what is held at once must fit into either scene.
    monkeypatch.setattr(units, "UNIT_PIXELS", 4 * 96**2)
    monkeypatch.setattr(layers, "READ_PIXELS", 96 * 512)
    peaks = []
    for index, height in enumerate((4096, 16_384)):
        band = np.zeros((height, 96), np.uint8)
        band[40:60, 20:60] = 180
        band[100::500, 10:90] = 180
        path = write_scene(tmp_path / f"{index}.tif", band)
        predictor = BandPredictor(True)
        with Scene(path) as scene:
            tracemalloc.start()
            options = {"tile_size": 96, "overlap": 24, "progress": False}
            predict_scene(_Forgetful(predictor), scene, tmp_path / str(index), **options)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


class _Forgetful:
    """A predictor that keeps no tiles."""

    def __init__(self, predictor):
        self.predictor = predictor

    def predict_tiles(self, tiles, valid_masks=None):
        self.predictor.batches.clear()
        return self.predictor.predict_tiles(tiles, valid_masks)


SITE = 'LOCAL_CS["site",UNIT["metre",1]]'


@pytest.mark.parametrize("crs", [None, SITE])
def test_formats_in_degrees_are_refused_before_predicting(tmp_path, crs):
    path = write_scene(tmp_path / "scene.tif", np.full((9, 9), 180), crs=crs)
    predictor = BandPredictor()
    with Scene(path, allow_no_crs=crs is None) as scene:
        with pytest.raises(GeoReferenceError, match="WGS84|Longitude and latitude"):
            predict_scene(
                predictor, scene, tmp_path / "map", tile_size=8, overlap=3, formats=("geojson",)
            )
    assert not predictor.batches and not (tmp_path / "map").exists()


def test_a_scene_on_a_sites_own_grid(tmp_path, caplog):
    """It has metres, and no place on earth."""
    path = write_scene(tmp_path / "scene.tif", np.full((9, 9), 180), crs=SITE)
    with Scene(path) as scene:
        options = {"tile_size": 8, "overlap": 3, "progress": False}
        result = predict_scene(BandPredictor(), scene, tmp_path / "map", **options)
    assert result.polygons["area_m2"].tolist() == [324.0]
    assert result.polygons["centroid_lon"].isna().all()
    assert result.polygons.total_bounds.tolist() == [500_000, 3_499_982, 500_018, 3_500_000]
    assert not (result.directory / "item.json").exists()
    assert "item.json is left out" in caplog.text


@pytest.mark.parametrize("date", ["20260501", "1.5.2026", "2026-W18-5", ""])
def test_dates_in_other_forms_are_refused(tmp_path, date):
    with pytest.raises(ConfigError, match="YYYY-MM-DD"):
        map_band(tmp_path, np.zeros((9, 9)), BandPredictor(), date=date)
