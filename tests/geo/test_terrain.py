"""Slope, aspect and curvature of surfaces whose answers are known; windows; other grids."""

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.windows import Window

from landslide_rcnn.errors import GeoReferenceError, RasterError
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.terrain import (
    LAYERS,
    Terrain,
    TerrainLayers,
    aspect_deg,
    curvatures,
    gradient,
    slope_deg,
)
from landslide_rcnn.geo.writing import Grid

NORTH_UP = np.array([[10.0, 0], [0, -10]])  # a column is 10 m to the east, a row 10 m to the south
# Turned by 30 degrees, and a pixel that is not square.
ANGLE = np.radians(30)
TURNED = np.array([[8 * np.cos(ANGLE), 8 * np.sin(ANGLE)], [5 * np.sin(ANGLE), -5 * np.cos(ANGLE)]])
GRIDS = pytest.mark.parametrize("steps_m", [NORTH_UP, -NORTH_UP, TURNED], ids=["n", "s", "turned"])


def surface(height_of, steps_m, size=21):
    """(elevation with its rim [size + 2, size + 2], east [size, size], north) of z(east, north)."""
    index = np.arange(-1, size + 1) - size // 2
    place = index[None, :, None] * steps_m[0] + index[:, None, None] * steps_m[1]
    east, north = place[..., 0], place[..., 1]
    return height_of(east, north), east[1:-1, 1:-1], north[1:-1, 1:-1]


@GRIDS
@pytest.mark.parametrize(
    ("east", "north", "aspect"),
    [(-1, 0, 90), (1, 0, 270), (0, -1, 0), (0, 1, 180), (-0.1, -0.1, 45), (0.3, -0.3, 315)],
)
def test_a_plane_falls_one_way(steps_m, east, north, aspect):
    elevation, _, _ = surface(lambda x, y: 500 + east * x + north * y, steps_m)
    np.testing.assert_allclose(
        slope_deg(elevation, steps_m), np.degrees(np.arctan(np.hypot(east, north)))
    )
    difference = (aspect_deg(elevation, steps_m) - aspect + 180) % 360 - 180
    np.testing.assert_allclose(difference, 0, atol=1e-9)


def test_flat_ground_has_no_aspect_and_no_curvature():
    flat = np.full((7, 9), 12.0)
    assert (slope_deg(flat, NORTH_UP) == 0).all()
    assert np.isnan(aspect_deg(flat, NORTH_UP)).all()
    assert all((each == 0).all() for each in curvatures(flat, NORTH_UP))


@GRIDS
def test_a_cone_falls_outwards(steps_m):
    elevation, east, north = surface(lambda x, y: -0.5 * np.hypot(x, y), steps_m, size=41)
    far = np.hypot(east, north) > 60
    assert np.abs(slope_deg(elevation, steps_m) - np.degrees(np.arctan(0.5)))[far].max() < 0.5
    outwards = np.degrees(np.arctan2(east, north)) % 360
    difference = (aspect_deg(elevation, steps_m) - outwards + 180) % 360 - 180
    assert np.abs(difference[far]).max() < 0.7


@GRIDS
def test_curvatures_of_a_paraboloid_and_a_trough(steps_m):
    a = 0.004
    elevation, east, north = surface(lambda x, y: a * (x**2 + y**2), steps_m)
    sloping = np.hypot(east, north) > 0
    profile, plan = curvatures(elevation, steps_m)
    np.testing.assert_allclose(profile[sloping], -2 * a)  # a bowl flattens downhill
    np.testing.assert_allclose(plan[sloping], 2 * a)  # and its slopes converge
    # A trough that runs east, tilted: z = a y2 + 0.3 x. Where y = 0 all bending is across.
    elevation, east, north = surface(lambda x, y: a * y**2 + 0.3 * x, steps_m)
    profile, plan = curvatures(elevation, steps_m)
    q = 2 * a * north
    np.testing.assert_allclose(profile, -2 * a * q**2 / (0.09 + q**2), atol=1e-12)
    np.testing.assert_allclose(plan, 2 * a * 0.09 / (0.09 + q**2), atol=1e-12)


def test_horns_weights_by_hand():
    """One raised corner: it counts once in each difference of eight."""
    elevation = np.zeros((3, 3))
    elevation[0, 2] = 16
    east, north = gradient(elevation, NORTH_UP)
    assert (east.item(), north.item()) == (16 / 80, 16 / 80)
    elevation = np.zeros((3, 3))
    elevation[1, 2] = 16  # a side counts twice
    assert gradient(elevation, NORTH_UP)[0].item() == 32 / 80


def test_unknown_pixels_stay_unknown_and_their_neighbours_do_not():
    elevation, _, _ = surface(lambda x, y: 0.2 * x - 0.4 * y, NORTH_UP, size=9)
    elevation[0] = elevation[:, 0] = np.nan
    elevation[5, 5] = np.nan
    slope = slope_deg(elevation, NORTH_UP)
    known = ~np.isnan(elevation[1:-1, 1:-1])
    np.testing.assert_array_equal(~np.isnan(slope), known)
    # Lines through unknown pixels are continued: a plane stays a plane.
    np.testing.assert_allclose(slope[known], np.degrees(np.arctan(np.hypot(0.2, 0.4))))
    alone = np.full((3, 3), np.nan)
    alone[1, 1] = 7
    assert slope_deg(alone, NORTH_UP).tolist() == [[0]]


@pytest.fixture(scope="module")
def rough():
    rng = np.random.default_rng(3)
    elevation = np.cumsum(np.cumsum(rng.normal(size=(37, 53)), axis=0), axis=1).astype(np.float32)
    elevation[5:9, 10:12] = -9999
    return elevation


@pytest.fixture
def dem(write_raster, rough):
    with Scene(write_raster(rough, "dem.tif", nodata=-9999)) as scene:
        yield scene


@pytest.mark.parametrize(
    ("row", "col", "height", "width"), [(0, 0, 5, 9), (3, 7, 11, 8), (30, 40, 7, 13)]
)
def test_windows_equal_the_whole(dem, row, col, height, width):
    layers = TerrainLayers(dem, tuple(LAYERS))
    whole, whole_valid = layers.read_tile(layers.window)
    part, valid = layers.read_tile(Window(col, row, width, height))
    place = np.s_[row : row + height, col : col + width]
    np.testing.assert_array_equal(part, whole[place])
    np.testing.assert_array_equal(valid, whole_valid[place])
    assert not whole_valid[5:9, 10:12].any() and whole_valid.sum() == 37 * 53 - 8


def test_layers_are_in_metres(dem, rough):
    layers = TerrainLayers(dem, ("slope_deg",))
    expected = slope_deg(rough[19:22, 29:32].astype(float), np.array([[2.0, 0], [0, -2]]))
    assert layers.read(Window(30, 20, 1, 1)).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("latitude", [0.0, 60.0])
def test_slopes_of_a_dem_in_degrees(write_raster, latitude):
    """A plane on the ground, 0.3 m up for each metre to the east and 0.4 down to the north."""
    geod = pyproj.Geod(ellps="WGS84")
    step = 1e-4
    to_east = geod.inv(10, latitude, 10 + step, latitude)[2]
    to_north = geod.inv(10, latitude - step / 2, 10, latitude + step / 2)[2]
    rows, cols = np.mgrid[:11, :11] - 5
    elevation = 1000 + 0.3 * cols * to_east + 0.4 * rows * to_north
    transform = Affine(step, 0, 10, 0, -step, latitude + 5.5 * step)
    path = write_raster(elevation, "plane.tif", crs="EPSG:4326", transform=transform)
    with Scene(path) as dem:
        layers = TerrainLayers(dem, ("slope_deg", "aspect_sin", "aspect_cos"))
        values = layers.read(Window(3, 3, 5, 5))
    np.testing.assert_allclose(values[..., 0], np.degrees(np.arctan(0.5)), rtol=1e-4)
    np.testing.assert_allclose(values[..., 1], -0.6, atol=1e-4)
    np.testing.assert_allclose(values[..., 2], 0.8, atol=1e-4)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 9), st.integers(1, 9))
def test_terrain_on_a_scenes_grid(tmp_path_factory, row, col, height, width):
    """A DEM of 10 m under a scene of 1 m: a plane is a plane there too."""
    path = tmp_path_factory.getbasetemp() / "plane_dem.tif"
    if not path.exists():
        rows, cols = np.mgrid[:12, :12]
        elevation = (800 + 3.0 * cols + 4.0 * rows).astype(np.float32)  # 0.3 east, 0.4 south
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=12,
            width=12,
            count=1,
            dtype="float32",
            crs="EPSG:32648",
            transform=Affine(10, 0, 500_000, 0, -10, 3_000_100),
        ) as file:
            file.write(elevation, 1)
    grid = Grid(30, 30, CRS.from_epsg(32648), Affine(1, 0, 500_040, 0, -1, 3_000_060))
    with Terrain(path, grid) as terrain:
        assert (terrain.height, terrain.width) == (30, 30)
        values = terrain.read(Window(col, row, width, height))
        elevation = terrain.elevation(Window(col, row, width, height))
    rows, cols = np.mgrid[row : row + height, col : col + width] + 0.5
    # Pixel centres of the DEM lie at its half pixels.
    expected = 800 + 0.3 * (40 + cols - 5) + 0.4 * (40 + rows - 5)
    np.testing.assert_allclose(elevation, expected, atol=1e-3)
    np.testing.assert_array_equal(values[..., 0], elevation)
    np.testing.assert_allclose(values[..., 1], np.degrees(np.arctan(0.5)), rtol=1e-4)
    np.testing.assert_allclose(values[..., 2], -0.6, atol=1e-4)
    np.testing.assert_allclose(values[..., 3], 0.8, atol=1e-4)


def test_beyond_the_dem_nothing_is_known(dem):
    grid = Grid(10, 10, dem.crs, dem.transform * Affine.translation(48, 0))
    with Terrain(dem.path, grid) as terrain:
        values = terrain.read(Window(0, 0, 10, 10))
    assert not np.isnan(values[:, :5]).any()
    assert np.isnan(values[:, 5:]).all()


def test_what_cannot_be_a_dem_is_refused(write_raster, dem):
    two = write_raster(np.zeros((4, 4, 2), np.float32), "two.tif")
    grid = Grid(4, 4, dem.crs, dem.transform)
    with pytest.raises(RasterError, match="must have one band.*with 2"):
        Terrain(two, grid)
    with pytest.raises(RasterError, match="exists. Received: gone.tif.*given as the DEM"):
        Terrain("gone.tif", dem)
    with pytest.raises(GeoReferenceError, match="needs a scene with a CRS"):
        Terrain(dem.path, Grid(4, 4, None, Affine.identity()))
