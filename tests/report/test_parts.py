"""The pieces of the page: markup, polygons and columns, pictures, places, charts."""

import json
import re
from importlib.resources import files

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from landslide_rcnn.evaluation.error_map import ErrorMap
from landslide_rcnn.geo.probability import encode_percent
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.writing import Grid
from landslide_rcnn.palette import CORRECT_COLOR, FALSE_COLOR, rgb_of
from landslide_rcnn.report import pictures
from landslide_rcnn.report.charts import Axis, Bar, Line, bar_chart, line_chart, round_up
from landslide_rcnn.report.markup import Markup, json_script, tag
from landslide_rcnn.report.places import place_grid
from landslide_rcnn.report.shapes import UNITS, columns, drawn

GRID = Grid(100, 200, CRS.from_epsg(32648), Affine(2, 0, 500_000, 0, -2, 4_000_000))


def table_of(*shapes, **columns_of):
    moved = [shapely.affinity.affine_transform(s, [2, 0, 0, -2, 5e5, 4e6]) for s in shapes]
    return gpd.GeoDataFrame(columns_of, geometry=moved, crs="EPSG:32648")


def corners_of(ring):
    return np.cumsum(np.reshape(ring, (-1, 2)), axis=0) / UNITS


# Markup


def test_text_and_attributes_are_escaped_and_markup_is_not():
    made = tag("p", "<b> & ", Markup("<i>x</i>"), ["a", None, 3], title='"<', hidden=True, id=None)
    assert made == '<p title="&quot;&lt;" hidden>&lt;b&gt; &amp; <i>x</i>a3</p>'


def test_shapes_of_svg_are_closed():
    assert tag("line", x1=0, class_="grid") == '<line x1="0" class="grid"/>'
    assert tag("br") == "<br>"


def test_data_cannot_end_its_script_and_is_read_back():
    content = {"name": "</script><!--<script>"}
    made = json_script(content, "data")
    assert made.count("<") == 2  # of the element itself
    assert json.loads(re.search(r">(.*)</script>", made)[1]) == content


# Polygons and columns


def test_rings_are_the_corners_in_pixels():
    holed = shapely.box(10, 20, 40, 60).difference(shapely.box(20, 30, 30, 40))
    parts = shapely.MultiPolygon([shapely.box(1, 1, 2, 2), shapely.box(5, 5, 7.25, 6)])
    made = drawn(table_of(holed, parts), GRID)
    assert made.tolerance_px == 0
    assert [len(rings) for rings in made.shapes] == [2, 2]
    again = shapely.Polygon(*(corners_of(ring) for ring in made.shapes[0][:1])) - shapely.Polygon(
        corners_of(made.shapes[0][1])
    )
    assert again.equals(holed)
    # 7.25 is rounded to a tenth of a pixel.
    assert corners_of(made.shapes[1][1]).max(axis=0).tolist() == [7.2, 6.0]


def test_outlines_are_simplified_until_they_fit():
    turn = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    round_one = shapely.Polygon(50 + 40 * np.column_stack([np.cos(turn), np.sin(turn)]))
    made = drawn(table_of(round_one), GRID, max_corners=40)
    assert made.corners <= 40 and made.tolerance_px > 0
    kept = shapely.Polygon(corners_of(made.shapes[0][0]))
    assert shapely.hausdorff_distance(kept, round_one) <= made.tolerance_px + 0.1
    assert drawn(table_of(round_one), GRID).corners == 1001


def test_columns_have_order_digits_and_gaps():
    square = shapely.box(10, 20, 14, 30)
    table = table_of(
        square, square,
        score=[0.87654, np.nan], own=["x", None], id=[1, 2], model=["m", "m"], empty=[None, None],
    )  # fmt: skip
    made = {each["name"]: each for each in columns(table, GRID)}
    assert list(made) == ["id", "score", "own", "centre_x", "centre_y"]
    assert made["id"]["values"] == [1, 2]
    assert made["score"]["values"] == [0.877, None]
    assert made["own"]["digits"] is None and made["own"]["values"] == ["x", None]
    assert made["centre_x"]["values"] == [500_024, 500_024]
    assert made["centre_y"]["values"] == [3_999_950, 3_999_950]


def test_an_empty_table_has_columns_without_rows():
    made = columns(gpd.GeoDataFrame({"id": []}, geometry=[], crs="EPSG:32648"), GRID)
    assert {each["name"]: each["values"] for each in made}["id"] == []
    assert drawn(gpd.GeoDataFrame(geometry=[], crs="EPSG:32648"), GRID).shapes == []


# Pictures


def write_errors(tmp_path, write_raster, predicted, truth, valid=None):
    predicted, truth = np.array(predicted, bool), np.array(truth, bool)
    valid = np.ones(truth.shape, bool) if valid is None else np.array(valid, bool)
    with Scene(write_raster(predicted.astype(np.uint8))) as scene:
        with ErrorMap(tmp_path / "errors", scene) as made:
            made.write(scene.window, predicted, truth, valid)
    return tmp_path / "errors" / "error_map.tif"


def test_shares_of_verdicts_by_hand(tmp_path, write_raster):
    predicted = [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    truth = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    valid = [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]]
    path = write_errors(tmp_path, write_raster, predicted, truth, valid)
    shares = pictures.verdicts(path, max_side=2).shares
    np.testing.assert_array_equal(shares[0, 0], [0.5, 0.25, 0.25])
    np.testing.assert_array_equal(shares[1, 1], [0.75, 0, 0])
    assert shares[0, 1].sum() == shares[1, 0].sum() == 0


def test_shares_add_up_at_sizes_that_do_not_divide(tmp_path, write_raster, rng):
    predicted, truth = rng.random((2, 301, 173)) < 0.5
    path = write_errors(tmp_path, write_raster, predicted, truth)
    found = pictures.verdicts(path, max_side=64).shares
    rows, columns_ = (np.arange(n) * m // n for n, m in zip((301, 173), found.shape))
    kinds = np.stack([predicted & truth, ~predicted & truth, predicted & ~truth], axis=-1)
    slow = np.zeros(found.shape)
    np.add.at(slow, (rows[:, None], columns_[None]), kinds)
    slow /= (np.bincount(rows)[:, None] * np.bincount(columns_)[None])[..., None]
    np.testing.assert_allclose(found, slow, rtol=1e-5)


def test_colours_of_errors(tmp_path, write_raster):
    path = write_errors(tmp_path, write_raster, [[1, 1, 0]], [[1, 0, 0]])
    picture = pictures.verdicts(path).error_picture()
    assert tuple(picture[0, 0]) == (*rgb_of(CORRECT_COLOR), 255)
    assert tuple(picture[0, 1]) == (*rgb_of(FALSE_COLOR), 255)
    assert picture[0, 2, 3] == 0
    assert pictures.verdicts(path).truth_picture()[0, :, 3].tolist() == [255, 0, 0]


def test_faint_and_unknown_probabilities_are_transparent(write_raster):
    percent = encode_percent(np.array([[0.0, 0.5, 1.0, np.nan]], np.float32))
    path = write_raster(percent, "probability.tif", nodata=255)
    with rasterio.open(path, "r+") as file:
        file.scales = (0.01,)
    alpha = pictures.probability_picture(path)[0, :, 3]
    assert alpha[0] == alpha[3] == 0 and 0 < alpha[1] < alpha[2]


def test_a_scene_takes_its_colours_by_name_and_stretches_other_values(write_raster):
    image = np.full((4, 6, 3), 9000, np.uint16)
    image[..., 0] = np.linspace(1, 60_000, 24).reshape(4, 6)
    order = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    path = write_raster(image, colorinterp=order)
    with Scene(path) as scene:
        grid = scene.grid
    picture = pictures.scene_picture([path], grid)
    assert picture.shape == (4, 6, 4) and (picture[..., 3] == 255).all()
    assert (picture[..., :2] == 0).all()  # red and green, all alike
    assert picture[0, 0, 2] == 0 and picture[-1, -1, 2] == 255
    assert 120 < picture[2, 0, 2] < 140


def test_sentinels_bands_make_true_colours(write_raster):
    image = np.full((4, 6, 4), (10, 20, 30, 40), np.uint8)
    path = write_raster(image, photometric="MINISBLACK", ALPHA="NO")
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("B2", "B3", "B4", "B8")
    with Scene(path) as scene:
        grid = scene.grid
    assert pictures.scene_picture([path], grid)[1, 1].tolist() == [30, 20, 10, 255]


def test_a_scene_on_another_grid_is_put_in_its_place(write_raster):
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, 20:] = 200
    path = write_raster(image)
    with Scene(path) as scene:
        coarse = Grid(10, 20, scene.crs, scene.transform * Affine.scale(2))
    picture = pictures.scene_picture([path], coarse)
    assert picture.shape == (10, 20, 4)
    assert (picture[:, :9, :3] < 5).all() and (picture[:, 11:, :3] > 195).all()


# Places


def between(places, share_x, share_y):
    """What map.js makes of the grid, slowly."""
    side = places["side"]
    x, y = share_x * (side - 1), share_y * (side - 1)
    column, row = min(int(x), side - 2), min(int(y), side - 2)
    u, v = x - column, y - row
    found = []
    for name in ("lon", "lat"):
        values = np.reshape(places[name], (side, side))[row : row + 2, column : column + 2]
        found.append(np.array([1 - v, v]) @ values @ np.array([1 - u, u]))
    return found


@pytest.mark.parametrize("pixel_m", [0.05, 10.0])
def test_places_between_the_points_are_right(rng, pixel_m):
    transform = Affine(pixel_m, 0, 300_000, 0, -pixel_m, 7_100_000)
    grid = Grid(9000, 6000, CRS.from_epsg(32648), transform)
    places = place_grid(grid)
    truth = pyproj.Transformer.from_crs("EPSG:32648", "EPSG:4326", always_xy=True)
    geod = pyproj.Geod(ellps="WGS84")
    for u, v in rng.random((50, 2)):
        lon, lat = truth.transform(*(transform * (u * 6000, v * 9000)))
        _, _, metres = geod.inv(lon, lat, *between(places, u, v))
        assert metres <= 1.5 * places["error_m"] + 0.01 and metres < 1


def test_places_go_on_across_the_antimeridian_and_end_at_a_pole():
    fiji = Grid(100, 100, CRS.from_epsg(3460), Affine(2000, 0, 2_050_000, 0, -2000, 4_000_000))
    lon = np.array(place_grid(fiji)["lon"])
    assert lon.max() > 180 and np.ptp(lon) < 10
    pole = Grid(100, 100, CRS.from_epsg(3031), Affine(1000, 0, -50_000, 0, -1000, 50_000))
    assert place_grid(pole) is None
    assert place_grid(Grid(5, 5, None, Affine.identity())) is None


# Charts and colours


def test_lines_and_bars_stand_where_their_numbers_are():
    axis = Axis("x", 0, 1, (0, 1))
    drawing = line_chart(axis, axis, [Line("a", "line", [0, 0.5, None, 1], [0, 1, None, 0])])
    assert '<polyline points="52.0,236.0 229.0,14.0" class="line"/>' in drawing
    drawing = bar_chart(axis, axis, [Bar(0, 1, 0.5, "bar", "half")])
    assert 'y="125.0"' in drawing and 'height="111.0"' in drawing and ">half<" in drawing


def test_round_numbers():
    assert [round_up(n) for n in (0, 0.03, 1, 3, 7, 11, 99)] == [0, 0.05, 1, 5, 10, 20, 100]


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_enough_contrast(scheme):
    css = files("landslide_rcnn.report").joinpath("page.css").read_text(encoding="utf-8")
    root = re.findall(r":root \{(.*?)\}", css, flags=re.S)[scheme]
    colors = dict(re.findall(r"--(\w+): (#\w{6})", root))
    for ground in ("paper", "wash"):
        for text in ("ink", "soft", "accent", "second"):
            bright, dark = sorted(luminance(colors[each]) for each in (ground, text))[::-1]
            assert (bright + 0.05) / (dark + 0.05) >= 4.5, (ground, text)
