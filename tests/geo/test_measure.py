"""Lengths and areas on the ground: UTM, degrees, feet, Mercator, pixels."""

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from shapely import MultiPolygon, box

from landslide_rcnn.geo.ground import pixel_size_m
from landslide_rcnn.geo.measure import Ruler, area_m2, metres_per_degree, scaled

WGS84 = pyproj.CRS.from_epsg(4326)
UTM = pyproj.CRS.from_epsg(32648)
WEB_MERCATOR = pyproj.CRS.from_epsg(3857)
FOOT = 1200 / 3937


def cell_area_m2(west, south, east, north):
    """Area between two meridians and two parallels: Snyder 1987, equation 3-12, a closed form."""
    geod = WGS84.get_geod()
    e = np.sqrt(geod.es)

    def q(latitude):
        s = np.sin(np.radians(latitude))
        return (1 - e**2) * (s / (1 - (e * s) ** 2) - np.log((1 - e * s) / (1 + e * s)) / (2 * e))

    return geod.a**2 / 2 * np.radians(east - west) * (q(north) - q(south))


def test_planar_areas_in_metres_and_feet():
    squares = gpd.GeoSeries([box(0, 0, 10, 10), box(0, 0, 3, 4) - box(1, 1, 2, 2)])
    np.testing.assert_allclose(area_m2(squares, UTM), [100, 11])
    feet = rasterio.CRS.from_epsg(2229)
    np.testing.assert_allclose(area_m2(squares, feet), np.array([100, 11]) * FOOT**2)


@pytest.mark.parametrize("south", [-60.0, 0.0, 35.0, 70.0])
@pytest.mark.parametrize("size", [0.001, 0.1, 1.0])
def test_areas_in_degrees_are_those_of_the_ellipsoid(south, size):
    cell = box(10, south, 10 + size, south + size)
    expected = cell_area_m2(10, south, 10 + size, south + size)
    assert area_m2(gpd.GeoSeries([cell]), WGS84)[0] == pytest.approx(expected, rel=1e-5)


def test_areas_in_web_mercator_are_those_of_the_ground():
    """At 60 degrees its plane is four times too large; the same cell measures the same."""
    cell = gpd.GeoSeries([box(10, 60, 10.05, 60.05)], crs=WGS84)
    on_map = cell.to_crs(WEB_MERCATOR)
    assert on_map.area[0] > 3.9 * area_m2(cell, WGS84)[0]
    assert area_m2(on_map, WEB_MERCATOR)[0] == pytest.approx(
        cell_area_m2(10, 60, 10.05, 60.05), rel=1e-5
    )
    np.testing.assert_allclose(
        Ruler(WEB_MERCATOR).area_and_perimeter(np.array(on_map))[1],
        Ruler(WGS84).area_and_perimeter(np.array(cell))[1],
        rtol=1e-5,
    )


def test_planar_areas_in_utm_are_the_ellipsoids_to_a_thousandth_near_the_meridian():
    ground = cell_area_m2(104.99, 29.99, 105.01, 30.01)
    cell = gpd.GeoSeries([box(104.99, 29.99, 105.01, 30.01).segmentize(0.001)], crs=WGS84)
    assert area_m2(cell.to_crs(UTM), UTM)[0] == pytest.approx(ground, rel=1e-3)


def test_holes_parts_and_the_sense_of_rings_in_degrees():
    cell, hole = box(10, 0, 11, 1), box(10.25, 0.25, 10.75, 0.75)
    whole, cut = area_m2(gpd.GeoSeries([cell]), WGS84)[0], area_m2(gpd.GeoSeries([hole]), WGS84)[0]
    both = gpd.GeoSeries([cell - hole, MultiPolygon([cell, box(20, 0, 21, 1)]), cell.reverse()])
    np.testing.assert_allclose(area_m2(both, WGS84), [whole - cut, 2 * whole, whole])


def test_perimeters():
    shape = np.array([box(0, 0, 3, 4) - box(1, 1, 2, 2)])
    assert Ruler(UTM).area_and_perimeter(shape)[1].tolist() == [18]
    assert Ruler(None).area_and_perimeter(shape)[1].tolist() == [18]
    feet = Ruler(pyproj.CRS.from_epsg(2229))
    assert feet.area_and_perimeter(shape)[1][0] == pytest.approx(18 * FOOT)
    # Two metres of a degree of latitude and two of the equator.
    equator = np.array([box(0, 0, 0.01, 0.01)])
    east, north = 111_319.49, 110_574.39
    assert Ruler(WGS84).area_and_perimeter(equator)[1][0] == pytest.approx(
        0.02 * (east + north), rel=1e-6
    )


def test_areas_without_crs_or_rows():
    assert np.isnan(area_m2(gpd.GeoSeries([box(0, 0, 1, 1)]), None)).tolist() == [True]
    for crs in (None, WGS84, UTM):
        assert area_m2(gpd.GeoSeries([], dtype="geometry"), crs).shape == (0,)


@pytest.mark.parametrize("angle_deg", [0, 20, 45, 110])
def test_sides_of_turned_rectangles(angle_deg):
    upright = box(0, 0, 300, 40) - box(10, 10, 20, 20)
    turned = shapely.affinity.rotate(upright, angle_deg, origin=(0, 0))
    shapes = np.array([shapely.affinity.translate(turned, 500_000, 3_000_000)])
    np.testing.assert_allclose(Ruler(UTM).rectangle_sides(shapes), [[300], [40]], rtol=1e-6)
    feet = Ruler(pyproj.CRS.from_epsg(2229))
    np.testing.assert_allclose(feet.rectangle_sides(shapes), [[300 * FOOT], [40 * FOOT]], rtol=1e-6)
    # The same on the ground, at 60 degrees north in degrees.
    ruler = Ruler(WGS84)
    step = ruler.metres_per_unit([[20, 60]])
    on_map = shapely.transform(scaled(np.array([turned]), 1 / step), lambda p: p + [20, 60])
    np.testing.assert_allclose(ruler.rectangle_sides(on_map), [[300], [40]], rtol=1e-3)


def test_metres_per_degree_are_those_of_geodesics():
    geod = WGS84.get_geod()
    for latitude in (-80.0, 0.0, 45.0, 60.0):
        east, north = metres_per_degree(latitude, geod)
        step = 1e-4
        assert east * step == pytest.approx(geod.inv(0, latitude, step, latitude)[2], rel=1e-6)
        along = geod.inv(0, latitude - step / 2, 0, latitude + step / 2)[2]
        assert north * step == pytest.approx(along, rel=1e-6)


def test_metres_per_unit_of_every_kind():
    points = [[0, 0], [1e6, 8_399_737.889]]  # the second at 60 degrees of Web Mercator
    np.testing.assert_allclose(Ruler(UTM).metres_per_unit(points), 1)
    np.testing.assert_allclose(Ruler(None).metres_per_unit(points), 1)
    np.testing.assert_allclose(Ruler(WEB_MERCATOR).metres_per_unit(points)[1], 0.5, rtol=5e-3)


def test_longitudes_are_normalised():
    np.testing.assert_allclose(
        Ruler(WGS84).lonlat([[181, 10], [-180.5, 0], [180, 0], [5, 5]]),
        [[-179, 10], [179.5, 0], [-180, 0], [5, 5]],
    )
    np.testing.assert_allclose(Ruler(UTM).lonlat([[500_000, 0]]), [[105, 0]], atol=1e-9)
    assert np.isnan(Ruler(None).lonlat([[1, 2]])).all()


def test_a_compound_crs_measures_like_its_horizontal_part():
    compound = pyproj.CRS("EPSG:32648+5773")
    shapes = gpd.GeoSeries([box(0, 0, 10, 10)])
    assert area_m2(shapes, compound).tolist() == [100]


def test_a_pixel_of_web_mercator_is_as_large_as_the_ground_under_it():
    """At 60 degrees north half of what its plane says."""
    y = pyproj.Transformer.from_crs(WGS84, WEB_MERCATOR, always_xy=True).transform(10, 60)[1]
    transform = Affine(2, 0, 1_000_000, 0, -2, y + 100)
    size = pixel_size_m(rasterio.CRS.from_epsg(3857), transform, 100, 100)
    geod = WGS84.get_geod()
    cell = gpd.GeoSeries([box(1_000_000, y - 1, 1_000_002, y + 1)], crs=WEB_MERCATOR)
    area = abs(geod.geometry_area_perimeter(cell.to_crs(WGS84)[0])[0])
    assert size == pytest.approx(np.sqrt(area), rel=1e-5)
    assert size == pytest.approx(1.0, rel=5e-3)


POLAR = pyproj.CRS.from_epsg(3031)
PLATE_CARREE = pyproj.CRS.from_epsg(4087)


@pytest.mark.parametrize("crs", [POLAR, PLATE_CARREE])
def test_metres_of_other_untrue_projections_are_those_of_the_ground(crs):
    """The same cell measures what it measures in degrees; its plane is 5 % and 80 % wrong."""
    cell = gpd.GeoSeries([box(10, -79.02, 10.1, -79.0)], crs=WGS84)
    fine = gpd.GeoSeries(shapely.segmentize(cell.array, 1e-3), crs=WGS84).to_crs(crs)
    expected = cell_area_m2(10, -79.02, 10.1, -79.0)
    assert area_m2(fine, crs)[0] == pytest.approx(expected, rel=1e-5)
    assert fine.area[0] != pytest.approx(expected, rel=0.01)
    ruler = Ruler(crs)
    centre = shapely.get_coordinates(fine.centroid)
    scale = ruler.metres_per_unit(centre)
    assert scale.prod() * fine.area[0] == pytest.approx(expected, rel=1e-4)
    # 0.02 degrees of latitude, and 0.1 of longitude at 79 degrees.
    longer, shorter = ruler.rectangle_sides(fine.to_numpy())
    assert (longer[0], shorter[0]) == pytest.approx((2233.3, 2131.9), rel=2e-3)


def test_a_sites_own_grid_lies_nowhere_on_earth():
    site = pyproj.CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    ruler = Ruler(site)
    assert ruler.area_and_perimeter(np.array([box(0, 0, 2, 3)]))[0].tolist() == [6]
    assert np.isnan(ruler.lonlat([(1, 2)])).all()
