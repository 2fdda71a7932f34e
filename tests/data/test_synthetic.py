"""Generated mountain scenes."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import scipy.ndimage

from landslide_rcnn.data.synthetic import generate, make_scene
from landslide_rcnn.data.synthetic_terrain import fractal_noise, hillshade
from landslide_rcnn.errors import ConfigError
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import rasterize_instances, read_polygons

SIZE = (512, 768)


@pytest.fixture(scope="module")
def arrays():
    return generate(*SIZE, seed=3)


def best_single_band_f1(image, truth):
    """The best F1 of "above" or "below a threshold", over the bands of a uint8 image."""
    best = 0.0
    for band in np.moveaxis(image, -1, 0):
        inside = np.bincount(band[truth], minlength=256)
        everywhere = np.bincount(band.ravel(), minlength=256)
        for hits, chosen in (
            (inside.cumsum(), everywhere.cumsum()),
            (inside[::-1].cumsum(), everywhere[::-1].cumsum()),
        ):
            best = max(best, (2 * hits / (chosen + truth.sum())).max())
    return best


def test_kinds_and_shares(arrays):
    assert arrays.image.shape == (*SIZE, 3) and arrays.image.dtype == np.uint8
    assert arrays.elevation_m.shape == SIZE and arrays.elevation_m.dtype == np.float32
    landslides = arrays.labels > 0
    assert 0.03 < landslides.mean() < 0.2
    assert 0.005 < arrays.fields.mean() and 0.005 < arrays.roads.mean()
    assert not (landslides & (arrays.fields | arrays.roads | arrays.riverbed)).any()
    assert 40 < arrays.image.mean() < 130 and (arrays.image == 255).mean() < 0.01


def test_landslides_are_whole_apart_and_of_several_sizes(arrays):
    count = arrays.labels.max()
    assert 8 <= count <= 16  # about 1 in 170 x 170 px
    regions, region_count = scipy.ndimage.label(arrays.labels > 0, np.ones((3, 3)))
    assert region_count == count
    # A landslide is one region, and the gap to the next is 5 px or more.
    wide, wide_count = scipy.ndimage.label(
        scipy.ndimage.binary_dilation(arrays.labels > 0, np.ones((5, 5)))
    )
    assert wide_count == count
    sizes = np.bincount(arrays.labels.ravel())[1:]
    assert sizes.min() >= 500 and sizes.max() > 2 * sizes.min()


def test_landslides_run_down_steep_slopes(arrays):
    landslides = arrays.labels > 0
    assert np.median(arrays.slope_deg[landslides]) > 25
    assert np.median(arrays.slope_deg[arrays.fields]) < 8
    for number, (rows, columns) in enumerate(scipy.ndimage.find_objects(arrays.labels), 1):
        inside = arrays.labels[rows, columns] == number
        assert np.ptp(arrays.elevation_m[rows, columns][inside]) > 12
        assert max(inside.shape) >= 35


def test_colour_alone_does_not_find_the_landslides(arrays):
    assert best_single_band_f1(arrays.image, arrays.labels > 0) < 0.75
    # Fields look like landslides: their mean colours differ by less than they vary.
    landslide, field = (arrays.image[arrays.labels > 0], arrays.image[arrays.fields])
    assert (np.abs(landslide.mean(0) - field.mean(0)) < 1.2 * landslide.std(0)).all()


def test_one_seed_one_scene():
    first, again, other = (generate(256, 320, seed=seed) for seed in (5, 5, 6))
    for name in ("image", "elevation_m", "labels", "fields", "river"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert (first.image != other.image).mean() > 0.5
    assert not np.array_equal(first.labels, other.labels)


@pytest.mark.slow
def test_the_usual_scene_has_landslides_on_both_halves():
    labels = generate(1024, 2048, seed=0).labels
    halves = [np.unique(half[half > 0]).size for half in np.split(labels, 2, axis=1)]
    assert 45 <= labels.max() <= 75 and min(halves) > 0.8 * max(halves)


def test_files(tmp_path):
    files = make_scene(tmp_path / "scene", height=256, width=320, pixel_size_m=2.5, seed=1)
    arrays = generate(256, 320, pixel_size_m=2.5, seed=1)
    assert sorted(path.name for path in (tmp_path / "scene").iterdir()) == sorted(
        path.name for path in (files.orthophoto, files.dem, files.polygons, files.rivers)
    )
    with Scene(files.orthophoto) as scene, Scene(files.dem) as dem:
        assert scene.crs.to_epsg() == 32648 and scene.pixel_size_m == 2.5
        assert scene.transform == dem.transform and scene.band_names == ("red", "green", "blue")
        np.testing.assert_array_equal(scene.read(scene.window), arrays.image)
        np.testing.assert_array_equal(dem.read(dem.window)[..., 0], arrays.elevation_m)
        assert scene.read_valid(scene.window).all() and dem.read_valid(dem.window).all()
        polygons = read_polygons(files.polygons, "landslides")
        assert polygons["id"].tolist() == list(range(1, arrays.labels.max() + 1))
        # The polygons are exactly what was painted.
        labels = rasterize_instances(polygons, scene.window, scene.transform)
        np.testing.assert_array_equal(labels, arrays.labels)
        sizes = np.bincount(arrays.labels.ravel())[1:]
        np.testing.assert_allclose(polygons["area_m2"], sizes * 2.5**2)
        rivers = gpd.read_file(files.rivers, layer="rivers")
        assert rivers.crs.to_epsg() == 32648 and rivers.length.sum() >= 0.95 * 320 * 2.5
        left, bottom, right, top = rivers.total_bounds
        assert (left, right) == (scene.bounds.left, scene.bounds.right)
        assert scene.bounds.bottom < bottom < top < scene.bounds.top


def test_heights_scale_with_the_pixels():
    coarse, fine = (generate(256, 256, pixel_size_m=size, seed=2) for size in (2.0, 1.0))
    np.testing.assert_array_equal(coarse.image, fine.image)
    np.testing.assert_allclose(coarse.elevation_m, 2 * fine.elevation_m)


@pytest.mark.parametrize("kwargs", [{"height": 255, "width": 500}, {"pixel_size_m": 0}])
def test_sizes_that_cannot_work(tmp_path, kwargs):
    with pytest.raises(ConfigError, match="at least 256 px on a side.*Received"):
        make_scene(tmp_path, **kwargs)
    assert not list(tmp_path.iterdir())


def test_noise_has_the_scale_that_was_asked(rng):
    coarse, fine = (fractal_noise(rng, 120, 130, length, 2.5) for length in (60, 4))
    for noise in (coarse, fine):
        assert noise.shape == (120, 130) and noise.dtype == np.float32
        assert noise.mean() == pytest.approx(0, abs=1e-5)
        assert noise.std() == pytest.approx(1, abs=1e-5)
    neighbours = [np.mean(noise[:, 3:] * noise[:, :-3]) for noise in (coarse, fine)]
    assert neighbours[0] > 0.9 and neighbours[1] < 0.7


def test_light_comes_from_the_north_west():
    rows, columns = np.mgrid[:9, :9].astype(float)
    flat = hillshade(np.zeros((9, 9)))
    np.testing.assert_allclose(flat, np.sin(np.radians(45)), rtol=1e-6)
    # 45 degrees towards the sun is lit straight on, away from it not at all.
    towards = (rows + columns) / np.sqrt(2)
    np.testing.assert_allclose(hillshade(towards), 1, atol=1e-6)
    np.testing.assert_allclose(hillshade(-towards), 0, atol=1e-6)


def test_the_orthophoto_opens_with_plain_rasterio(tmp_path):
    files = make_scene(tmp_path, height=256, width=256)
    with rasterio.open(files.orthophoto) as file:
        assert file.colorinterp == (
            rasterio.enums.ColorInterp.red,
            rasterio.enums.ColorInterp.green,
            rasterio.enums.ColorInterp.blue,
        )
