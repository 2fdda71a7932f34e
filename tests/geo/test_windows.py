"""Clipping windows to a scene."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window

from landslide_rcnn.geo.windows import bounds_of, part_inside, size_of

offsets = st.integers(-12, 12)
sizes = st.integers(1, 9)


@given(offsets, offsets, sizes, sizes, sizes, sizes)
def test_the_part_holds_the_pixels_of_both(top, left, height, width, scene_height, scene_width):
    part = part_inside(Window(left, top, width, height), scene_height, scene_width)
    expected = np.zeros((height, width), bool)
    for row, column in np.ndindex(height, width):
        expected[row, column] = 0 <= row + top < scene_height and 0 <= column + left < scene_width
    assert part.is_empty == (not expected.any())
    if not part.is_empty:
        target = np.zeros((height, width), bool)
        target[part.target] = True
        np.testing.assert_array_equal(target, expected)
        assert size_of(part.window) == target[part.target].shape
        assert (part.window.row_off, part.window.col_off) == (max(top, 0), max(left, 0))


@pytest.mark.parametrize("offset", [-3, 4])
def test_a_window_beside_the_scene(offset):
    assert part_inside(Window(offset, 0, 3, 3), 4, 4).is_empty
    assert part_inside(Window(0, offset, 3, 3), 4, 4).is_empty


def test_bounds_on_turned_and_south_up_grids():
    window = Window(10, 20, 30, 40)
    assert bounds_of(window, Affine(2, 0, 100, 0, -2, 500)) == (120, 380, 180, 460)
    assert bounds_of(window, Affine(2, 0, 100, 0, 2, 500)) == (120, 540, 180, 620)
    # A quarter turn: columns go north, rows go east.
    assert bounds_of(window, Affine(0, 1, 0, 1, 0, 0)) == (20, 10, 60, 40)
    left, bottom, right, top = bounds_of(Window(0, 0, 1, 1), Affine.rotation(45))
    np.testing.assert_allclose((left, bottom, right, top), (-(0.5**0.5), 0, 0.5**0.5, 2**0.5))
