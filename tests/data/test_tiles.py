"""Grids of tiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landslide_rcnn.data.tiles import tile_grid
from landslide_rcnn.errors import ConfigError


@st.composite
def grids(draw):
    """(height, width, tile_size, overlap)."""
    tile_size = draw(st.integers(1, 40))
    overlap = draw(st.integers(0, tile_size - 1))
    return draw(st.integers(1, 90)), draw(st.integers(1, 90)), tile_size, overlap


@given(grids())
def test_every_pixel_is_covered_by_windows_inside(grid):
    height, width, tile_size, overlap = grid
    covered = np.zeros((height, width), int)
    for window in tile_grid(*grid):
        assert (window.height, window.width) == (tile_size, tile_size)
        assert window.row_off >= 0 and window.col_off >= 0
        # Only a side shorter than a tile is left.
        assert window.row_off + tile_size <= max(height, tile_size)
        assert window.col_off + tile_size <= max(width, tile_size)
        rows = slice(window.row_off, window.row_off + tile_size)
        covered[rows, window.col_off : window.col_off + tile_size] += 1
    assert covered.min() >= 1


@given(grids())
def test_row_major_steps_and_the_last_one_at_the_edge(grid):
    height, width, tile_size, overlap = grid
    windows = tile_grid(*grid)
    places = [(window.row_off, window.col_off) for window in windows]
    assert places == sorted(set(places))
    for starts, length in (({p[0] for p in places}, height), ({p[1] for p in places}, width)):
        starts = sorted(starts)
        assert starts[0] == 0 and starts[-1] == max(length - tile_size, 0)
        steps = np.diff(starts)
        assert (steps[:-1] == tile_size - overlap).all()
        assert (steps <= tile_size - overlap).all()
        # No tile more than is needed.
        assert len(starts) == 1 + -(-max(length - tile_size, 0) // (tile_size - overlap))


def test_by_hand():
    places = [(w.row_off, w.col_off) for w in tile_grid(100, 150, 64, 16)]
    assert places == [(0, 0), (0, 48), (0, 86), (36, 0), (36, 48), (36, 86)]
    assert len(tile_grid(64, 64, 64, 32)) == 1


def test_a_scene_smaller_than_a_tile():
    (window,) = tile_grid(3, 5, 64, 16)
    assert (window.row_off, window.col_off, window.height, window.width) == (0, 0, 64, 64)


@pytest.mark.parametrize("overlap", [-1, 64, 100])
def test_an_overlap_without_a_step(overlap):
    with pytest.raises(ConfigError, match=f"Received: overlap={overlap}, tile_size=64. Use"):
        tile_grid(100, 100, 64, overlap)


@pytest.mark.parametrize("sizes", [(0, 5, 8), (5, 0, 8), (5, 5, 0)])
def test_sizes_that_are_not_positive(sizes):
    with pytest.raises(ConfigError, match="at least 1 px"):
        tile_grid(*sizes, 0)
