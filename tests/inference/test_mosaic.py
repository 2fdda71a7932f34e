"""The blend of overlapping tiles against a float64 mean of the whole scene."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from landslide_rcnn.data.tiles import tile_grid
from landslide_rcnn.inference.mosaic import EDGE_WEIGHT, Mosaic, Strip, blend_weights

BAND = 3


@st.composite
def grids(draw):
    """(height, width, tile_size, overlap) of a small scene."""
    tile_size = draw(st.integers(2, 9))
    overlap = draw(st.integers(1, tile_size - 1))
    return draw(st.integers(1, 25)), draw(st.integers(1, 25)), tile_size, overlap


def mosaic_of(height, width, tile_size, overlap, valid, tile_probability):
    """Blend all tiles of a scene, popping bands as early as `predict_scene` does."""
    mosaic = Mosaic(tile_size + BAND, width)
    padded = np.zeros((height + tile_size, width + tile_size), bool)
    padded[:height, :width] = valid
    bands, done = [], 0
    for window in tile_grid(height, width, tile_size, overlap):
        while done + BAND <= window.row_off:
            done += BAND
            bands.append(mosaic.pop(done))
        rows = slice(window.row_off, window.row_off + tile_size)
        cols = slice(window.col_off, window.col_off + tile_size)
        mosaic.add(tile_probability(window), padded[rows, cols], window)
    while done < height:
        done = min(done + BAND, height)
        bands.append(mosaic.pop(done))
    return np.concatenate(bands)


def test_weights_fall_to_a_positive_edge():
    weights = blend_weights(8, 16)
    assert weights.shape == (8, 16) and weights.dtype == np.float32
    assert weights.max() == weights[3, 7] == pytest.approx(0.9524, abs=1e-3)
    assert weights.min() == weights[0, 0] > 0
    np.testing.assert_array_equal(weights, weights[::-1, ::-1])
    assert (np.diff(weights[3, :8]) > 0).all()


def test_weights_of_a_large_tile_reach_one_and_the_edge_weight():
    weights = blend_weights(1, 1024)
    assert weights.max() == pytest.approx(1, abs=1e-4)
    assert weights.min() == pytest.approx(EDGE_WEIGHT, rel=0.01)


@settings(max_examples=60, deadline=None)
@given(grids(), st.integers(0, 2**32 - 1), st.floats(0, 1, width=32))
def test_the_mosaic_of_a_constant_is_that_constant(grid, seed, constant):
    height, width, tile_size, overlap = grid
    valid = np.random.default_rng(seed).random((height, width)) < 0.8
    result = mosaic_of(
        *grid, valid, lambda window: np.full((tile_size, tile_size), constant, np.float32)
    )
    np.testing.assert_array_equal(result, np.where(valid, np.float32(constant), np.nan))


@settings(max_examples=40, deadline=None)
@given(grids(), st.integers(0, 2**32 - 1))
def test_the_mosaic_is_the_weighted_mean_of_the_tiles(grid, seed):
    height, width, tile_size, _ = grid
    rng = np.random.default_rng(seed)
    valid = rng.random((height, width)) < 0.9
    answers = {}

    def tile_probability(window):
        answers[window.row_off, window.col_off] = rng.random((tile_size, tile_size), np.float32)
        return answers[window.row_off, window.col_off]

    result = mosaic_of(*grid, valid, tile_probability)

    weights = blend_weights(tile_size, tile_size).astype(float)
    total, weighted = np.zeros((height, width)), np.zeros((height, width))
    for (top, left), answer in answers.items():
        for y in range(top, min(top + tile_size, height)):
            for x in range(left, min(left + tile_size, width)):
                total[y, x] += weights[y - top, x - left]
                weighted[y, x] += weights[y - top, x - left] * answer[y - top, x - left]
    assert (total > 0).all()
    np.testing.assert_allclose(result, np.where(valid, weighted / total, np.nan), atol=2e-6)


def test_a_smooth_field_with_errors_at_tile_edges_has_no_seam():
    """Every tile answers 0.5 but is wrong by 0.4 within 2 pixels of its own edge."""

    def tile_probability(window):
        answer = np.full((64, 64), 0.9, np.float32)
        answer[2:-2, 2:-2] = 0.5
        return answer

    result = mosaic_of(144, 144, 64, 24, np.ones((144, 144), bool), tile_probability)
    inner = result[2:-2, 2:-2]
    assert np.abs(inner - 0.5).max() < 0.02
    assert np.abs(np.diff(inner, axis=0)).max() < 0.02
    assert np.abs(np.diff(inner, axis=1)).max() < 0.02


def test_a_pixel_of_one_tile_keeps_its_value_to_the_bit():
    answer = np.random.default_rng(0).random((8, 8)).astype(np.float32)
    result = mosaic_of(8, 8, 8, 1, np.ones((8, 8), bool), lambda window: answer)
    np.testing.assert_array_equal(result, answer)


def test_values_at_invalid_pixels_are_not_looked_at():
    valid = np.ones((4, 4), bool)
    valid[1, 2] = False
    answer = np.where(valid, 0.25, np.nan).astype(np.float32)
    result = mosaic_of(4, 4, 4, 1, valid, lambda window: answer)
    np.testing.assert_array_equal(result, np.where(valid, np.float32(0.25), np.nan))


def test_a_strip_moves_down_the_scene():
    strip = Strip(4, 3, np.int32)
    strip.view(Window(1, 2, 5, 2))[:] = 7
    np.testing.assert_array_equal(strip.pop(3), [[0, 0, 0], [0, 0, 0], [0, 7, 7]])
    assert strip.row_off == 3
    strip.view(Window(0, 6, 1, 1))[:] = 5
    np.testing.assert_array_equal(strip.pop(7), [[0, 7, 7], [0, 0, 0], [0, 0, 0], [5, 0, 0]])
