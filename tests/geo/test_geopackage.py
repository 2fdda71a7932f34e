"""A GeoPackage of several layers that GIS programs open with its style."""

import contextlib
import shutil
import sqlite3
import subprocess
import time
import xml.etree.ElementTree as ElementTree

import geopandas as gpd
import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from shapely import Polygon, box

from landslide_rcnn.errors import DatasetError, RasterError
from landslide_rcnn.geo.geopackage import write_geopackage
from landslide_rcnn.geo.qgis_style import RASTER_STYLES, STYLES, write_raster_style
from landslide_rcnn.geo.vector import read_polygons

UTM = "EPSG:32648"
MINE_GRID = pyproj.CRS.from_proj4(
    "+proj=tmerc +lat_0=31.2 +lon_0=103.4 +k=1 +x_0=5000 +y_0=7000 +ellps=GRS80 +units=m"
)
BOW_TIE = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
NOON = "2026-05-01T12:00:00Z"


def layers_of(count=2, crs=UTM):
    squares = [box(4 * i, 0, 4 * i + 2, 2) for i in range(count)]
    scores = np.linspace(0.5, 1, count)
    landslides = gpd.GeoDataFrame(
        {"id": range(1, count + 1), "score": scores}, geometry=squares, crs=crs
    )
    tiles = gpd.GeoDataFrame(
        {"state": ["predicted", "skipped"]}, geometry=[box(0, 0, 8, 8), box(6, 0, 14, 8)], crs=crs
    )
    area = gpd.GeoDataFrame({"valid_pixels": [99]}, geometry=[box(0, 0, 14, 8)], crs=crs)
    return {"landslides": landslides, "tiles": tiles, "aoi": area}


@contextlib.contextmanager
def opened(path):
    with contextlib.closing(sqlite3.connect(path)) as file:
        yield file


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("crs", [UTM, "EPSG:4326", MINE_GRID, None], ids=str)
def test_layers_come_back(tmp_path, count, crs):
    written = layers_of(count, crs)
    write_geopackage(tmp_path / "new" / "map.gpkg", written)
    path = tmp_path / "new" / "map.gpkg"
    assert pyogrio.list_layers(path).tolist() == [
        ["landslides", "MultiPolygon"],
        ["tiles", "MultiPolygon"],
        ["aoi", "MultiPolygon"],
        ["layer_styles", None],
    ]
    for name, table in written.items():
        read = gpd.read_file(path, layer=name)
        assert len(read) == len(table) and set(read.columns) == set(table.columns)
        assert read.geometry.is_valid.all()
        np.testing.assert_array_equal(shapely.area(read.geometry), shapely.area(table.geometry))
        if crs is not None:
            assert pyproj.CRS(read.crs).equals(pyproj.CRS(crs), ignore_axis_order=True)
    # Our own reader takes the landslides.
    ours = read_polygons(path, allow_empty=True)
    assert len(ours) == count and (ours.crs is None) == (crs is None)
    assert [file.name for file in path.parent.iterdir()] == ["map.gpkg"]


def test_the_crs_is_there_as_wkt(tmp_path):
    write_geopackage(tmp_path / "map.gpkg", layers_of(crs=MINE_GRID))
    with opened(tmp_path / "map.gpkg") as file:
        [(definition,)] = file.execute(
            "SELECT definition FROM gpkg_spatial_ref_sys JOIN gpkg_contents USING (srs_id) "
            "WHERE table_name = 'landslides'"
        )
        kinds = dict(file.execute("SELECT table_name, data_type FROM gpkg_contents"))
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert file.execute("PRAGMA foreign_key_check").fetchall() == []
    assert definition.startswith("PROJCS") and "103.4" in definition
    assert kinds == {
        "landslides": "features",
        "tiles": "features",
        "aoi": "features",
        "layer_styles": "attributes",
    }


def test_qgis_finds_a_default_style_for_each_layer(tmp_path):
    write_geopackage(tmp_path / "map.gpkg", layers_of())
    with opened(tmp_path / "map.gpkg") as file:
        geometry_columns = dict(
            file.execute("SELECT table_name, column_name FROM gpkg_geometry_columns")
        )
        for layer in ("landslides", "tiles", "aoi"):
            # The conditions that QGIS asks with.
            [(qml, sld)] = file.execute(
                "SELECT styleQML, styleSLD FROM layer_styles WHERE f_table_schema = '' AND "
                "f_table_catalog = '' AND f_table_name = ? AND f_geometry_column = ? AND "
                "useAsDefault ORDER BY update_time DESC LIMIT 1",
                (layer, geometry_columns[layer]),
            )
            assert qml == STYLES[layer] and sld is None
            assert ElementTree.fromstring(qml).tag == "qgis"
        columns = [row[1] for row in file.execute("PRAGMA table_info(layer_styles)")]
    assert columns == [
        "id", "f_table_catalog", "f_table_schema", "f_table_name", "f_geometry_column",
        "styleName", "styleQML", "styleSLD", "useAsDefault", "description", "owner", "ui",
        "update_time",
    ]  # fmt: skip


def options_of(symbol):
    return {option.get("name"): option.get("value") for option in symbol.iter("Option")}


def test_styles_are_drawn_as_they_should_be():
    landslides = ElementTree.fromstring(STYLES["landslides"]).find("renderer-v2")
    assert landslides.get("type") == "graduatedSymbol" and landslides.get("attr") == "score"
    ranges = [(float(r.get("lower")), float(r.get("upper"))) for r in landslides.iter("range")]
    # Every score from 0 to 1 has a class.
    assert ranges[0][0] == 0 and ranges[-1][1] == 1
    assert all(before[1] == after[0] for before, after in zip(ranges, ranges[1:], strict=False))
    symbols = {symbol.get("name"): options_of(symbol) for symbol in landslides.iter("symbol")}
    assert {r.get("symbol") for r in landslides.iter("range")} == set(symbols)
    fills = [[int(part) for part in symbols[key]["color"].split(",")] for key in sorted(symbols)]
    assert all(fill[:3] == [215, 48, 39] and 0 < fill[3] < 255 for fill in fills)
    assert [fill[3] for fill in fills] == sorted(fill[3] for fill in fills)
    assert all(symbol["outline_color"] == "215,48,39,255" for symbol in symbols.values())
    tiles, area = (options_of(ElementTree.fromstring(STYLES[name])) for name in ("tiles", "aoi"))
    assert tiles["style"] == area["style"] == "no"  # outlines only
    assert tiles["outline_style"] == "solid" and area["outline_style"] == "dash"
    assert tiles["outline_width"] < area["outline_width"]


def test_rasters_have_a_style_beside_them(tmp_path):
    for kind in RASTER_STYLES:
        path = write_raster_style(tmp_path / f"{kind}.tif", kind)
        assert path == tmp_path / f"{kind}.qml"
        assert path.read_text(encoding="utf-8") == RASTER_STYLES[kind]
    mask, probability = (
        ElementTree.fromstring(RASTER_STYLES[kind]).find("pipe/rasterrenderer")
        for kind in ("mask", "probability")
    )
    # The background has no entry, which draws nothing.
    assert mask.get("type") == "paletted"
    [entry] = mask.iter("paletteEntry")
    assert (entry.get("value"), entry.get("color")) == ("1", "#d73027")
    assert probability.get("type") == "singlebandpseudocolor"
    values, alphas = zip(
        *((float(i.get("value")), int(i.get("alpha"))) for i in probability.iter("item")),
        strict=True,
    )
    assert values[0] == 0 and values[-1] == 1 and alphas[0] == 0
    assert list(values) == sorted(values) and list(alphas) == sorted(alphas)
    assert probability.find(".//colorrampshader").get("maximumValue") == "1"


def test_equal_tables_at_an_equal_time_give_equal_bytes(tmp_path):
    write_geopackage(tmp_path / "a.gpkg", layers_of(50), written_at=NOON)
    time.sleep(1.01)  # what is written in between would say another second
    write_geopackage(tmp_path / "b.gpkg", layers_of(50), written_at=NOON)
    assert (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") is None
    with opened(tmp_path / "a.gpkg") as file:
        times = {row[0][:19] for row in file.execute("SELECT last_change FROM gpkg_contents")}
        times |= {row[0][:19] for row in file.execute("SELECT update_time FROM layer_styles")}
    assert times == {NOON[:19]}


def test_invalid_polygons_are_repaired_and_said(tmp_path, caplog):
    tables = layers_of()
    tables["landslides"].loc[0, "geometry"] = BOW_TIE
    write_geopackage(tmp_path / "map.gpkg", tables)
    assert "landslides: 1 invalid polygons were repaired" in caplog.text
    read = gpd.read_file(tmp_path / "map.gpkg", layer="landslides")
    assert read.geometry.is_valid.all() and read.area.tolist() == [2, 4]
    assert not tables["landslides"].geometry.is_valid.all()  # the caller's table is as it was


@pytest.mark.parametrize("geometry", [shapely.Point(0, 0), Polygon(), None], ids=str)
def test_rows_without_a_polygon_are_refused(tmp_path, geometry):
    tables = layers_of()
    tables["landslides"].loc[0, "geometry"] = geometry
    with pytest.raises(DatasetError, match="1 of 2 rows of landslides without. Leave them out"):
        write_geopackage(tmp_path / "map.gpkg", tables)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_the_old_file(tmp_path):
    (tmp_path / "map.gpkg").write_bytes(b"old")
    tables = layers_of()
    # After the first layer: columns whose names differ by case only are one to SQLite.
    tables["tiles"]["STATE"] = ["a", "b"]
    with pytest.raises(RasterError, match=r"must be writable. Received: .*map\.gpkg.*columns"):
        write_geopackage(tmp_path / "map.gpkg", tables)
    assert (tmp_path / "map.gpkg").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_twenty_thousand_landslides(tmp_path):
    started = time.process_time()
    write_geopackage(tmp_path / "map.gpkg", layers_of(20_000))
    assert time.process_time() - started < 20
    with opened(tmp_path / "map.gpkg") as file:
        assert file.execute("SELECT count(*) FROM rtree_landslides_geom").fetchall() == [(20_000,)]


@pytest.mark.skipif(shutil.which("ogrinfo") is None, reason="GDAL's commands are not installed")
def test_ogrinfo_reads_it(tmp_path):
    write_geopackage(tmp_path / "map.gpkg", layers_of())
    done = subprocess.run(
        ["ogrinfo", "-so", "-al", tmp_path / "map.gpkg"], capture_output=True, text=True, check=True
    )
    assert "Layer name: landslides" in done.stdout and "Warning" not in done.stderr
