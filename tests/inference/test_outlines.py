"""Pixels to outlines and back, in parts and in windows."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window

from landslide_rcnn.inference.outlines import (
    BAND_ROWS,
    OutlineRaster,
    outline_of,
    rasterize_map,
)


def outlines_of(labels):
    return np.array(
        [outline_of([(labels == each, 0, 0)]) for each in range(1, labels.max() + 1)], object
    )


@st.composite
def label_images(draw):
    """[h, w] int32 of blocky labels 0..k; each label may be in pieces."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width, block = (
        draw(st.integers(1, 20)),
        draw(st.integers(1, 20)),
        draw(st.integers(1, 3)),
    )
    coarse = rng.integers(0, draw(st.integers(1, 5)) + 1, (height, width))
    return np.kron(coarse, np.ones((block, block), int)).astype(np.int32)[:height, :width]


@given(label_images(), st.data())
def test_painting_outlines_gives_the_labels_back_in_every_window(labels, data):
    outlines = outlines_of(labels)
    assert shapely.is_valid(outlines).all()
    height, width = labels.shape
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = Window(
        left, top, data.draw(st.integers(1, width - left)), data.draw(st.integers(1, height - top))
    )
    expected = labels[top : top + window.height, left : left + window.width]
    np.testing.assert_array_equal(OutlineRaster(outlines).labels(window), expected)


@given(label_images(), st.integers(1, 6))
def test_the_outline_of_parts_is_the_outline_of_the_whole(labels, rows):
    mask = labels > 0
    bands = [(mask[top : top + rows], top, 0) for top in range(0, len(mask), rows)]
    whole, united = outline_of([(mask, 0, 0)]), outline_of(bands)
    assert united.is_valid and united.equals(whole)
    # The seams leave no corners behind: as many as the whole has, but for rings' first points.
    rings = len(shapely.get_rings(shapely.get_parts(whole)))
    assert shapely.get_num_coordinates(united) <= shapely.get_num_coordinates(whole) + 2 * rings


def test_edges_that_cross_many_bands():
    height = 3 * BAND_ROWS + 17
    mask = np.zeros((height, 9), bool)
    mask[5:-3, 2:7] = True
    mask[40 : 2 * BAND_ROWS + 1, 4] = False
    raster = OutlineRaster(outlines_of(mask.astype(np.int32)))
    np.testing.assert_array_equal(raster.labels(Window(0, 0, 9, height)), mask)
    np.testing.assert_array_equal(
        raster.labels(Window(3, BAND_ROWS - 1, 4, BAND_ROWS + 2)),
        mask[BAND_ROWS - 1 : 2 * BAND_ROWS + 1, 3:7],
    )
    # Below the last outline, as in a scene whose south is empty.
    assert not raster.labels(Window(0, 9 * BAND_ROWS, 9, 5)).any()


def test_the_mask_raster_says_landslide_background_and_invalid():
    table = gpd.GeoDataFrame(
        geometry=[shapely.box(1, 2, 4, 300), shapely.MultiPolygon([shapely.box(5, 0, 6, 1)])]
    )
    height, width = 310, 8

    def read_valid(window):
        valid = np.ones((window.height, window.width), bool)
        valid[:, 3] = False
        return valid

    bands = list(rasterize_map(table, height, width, read_valid))
    assert [(window.row_off, window.height) for window, _ in bands] == [(0, 256), (256, 54)]
    expected = np.zeros((height, width), np.uint8)
    expected[2:300, 1:4] = 1
    expected[0, 5] = 1
    expected[:, 3] = 255
    np.testing.assert_array_equal(np.concatenate([classes for _, classes in bands]), expected)


@pytest.mark.parametrize("outlines", [[], [shapely.MultiPolygon()]])
def test_no_outlines_paint_nothing(outlines):
    raster = OutlineRaster(np.array(outlines, object))
    assert not raster.labels(Window(0, 0, 5, 300)).any()


@pytest.mark.parametrize("width", [3, 7, 49, 496, 4097])
def test_parts_that_meet_along_a_long_edge_are_one(width):
    """Edges of some lengths are not divided into exactly one pixel each."""
    parts = [(np.ones((3, width), bool), 250, 8), (np.ones((2, width), bool), 253, 8)]
    outline = outline_of(parts)
    assert outline.equals(shapely.box(8, 250, 8 + width, 255))
    assert shapely.get_num_coordinates(outline) == 5
