"""Pixels moved between grids."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject
from rasterio.windows import Window

from landslide_rcnn.errors import ConfigError, GeoReferenceError
from landslide_rcnn.geo import regrid
from landslide_rcnn.geo.regrid import read_on_grid
from landslide_rcnn.geo.source import Source
from landslide_rcnn.geo.writing import Grid

UTM = CRS.from_epsg(32648)
DEGREES = CRS.from_epsg(4326)
NORTH_UP = Affine(2, 0, 500_000, 0, -2, 4_000_000)


class Pixels(Source):
    """An array with a place."""

    def __init__(self, image, valid=None, crs=UTM, transform=NORTH_UP):
        self.image = image[..., None] if image.ndim == 2 else image
        self.height, self.width, bands = self.image.shape
        self.valid = np.ones(image.shape[:2], bool) if valid is None else valid
        self.crs, self.transform, self.dtype = crs, transform, image.dtype
        self.band_names = tuple("abcdefgh"[:bands])
        self.read_windows = []

    def _tile_inside(self, window):
        self.read_windows.append(window)
        where = window.toslices()
        return self.image[where], self.valid[where]


def ramp(height, width):
    """The place of every pixel's centre as its two values: (x, y)."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    return np.stack([columns, rows], axis=-1)


def on_grid(source, transform, height, width, crs=UTM, kind="smooth", window=None):
    grid = Grid(height, width, crs, transform)
    return read_on_grid(source, grid, window or grid.window, kind)


@pytest.mark.parametrize("kind", ["smooth", "nearest"])
def test_the_same_grid_is_a_copy(rng, kind):
    image = rng.normal(size=(9, 14, 3)).astype(np.float32)
    valid = rng.random((9, 14)) < 0.7
    values, valid_mask = on_grid(Pixels(image, valid), NORTH_UP, 9, 14, kind=kind)
    np.testing.assert_array_equal(valid_mask, valid)
    np.testing.assert_array_equal(values[valid], image[valid])
    assert not values[~valid].any()


SLANTED = Affine.translation(14, 2) * Affine.rotation(45)
# Whole factors where pixels are averaged over areas: only there does an area's mean keep a ramp.
PLACES = {
    "twice as fine": Affine.scale(0.5),
    "thrice as coarse": Affine.scale(3),
    "finer across, coarser down": Affine.scale(0.3, 2),
    "moved": Affine.translation(0.37, -0.81),
    "turned": Affine.translation(9, 3) * Affine.rotation(30) * Affine.scale(0.7),
    "turned by 45 degrees and coarser": SLANTED * Affine.scale(3),
    "south up": Affine(0.8, 0, 0, 0, -0.8, 16),
    "mirrored": Affine(-2, 0, 20, 0, 2, 0),
}


@pytest.mark.parametrize("relative", PLACES.values(), ids=PLACES)
def test_places_to_a_millionth_of_a_pixel(relative):
    # Averaging and interpolating both keep a ramp, away from the edges.
    source = Pixels(ramp(16, 20) - 8)
    values, valid = on_grid(source, NORTH_UP * relative, 12, 12)
    columns, rows = np.meshgrid(np.arange(12) + 0.5, np.arange(12) + 0.5)
    x, y = relative * (columns, rows)
    reach = 3  # half the diagonal of the largest pixel, and half a pixel
    away = (x > reach) & (x < 20 - reach) & (y > reach) & (y < 16 - reach)
    assert valid[away].all() and away.sum() >= 8
    assert np.abs(values[away] + 8 - np.stack([x, y], -1)[away]).max() < 1e-6
    inside = (x > 0) & (x < 20) & (y > 0) & (y < 16)
    beyond = (x < -reach) | (x > 20 + reach) | (y < -reach) | (y > 16 + reach)
    assert not valid[beyond].any() and valid[inside].mean() > 0.9


def test_places_between_two_crs():
    # The source is in degrees, the grid in metres.
    degrees = Affine(2e-5, 0, 104.999, 0, -2e-5, 36.131)
    source = Pixels(ramp(400, 500) - 128, crs=DEGREES, transform=degrees)
    grid = Grid(40, 50, UTM, Affine(2, 0, 499_960, 0, -2, 3_998_300))
    values, valid = read_on_grid(source, grid, Window(7, 5, 16, 16), "smooth")
    assert valid.all()
    xs, ys = rasterio.transform.xy(grid.transform, np.arange(5, 21), np.arange(7, 23))
    longitude, latitude = rasterio.warp.transform(UTM, DEGREES, xs, ys)
    x, y = ~degrees * (np.array(longitude), np.array(latitude))
    diagonal = values[np.arange(16), np.arange(16)] + 128.0
    # float32 holds values around 100 to 4e-6.
    assert np.abs(diagonal - np.stack([x, y], -1)).max() < 1e-5


@settings(max_examples=40)
@given(
    st.integers(0, 10**6),
    st.floats(0.2, 4),
    st.sampled_from([0, 0, 90, 25.0]),
    st.sampled_from(["smooth", "nearest"]),
    st.sampled_from([10**9, 300]),
)
@example(25, 1.25, 90, "smooth", 10**9)  # a window of one column sums in another order
def test_every_window_reads_the_same(seed, scale, angle, kind, part_bytes):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(23, 31, 2)).astype(np.float32)
    source = Pixels(image, rng.random((23, 31)) < 0.8)
    offset = rng.uniform(-6, 6, 2)
    relative = Affine.translation(*offset) * Affine.rotation(angle) * Affine.scale(scale)
    grid = Grid(17, 19, UTM, NORTH_UP * relative)
    whole, valid = read_on_grid(source, grid, grid.window, kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regrid, "PART_BYTES", part_bytes)
        patch.setattr(regrid, "PART_POINTS", part_bytes)
        for _ in range(4):
            row, column = rng.integers(0, 12, 2)
            window = Window(int(column), int(row), int(rng.integers(1, 8)), int(rng.integers(1, 6)))
            values, part_valid = read_on_grid(source, grid, window, kind)
            where = window.toslices()
            np.testing.assert_array_equal(part_valid, valid[where])
            np.testing.assert_array_equal(values, whole[where])


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.floats(0.3, 5), st.floats(-3, 3), st.floats(-3, 3))
def test_against_pixel_areas_one_by_one(seed, scale, x0, y0):
    rng = np.random.default_rng(seed)
    image, usable = rng.normal(size=(8, 9)), rng.random((8, 9)) < 0.6
    relative = Affine.translation(x0, y0) * Affine.scale(scale)
    values, valid = on_grid(Pixels(image, usable), NORTH_UP * relative, 5, 6)
    for row, column in np.ndindex(5, 6):
        (left, top), (right, bottom) = relative * (column, row), relative * (column + 1, row + 1)
        area, usable_area, total = (right - left) * (bottom - top), 0.0, 0.0
        for i, j in np.ndindex(8, 9):
            high = max(min(bottom, i + 1) - max(top, i), 0)
            wide = max(min(right, j + 1) - max(left, j), 0)
            usable_area += high * wide * usable[i, j]
            total += high * wide * usable[i, j] * image[i, j]
        if abs(usable_area / area - 0.5) > 1e-4:
            assert valid[row, column] == (usable_area / area > 0.5)
        if valid[row, column] and scale > 1.01:
            assert values[row, column, 0] == pytest.approx(total / usable_area, abs=1e-4)


def test_unusable_pixels_never_bleed(rng):
    image = np.full((20, 20), 5, np.float32)
    usable = rng.random((20, 20)) < 0.7
    image[~usable] = np.nan
    for relative in PLACES.values():
        values, valid = on_grid(Pixels(image, usable), NORTH_UP * relative, 14, 14)
        np.testing.assert_allclose(values[valid], 5, rtol=1e-6)
        assert not values[~valid].any()


def test_against_gdal(rng):
    image = rng.normal(size=(40, 40)).astype(np.float32)
    turned = NORTH_UP * Affine.translation(12, 5) * Affine.rotation(20) * Affine.scale(0.6)
    for transform, method in (
        (turned, Resampling.bilinear),
        (NORTH_UP * Affine.translation(3, 2) * Affine.scale(2), Resampling.average),
    ):
        expected = np.zeros((12, 14), np.float32)
        reproject(
            image,
            expected,
            src_transform=NORTH_UP,
            src_crs=UTM,
            dst_transform=transform,
            dst_crs=UTM,
            resampling=method,
            tolerance=0,
            XSCALE=1,
            YSCALE=1,
        )
        values, valid = on_grid(Pixels(image), transform, 12, 14)
        assert valid.all()
        np.testing.assert_allclose(values[..., 0], expected, atol=1e-5)


def test_classes_stay_classes(rng):
    image = rng.choice(np.array([2, 9, 200], np.uint8), (15, 15))
    turned = NORTH_UP * Affine.rotation(10) * Affine.scale(0.8)
    values, valid = on_grid(Pixels(image), turned, 15, 15, kind="nearest")
    assert set(np.unique(values[valid])) <= {2, 9, 200} and valid.mean() > 0.6
    x, y = Affine.rotation(10) * Affine.scale(0.8) * (7.5, 4.5)
    assert values[4, 7, 0] == image[int(y), int(x)]


def test_longitudes_go_round():
    # A source that covers the earth, and a scene that crosses the dateline.
    world = Pixels(ramp(18, 36) - 16, crs=DEGREES, transform=Affine(10, 0, -180, 0, -10, 90))
    grid_transform = Affine(1, 0, 175, 0, -1, 5)
    values, valid = on_grid(world, grid_transform, 10, 10, crs=DEGREES, kind="nearest")
    assert valid.all()
    np.testing.assert_array_equal(values[5, :5, 0] + 16, 35.5)
    np.testing.assert_array_equal(values[5, 5:, 0] + 16, 0.5)
    # 0 to 360 degrees, and a scene at 100 degrees west.
    other = Pixels(ramp(18, 36) - 16, crs=DEGREES, transform=Affine(10, 0, 0, 0, -10, 90))
    values, valid = on_grid(other, Affine(1, 0, -105, 0, -1, 5), 10, 10, crs=DEGREES)
    assert valid.all() and values[3, 2, 0] + 16 == pytest.approx((360 - 105 + 2.5) / 10, abs=1e-6)


def test_only_what_is_needed_is_read():
    source = Pixels(np.zeros((300, 300), np.float32))
    on_grid(source, NORTH_UP * Affine.scale(2.5), 120, 120, window=Window(10, 20, 16, 8))
    (window,) = source.read_windows
    assert (window.col_off, window.row_off) == (25, 50)
    assert (window.width, window.height) == (40, 20)


def test_beside_the_source():
    source = Pixels(np.ones((5, 5), np.float32))
    for angle in (0, 30):
        place = NORTH_UP * Affine.translation(40, 40) * Affine.rotation(angle)
        values, valid = on_grid(source, place, 4, 6)
        assert values.shape == (4, 6, 1) and not values.any() and not valid.any()


def test_what_cannot_be_joined():
    source = Pixels(np.ones((5, 5), np.float32))
    with pytest.raises(GeoReferenceError, match="both have a CRS, or neither"):
        on_grid(source, NORTH_UP, 5, 5, crs=None)
    with pytest.raises(ConfigError, match="one of smooth, nearest. Received: resampling='cubic'"):
        on_grid(source, NORTH_UP, 5, 5, kind="cubic")
