"""Other formats than GeoPackage: what is read back is what was mapped."""

import json
import logging
import time

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from shapely import box

from landslide_rcnn.errors import GeoReferenceError, RasterError, RegistryError
from landslide_rcnn.geo import formats
from landslide_rcnn.geo.formats import VECTOR_FORMATS, shapefile_names, write_format
from landslide_rcnn.geo.measure import area_m2
from landslide_rcnn.geo.vector import polygons_of_mask
from landslide_rcnn.geo.writing import Grid

TRANSFORM = Affine(2, 0, 500_000, 0, -2, 4_000_000)
GRID = Grid(600, 600, rasterio.CRS.from_epsg(32648), TRANSFORM)
SHAPES = (
    box(0, 0, 30, 10) - box(5, 5, 8, 8),
    box(40, 40, 50, 60) | box(100, 40, 110, 60),
    box(200, 200, 203, 204),
)


def placed(shape):
    return shapely.transform(shape, lambda p: np.column_stack(TRANSFORM * (p[:, 0], p[:, 1])))


def table_of(count=3, crs=32648):
    return gpd.GeoDataFrame(
        {
            "id": np.arange(1, count + 1),
            "score": np.linspace(0.5, 0.75, count),
            "slope_mean_deg": np.full(count, 31.5),
            "scene": ["Überblick.tif"] * count,
        },
        geometry=[placed(shape) for shape in (SHAPES * (count // 3 + 1))[:count]],
        crs=crs,
    )


def write(name, table, folder, grid=GRID):
    return write_format(name, table, grid, "scene.tif", folder)


def is_counter_clockwise(ring):
    x, y = np.asarray(ring).T
    return np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("name", ["shapefile", "flatgeobuf"])
def test_polygons_come_back(tmp_path, name, count):
    table = table_of(count)
    (main, *others) = write(name, table, tmp_path / "new")
    assert main.name == VECTOR_FORMATS[name].file_name
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        path.name for path in (main, *others)
    }
    read = gpd.read_file(main).sort_values("id").reset_index(drop=True)
    assert read.crs == "EPSG:32648" and len(read) == count and read.is_valid.all()
    slope = "slope_deg" if name == "shapefile" else "slope_mean_deg"
    assert list(read.columns) == ["id", "score", slope, "scene", "geometry"]
    for before, after in zip(table.geometry, read.geometry, strict=True):
        assert before.equals(after)
    np.testing.assert_allclose(read["score"], table["score"])
    assert read["scene"].tolist() == table["scene"].tolist()


def test_geojson_is_rfc_7946(tmp_path):
    table = table_of()
    [path] = write("geojson", table, tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["type"] == "FeatureCollection" and "crs" not in content
    assert [f["properties"]["id"] for f in content["features"]] == [1, 2, 3]
    assert content["features"][0]["properties"]["scene"] == "Überblick.tif"
    for feature in content["features"]:
        geometry = feature["geometry"]
        several = geometry["type"] == "MultiPolygon"
        for outer, *holes in geometry["coordinates"] if several else [geometry["coordinates"]]:
            assert is_counter_clockwise(outer)
            assert not any(is_counter_clockwise(hole) for hole in holes)
            np.testing.assert_array_equal(np.round(outer, 7), outer)
    assert [len(f["geometry"]["coordinates"]) for f in content["features"]] == [2, 2, 1]
    read = gpd.read_file(path)
    back = read.to_crs(32648)
    np.testing.assert_allclose(back.area, table.area, rtol=2e-3)
    np.testing.assert_allclose(area_m2(read.geometry, read.crs), table.area, rtol=2e-3)
    assert shapely.hausdorff_distance(back.geometry.array, table.geometry.array).max() < 0.02


def test_geojson_attributes_are_json(tmp_path):
    table = table_of(2).assign(
        area_m2=[np.nan, 2.5],
        date=[np.datetime64("2026-05-01"), None],
        big=[True, False],
        text=["a", None],
    )
    [path] = write("geojson", table, tmp_path)
    first, second = (f["properties"] for f in json.loads(path.read_text())["features"])
    assert first["area_m2"] is None and second["area_m2"] == 2.5
    assert first["date"].startswith("2026-05-01") and second["date"] is None
    assert first["big"] is True and second["text"] is None and second["id"] == 2
    [path] = write("geojson", table[["geometry"]], tmp_path)
    assert [f["properties"] for f in json.loads(path.read_text())["features"]] == [{}, {}]


def test_rounded_degrees_stay_valid(tmp_path, rng):
    # Pixels of 3 cm, about three steps of the rounding; many meet at corners.
    fine = Affine(0.03, 0, 500_000, 0, -0.03, 4_000_000)
    masks = rng.random((40, 12, 12)) < 0.6
    table = gpd.GeoDataFrame(
        {"id": range(40)}, geometry=[polygons_of_mask(mask, fine) for mask in masks], crs=32648
    )
    [path] = write("geojson", table, tmp_path)
    read = gpd.read_file(path)
    assert len(read) == 40 and read.is_valid.all() and not read.is_empty.any()
    np.testing.assert_allclose(read.to_crs(32648).area, table.area, rtol=0.1)


def test_geojson_is_cut_at_the_antimeridian(tmp_path):
    table = gpd.GeoDataFrame({"id": [1]}, geometry=[box(179.99, 0, 180.02, 1)], crs=4326)
    [path] = write("geojson", table, tmp_path)
    [feature] = json.loads(path.read_text())["features"]
    shape = shapely.geometry.shape(feature["geometry"])
    assert shape.equals_exact(shape, 0) and len(shape.geoms) == 2
    expected = box(179.99, 0, 180, 1) | box(-180, 0, -179.98, 1)
    assert shape.symmetric_difference(expected).area < 1e-9


def test_without_a_crs_only_geojson_is_refused(tmp_path):
    table, grid = table_of(crs=None), GRID._replace(crs=None)
    with pytest.raises(GeoReferenceError, match="need a CRS.*a format that keeps"):
        write("geojson", table, tmp_path, grid)
    assert list(tmp_path.iterdir()) == []
    for name in ("shapefile", "flatgeobuf", "coco"):
        write(name, table, tmp_path, grid)
    assert not (tmp_path / "landslides.prj").exists()
    for name in ("landslides.shp", "landslides.fgb"):
        read = gpd.read_file(tmp_path / name)
        assert read.crs is None and sorted(read.area) == sorted(table.area)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_shapefile_says_what_it_cannot_hold(tmp_path, caplog):
    table = table_of().assign(notes=["a" * 300, "b", None])
    with caplog.at_level(logging.WARNING):
        written = write("shapefile", table, tmp_path)
    assert "slope_mean_deg -> slope_deg" in caplog.text
    assert "1 texts of notes are cut to 254 bytes" in caplog.text
    assert {path.suffix for path in written} == {".shp", ".shx", ".dbf", ".prj", ".cpg"}
    assert (tmp_path / "landslides.cpg").read_text().strip() == "UTF-8"
    assert pyogrio.read_info(tmp_path / "landslides.shp")["encoding"] == "UTF-8"
    assert gpd.read_file(tmp_path / "landslides.shp")["notes"][0] == "a" * 254


def test_shapefile_names():
    names = shapefile_names(
        ["id", "perimeter_m", "slope_mean_deg", "probability", "probability_max", "ID",
         "hangneigungä", "elevation_min_m", "elevation_max_m"]
    )  # fmt: skip
    assert list(names.values()) == [
        "id", "perim_m", "slope_deg", "probabilit", "probabili2", "ID2", "hangneigun",
        "elev_min_m", "elev_max_m",
    ]  # fmt: skip
    assert all(len(name.encode()) <= 10 for name in names.values())
    assert len({name.lower() for name in names.values()}) == len(names)


def test_a_shapefile_that_would_be_too_large_is_refused(tmp_path, monkeypatch):
    write("shapefile", table_of(), tmp_path)
    sizes = [(tmp_path / f"landslides.{suffix}").stat().st_size for suffix in ("shp", "dbf")]
    table = table_of()
    columns = [name for name in table.columns if name != "geometry"]
    assert formats._shapefile_bytes(table, columns) >= sizes[0]
    assert formats._shapefile_bytes(table[["geometry"]], []) == sizes[0]
    monkeypatch.setattr(formats, "SHAPEFILE_MAX_BYTES", sizes[0] - 1)
    (tmp_path / "other").mkdir()
    with pytest.raises(RasterError, match="must not exceed 2 GB.*3 polygons.*flatgeobuf"):
        write("shapefile", table, tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


def test_unknown_formats(tmp_path):
    with pytest.raises(RegistryError, match="geojson, shapefile, flatgeobuf, coco. Received: kml"):
        write("kml", table_of(), tmp_path)


def test_earlier_files_are_replaced(tmp_path):
    for count in (3, 1):
        for name in VECTOR_FORMATS:
            write(name, table_of(count), tmp_path)
    assert len(gpd.read_file(tmp_path / "landslides.shp")) == 1
    assert len(gpd.read_file(tmp_path / "landslides.geojson")) == 1
    assert len(json.loads((tmp_path / "landslides.coco.json").read_text())["annotations"]) == 1


@pytest.mark.parametrize("name", VECTOR_FORMATS)
def test_twenty_thousand_landslides(tmp_path, name):
    table = table_of(20_000)
    started = time.process_time()
    write(name, table, tmp_path)
    assert time.process_time() - started < 30
    path = tmp_path / VECTOR_FORMATS[name].file_name
    if name == "coco":
        assert len(json.loads(path.read_text())["annotations"]) == 20_000
    else:
        assert pyogrio.read_info(path)["features"] == 20_000
