"""Objects and their shared pixels: by hand, against sets of pixels, and band by band."""

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.windows import Window
from shapely.geometry import Polygon, box

from landslide_rcnn.errors import ShapeError
from landslide_rcnn.evaluation.objects import (
    OverlapCounter,
    PolygonObjects,
    RegionObjects,
    overlaps_of_masks,
)
from landslide_rcnn.geo.ground import row_areas_m2
from tests.reference import objects as slow

TRANSFORM = Affine(10, 0, 400_000, 0, -10, 3_700_000)


def pixel_box(top, left, bottom, right):
    """The map polygon of the pixels [top, bottom) x [left, right)."""
    x, y = 400_000 + 10 * left, 3_700_000 - 10 * top
    return box(x, y - 10 * (bottom - top), x + 10 * (right - left), y)


def polygons(*shapes):
    return PolygonObjects(gpd.GeoDataFrame(geometry=list(shapes), crs="EPSG:32648"), TRANSFORM)


def count(predicted, true, valid, heights=(100,), areas=True):
    """Count a scene in bands of the given heights, over and over."""
    counter, row, band = OverlapCounter(), 0, 0
    labels = [
        source.labels
        if isinstance(source, PolygonObjects)
        else lambda window, mask=mask, regions=source: regions.labels(
            mask[window.row_off : window.row_off + window.height]
        )
        for source, mask in (predicted, true)
    ]
    while row < len(valid):
        height = min(heights[band % len(heights)], len(valid) - row)
        window = Window(0, row, valid.shape[1], height)
        counter.add(
            *(each(window) for each in labels),
            valid[row : row + height],
            np.full(height, 100.0) if areas else None,
        )
        row, band = row + height, band + 1
    return counter.finish(predicted[0].owners(), true[0].owners())


def test_polygons_by_hand():
    predicted = polygons(pixel_box(0, 0, 4, 4), pixel_box(9, 0, 10, 1), pixel_box(0, 20, 1, 21))
    # The second and the third overlap; the fourth lies on pixels that do not count.
    true = polygons(
        pixel_box(0, 2, 4, 6), pixel_box(5, 5, 9, 9), pixel_box(5, 5, 7, 7), pixel_box(9, 9, 10, 10)
    )
    valid = np.ones((10, 10), bool)
    valid[0, 2:] = valid[9, 9] = False
    overlaps = count((predicted, None), (true, None), valid, heights=(3,))
    assert overlaps.predicted_pixels.tolist() == [14, 1]
    assert overlaps.predicted_ids.tolist() == [0, 1]
    assert overlaps.true_pixels.tolist() == [12, 16, 4]
    assert overlaps.true_ids.tolist() == [0, 1, 2]
    assert overlaps.true_m2.tolist() == [1200.0, 1600.0, 400.0]
    assert overlaps.pairs.tolist() == [[0, 0]]
    assert overlaps.shared.tolist() == [6]
    assert overlaps.iou().tolist() == [6 / 20]


def test_polygons_that_overlap_keep_their_pixels_and_neighbours_share_a_layer():
    window = Window(0, 0, 10, 10)
    beside = polygons(pixel_box(0, 0, 5, 5), pixel_box(0, 5, 5, 10), pixel_box(5, 5, 9, 9))
    assert len(beside.labels(window)) == 1
    stack = polygons(pixel_box(0, 0, 5, 5), pixel_box(4, 4, 6, 6), pixel_box(0, 0, 5, 5))
    layers = stack.labels(window)
    assert [np.unique(layer).tolist() for layer in layers] == [[0, 1], [0, 2], [0, 3]]
    assert [np.count_nonzero(layer) for layer in layers] == [25, 4, 25]


def test_a_triangle_has_the_pixels_whose_centres_it_covers():
    x, y = 400_000, 3_700_000
    source = polygons(Polygon([(x, y), (x, y - 40), (x + 39.9, y - 40)]))
    labels = source.labels(Window(0, 0, 5, 4))[0]
    assert labels.tolist() == [[0] * 5, [1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]]


def test_a_region_over_bands_is_one_and_numbers_follow_the_first_pixels():
    mask = np.array(
        [
            [1, 0, 1, 0, 1],
            [1, 0, 1, 0, 0],
            [1, 1, 1, 0, 1],
            [0, 0, 0, 1, 0],
        ],
        bool,
    )
    regions = RegionObjects()
    labels = np.concatenate([regions.labels(mask[row : row + 1])[0] for row in range(4)])
    final = regions.owners()[labels]
    assert final.tolist() == [[1, 0, 1, 0, 2], [1, 0, 1, 0, 0], [1, 1, 1, 0, 3], [0, 0, 0, 4, 0]]


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 14), st.integers(1, 9)),
    share=st.floats(0.2, 0.9),
    heights=st.lists(st.integers(1, 6), min_size=1, max_size=4),
)
def test_bands_of_any_height_give_what_sets_of_pixels_give(seed, shape, share, heights):
    rng = np.random.default_rng(seed)
    predicted, true, valid = (rng.random(shape) < limit for limit in (share, share, 0.9))
    overlaps = count(
        (RegionObjects(), predicted), (RegionObjects(), true), valid, heights, areas=False
    )
    seen = {tuple(place) for place in np.argwhere(valid)}
    sides = [
        [(n, region & seen) for n, region in enumerate(slow.regions(mask)) if region & seen]
        for mask in (predicted, true)
    ]
    assert overlaps.predicted_ids.tolist() == [n for n, _ in sides[0]]
    assert overlaps.true_ids.tolist() == [n for n, _ in sides[1]]
    assert overlaps.predicted_pixels.tolist() == [len(region) for _, region in sides[0]]
    assert overlaps.true_pixels.tolist() == [len(region) for _, region in sides[1]]
    shared = {
        (i, j): len(a & b)
        for i, (_, a) in enumerate(sides[0])
        for j, (_, b) in enumerate(sides[1])
        if a & b
    }
    assert dict(zip(map(tuple, overlaps.pairs.tolist()), overlaps.shared.tolist())) == shared
    assert overlaps.predicted_m2 is None and overlaps.true_m2 is None


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), heights=st.lists(st.integers(1, 30), min_size=1, max_size=3))
def test_polygons_in_bands_are_those_of_one_window(seed, heights):
    rng = np.random.default_rng(seed)
    sides = []
    for _ in range(2):
        centres = rng.uniform(0, 300, (6, 1, 2))
        corners = centres + rng.uniform(-80, 80, (6, 3, 2))
        sides.append([Polygon(each * (1, -1) + (400_000, 3_700_000)) for each in corners])
    valid = rng.random((30, 30)) < 0.9
    whole, bands = (
        count((polygons(*sides[0]), None), (polygons(*sides[1]), None), valid, each)
        for each in ((30,), heights)
    )
    masks = [
        np.stack([polygons(each).labels(Window(0, 0, 30, 30))[0] > 0 for each in side], axis=-1)
        for side in sides
    ]
    alone = overlaps_of_masks(*(each & valid[..., None] for each in masks))
    kept = [np.flatnonzero(each) for each in (alone.predicted_pixels, alone.true_pixels)]
    for overlaps in (whole, bands):
        assert overlaps.predicted_ids.tolist() == kept[0].tolist()
        assert overlaps.true_ids.tolist() == kept[1].tolist()
        assert overlaps.predicted_pixels.tolist() == alone.predicted_pixels[kept[0]].tolist()
        ids = np.stack(
            [overlaps.predicted_ids[overlaps.pairs[:, 0]], overlaps.true_ids[overlaps.pairs[:, 1]]],
            axis=1,
        )
        assert ids.tolist() == alone.pairs.tolist()
        assert overlaps.shared.tolist() == alone.shared.tolist()


def test_nothing_on_either_side():
    valid = np.ones((4, 4), bool)
    mask = np.zeros((4, 4), bool)
    overlaps = count((polygons(), None), (RegionObjects(), mask), valid)
    assert len(overlaps.predicted_pixels) == len(overlaps.true_pixels) == len(overlaps.shared) == 0
    assert overlaps.iou().tolist() == []
    nothing = OverlapCounter().finish(np.arange(1), RegionObjects().owners())
    assert nothing.pairs.shape == (0, 2)


def test_layers_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"one shape. Received: \(2, 3\) and \(2, 2\)"):
        OverlapCounter().add([np.zeros((2, 3), int)], [], np.ones((2, 2), bool))


def test_the_area_of_a_pixel_on_the_ground():
    window = Window(0, 5, 10, 3)
    assert row_areas_m2(None, TRANSFORM, window) is None
    assert row_areas_m2(CRS.from_epsg(32648), TRANSFORM, window).tolist() == [100.0] * 3
    # Half a degree north of 60: a minute of longitude is half of one of latitude.
    degrees = Affine(1 / 60, 0, 100, 0, -1 / 60, 61)
    areas = row_areas_m2(CRS.from_epsg(4326), degrees, Window(0, 0, 4, 61))
    assert areas.shape == (61,) and (np.diff(areas) > 0).all()
    assert areas[-1] == pytest.approx(1855.4 * 930.6, rel=2e-3)
