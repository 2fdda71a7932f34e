"""What belongs to a scene on other grids, and river lines as a band."""

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from landslide_rcnn.errors import ConfigError, DatasetError, GeoReferenceError, RasterError
from landslide_rcnn.geo.companions import AlignedRaster, Companion
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.rivers import RiverLevels
from landslide_rcnn.geo.writing import Grid
from tests.helpers.odd_rasters import DEGREES, HEIGHT, NORTH_UP, UTM, WIDTH, ramp, write

# A DEM of 4 m pixels over the scene's left two thirds and beyond its other edges.
COARSE = NORTH_UP * Affine.translation(-16, -16) * Affine.scale(8)
COVERED = -16 + 8 * 8  # columns of the scene


@pytest.fixture
def scene_path(tmp_path):
    return write(tmp_path / "scene.tif", ramp())


@pytest.fixture
def dem_path(tmp_path):
    columns = np.arange(8)[None] * 100 + np.zeros((13, 1))
    return write(tmp_path / "dem.tif", columns[..., None].astype("float32"), transform=COARSE)


def test_companions_are_further_bands(scene_path, dem_path):
    with Scene(scene_path, companions=[Companion(dem_path)]) as scene:
        assert scene.band_names == ("red", "green", "blue", "dem band 1")
        assert scene.dtype == np.float32 and scene.band_count == 4
        image, valid = scene.read_tile(scene.window)
        np.testing.assert_array_equal(valid, np.arange(WIDTH) < COVERED + np.zeros((HEIGHT, 1)))
        np.testing.assert_array_equal(image[..., :3][valid], ramp()[valid])
        # The DEM grows by 100 in 8 columns; its first centre is at column -16 + 4.
        expected = (np.arange(COVERED - 4) + 0.5 + 12) * 12.5
        np.testing.assert_allclose(image[33, : COVERED - 4, 3], expected, rtol=1e-5)
        np.testing.assert_array_equal(scene.read_valid(scene.window), valid)
        np.testing.assert_array_equal(scene.read(scene.window), image)
        (share,) = scene.companion_report().values()
        assert share == 1 - COVERED / WIDTH


def test_a_fill_keeps_pixels_usable(scene_path, dem_path):
    companion = Companion(dem_path, fill=-5, resampling="nearest")
    with Scene(scene_path, companions=[companion]) as scene:
        image, valid = scene.read_tile(scene.window)
        assert valid.all() and (image[:, COVERED:, 3] == -5).all()
        assert set(np.unique(image[..., 3])) == {-5, *range(200, 800, 100)}
        assert scene.companion_report() == {str(dem_path): 1 - COVERED / WIDTH}
    with pytest.raises(ConfigError, match="fill must be a number. Received: fill=nan"):
        Companion(dem_path, fill=np.nan)


def test_classes_keep_the_scenes_dtype(tmp_path, scene_path):
    classes = write(tmp_path / "classes.tif", ramp(bands=1), transform=NORTH_UP)
    with Scene(scene_path, companions=[Companion(classes, resampling="nearest")]) as scene:
        assert scene.dtype == np.uint8
    with Scene(scene_path, companions=[Companion(classes, -1, resampling="nearest")]) as scene:
        assert scene.dtype == np.float32


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_windows_and_shares_do_not_depend_on_tiles(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("companions")
    transform = NORTH_UP * Affine.translation(*rng.uniform(-30, 30, 2)) * Affine.scale(2.7)
    dem = rng.normal(size=(30, 25, 1)).astype("float32")
    dem[rng.random((30, 25)) < 0.2] = np.nan
    path = write(folder / "dem.tif", dem, transform=transform)
    scene_path = write(folder / "scene.tif", ramp())
    options = {"companions": [Companion(path), Companion(path, fill=3, resampling="nearest")]}
    with Scene(scene_path, **options) as scene, Scene(scene_path, **options) as other:
        whole, valid = scene.read_tile(scene.window)
        for row in range(0, HEIGHT, 13):
            for column in range(0, WIDTH, 17):
                tile, tile_valid = other.read_tile(Window(column, row, 24, 24))
                part = np.s_[: HEIGHT - row, : WIDTH - column]
                np.testing.assert_array_equal(
                    tile_valid[part], valid[row : row + 24, column : column + 24]
                )
                np.testing.assert_array_equal(
                    tile[part], whole[row : row + 24, column : column + 24]
                )
        assert other.companion_report() == scene.companion_report()


def test_the_share_of_a_large_scene_is_counted_on_a_lattice(tmp_path):
    # 3000 columns: every third one is counted.
    image = np.full((6, 3000, 1), 9, np.uint8)
    path = write(tmp_path / "long.tif", image)
    cover = write(tmp_path / "cover.tif", image[:, :1200])
    with Scene(path, companions=[Companion(cover)]) as scene:
        for column in range(0, 3000, 100):  # overlapping tiles, counted once
            scene.read_valid(Window(column, 0, 180, 6))
        assert scene.companion_report()[str(cover)] == pytest.approx(0.6)


def test_an_earlier_image_of_another_crs(tmp_path, scene_path):
    # 0.5 m in degrees; the scene's own ramp seen from another grid.
    metres_to_degrees = pyproj.Transformer.from_crs(UTM.to_wkt(), 4326, always_xy=True)
    lon, lat = metres_to_degrees.transform(500_000, 4_000_000)
    step_x, step_y = 0.5 / 89_950.0, 0.5 / 110_956.0  # metres a degree at 36 degrees, roughly
    transform = Affine(step_x, 0, lon - 5 * step_x, 0, -step_y, lat + 5 * step_y)
    rows, columns = np.mgrid[:80, :100] + 0.5
    x, y = transform * (columns, rows)
    east, north = pyproj.Transformer.from_crs(4326, UTM.to_wkt(), always_xy=True).transform(x, y)
    places = np.stack(~NORTH_UP * (east, north), axis=-1).astype("float32")
    earlier = write(tmp_path / "earlier.tif", places, crs=DEGREES, transform=transform)
    with Scene(scene_path, companions=[Companion(earlier)]) as scene:
        image, valid = scene.read_tile(scene.window)
        rows, columns = np.nonzero(valid)
        assert valid.mean() > 0.95
        # What the earlier image says of its own place is where the scene has it.
        assert np.abs(image[rows, columns, 3] - columns - 0.5).max() < 1e-4
        assert np.abs(image[rows, columns, 4] - rows - 0.5).max() < 1e-4


def test_an_aligned_raster(dem_path):
    grid = Grid(HEIGHT, WIDTH, UTM, NORTH_UP)
    with AlignedRaster(dem_path, grid) as dem:
        values = dem.read(Window(40, 10, 20, 6))
    assert values.shape == (6, 20, 1) and values.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(values[0, :, 0]), np.arange(40, 60) >= COVERED)
    np.testing.assert_allclose(values[:, 0, 0], (40.5 + 12) * 12.5, rtol=1e-6)


def test_companions_that_are_none(tmp_path, scene_path):
    (tmp_path / "text.txt").write_text("No map.")
    with pytest.raises(RasterError, match="readable raster, or a vector file of river lines"):
        Scene(scene_path, companions=[Companion(tmp_path / "text.txt")])
    with pytest.raises(RasterError, match="A companion must be a file that exists"):
        Scene(scene_path, companions=[Companion(tmp_path / "gone.tif")])
    plain = write(tmp_path / "plain.tif", ramp(), crs=None, transform=None)
    with pytest.raises(GeoReferenceError, match="without CRS.*given as the companion"):
        Scene(scene_path, companions=[Companion(plain)])


# Rivers.


def write_lines(path, lines, crs=UTM):
    gpd.GeoDataFrame(geometry=lines, crs=crs.to_wkt()).to_file(path, layer="rivers")
    return path


def level_of(distance_m):
    """The level by its definition: from the line, with 30 m of river surface."""
    return int(np.searchsorted([30, 230, 530, 1030, 2030], distance_m))


def test_levels_of_a_straight_river(tmp_path):
    # North to south along the left edge of a scene of 20 m pixels.
    transform = Affine(20, 0, 500_000, 0, -20, 4_000_000)
    line = shapely.LineString([(500_000, 4_010_000), (500_000, 3_990_000)])
    grid = Grid(20, 120, UTM, transform)
    levels = RiverLevels(write_lines(tmp_path / "rivers.gpkg", [line]), grid)
    row = levels.read(Window(0, 7, 120, 1))[0, :, 0]
    # 0.9996 is the scale of the map there; no centre lies within 0.1 % of a limit.
    expected = [level_of((column + 0.5) * 20 / 0.9996) for column in range(120)]
    assert row.tolist() == expected and set(expected) == {0, 1, 2, 3, 4, 5}
    assert levels.dtype == np.uint8 and levels.read_valid(levels.window).all()


@pytest.mark.parametrize("crs, transform", [
    (UTM, Affine(25, 5, 500_000, 6, -25, 4_000_000)),
    (DEGREES, Affine(3e-4, 0, 179.98, 0, -2e-4, 60.02)),
    (DEGREES, Affine(3e-4, 0, 105, 0, 3e-4, -3.1)),
])  # fmt: skip
def test_levels_against_distances_on_the_ellipsoid(tmp_path, crs, transform):
    grid = Grid(90, 110, crs, transform)
    places = [(20, 15), (40, 60), (75, 50), (130, 95)]
    line = shapely.LineString([transform * place for place in places])
    levels = RiverLevels(write_lines(tmp_path / "rivers.gpkg", [line], crs), grid)
    found = levels.read(levels.window)[..., 0]
    tiles = [levels.read(Window(c, r, 40, 40)) for r in (0, 40, 80) for c in (0, 40, 80)]
    rows = [np.concatenate(tiles[start : start + 3], axis=1) for start in (0, 3, 6)]
    np.testing.assert_array_equal(np.concatenate(rows)[:90, :110, 0], found)
    # The line in many points, and the geodesic to the nearest one.
    points = shapely.line_interpolate_point(line, np.linspace(0, 1, 4000), normalized=True)
    x, y = shapely.get_coordinates(points).T
    to_degrees = pyproj.Transformer.from_crs(crs.to_wkt(), 4326, always_xy=True)
    longitude, latitude = to_degrees.transform(x, y)
    geod = pyproj.Geod(ellps="WGS84")
    rng = np.random.default_rng(0)
    checked = 0
    for row, column in zip(rng.integers(0, 90, 60), rng.integers(0, 110, 60)):
        here = to_degrees.transform(*(transform * (column + 0.5, row + 0.5)))
        there = (np.full(4000, value) for value in here)
        distance = geod.inv(*there, longitude, latitude)[2].min()
        if min(abs(distance - limit) for limit in (30, 230, 530, 1030, 2030)) > 4:
            assert found[row, column] == level_of(distance)
            checked += 1
    assert checked > 40 and len(np.unique(found)) > 3


def test_rivers_as_a_companion(tmp_path, scene_path):
    line = shapely.LineString([NORTH_UP * (0, 30), NORTH_UP * (80, 30)])
    far = shapely.LineString([(100_000, 0), (100_000, 9_000_000)])
    rivers = write_lines(tmp_path / "rivers.gpkg", [line, far])
    with Scene(scene_path, companions=[Companion(rivers)]) as scene:
        assert scene.band_names[-1] == "river_level" and scene.dtype == np.uint8
        assert (scene.read(scene.window)[..., 3] == 0).all()  # all within 15 m
        assert scene.companion_report() == {str(rivers): 0}
    with pytest.raises(
        ConfigError, match=r"cover all of a scene. Received: bands=\[2\], fill=None"
    ):
        Scene(scene_path, companions=[Companion(rivers, bands=[2])])
    away = write_lines(tmp_path / "away.gpkg", [far])
    with Scene(scene_path, companions=[Companion(away)]) as scene:
        assert (scene.read(scene.window)[..., 3] == 5).all()


def test_rivers_that_are_no_lines(tmp_path, scene_path):
    polygons = write_lines(tmp_path / "rivers.gpkg", [shapely.box(0, 0, 1, 1)])
    with pytest.raises(DatasetError, match="must be lines. Received: .* with 1 shapes"):
        Scene(scene_path, companions=[Companion(polygons)])
    gpd.GeoDataFrame(geometry=[shapely.LineString([(0, 0), (1, 1)])]).to_file(tmp_path / "n.shp")
    with pytest.raises(GeoReferenceError, match="River lines must have a CRS"):
        Scene(scene_path, companions=[Companion(tmp_path / "n.shp")])
