"""Factors as bands: their values, windows, files, companions; against a GIS and brute force."""

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window
from scipy import ndimage

from landslide_rcnn.errors import ConfigError, GeoReferenceError, RasterError, RegistryError
from landslide_rcnn.files import OutputExistsError
from landslide_rcnn.geo.companions import Companion
from landslide_rcnn.geo.factors import Factors, find_red_and_nir, open_factors
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.terrain import TerrainLayers
from landslide_rcnn.geo.writing import Grid
from landslide_rcnn.workflows.factors import write_factors
from tests.helpers.outside import data_file, needs_data

# A DEM of 10 m pixels around a scene of 2 m pixels (`write_raster`'s TRANSFORM).
COARSE = Affine(10, 0, 499_950, 0, -10, 4_000_050)
ALL = ("elevation_m", "slope_deg", "aspect_sin", "aspect_cos", "plan_curvature",
       "profile_curvature", "river_level", "ndvi")  # fmt: skip


@pytest.fixture
def scene_path(write_raster, rng):
    pixels = rng.integers(0, 200, (60, 80, 4), np.uint8)
    pixels[5, 7, 2:] = 0
    path = write_raster(pixels, "scene.tif", photometric="MINISBLACK", ALPHA="NO")
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("blue", "green", "red", "NIR")
    return path


@pytest.fixture
def rivers(tmp_path):
    line = shapely.LineString([(500_100, 4_000_500), (500_100, 3_999_500)])
    gpd.GeoDataFrame(geometry=[line], crs="EPSG:32648").to_file(tmp_path / "rivers.gpkg")
    return tmp_path / "rivers.gpkg"


@pytest.fixture
def plane(write_raster):
    rows, cols = np.mgrid[:25, :30]
    return write_raster((800 + 3.0 * cols + 4.0 * rows).astype("f4"), "plane.tif", transform=COARSE)


@pytest.fixture
def rough(write_raster, rng):
    height = np.cumsum(np.cumsum(rng.normal(size=(25, 30)), axis=0), axis=1).astype("f4")
    height[12:14, 8:11] = -9999
    return write_raster(height, "rough.tif", transform=COARSE, nodata=-9999)


def test_values_of_every_factor(scene_path, plane, rivers):
    with Scene(scene_path) as scene, Factors(scene, dem=plane, rivers=rivers) as factors:
        assert factors.band_names == ALL
        values = factors.read(scene.window)
        image = scene.read(scene.window).astype(float)
    rows, cols = np.mgrid[:60, :80] * 2.0 + 1
    # 0.3 m up for each metre to the east and 0.4 to the south; so it falls to the north west.
    np.testing.assert_allclose(values[..., 0], 800 + 0.3 * (45 + cols) + 0.4 * (45 + rows), 1e-6)
    np.testing.assert_allclose(values[..., 1], np.degrees(np.arctan(0.5)), rtol=1e-5)
    np.testing.assert_allclose(values[..., 2], -0.6, atol=1e-5)
    np.testing.assert_allclose(values[..., 3], 0.8, atol=1e-5)
    np.testing.assert_allclose(values[..., 4:6], 0, atol=1e-6)
    distance_m = np.abs(cols - 100) / 0.9996  # the scale of the map there
    np.testing.assert_array_equal(values[..., 6], distance_m > 30)
    total = image[..., 3] + image[..., 2]
    expected = (image[..., 3] - image[..., 2]) / np.where(total == 0, 1, total)
    np.testing.assert_allclose(values[..., 7], expected, atol=1e-6)
    assert values.dtype == np.float32 and values[5, 7, 7] == 0


WINDOWS = [Window(0, 0, 80, 7), Window(33, 11, 21, 30), Window(77, 57, 3, 3)]


@pytest.mark.parametrize("window", WINDOWS)
def test_windows_equal_the_whole(scene_path, rough, rivers, window):
    with Scene(scene_path) as scene, Factors(scene, dem=rough, rivers=rivers) as factors:
        whole, part = factors.read(scene.window), factors.read(window)
    np.testing.assert_array_equal(part, whole[window.toslices()])
    unknown = np.isnan(whole)
    assert unknown[..., :6].any() and not unknown[..., 6:].any()
    assert len(np.unique(np.isnan(whole[..., :6]).sum(axis=(0, 1)))) == 1


@pytest.mark.parametrize("latitude", [0.0, 60.0])
def test_a_scene_and_a_dem_in_degrees(write_raster, latitude):
    """The same slope in metres on the ground at the equator and far from it."""
    geod = pyproj.Geod(ellps="WGS84")
    step = 1e-4
    to_east = geod.inv(10, latitude, 10 + step, latitude)[2]
    to_north = geod.inv(10, latitude - step / 2, 10, latitude + step / 2)[2]
    rows, cols = np.mgrid[:21, :21] - 10
    height = (1000 + 0.3 * cols * to_east + 0.4 * rows * to_north).astype("f4")
    transform = Affine(step, 0, 10, 0, -step, latitude + 10.5 * step)
    dem = write_raster(height, "dem.tif", crs="EPSG:4326", transform=transform)
    finer = transform * Affine.translation(5, 5) * Affine.scale(0.25)
    grid = Grid(40, 40, CRS.from_epsg(4326), finer)
    with open_factors(dem, ("aspect", "slope"), grid) as factors:
        values = factors.read(factors.window)
    assert factors.band_names == ("slope_deg", "aspect_sin", "aspect_cos")
    np.testing.assert_allclose(values[..., 0], np.degrees(np.arctan(0.5)), rtol=1e-3)
    np.testing.assert_allclose(values[..., 1], -0.6, atol=2e-3)
    np.testing.assert_allclose(values[..., 2], 0.8, atol=2e-3)


def test_the_file(tmp_path, scene_path, rough, rivers, monkeypatch):
    monkeypatch.setattr("landslide_rcnn.workflows.factors.WINDOW_SIDE", 32)
    path = tmp_path / "out" / "factors.tif"
    names = write_factors(scene_path, path, dem=rough, rivers=rivers, progress=False)
    assert names == ALL
    with Scene(scene_path) as scene, Factors(scene, dem=rough, rivers=rivers) as factors:
        expected = factors.read(scene.window)
        with rasterio.open(path) as file:
            assert file.descriptions == ALL and set(file.dtypes) == {"float32"}
            assert (file.crs, file.transform) == (scene.crs, scene.transform)
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert file.tags()["DEM"] == "rough.tif" and np.isnan(file.nodata)
            np.testing.assert_array_equal(np.moveaxis(file.read(), 0, -1), expected)
    assert [file.name for file in path.parent.iterdir()] == ["factors.tif"]
    with pytest.raises(OutputExistsError, match="--overwrite"):
        write_factors(scene_path, path, dem=rough)
    bands = write_factors(scene_path, path, names=["ndvi"], red=1, nir=4, overwrite=True)
    assert bands == ("ndvi",)


def test_the_same_bands_as_a_companion(tmp_path, scene_path, rough, rivers):
    """What `factors.tif` holds and what `dem.tif#slope,aspect` adds to a scene is one thing."""
    path = tmp_path / "factors.tif"
    write_factors(scene_path, path, dem=rough, names=["aspect", "slope"], progress=False)
    companions = [
        Companion.parse(f"{rough}#slope, aspect"),
        Companion(rivers),
        Companion.parse(f"{scene_path}#ndvi", fill=0),
    ]
    with Scene(scene_path, companions=companions) as direct:
        assert direct.band_names[4:] == (*ALL[1:4], "river_level", "ndvi")
        image, valid = direct.read_tile(direct.window)
    with Scene(scene_path, companions=[Companion(path)]) as by_file:
        assert by_file.band_names[4:] == ALL[1:4]
        filed, filed_valid = by_file.read_tile(by_file.window)
    np.testing.assert_array_equal(valid, filed_valid)
    assert 0 < valid.mean() < 1
    np.testing.assert_array_equal(image[..., :7][valid], filed[valid])


def test_a_companion_whose_name_has_a_sharp(tmp_path, rough):
    odd = rough.rename(tmp_path / "dem#1.tif")
    assert Companion.parse(str(odd)) == Companion(str(odd))
    assert Companion.parse(f"{odd}#slope", 0.0) == Companion(str(odd), 0.0, factors=("slope",))


def test_what_cannot_be_computed_is_said(scene_path, rough, rivers, write_raster):
    with Scene(scene_path, bands=(1, 2)) as scene:
        with pytest.raises(RegistryError, match="must be one of elevation, .*Received: hight"):
            Factors(scene, dem=rough, names=["slope", "hight"])
        with pytest.raises(ConfigError, match="slope, river without a DEM.* and river lines"):
            Factors(scene, names=["river", "slope"])
        with pytest.raises(ConfigError, match="ndvi without bands of red.*bands blue, green"):
            Factors(scene, dem=rough, names=["ndvi"])
        with pytest.raises(ConfigError, match="Received: neither a DEM nor river lines"):
            Factors(scene)
        with pytest.raises(ConfigError, match="from 1 to 2. Received: red=1, nir=3"):
            Factors(scene, red=1, nir=3)
    grid = Grid(4, 4, None, Affine.identity())
    with pytest.raises(GeoReferenceError, match="need a scene with a CRS"):
        open_factors(rough, ["slope"], grid)
    with pytest.raises(ConfigError, match="A DEM gives .*Received: slope,ndvi"):
        Scene(scene_path, companions=[Companion(rough, factors=("slope", "ndvi"))])
    with pytest.raises(ConfigError, match="ndvi without bands of red"):
        Scene(scene_path, companions=[Companion(rough, factors=("ndvi",))])
    with pytest.raises(RasterError, match="A DEM must have one band"):
        Scene(scene_path, companions=[Companion(scene_path, factors=("slope",))])
    with pytest.raises(ConfigError, match=r"Received: bands=\[1\]"):
        Scene(scene_path, companions=[Companion(rough, bands=[1], factors=("slope",))])


def test_bands_of_ndvi_by_name_or_number():
    assert find_red_and_nir(("Blue", "Red", "NIR"), None, None) == (2, 3)
    assert find_red_and_nir(("band 1", "band 2"), 2, 1) == (2, 1)
    assert find_red_and_nir(("red", "green"), None, None) is None


@needs_data("terrain/jiuzhaigou_dem_30m.tif")
def test_slope_against_a_gis():
    """The GIS gave its slope where the DEM has a full neighbourhood in the file, voids of 0 too."""
    with Scene(data_file("terrain/jiuzhaigou_slope_30m.tif")) as slope:
        expected, answered = slope.read_tile(slope.window)
    with Scene(data_file("terrain/jiuzhaigou_dem_30m.tif")) as dem:
        found = TerrainLayers(dem, ("slope_deg",)).read(dem.window)[..., 0]
        height = dem.read(dem.window)[..., 0]
    # Outside of its area the DEM is 0, although its nodata tag is -9999.
    area = height > 0
    inside = answered & ndimage.binary_erosion(area, np.ones((3, 3)))
    assert inside.sum() > 230_000
    difference = np.abs(found - expected[..., 0])
    assert np.median(difference[inside]) < 0.5
    # Both are Horn's, with the same steps: nothing is left to explain inside, and at the rim both
    # have the same cliffs down to the 0. The GIS leaves out the outermost pixels of the file.
    assert difference[inside].max() < 1e-3 and difference[area & answered].max() < 1e-3
    assert expected[area & answered & ~inside].max() > 80
    assert not answered[[0, -1]].any() and not answered[:, [0, -1]].any()
    assert answered[1:-1, 1:-1].all()


@needs_data("terrain/andorra_waterways.geojson")
def test_river_levels_against_brute_force():
    """Geodesics from random pixels to points every 5 m along all the lines."""
    lines = gpd.read_file(data_file("terrain/andorra_waterways.geojson"))
    metric = lines.geometry.to_crs("EPSG:25831")
    points = shapely.get_coordinates(shapely.segmentize(np.asarray(metric.array), 5.0))
    to_degrees = pyproj.Transformer.from_crs("EPSG:25831", "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform(points[:, 0], points[:, 1])
    geod = pyproj.Geod(ellps="WGS84")
    rng = np.random.default_rng(1)
    with Scene(data_file("terrain/andorra_srtm3_dem.tif")) as scene:
        with Factors(scene, rivers=data_file("terrain/andorra_waterways.geojson")) as factors:
            levels = factors.read(scene.window)[..., 0]
        checked = 0
        for row, column in zip(rng.integers(0, 360, 120), rng.integers(0, 480, 120)):
            x, y = scene.transform * (column + 0.5, row + 0.5)
            near = np.hypot((longitude - x) * 0.74, latitude - y).argsort()[:400]
            here = np.full(len(near), x), np.full(len(near), y)
            distance_m = geod.inv(*here, longitude[near], latitude[near])[2].min()
            if min(abs(distance_m - limit) for limit in (30, 230, 530, 1030, 2030)) > 5:
                expected = np.searchsorted([30, 230, 530, 1030, 2030], distance_m)
                assert levels[row, column] == expected
                checked += 1
    assert checked > 100 and set(np.unique(levels)) == {0, 1, 2, 3, 4, 5}


@needs_data("terrain/rmnp-dem.tif")
def test_a_dem_that_covers_a_part_of_the_scene():
    dem_path = data_file("terrain/rmnp-dem.tif")
    companion = Companion(dem_path, factors=("elevation", "slope"))
    with (
        Scene(data_file("terrain/rmnp-rgb.tif"), companions=[companion]) as scene,
        Scene(dem_path) as dem,
    ):
        image, valid = scene.read_tile(scene.window)
        (uncovered,) = scene.companion_report().values()
        columns, rows = np.meshgrid(np.arange(scene.width) + 0.5, np.arange(scene.height) + 0.5)
        x, y = scene.transform * (columns, rows)
        inside = (x > dem.bounds.left) & (x < dem.bounds.right)
        inside &= (y > dem.bounds.bottom) & (y < dem.bounds.top)
        column, row = ~dem.transform * (x[valid], y[valid])
        nearest = dem.read(dem.window)[row.astype(int), column.astype(int), 0].astype(float)
    # 42 % of the scene lie on the DEM, and the part that does not is named.
    assert inside.mean() == pytest.approx(0.42, abs=0.03)
    assert 0.5 < uncovered < 0.62 and not valid[~inside].any()
    # Where both are, they are one landscape: within half a pixel of slope (300 m x tan).
    assert np.median(np.abs(image[..., 3][valid] - nearest)) < 20
    assert np.corrcoef(image[..., 3][valid], nearest)[0, 1] > 0.99
