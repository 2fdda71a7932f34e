"""Instances to polygons: outlines, holes, areas, order, and what is left out."""

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from shapely.geometry import box

from landslide_rcnn.errors import GeoReferenceError
from landslide_rcnn.inference.merge import MergedInstance
from landslide_rcnn.inference.vectorize import PolygonTable, polygon_of

UTM = CRS.from_epsg(32648)
HALF_METRE = Affine(0.5, 0, 1000, 0, -0.5, 2000)


def instance(mask, row_off=0, col_off=0, score=0.9, class_id=1) -> MergedInstance:
    mask = np.asarray(mask, bool)
    return MergedInstance(mask, row_off, col_off, score, class_id, int(mask.sum()))


def test_the_outline_lies_where_the_pixels_lie():
    polygon = polygon_of(instance(np.ones((4, 6)), row_off=10, col_off=20), HALF_METRE)
    # Columns 20 to 26, rows 10 to 14, half a metre each, rows counted downwards.
    assert polygon.equals(box(1010, 1993, 1013, 1995))


def test_holes_are_kept():
    mask = np.ones((5, 5))
    mask[1:3, 1:4] = 0
    polygon = polygon_of(instance(mask), Affine.identity())
    assert polygon.area == 19
    assert len(polygon.interiors) == 1
    assert polygon.is_valid


@pytest.mark.parametrize(
    "drawing", [["#.", ".#"], ["###", "#.#", "##."], ["####", "#.##", "##.#", "####"]]
)
def test_pixels_that_touch_at_corners_make_valid_geometry(drawing):
    mask = np.array([[each == "#" for each in row] for row in drawing])
    polygon = polygon_of(instance(mask), Affine.identity())
    assert polygon.is_valid
    assert polygon.area == mask.sum()


def test_the_table_is_sorted_and_numbered():
    table = PolygonTable(HALF_METRE, UTM)
    table.add(instance(np.ones((1, 2)), score=0.5))
    table.add(instance(np.ones((4, 4)), row_off=8, score=0.7, class_id=2))
    table.add(instance(np.ones((2, 1)), row_off=20, score=0.6))
    polygons = table.table()
    assert list(polygons.columns) == ["id", "class_id", "score", "area_m2", "geometry"]
    assert polygons["id"].tolist() == [1, 2, 3]
    assert polygons["class_id"].tolist() == [2, 1, 1]
    assert polygons["score"].tolist() == [0.7, 0.5, 0.6]
    assert polygons["area_m2"].tolist() == [4.0, 0.5, 0.5]
    assert polygons.crs == UTM
    np.testing.assert_allclose(polygons.geometry.area, polygons["area_m2"])


def test_small_landslides_are_left_out_and_counted():
    table = PolygonTable(HALF_METRE, UTM, min_area_m2=1.0, min_pixels=5)
    table.add(instance(np.ones((1, 3))))  # 0.75 m2
    table.add(instance(np.ones((2, 2))))  # 1 m2, but 4 pixels
    table.add(instance(np.ones((1, 5))))
    assert table.table()["area_m2"].tolist() == [1.25]
    assert (table.small_count, table.small_pixels) == (2, 7)


def test_an_area_filter_in_degrees_knows_the_latitude():
    """At 60 degrees north a pixel of 0.001 degrees covers about half of one at the equator."""
    wgs84 = CRS.from_epsg(4326)
    table = PolygonTable(Affine(0.001, 0, 10, 0, -0.001, 60), wgs84, min_area_m2=100_000)
    table.add(instance(np.ones((4, 4)), row_off=60_000))
    table.add(instance(np.ones((4, 4)), row_off=0))
    assert (table.small_count, table.small_pixels) == (1, 16)
    assert table.table()["area_m2"].tolist() == [pytest.approx(16 * 111.3195 * 110.574, 1e-3)]


def test_without_a_crs_areas_are_pixels():
    table = PolygonTable(Affine.identity(), None, min_pixels=2)
    table.add(instance(np.ones((2, 3))))
    table.add(instance(np.ones((1, 1))))
    polygons = table.table()
    assert polygons["area_px"].tolist() == [6]
    assert "area_m2" not in polygons
    assert polygons.crs is None


def test_square_metres_without_a_crs_are_refused():
    with pytest.raises(GeoReferenceError, match="needs a scene with a CRS.*Use min_pixels"):
        PolygonTable(Affine.identity(), None, min_area_m2=5)


@pytest.mark.parametrize("crs", [UTM, None])
def test_an_empty_table_has_its_columns(crs):
    polygons = PolygonTable(HALF_METRE, crs).table()
    area = "area_px" if crs is None else "area_m2"
    assert list(polygons.columns) == ["id", "class_id", "score", area, "geometry"]
    assert len(polygons) == 0
    assert polygons.crs == crs
