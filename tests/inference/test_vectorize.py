"""Instances to polygons: outlines, order, attributes, and what is left out."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window
from shapely.geometry import box

from landslide_rcnn.errors import ConfigError, GeoReferenceError
from landslide_rcnn.inference.candidates import PackedMask
from landslide_rcnn.inference.merge import MergedInstance
from landslide_rcnn.inference.outlines import rasterize_map
from landslide_rcnn.inference.postprocess import PostProcessing
from landslide_rcnn.inference.vectorize import PolygonTable

UTM = CRS.from_epsg(32648)
WGS84 = CRS.from_epsg(4326)
HALF_METRE = Affine(0.5, 0, 500_000, 0, -0.5, 2000)
COLUMNS = (
    "id class_id score area_m2 perimeter_m length_m width_m centroid_lon centroid_lat tiles model "
    "scene date"
).split()
GROUND = (
    "elevation_min_m elevation_mean_m elevation_max_m slope_mean_deg aspect_deg relief_m"
).split()


def instance(mask, row_off=0, col_off=0, score=0.9, class_id=1, tiles=1) -> MergedInstance:
    part = PackedMask.pack(np.asarray(mask, bool), row_off, col_off)
    return MergedInstance((part,), score, class_id, tiles)


def drawn(*rows):
    return np.array([[each == "#" for each in row] for row in rows])


class FakeTerrain:
    """Elevation = the column, slope = the row, falling east in the west and north elsewhere."""

    height, width = 40, 60

    def read(self, window: Window) -> np.ndarray:
        row, col = (
            np.mgrid[: window.height, : window.width]
            + np.array([window.row_off, window.col_off])[:, None, None]
        )
        west = col < 30
        layers = np.stack([col, row, west, ~west], axis=-1).astype(np.float32)
        layers[col >= 50] = np.nan
        return layers

    def elevation(self, window: Window) -> np.ndarray:
        return self.read(window)[..., 0]


def test_the_outline_lies_where_the_pixels_lie():
    table = PolygonTable(HALF_METRE, UTM)
    table.add(instance(np.ones((4, 6)), row_off=10, col_off=20))
    # Columns 20 to 26, rows 10 to 14, half a metre each, rows counted downwards.
    assert table.table().geometry[0].equals(box(500_010, 1993, 500_013, 1995))
    assert table.outlines().geometry[0].equals(box(20, 10, 26, 14))


def test_holes_are_kept():
    mask = np.ones((5, 5))
    mask[1:3, 1:4] = 0
    table = PolygonTable(Affine.identity(), None)
    table.add(instance(mask))
    (polygon,) = table.table().geometry
    assert polygon.area == 19 and len(polygon.interiors) == 1 and polygon.is_valid


@pytest.mark.parametrize(
    "drawing", [["#.", ".#"], ["###", "#.#", "##."], ["####", "#.##", "##.#", "####"]]
)
def test_pixels_that_touch_at_corners_make_valid_geometry(drawing):
    mask = drawn(*drawing)
    table = PolygonTable(Affine.identity(), None)
    table.add(instance(mask))
    (polygon,) = table.table().geometry
    assert polygon.is_valid and polygon.area == mask.sum()


def test_the_table_is_sorted_and_numbered():
    table = PolygonTable(HALF_METRE, UTM)
    table.add(instance(np.ones((1, 2)), score=0.5))
    table.add(instance(np.ones((4, 4)), row_off=8, score=0.7, class_id=2, tiles=3))
    table.add(instance(np.ones((2, 1)), row_off=20, score=0.6, tiles=2))
    polygons = table.table(model="m.weights.h5", scene="s.tif", date="2017-08-08")
    assert list(polygons.columns) == [*COLUMNS, "geometry"]
    assert polygons["id"].tolist() == [1, 2, 3]
    assert polygons["class_id"].tolist() == [2, 1, 1]
    assert polygons["score"].tolist() == [0.7, 0.5, 0.6]
    assert polygons["area_m2"].tolist() == [4.0, 0.5, 0.5]
    assert polygons["perimeter_m"].tolist() == [8.0, 3.0, 3.0]
    assert polygons["length_m"].tolist() == [2.0, 1.0, 1.0]
    assert polygons["width_m"].tolist() == [2.0, 0.5, 0.5]
    assert polygons["tiles"].tolist() == [3, 1, 2]
    for name, value in (("model", "m.weights.h5"), ("scene", "s.tif"), ("date", "2017-08-08")):
        assert polygons[name].tolist() == [value] * 3
    # The zone's meridian is 105 degrees east; 2 km from the equator.
    np.testing.assert_allclose(polygons["centroid_lon"], 105, atol=1e-4)
    np.testing.assert_allclose(polygons["centroid_lat"], 2000 / 110_574 * 1.0004, rtol=1e-2)
    assert polygons.crs == UTM
    np.testing.assert_allclose(polygons.geometry.area, polygons["area_m2"])
    outlines = table.outlines()
    assert outlines["class_id"].tolist() == [2, 1, 1] and outlines["id"].tolist() == [1, 2, 3]
    assert outlines.geometry.area.tolist() == [16, 2, 2]


def test_small_landslides_are_left_out_and_counted():
    table = PolygonTable(HALF_METRE, UTM, PostProcessing(min_area_m2=1.0, min_pixels=5))
    table.add(instance(np.ones((1, 3))))  # 0.75 m2
    table.add(instance(np.ones((2, 2))))  # 1 m2, but 4 pixels
    table.add(instance(np.ones((1, 5))))
    assert table.table()["area_m2"].tolist() == [1.25]
    assert table.said()["removed"]["small"] == {"landslides": 2, "pixels": 7, "area_m2": 1.75}


def test_an_area_filter_in_degrees_knows_the_latitude():
    """At 60 degrees north a pixel of 0.001 degrees covers about half of one at the equator."""
    wishes = PostProcessing(min_area_m2=100_000)
    table = PolygonTable(Affine(0.001, 0, 10, 0, -0.001, 60), WGS84, wishes)
    table.add(instance(np.ones((4, 4)), row_off=60_000))
    table.add(instance(np.ones((4, 4)), row_off=0))
    assert (table.removed["small"].landslides, table.removed["small"].pixels) == (1, 16)
    assert table.table()["area_m2"].tolist() == [pytest.approx(16 * 111.3195 * 110.574, 1e-3)]


def test_sizes_of_a_known_shape_in_degrees():
    """An L on the ground of 3 m pixels at 45 degrees north: known to a thousandth."""
    east, north = 78_846.81, 111_131.78  # metres of a degree at 45 degrees
    transform = Affine(3 / east, 0, 11, 0, -3 / north, 45)
    mask = np.zeros((50, 20))
    mask[:, :8] = mask[42:] = 1
    table = PolygonTable(transform, WGS84)
    table.add(instance(mask))
    (row,) = table.table().itertuples()
    assert row.area_m2 == pytest.approx(9 * (50 * 8 + 8 * 12), rel=1e-3)
    assert row.perimeter_m == pytest.approx(2 * 3 * (50 + 20), rel=1e-3)
    assert row.length_m == pytest.approx(150, rel=1e-3)
    assert row.width_m == pytest.approx(60, rel=1e-3)
    assert (row.centroid_lon, row.centroid_lat) == pytest.approx((11.0003, 44.9992), abs=2e-4)


def test_longitudes_beyond_the_dateline_are_normalised():
    table = PolygonTable(Affine(0.01, 0, 180.5, 0, -0.01, 10), WGS84)
    table.add(instance(np.ones((2, 2))))
    assert table.table()["centroid_lon"][0] == pytest.approx(-179.49)


def test_parts_too_small_are_sieved():
    table = PolygonTable(HALF_METRE, UTM, PostProcessing(sieve_pixels=3))
    table.add(instance(drawn("###..#", "###...", "....##")))
    table.add(instance(drawn("#.#", "..."), row_off=9))
    assert table.table()["area_m2"].tolist() == [1.5]
    # Two parts of the first; both of the second, which is gone.
    assert table.said()["removed"]["sieve"] == {"landslides": 1, "pixels": 5, "area_m2": 1.25}


def test_small_holes_are_filled_unless_another_landslide_lies_in_them():
    ring = np.ones((5, 5))
    ring[1:4, 1:4] = 0
    table = PolygonTable(HALF_METRE, UTM, PostProcessing(fill_holes_m2=2.25, min_pixels=2))
    table.add(instance(ring))  # 9 pixels of hole: 2.25 m2
    table.add(instance(ring, col_off=10))  # another landslide in it
    table.add(instance(np.ones((1, 2)), row_off=2, col_off=12))
    wide = np.ones((6, 6))
    wide[1:5, 1:4] = 0
    table.add(instance(wide, col_off=20))  # 12 pixels
    table.add(instance(ring, col_off=30))  # one that is too small to be a landslide in it
    table.add(instance(np.ones((1, 1)), row_off=2, col_off=32))
    islanded = np.ones((7, 7))
    islanded[1:6, 1:6] = 0
    islanded[3, 3] = 1
    islanded[1, 1:6] = islanded[5, 1:6] = 1  # a hole of 14 around an island: too large
    table.add(instance(islanded, col_off=40))
    polygons = table.table()
    assert sorted(polygons["area_m2"] / 0.25) == [2, 16, 24, 25, 25, 35]
    assert table.said()["removed"]["holes_filled"] == {
        "landslides": 2,
        "pixels": 18,
        "area_m2": 4.5,
    }


def test_an_island_in_the_hole_of_its_own_landslide_is_united_with_it():
    mask = np.ones((5, 5))
    mask[1:4, 1:4] = 0
    mask[2, 2] = 1
    table = PolygonTable(Affine.scale(1, -1), UTM, PostProcessing(fill_holes_m2=9))
    table.add(instance(mask))
    (polygon,) = table.table().geometry
    assert polygon.equals(box(0, -5, 5, 0)) and polygon.geom_type == "Polygon"
    assert table.removed["holes_filled"].pixels == 8


def test_pixels_above_the_snow_line_go():
    wishes = PostProcessing(max_elevation_m=20, min_elevation_m=2)
    table = PolygonTable(HALF_METRE, UTM, wishes, FakeTerrain())
    table.add(instance(np.ones((2, 10)), col_off=15))  # 4 of 10 columns lie above 20
    table.add(instance(np.ones((3, 4)), row_off=9, col_off=30))  # wholly
    table.add(instance(np.ones((1, 3)), row_off=20, col_off=52))  # where nothing is known
    polygons = table.table()
    assert polygons["area_m2"].tolist() == [3.0, 0.75]
    assert table.outlines().geometry[0].equals(box(15, 0, 21, 2))
    assert table.said()["removed"]["elevation"] == {"landslides": 1, "pixels": 20, "area_m2": 5.0}
    assert polygons["elevation_max_m"][0] == 20 and np.isnan(polygons["elevation_max_m"][1])


def test_landslides_on_flat_and_on_vertical_ground_go():
    wishes = PostProcessing(min_slope_deg=10, max_slope_deg=25)
    table = PolygonTable(HALF_METRE, UTM, wishes, FakeTerrain())
    table.add(instance(np.ones((3, 3)), row_off=5))  # 6 degrees
    table.add(instance(np.ones((4, 4)), row_off=10))
    table.add(instance(np.ones((2, 2)), row_off=30))
    table.add(instance(np.ones((1, 1)), row_off=2, col_off=55))  # unknown
    polygons = table.table()
    assert polygons["slope_mean_deg"].tolist()[:1] == [11.5] and len(polygons) == 2
    assert table.said()["removed"]["slope"] == {"landslides": 2, "pixels": 13, "area_m2": 3.25}


def test_the_ground_of_a_landslide():
    table = PolygonTable(HALF_METRE, UTM, terrain=FakeTerrain())
    table.add(instance(np.ones((2, 6)), row_off=4, col_off=26))  # 4 columns fall east, 2 north
    table.add(instance(np.ones((1, 4)), row_off=7, col_off=48))  # half beyond what is known
    polygons = table.table()
    assert list(polygons.columns) == [*COLUMNS, *GROUND, "geometry"]
    first, second = polygons[GROUND].to_numpy()
    np.testing.assert_allclose(
        first, [26, 28.5, 31, 4.5, np.degrees(np.arctan2(4, 2)), 5], rtol=1e-6
    )
    np.testing.assert_allclose(second, [48, 48.5, 49, 7, 0, 1], atol=1e-9)


def test_the_mask_raster_and_the_polygons_tell_one_story():
    rng = np.random.default_rng(8)
    table = PolygonTable(
        HALF_METRE, UTM, PostProcessing(sieve_pixels=2, min_pixels=3, fill_holes_m2=0.5)
    )
    for number in range(12):
        mask = rng.random((9, 9)) < 0.6
        table.add(instance(mask, row_off=(number // 4) * 10, col_off=(number % 4) * 10))
    bands = rasterize_map(
        table.outlines(), 30, 40, lambda window: np.ones((window.height, window.width), bool)
    )
    classes = np.concatenate([band for _, band in bands])
    polygons = table.table()
    assert (classes == 1).sum() * 0.25 == pytest.approx(polygons["area_m2"].sum())
    row, col = np.nonzero(classes == 1)
    centres = shapely.points(500_000 + (col + 0.5) / 2, 2000 - (row + 0.5) / 2)
    assert shapely.contains(polygons.union_all(), centres).all()


def test_simplified_polygons_say_their_own_sizes():
    mask = np.tril(np.ones((60, 60)))
    plain, simple = (
        PolygonTable(Affine(2, 0, 5e5, 0, -2, 4e6), UTM, PostProcessing(simplify_m=each))
        for each in (0, 3)
    )
    for table in (plain, simple):
        table.add(instance(mask))
    polygons = simple.table()
    assert shapely.get_num_coordinates(polygons.geometry[0]) < 8
    assert polygons["area_m2"][0] == pytest.approx(polygons.geometry[0].area)
    assert simple.said()["simplified"]["kept_exact"] == 0
    assert simple.said()["simplified"]["area_change"] == pytest.approx(
        polygons["area_m2"][0] / plain.table()["area_m2"][0] - 1, abs=1e-6
    )
    assert simple.outlines().geometry[0].equals(plain.outlines().geometry[0])


def test_a_landslide_in_many_parts_is_one_polygon():
    """Bands of one large region, and another landslide added after the first look."""
    table = PolygonTable(HALF_METRE, UTM)
    mask = np.random.default_rng(1).random((40, 30)) < 0.7
    parts = tuple(PackedMask.pack(mask[top : top + 7], top, 0) for top in range(0, 40, 7))
    table.add(MergedInstance(parts, 0.8, 1, 30))
    assert table.table()["area_m2"].tolist() == [mask.sum() * 0.25]
    assert table.table()["tiles"].tolist() == [30]
    table.add(instance(np.ones((2, 2)), row_off=90))
    assert len(table.table()) == 2


def test_without_a_crs_sizes_are_pixels():
    table = PolygonTable(Affine.identity(), None, PostProcessing(min_pixels=2, smooth=True))
    table.add(instance(np.ones((2, 3))))
    table.add(instance(np.ones((1, 1))))
    polygons = table.table()
    assert polygons["area_px"].tolist() == [6]
    assert (polygons["length_px"][0], polygons["width_px"][0]) == (3, 2)
    assert polygons["perimeter_px"].tolist() == [10]
    assert "area_m2" not in polygons and polygons["centroid_lon"].isna().all()
    assert polygons.crs is None
    assert table.removed["small"].said() == {"landslides": 1, "pixels": 1, "area_m2": 0}


@pytest.mark.parametrize("name", ["min_area_m2", "fill_holes_m2", "simplify_m"])
def test_metres_without_a_crs_are_refused(name):
    with pytest.raises(GeoReferenceError, match=f"needs a scene with a CRS.*{name}=5.*min_pixels"):
        PolygonTable(Affine.identity(), None, PostProcessing(**{name: 5}))


def test_limits_of_terrain_without_a_dem_are_refused():
    with pytest.raises(ConfigError, match="need a DEM.*'max_elevation_m': 4000"):
        PolygonTable(HALF_METRE, UTM, PostProcessing(max_elevation_m=4000))


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"min_area_m2": -1}, "finite and not negative.*min_area_m2=-1"),
        ({"simplify_m": float("nan")}, "finite and not negative.*simplify_m=nan"),
        ({"sieve_pixels": -2}, "sieve_pixels=-2"),
        ({"min_elevation_m": 9, "max_elevation_m": 9}, "lowest elevation must lie below"),
        ({"min_slope_deg": 30, "max_slope_deg": 20}, "lower one first"),
        ({"max_slope_deg": 91}, r"in \[0, 90\] degrees"),
    ],
)
def test_wishes_that_cannot_work_are_refused(wishes, message):
    with pytest.raises(ConfigError, match=message):
        PostProcessing(**wishes)


@pytest.mark.parametrize("crs", [UTM, WGS84, None])
def test_an_empty_table_has_its_columns(crs):
    table = PolygonTable(HALF_METRE, crs)
    polygons = table.table()
    names = COLUMNS
    if crs is None:
        names = "area_px perimeter_px length_px width_px".join(
            " ".join(COLUMNS).split("area_m2 perimeter_m length_m width_m")
        ).split()
    assert list(polygons.columns) == [*names, "geometry"]
    assert len(polygons) == 0 and polygons.crs == crs
    assert isinstance(table.outlines(), gpd.GeoDataFrame)


def test_an_empty_table_with_every_wish():
    wishes = PostProcessing(1, 1, 1, 1, 1, True, 0, 1, 1, 2)
    table = PolygonTable(HALF_METRE, UTM, wishes, FakeTerrain())
    assert list(table.table().columns) == [*COLUMNS, *GROUND, "geometry"]
    assert table.said()["settings"] == {
        "min_area_m2": 1,
        "min_pixels": 1,
        "fill_holes_m2": 1,
        "sieve_pixels": 1,
        "simplify_m": 1,
        "smooth": True,
        "min_elevation_m": 0,
        "max_elevation_m": 1,
        "min_slope_deg": 1,
        "max_slope_deg": 2,
    }
