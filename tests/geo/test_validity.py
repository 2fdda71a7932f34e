"""The black outside of a survey."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window
from scipy import ndimage

from landslide_rcnn.data.tiles import tile_grid
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.validity import (
    DARK_BITS_UINT8,
    MIN_BLACK_SHARE,
    RIM_PIXELS,
    find_outside,
    outside_map,
)
from tests.helpers.outside import data_file, needs_data
from tests.reference.outside import outside_reference

ORTHOPHOTO = data_file("uav/orthophoto.tif")


def in_strips(image, strip_rows, dark_bits=DARK_BITS_UINT8):
    height, width, _ = image.shape
    bands = np.moveaxis(image, -1, 0)
    strips = (bands[:, top : top + strip_rows] for top in range(0, height, strip_rows))
    return find_outside(strips, height, width, strip_rows, dark_bits)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 25), st.integers(1, 25), st.integers(1, 26))
def test_against_growing_regions_pixel_by_pixel(seed, height, width, strip_rows):
    rng = np.random.default_rng(seed)
    # Plenty of dark pixels, so that regions wind through several strips.
    image = rng.choice(np.array([0, 0, 5, 7, 8, 90], np.uint8), (height, width, 2))
    expected, is_exact = outside_reference(image, 7, MIN_BLACK_SHARE)
    outside = in_strips(image, strip_rows)
    if is_exact:
        assert outside.rim_pixels == 0
    else:
        assert outside.rim_pixels == RIM_PIXELS
        disc = np.ones((5, 5), bool)  # as round as 5 x 5 pixels can be
        disc[[0, 0, 0, 0, 4, 4, 4, 4], [0, 1, 3, 4, 0, 1, 3, 4]] = False
        expected = ndimage.binary_dilation(expected, disc)
    np.testing.assert_array_equal(outside.read(Window(0, 0, width, height)), expected)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(0, 8))
def test_every_tiling_reads_the_same(seed, tile_size, overlap):
    rng = np.random.default_rng(seed)
    image = rng.choice(np.array([0, 3, 60], np.uint8), (23, 37, 1), p=[0.5, 0.2, 0.3])
    outside = in_strips(image, 5)
    whole = outside.read(Window(0, 0, 37, 23))
    for tile in tile_grid(23, 37, tile_size, min(overlap, tile_size - 1)):
        np.testing.assert_array_equal(
            outside.read(tile),
            whole[tile.row_off : tile.row_off + tile_size, tile.col_off :][:, :tile_size],
        )


@pytest.fixture
def survey(rng):
    """A tilted survey [120, 160, 3] on black, with a dark shadow inside; and its mask."""
    rows, columns = np.mgrid[:120, :160]
    inside = np.abs(rows - 60) + 0.4 * np.abs(columns - 80) < 52
    image = np.where(inside[..., None], rng.integers(40, 220, (120, 160, 3)), 0).astype(np.uint8)
    image[40:64, 60:95] = 0
    return image, inside


def test_shadows_inside_stay_valid(write_raster, survey):
    image, inside = survey
    with Scene(write_raster(image)) as scene:
        np.testing.assert_array_equal(scene.read_valid(scene.window), inside)
        assert not scene.any_valid(Window(0, 0, 8, 8)) and scene.any_valid(Window(72, 52, 8, 8))


def test_jpeg_noise_at_the_border(write_raster, survey):
    image, inside = survey
    # Photographs are smoother than noise; only then does JPEG's ringing stay as low as it is.
    image = np.where(inside[..., None], ndimage.gaussian_filter(image, (2, 2, 0)), 0)
    path = write_raster(
        image, compress="jpeg", photometric="ycbcr", interleave="pixel", jpeg_quality=75
    )
    with Scene(path) as scene:
        assert (scene.read(scene.window)[~inside] > 0).any()  # otherwise there is no noise to test
        valid = scene.read_valid(scene.window)
    far_out = ~ndimage.binary_dilation(inside, iterations=4)
    far_in = ndimage.binary_erosion(inside, iterations=4)
    assert not valid[far_out].any() and valid[far_in].all()
    assert valid[40:64, 60:95].all()  # the black hole in the middle


def test_a_scene_without_border(write_raster, rng):
    image = rng.integers(10, 255, (20, 30, 3), np.uint8)
    image[0, :9] = 5  # dark water at the edge, never exactly black
    with Scene(write_raster(image)) as scene:
        assert scene.read_valid(scene.window).all()


def test_a_black_scene_has_no_survey(write_raster):
    with Scene(write_raster(np.zeros((20, 30, 3), np.uint8))) as scene:
        assert not scene.read_valid(scene.window).any()


def test_wider_integers_need_exact_zeros(write_raster, rng):
    image = rng.integers(8, 3000, (20, 30, 4)).astype(np.uint16)
    image[:5], image[5:8] = 0, 3
    with Scene(write_raster(image)) as scene:
        valid = scene.read_valid(scene.window)
    assert not valid[:5].any() and valid[5:].all()


def test_negative_values_are_not_dark(write_raster):
    image = np.full((10, 10, 3), -4, np.int16)
    image[:, :4] = 0
    with Scene(write_raster(image)) as scene:
        valid = scene.read_valid(scene.window)
    assert not valid[:, :4].any() and valid[:, 4:].all()


@pytest.mark.parametrize("dtype, bands", [(np.uint8, 1), (np.int16, 1), (np.float32, 3)])
def test_zero_is_a_value_in_masks_elevation_and_floats(write_raster, dtype, bands):
    with Scene(write_raster(np.zeros((10, 10, bands), dtype))) as scene:
        assert scene.read_valid(scene.window).all()


def test_other_validity_comes_first(write_raster, survey):
    image, inside = survey
    with Scene(write_raster(image, nodata=255)) as scene:
        assert scene.read_valid(scene.window)[~inside].all()


def test_a_changed_file_is_read_anew(write_raster, survey):
    image, inside = survey
    with Scene(write_raster(image)) as scene:
        assert not scene.read_valid(scene.window).all()
    with Scene(write_raster(np.full((130, 160, 3), 50, np.uint8))) as scene:
        assert scene.read_valid(scene.window).all()


@pytest.mark.slow
@needs_data("uav/orthophoto.tif")
def test_a_real_orthophoto():
    with Scene(ORTHOPHOTO) as scene:
        share = np.zeros(2)
        for row in range(0, scene.height, 512):
            window = Window(0, row, scene.width, 512)
            invalid = ~scene.read_valid(window)
            bright = scene.read(window).max(axis=2) > 40
            share += invalid.mean() * 512 / scene.height, (invalid & bright).mean() / 15
        assert share[0] == pytest.approx(0.2604, abs=0.001)
        assert share[1] < 0.001  # the two pixels of the survey's own rim
        assert outside_map(ORTHOPHOTO).stored_bytes < 200_000
