"""Polygons in and out, and between polygons and pixels."""

import contextlib
import logging
import sqlite3

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.windows import Window
from shapely import LineString, Point, Polygon, box

from landslide_rcnn.data.tiles import tile_grid
from landslide_rcnn.errors import DatasetError, GeoReferenceError, RasterError
from landslide_rcnn.geo.measure import area_m2
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import (
    align_crs,
    polygons_of_mask,
    rasterize_instances,
    read_polygons,
    same_crs,
    write_lines,
    write_polygons,
)
from tests.helpers.outside import data_file, needs_data

TERRAIN = data_file("terrain")
UTM = "EPSG:32648"
BOW_TIE = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])  # crosses itself: two triangles of area 1
TRANSFORM = Affine(2, 0, 500_000, 0, -2, 4_000_000)


def table_of(*geometry, crs=UTM, **columns):
    return gpd.GeoDataFrame(columns, geometry=list(geometry), crs=crs)


def pixels_box(y1, x1, y2, x2):
    """A map polygon that covers the pixels of a box."""
    left, top = TRANSFORM * (x1, y1)
    right, bottom = TRANSFORM * (x2, y2)
    return box(left, bottom, right, top)


@pytest.fixture
def scene(write_raster):
    """40 x 60 px of 2 m at (500000, 4000000), EPSG:32648."""
    with Scene(write_raster(np.ones((40, 60, 1), np.float32))) as scene:
        yield scene


# --- files ---------------------------------------------------------------------------------------


def test_written_and_read_again(tmp_path):
    ring = box(0, 0, 9, 9) - box(3, 3, 5, 5)
    written = table_of(ring, box(20, 20, 30, 30), score=[0.5, 0.75], id=[1, 2])
    write_polygons(written, tmp_path / "new" / "a.gpkg", "landslides")
    read = read_polygons(tmp_path / "new" / "a.gpkg")
    assert read.crs == UTM and read["score"].tolist() == [0.5, 0.75]
    assert (
        read.geometry.area.tolist() == [77, 100] and len(read.geometry[0].geoms[0].interiors) == 1
    )
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.gpkg"]


def test_a_table_without_rows_keeps_its_columns(tmp_path):
    empty = table_of(id=np.zeros(0, np.int32), score=np.zeros(0))
    write_polygons(empty, tmp_path / "a.gpkg", "landslides")
    read = read_polygons(tmp_path / "a.gpkg", allow_empty=True)
    assert len(read) == 0 and set(read.columns) == {"id", "score", "geometry"} and read.crs == UTM
    with pytest.raises(DatasetError, match=r"at least one polygon. Received: .*a.gpkg with 0 rows"):
        read_polygons(tmp_path / "a.gpkg")


@pytest.mark.parametrize("rows", [0, 2])
def test_a_table_without_crs(tmp_path, rows, recwarn):
    squares = [box(0, 0, 1, 1), box(4, 4, 6, 6)][:rows]
    write_polygons(table_of(*squares, crs=None), tmp_path / "a.gpkg", "landslides")
    read = read_polygons(tmp_path / "a.gpkg", allow_empty=True)
    assert read.crs is None and read.geometry.area.tolist() == [1, 4][:rows]
    assert not [warning for warning in recwarn if "crs" in str(warning.message)]
    with contextlib.closing(sqlite3.connect(tmp_path / "a.gpkg")) as file:
        [(said,)] = file.execute("SELECT description FROM gpkg_contents")
    assert "pixels" in said


def test_lines_are_written_as_lines(tmp_path):
    river = table_of(LineString([(0, 0), (3, 4)]), name=["river"])
    write_lines(river, tmp_path / "rivers.gpkg", "rivers")
    read = gpd.read_file(tmp_path / "rivers.gpkg", layer="rivers")
    assert read.geometry.length.tolist() == [5] and read["name"].tolist() == ["river"]


def test_what_is_no_polygon_is_left_out_and_counted(tmp_path, caplog):
    mixed = table_of(box(0, 0, 1, 1), Point(5, 5), None, Polygon(), box(2, 2, 4, 4), id=range(5))
    mixed.to_file(tmp_path / "a.gpkg")
    with caplog.at_level(logging.WARNING):
        polygons = read_polygons(tmp_path / "a.gpkg")
    assert polygons["id"].tolist() == [0, 4] and polygons.index.tolist() == [0, 1]
    assert "3 of 5 rows hold no polygon" in caplog.text


def test_invalid_polygons_are_repaired_and_said(tmp_path, caplog):
    table_of(box(0, 0, 1, 1), BOW_TIE).to_file(tmp_path / "a.gpkg")
    with caplog.at_level(logging.WARNING):
        polygons = read_polygons(tmp_path / "a.gpkg")
    assert polygons.is_valid.all() and polygons.geometry.area.tolist() == [1, 2]
    assert "1 invalid polygons were repaired" in caplog.text


def test_heights_are_dropped(tmp_path):
    high = Polygon([(0, 0, 9), (1, 0, 9), (1, 1, 9), (0, 0, 9)])
    table_of(high).to_file(tmp_path / "a.geojson", driver="GeoJSON")
    assert not read_polygons(tmp_path / "a.geojson").has_z.any()


def test_layers(tmp_path):
    path = tmp_path / "a.gpkg"
    table_of(box(0, 0, 1, 1)).to_file(path, layer="first")
    table_of(Point(0, 0)).to_file(path, layer="points")
    assert read_polygons(path).geometry.area.tolist() == [1]
    table_of(box(0, 0, 2, 2)).to_file(path, layer="second")
    with pytest.raises(DatasetError, match="One layer .* must be chosen.*first, second"):
        read_polygons(path)
    assert read_polygons(path, "second").geometry.area.tolist() == [4]
    table_of(box(0, 0, 3, 3)).to_file(path, layer="landslides")
    assert read_polygons(path).geometry.area.tolist() == [9]
    with pytest.raises(RasterError, match="readable.*third"):
        read_polygons(path, "third")
    with pytest.raises(DatasetError, match="1 rows, none a polygon"):
        read_polygons(path, "points")


def test_a_table_without_geometry_holds_no_polygon(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match="1 rows, none a polygon"):
        read_polygons(tmp_path / "a.csv")


def test_files_that_cannot_be_polygons(tmp_path):
    for path in ("https://example.com/a.gpkg", "/vsizip/a.zip/a.shp"):
        with pytest.raises(RasterError, match="A polygon file must be a local file"):
            read_polygons(path)
    with pytest.raises(RasterError, match="must be a file that exists"):
        read_polygons(tmp_path / "gone.gpkg")
    (tmp_path / "a.gpkg").write_text("no database")
    with pytest.raises(RasterError, match="polygon file must be readable.*a.gpkg") as caught:
        read_polygons(tmp_path / "a.gpkg")
    assert "\n" not in str(caught.value)
    (tmp_path / "v.gpkg").write_text("<OGRVRTDataSource></OGRVRTDataSource>")
    with pytest.raises(RasterError, match="virtual dataset"):
        read_polygons(tmp_path / "v.gpkg")


# --- CRS -----------------------------------------------------------------------------------------


def test_polygons_in_the_scenes_crs_stay(scene, caplog):
    polygons = table_of(pixels_box(3, 4, 8, 9))
    with caplog.at_level(logging.WARNING):
        aligned = align_crs(polygons, scene)
    assert aligned.geometry[0].equals_exact(polygons.geometry[0]) and not caplog.text


def test_polygons_in_another_crs_are_reprojected_and_it_is_said(scene, caplog):
    degrees = table_of(pixels_box(3, 4, 8, 9)).to_crs("EPSG:4326")
    with caplog.at_level(logging.WARNING):
        aligned = align_crs(degrees, scene)
    expected = pixels_box(3, 4, 8, 9)
    assert shapely.hausdorff_distance(aligned.geometry[0], expected) < 1e-5
    assert "reprojected from EPSG:4326 to the scene's EPSG:32648" in caplog.text
    assert same_crs(aligned.crs, scene.crs)


def test_only_one_of_the_two_has_a_crs(scene, write_raster):
    with pytest.raises(GeoReferenceError, match="scene with, polygons without.*CRS of the polygon"):
        align_crs(table_of(box(0, 0, 1, 1), crs=None), scene)
    path = write_raster(np.ones((4, 4, 1)), "bare.tif", crs=None, transform=Affine.identity())
    with Scene(path, allow_no_crs=True) as bare:
        with pytest.raises(GeoReferenceError, match="polygons with, scene without"):
            align_crs(table_of(box(0, 0, 1, 1)), bare)
        pixels = table_of(box(0, 0, 1, 1), crs=None)
        assert align_crs(pixels, bare).equals(pixels)


def test_polygons_beside_the_scene_are_said(scene, caplog):
    with caplog.at_level(logging.WARNING):
        align_crs(table_of(box(0, 0, 1, 1)), scene)
    assert "none of the 1 polygons lies on" in caplog.text


def test_one_crs_in_two_wordings():
    written = pyproj.CRS.from_epsg(4326)
    in_raster = rasterio.CRS.from_wkt(rasterio.CRS.from_epsg(4326).to_wkt())
    assert same_crs(written, in_raster) and same_crs(in_raster, written)
    assert not same_crs(written, pyproj.CRS.from_epsg(32648))
    assert not same_crs(pyproj.CRS.from_epsg(32647), rasterio.CRS.from_epsg(32648))


# --- pixels --------------------------------------------------------------------------------------


def test_boxes_become_their_pixels_and_later_ones_lie_on_top():
    polygons = table_of(pixels_box(2, 3, 6, 9), pixels_box(4, 7, 9, 12), pixels_box(50, 50, 60, 60))
    expected = np.zeros((20, 30), np.int32)
    expected[2:6, 3:9], expected[4:9, 7:12] = 1, 2
    labels = rasterize_instances(polygons, Window(0, 0, 30, 20), TRANSFORM)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, expected)
    # A window that begins before the scene.
    np.testing.assert_array_equal(
        rasterize_instances(polygons, Window(-2, -3, 14, 12), TRANSFORM),
        np.pad(expected, ((3, 0), (2, 0)))[:12, :14],
    )
    # Some rows only: they keep their labels.
    expected[:6, :9] = 0
    expected[4:6, 7:9] = 2
    some = rasterize_instances(polygons, Window(0, 0, 30, 20), TRANSFORM, np.array([1, 2]))
    np.testing.assert_array_equal(some, expected)


def test_a_pixel_belongs_to_the_polygon_over_its_centre():
    half = table_of(pixels_box(0, 0, 1.4, 1.6))
    labels = rasterize_instances(half, Window(0, 0, 3, 3), TRANSFORM)
    assert np.argwhere(labels).tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize("geometry", [[], [Polygon()], [box(0, 0, 1, 1)]])
def test_nothing_to_rasterize(geometry):
    labels = rasterize_instances(table_of(*geometry), Window(0, 0, 5, 4), TRANSFORM)
    assert labels.shape == (4, 5) and not labels.any()


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(3, 20))
def test_rasterized_by_tiles_as_in_one_piece(seed, tile_size):
    rng = np.random.default_rng(seed)
    triangles = [
        Polygon([TRANSFORM * tuple(corner) for corner in rng.uniform(-5, 45, (3, 2))])
        for _ in range(6)
    ]
    polygons = table_of(*triangles)
    whole = rasterize_instances(polygons, Window(0, 0, 40, 35), TRANSFORM)
    for tile in tile_grid(35, 40, tile_size, tile_size // 3):
        rows = slice(tile.row_off, tile.row_off + tile_size)
        np.testing.assert_array_equal(
            rasterize_instances(polygons, tile, TRANSFORM)[: max(35 - tile.row_off, 0), :40],
            whole[rows, tile.col_off : tile.col_off + tile_size],
        )


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_outlined_and_rasterized_again(mask):
    geometry = polygons_of_mask(mask, TRANSFORM)
    assert geometry.is_valid and geometry.is_empty == (not mask.any())
    assert geometry.area == pytest.approx(4.0 * mask.sum())
    height, width = mask.shape
    labels = rasterize_instances(table_of(geometry), Window(0, 0, width, height), TRANSFORM)
    np.testing.assert_array_equal(labels > 0, mask)


def test_holes_and_corners():
    mask = np.ones((7, 9), bool)
    mask[2:4, 2:5] = False
    ring = polygons_of_mask(mask, Affine.identity())
    assert ring.geom_type == "Polygon" and len(ring.interiors) == 1
    assert ring.equals(box(0, 0, 9, 7) - box(2, 2, 5, 4))
    corners = polygons_of_mask(np.eye(3, dtype=bool), Affine.identity())
    assert corners.geom_type == "MultiPolygon" and len(corners.geoms) == 3
    # Two holes that meet at a corner.
    mask = np.ones((5, 5), bool)
    mask[1, 1] = mask[2, 2] = False
    assert polygons_of_mask(mask, Affine.identity()).area == 23


@needs_data("terrain")
def test_a_real_shapefile_on_a_real_scene():
    with Scene(TERRAIN / "rmnp-rgb.tif") as scene:
        park = align_crs(read_polygons(TERRAIN / "rmnp.shp"), scene)
        labels = rasterize_instances(park, scene.window, scene.transform)
        area = area_m2(park.geometry, scene.crs).sum()
        # Rocky Mountain National Park: 265,461 acres.
        assert area == pytest.approx(265_461 * 4046.86, rel=0.02)
        assert (labels > 0).sum() * scene.pixel_size_m**2 == pytest.approx(area, rel=0.01)
