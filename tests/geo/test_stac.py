"""The STAC item is complete, says where and when, and its checksums are those of the files."""

import hashlib
import json
from datetime import datetime

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from landslide_rcnn.errors import ConfigError, GeoReferenceError
from landslide_rcnn.geo.probability import PROBABILITY_KINDS
from landslide_rcnn.geo.stac import Asset, write_stac_item
from landslide_rcnn.geo.writing import Grid, RasterWriter

NORTH_UP = Affine(10, 0, 500_000, 0, -10, 3_700_000)
GRID = Grid(100, 200, rasterio.CRS.from_epsg(32648), NORTH_UP)
NOON = "2026-05-02T12:00:00Z"


def item_of(folder, grid=GRID, assets=None, **options):
    options = {"item_id": "scene-1", "mapped_at": NOON, **options}
    write_stac_item(folder / "item.json", grid, assets or {}, **options)
    return json.loads((folder / "item.json").read_text())


def check_structure(item):
    """What the item specification 1.1.0 and the extensions ask of every item."""
    assert item["type"] == "Feature" and item["stac_version"] == "1.1.0"
    assert isinstance(item["id"], str) and item["id"]
    assert item["links"] == [] and isinstance(item["assets"], dict)
    shape = shapely.geometry.shape(item["geometry"])
    assert shape.is_valid and shapely.box(-180, -90, 180, 90).covers(shape)
    west, south, east, north = item["bbox"]
    assert -90 <= south < north <= 90 and -180 <= west <= 180 and -180 <= east <= 180
    properties = item["properties"]
    times = [properties["datetime"]]
    if times[0] is None:
        times = [properties["start_datetime"], properties["end_datetime"]]
    for time in (*times, properties["created"]):
        assert time.endswith("Z") and datetime.fromisoformat(time).tzinfo is not None
    assert times == sorted(times)
    used = {name.split(":")[0] for name in properties if ":" in name}
    for asset in item["assets"].values():
        assert asset["href"].startswith("./") and asset["type"] and asset["roles"]
        used |= {name.split(":")[0] for name in asset if ":" in name}
        for band in asset.get("bands", ()):
            assert {"name", "data_type"} <= set(band)
            used |= {name.split(":")[0] for name in band if ":" in name}
    names = {"proj": "projection", "file": "file", "raster": "raster"}
    declared = "\n".join(item["stac_extensions"])
    assert all(f"/{names[prefix]}/v" in declared for prefix in used)
    assert all(url.startswith("https://") for url in item["stac_extensions"])


def test_an_item_by_hand(tmp_path):
    item = item_of(tmp_path, scene_date="2026-05-01", properties={"landslides": 3})
    check_structure(item)
    properties = item["properties"]
    assert properties["datetime"] == "2026-05-01T00:00:00Z" and properties["created"] == NOON
    assert properties["landslides"] == 3 and "start_datetime" not in properties
    assert properties["proj:code"] == "EPSG:32648" and "proj:wkt2" not in properties
    assert properties["proj:shape"] == [100, 200]
    assert properties["proj:transform"] == [10, 0, 500_000, 0, -10, 3_700_000]
    # A corner on the central meridian of zone 48, and 2 km by 1 km.
    west, south, east, north = item["bbox"]
    assert west == pytest.approx(105, abs=1e-6) and east - west == pytest.approx(0.0214, abs=2e-4)
    assert north - south == pytest.approx(1000 / 110_900, rel=0.02)
    ring = np.array(item["geometry"]["coordinates"][0])
    assert (ring[0] == ring[-1]).all()
    assert np.sum(ring[:-1, 0] * ring[1:, 1] - ring[1:, 0] * ring[:-1, 1]) > 0


def test_assets_are_those_files(tmp_path):
    kind = PROBABILITY_KINDS["percent"]
    with RasterWriter(tmp_path / "probability.tif", like=GRID, **kind.raster):
        pass
    with RasterWriter(
        tmp_path / "depth.tif", like=GRID, dtype="float32", nodata=float("nan"), count=2
    ):
        pass
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "landslides.gpkg").write_bytes(b"polygons")
    assets = {
        "probability": Asset(tmp_path / "probability.tif", "Probability"),
        "depth": Asset(tmp_path / "depth.tif", "Depth"),
        "landslides": Asset(tmp_path / "more" / "landslides.gpkg", "Polygons", ("data", "x")),
    }
    item = item_of(tmp_path, assets=assets)
    check_structure(item)
    polygons = item["assets"]["landslides"]
    assert polygons == {
        "href": "./more/landslides.gpkg",
        "title": "Polygons",
        "type": "application/geopackage+sqlite3",
        "roles": ["data", "x"],
        "file:size": 8,
        "file:checksum": "1220" + hashlib.sha256(b"polygons").hexdigest(),
    }
    raster = item["assets"]["probability"]
    assert raster["type"] == "image/tiff; application=geotiff; profile=cloud-optimized"
    assert raster["bands"] == [
        {
            "name": "landslide probability",
            "data_type": "uint8",
            "nodata": 255,
            "unit": "1",
            "raster:scale": 0.01,
            "raster:offset": 0,
        }
    ]
    assert item["assets"]["depth"]["bands"] == [
        {"name": f"band {index}", "data_type": "float32", "nodata": "nan"} for index in (1, 2)
    ]
    assert len(raster["file:checksum"]) == 4 + 64
    # A changed file is another checksum; an unchanged folder the same bytes.
    before = (tmp_path / "item.json").read_bytes()
    item_of(tmp_path, assets=assets)
    assert (tmp_path / "item.json").read_bytes() == before


def test_a_scene_without_a_date_has_a_range(tmp_path):
    item = item_of(tmp_path, mapped_at="2026-05-02T14:00:00+02:00")
    check_structure(item)
    properties = item["properties"]
    assert properties["datetime"] is None and properties["end_datetime"] == NOON
    assert "date of the scene is unknown" in properties["description"]


def test_a_crs_without_a_code_is_given_as_wkt(tmp_path):
    crs = rasterio.CRS.from_string("+proj=laea +lat_0=33 +lon_0=104 +ellps=GRS80")
    item = item_of(tmp_path, Grid(100, 200, crs, Affine(10, 2, 0, 2, -10, 0)))
    check_structure(item)
    assert item["properties"]["proj:code"] is None
    assert item["properties"]["proj:wkt2"].startswith("PROJCRS[")
    assert "33" in item["properties"]["proj:wkt2"]
    assert item["properties"]["proj:transform"] == [10, 2, 0, 2, -10, 0]


def test_across_the_antimeridian_west_is_greater_than_east(tmp_path):
    crs = rasterio.CRS.from_epsg(4326)
    item = item_of(tmp_path, Grid(100, 200, crs, Affine(0.01, 0, 179, 0, -0.01, 10)))
    check_structure(item)
    assert item["geometry"]["type"] == "MultiPolygon" and item["bbox"] == [179, 9, -179, 10]
    whole = item_of(tmp_path, Grid(10, 10, crs, Affine(36, 0, -180, 0, -18, 90)))
    assert whole["bbox"] == [-180, -90, 180, 90]


def test_without_a_crs_there_is_no_item(tmp_path):
    with pytest.raises(GeoReferenceError, match="need a CRS"):
        item_of(tmp_path, GRID._replace(crs=None))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_said_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="must be ISO 8601. Received: May"):
        item_of(tmp_path, scene_date="May")
    (tmp_path / "in").mkdir()
    (tmp_path / "a.gpkg").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"must lie in its folder. Received: .*a\.gpkg"):
        item_of(tmp_path / "in", assets={"a": Asset(tmp_path / "a.gpkg", "")})
    assert list((tmp_path / "in").iterdir()) == []
