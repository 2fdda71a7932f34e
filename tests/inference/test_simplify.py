"""Simplified and smoothed outlines: neighbours keep one border, nothing overlaps or vanishes."""

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from shapely import box

from landslide_rcnn.geo.measure import Ruler
from landslide_rcnn.inference.outlines import outline_of
from landslide_rcnn.inference.simplify import MAX_AREA_CHANGE, refine

UTM = Ruler(pyproj.CRS.from_epsg(32648))
WGS84 = Ruler(pyproj.CRS.from_epsg(4326))
TWO_METRES = Affine(2, 0, 500_000, 0, -2, 4_000_000)


def outlines_of(labels):
    numbers = [each for each in range(1, labels.max() + 1) if (labels == each).any()]
    return np.array([outline_of([(labels == each, 0, 0)]) for each in numbers], object)


def blobs(seed, size=40, count=4, smoothness=2.0):
    """[size, size] int32: smooth blobs of labels 0..count that touch one another."""
    noise = np.random.default_rng(seed).normal(size=(count + 1, size, size))
    return (
        ndimage.gaussian_filter(noise, (0, smoothness, smoothness)).argmax(axis=0).astype(np.int32)
    )


def overlaps(shapes):
    first, second = shapely.STRtree(shapes).query(shapes, "intersects")
    once = first < second
    common = shapely.intersection(shapes[first[once]], shapes[second[once]])
    return shapely.area(common)


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.6, 3),
    st.sampled_from([0.0, 1.0, 3.0, 9.0]),
    st.booleans(),
)
def test_neighbours_stay_disjoint_and_valid(seed, smoothness, tolerance_m, smooth):
    labels = blobs(seed, smoothness=smoothness)
    outlines = outlines_of(labels)
    exact = refine(outlines, TWO_METRES, UTM, 0, False).shapes
    refined = refine(outlines, TWO_METRES, UTM, tolerance_m, smooth)
    assert shapely.is_valid(refined.shapes).all()
    areas, new = shapely.area(exact), shapely.area(refined.shapes)
    assert (np.abs(new / areas - 1) <= MAX_AREA_CHANGE + 1e-9).all()
    assert overlaps(refined.shapes).sum() <= 1e-9 * areas.sum()
    assert refined.area_change == pytest.approx(new.sum() / areas.sum() - 1)
    # No gaps: deep inside the union of all there is no background that was not there before.
    gaps = shapely.difference(shapely.union_all(exact), shapely.union_all(refined.shapes))
    reach = tolerance_m + (4 * 40 if smooth else 0) + 1e-6
    deep = shapely.buffer(shapely.union_all(exact), -reach)
    assert shapely.area(shapely.intersection(gaps, deep)) <= 1e-6


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 4.0]), st.booleans())
def test_a_full_cover_stays_a_full_cover(seed, tolerance_m, smooth):
    """Where landslides cover everything, the inner borders move and no slit opens."""
    labels = blobs(seed) + 1
    refined = refine(outlines_of(labels), TWO_METRES, UTM, tolerance_m, smooth)
    union = shapely.union_all(refined.shapes)
    holes = shapely.get_num_interior_rings(shapely.get_parts(union)).sum()
    assert (len(shapely.get_parts(union)), holes) == (1, 0)
    assert shapely.area(refined.shapes).sum() == pytest.approx(union.area, rel=1e-9)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 2.5, 6.0]))
def test_no_border_moves_farther_than_the_tolerance(seed, tolerance_m):
    outlines = outlines_of(blobs(seed))
    exact = refine(outlines, TWO_METRES, UTM, 0, False).shapes
    refined = refine(outlines, TWO_METRES, UTM, tolerance_m, False).shapes
    distance = shapely.hausdorff_distance(shapely.boundary(exact), shapely.boundary(refined))
    assert (distance <= tolerance_m + 1e-6).all()


def test_without_a_wish_outlines_are_only_placed():
    outlines = outlines_of(np.array([[1, 1, 0], [2, 1, 0]]))
    refined = refine(outlines, TWO_METRES, UTM, 0, False)
    x, y = 500_000, 4_000_000
    assert refined.shapes[1].equals(box(x, y - 4, x + 2, y - 2))
    assert refined.shapes[0].equals(box(x, y - 4, x + 4, y) - refined.shapes[1])
    assert (refined.kept_exact, refined.area_change) == (0, 0)


def test_a_staircase_becomes_a_line_and_keeps_its_area():
    """The half of a square under its diagonal: the stairs lie within a pixel of a line."""
    labels = np.tril(np.ones((60, 60), np.int32))
    exact = refine(outlines_of(labels), TWO_METRES, UTM, 0, False).shapes[0]
    refined = refine(outlines_of(labels), TWO_METRES, UTM, 1.5, False)
    assert shapely.get_num_coordinates(exact) == 123  # 60 stairs, closed
    assert shapely.get_num_coordinates(refined.shapes[0]) <= 6
    assert abs(refined.area_change) < 0.02
    assert refined.kept_exact == 0


def test_tiny_landslides_keep_their_pixels():
    labels = np.zeros((30, 30), np.int32)
    labels[2, 2] = 1
    labels[10:28, 5:25] = 2
    labels[9, 12] = 3  # a pixel on the back of a large neighbour
    outlines = outlines_of(labels)
    exact = refine(outlines, TWO_METRES, UTM, 0, False).shapes
    refined = refine(outlines, TWO_METRES, UTM, 10.0, True)
    assert refined.shapes[0].equals(exact[0])
    assert refined.shapes[2].area == pytest.approx(4)
    assert refined.kept_exact >= 2
    assert overlaps(refined.shapes).sum() < 1e-9


def test_two_that_touch_at_a_corner_stay_two():
    labels = np.zeros((40, 40), np.int32)
    labels[0:20, 0:20], labels[20:40, 20:40] = 1, 2
    refined = refine(outlines_of(labels), TWO_METRES, UTM, 3.0, True).shapes
    assert shapely.get_type_id(refined).tolist() == [3, 3]
    meeting = shapely.intersection(*refined)
    assert meeting.equals(shapely.Point(500_040, 4_000_000 - 40))


def test_near_neighbours_that_do_not_touch_stay_apart():
    """Teeth that reach into each other with one pixel between them, and a large tolerance."""
    labels = np.zeros((41, 60), np.int32)
    labels[0:4], labels[37:41] = 1, 2
    for left in range(0, 56, 8):
        labels[4:30, left : left + 3] = 1
        labels[11:37, left + 4 : left + 7] = 2
    for tolerance_m, smooth in ((5.0, False), (5.0, True), (0.0, True), (30.0, False)):
        refined = refine(outlines_of(labels), TWO_METRES, UTM, tolerance_m, smooth)
        assert shapely.is_valid(refined.shapes).all()
        assert overlaps(refined.shapes).sum() < 1e-9


def sharpest_turn_deg(ring):
    steps = np.diff(np.array(ring.coords), axis=0)
    steps = np.concatenate([steps, steps[:1]])
    turns = np.diff(np.arctan2(steps[:, 1], steps[:, 0]))
    return np.degrees(np.abs((turns + np.pi) % (2 * np.pi) - np.pi).max())


def test_smoothing_rounds_shells_and_holes():
    """A disc with a round hole; its pixels turn by 90 degrees, its simplified form by less."""
    y, x = np.mgrid[:60, :60] - 29.5
    radius = np.hypot(x, y)
    outlines = outlines_of(((radius < 25) & (radius > 8)).astype(np.int32))
    plain, smooth = (
        refine(outlines, Affine.identity(), Ruler(None), 1.0, each).shapes[0]
        for each in (False, True)
    )
    for ring, plain_ring in (
        (smooth.exterior, plain.exterior),
        (smooth.interiors[0], plain.interiors[0]),
    ):
        assert sharpest_turn_deg(ring) < 0.6 * sharpest_turn_deg(plain_ring)
        assert shapely.hausdorff_distance(ring, plain_ring) < 1.0
    assert smooth.area == pytest.approx(np.pi * (25**2 - 8**2), rel=0.03)


def test_smoothing_holds_the_ends_of_a_shared_border():
    """Two rectangles side by side: their border is straight and stays, the outer corners go."""
    labels = np.zeros((30, 60), np.int32)
    labels[:, :30], labels[:, 30:] = 1, 2
    left, right = refine(outlines_of(labels), Affine.identity(), Ruler(None), 0, True).shapes
    border = shapely.intersection(left, right)
    assert shapely.line_merge(border).equals(shapely.LineString([(30, 0), (30, 30)]))
    # Four corners of the pair; an edge is cut at a quarter, and cut again.
    corner = 0.5 * 7.5 * 7.5
    assert left.area < 900 - 2 * corner + 1e-6 and left.area == pytest.approx(right.area)


def test_a_tolerance_in_metres_in_degrees():
    """The same landslide in UTM and in degrees keeps about as many corners."""
    labels = blobs(5, size=60)
    metric = refine(outlines_of(labels), Affine(2, 0, 0, 0, -2, 0), UTM, 3.0, False).shapes
    latitude = 60.0
    east, north = WGS84.metres_per_unit([[0, latitude]])[0]
    degrees = Affine(2 / east, 0, 10, 0, -2 / north, latitude)
    geographic = refine(outlines_of(labels), degrees, WGS84, 3.0, False).shapes
    assert shapely.get_num_coordinates(geographic).tolist() == pytest.approx(
        shapely.get_num_coordinates(metric).tolist(), rel=0.05
    )
    np.testing.assert_allclose(
        WGS84.area_and_perimeter(geographic)[0], shapely.area(metric), rtol=5e-3
    )


def test_no_outlines():
    assert len(refine(np.array([], object), TWO_METRES, UTM, 1.0, True).shapes) == 0
