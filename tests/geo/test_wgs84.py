"""Longitude and latitude, and the antimeridian."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from shapely import box

from landslide_rcnn.errors import GeoReferenceError
from landslide_rcnn.geo.wgs84 import WORLD, footprint, to_wgs84
from landslide_rcnn.geo.writing import Grid


def table_of(*geometry, crs):
    return gpd.GeoDataFrame({"id": range(len(geometry))}, geometry=list(geometry), crs=crs)


def grid_of(epsg, transform, size=(100, 200)):
    return Grid(*size, rasterio.CRS.from_epsg(epsg), transform)


def same(first, second, tolerance=1e-9):
    return first.is_valid and first.symmetric_difference(second).area < tolerance


def test_degrees_stay_and_the_antimeridian_cuts():
    west, east, beyond = box(10, 0, 11, 1), box(179.5, 0, 180.5, 1), box(200, -5, 201, -4)
    moved = to_wgs84(table_of(west, east, beyond, crs=4326)).geometry
    assert moved.crs == "EPSG:4326"
    assert moved[0].equals(west)
    assert same(moved[1], box(179.5, 0, 180, 1) | box(-180, 0, -179.5, 1))
    assert len(moved[1].geoms) == 2
    assert same(moved[2], box(-160, -5, -159, -4))
    whole = to_wgs84(table_of(box(-180, -90, 180, 90), crs=4326)).geometry[0]
    assert same(whole, WORLD)


@pytest.mark.parametrize("epsg", [32660, 32701, 3832])
def test_projections_around_the_antimeridian(epsg):
    points = gpd.GeoSeries(shapely.points([(179.99, -10), (-179.99, -9.98)]), crs=4326)
    (x1, y1), (x2, y2) = shapely.get_coordinates(points.to_crs(epsg).array)
    given = table_of(box(x1, y1, x2, y2), crs=epsg)
    moved = to_wgs84(given).geometry[0]
    assert moved.is_valid and len(moved.geoms) == 2 and WORLD.covers(moved)
    low, _, high, _ = shapely.bounds(moved.geoms).T
    assert sorted(low) == pytest.approx([-180, 179.99], abs=1e-3)
    assert sorted(high) == pytest.approx([-179.99, 180], abs=1e-3)
    # Nothing is lost: the same area on the ellipsoid.
    area = sum(abs(given.crs.get_geod().geometry_area_perimeter(part)[0]) for part in moved.geoms)
    expected = 0.02 * 111_320 * np.cos(np.radians(10)) * 0.02 * 110_600
    assert area == pytest.approx(expected, rel=0.02)


def test_what_cannot_be_placed_is_refused():
    with pytest.raises(GeoReferenceError, match="need a CRS. Received: polygons in pixel"):
        to_wgs84(table_of(box(0, 0, 1, 1), crs=None))
    with pytest.raises(GeoReferenceError, match="points beyond where EPSG:32648 is defined"):
        to_wgs84(table_of(box(1e9, 1e9, 2e9, 2e9), crs=32648))


def test_no_polygons():
    assert len(to_wgs84(table_of(crs=32648))) == 0


def test_footprints():
    degrees = footprint(grid_of(4326, Affine(0.01, 0, 103, 0, -0.01, 32)))
    assert same(degrees, box(103, 31, 105, 32))
    turned = footprint(grid_of(4326, Affine(0.01, 0, 103, 0, 0.01, 31)))
    assert same(turned, box(103, 31, 105, 32))
    transform = Affine(15, 20, 400_000, 20, -15, 3_700_000)
    utm = footprint(grid_of(32648, transform))
    corners = gpd.GeoSeries(
        shapely.points([transform * c for c in ((0, 0), (200, 0), (200, 100), (0, 100))]),
        crs=32648,
    ).to_crs(4326)
    assert utm.is_valid and utm.area == pytest.approx(
        shapely.Polygon(shapely.get_coordinates(corners.array)).area, rel=1e-4
    )
    assert shapely.hausdorff_distance(utm, shapely.MultiPoint(corners.tolist())) < 0.06
    crossing = footprint(grid_of(4326, Affine(0.01, 0, 179, 0, -0.01, 10)))
    assert same(crossing, box(179, 9, 180, 10) | box(-180, 9, -179, 10))


@pytest.mark.parametrize("epsg, pole", [(3031, -90), (3413, 90)])
def test_a_scene_around_a_pole_is_a_cap(epsg, pole):
    low, bottom, high, top = footprint(
        grid_of(epsg, Affine(1000, 0, -50_000, 0, -1000, 50_000))
    ).bounds
    assert (low, high) == (-180, 180) and pole in (bottom, top)
    # The farthest corner is 150 km by 50 km away.
    assert top - bottom == pytest.approx(np.hypot(150, 50) / 111, rel=0.05)
