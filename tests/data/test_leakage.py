"""Samples in two datasets: files, pixels, turned copies, and tiles on the same ground."""

import json
import logging

import cv2
import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner
from rasterio.windows import Window

from landslide_rcnn.cli import main
from landslide_rcnn.data.checking import check_images
from landslide_rcnn.data.leakage import CheckedDataset, find_duplicates, find_leaks
from landslide_rcnn.data.looks import look_of, most_alike
from landslide_rcnn.data.readers import open_dataset
from landslide_rcnn.data.scenes import SceneDataset
from tests.helpers.outside import data_file, needs_data


def noise(seed, size=(40, 60)):
    return np.random.default_rng(seed).integers(1, 255, (*size, 3), dtype=np.uint8)


def add(root, name, pixels, **georeference):
    (root / "image").mkdir(parents=True, exist_ok=True)
    (root / "mask").mkdir(exist_ok=True)
    height, width = pixels.shape[:2]
    if georeference:
        with rasterio.open(
            root / f"image/{name}.tif", "w", driver="GTiff", count=3, dtype="uint8",
            height=height, width=width, **georeference,
        ) as file:  # fmt: skip
            file.write(np.moveaxis(pixels, -1, 0))
    else:
        assert cv2.imwrite(str(root / f"image/{name}.png"), pixels)
    assert cv2.imwrite(str(root / f"mask/{name}.png"), np.zeros((height, width), np.uint8))


def leaks(earlier, later):
    """Name of each shared sample of `later` -> why."""
    checked = [
        CheckedDataset(name, dataset, check_images(dataset, progress=False))
        for name, dataset in (("train", earlier), ("val", later))
    ]
    return {
        leak.name.replace("\\", "/").rpartition("/")[2]: leak.text for leak in find_leaks(checked)
    }


@pytest.fixture
def train(tmp_path):
    for index in range(4):
        add(tmp_path / "train", f"t{index}", noise(index))
    return tmp_path / "train"


def test_files_pixels_and_turned_pixels(tmp_path, train):
    val = tmp_path / "val"
    add(val, "other", noise(9))
    add(val, "copy", noise(1))
    for turns in range(8):
        turned = np.rot90(noise(2)[:, ::-1] if turns >= 4 else noise(2), turns % 4)
        add(val, f"turned{turns}", turned)
    shuffled = np.random.default_rng(0).permutation(noise(3).reshape(-1, 3)).reshape(40, 60, 3)
    add(val, "shuffled", shuffled)  # the same values in another order are another image
    found = leaks(open_dataset(train), open_dataset(val))
    assert found.pop("copy.png").startswith("(val) has the same pixels as ")
    assert found.pop("turned0.png").startswith("(val) has the same pixels as ")
    assert set(found) == {f"turned{turns}.png" for turns in range(1, 8)}
    assert all(
        "turned or mirrored, as" in why and "t2.png (train)" in why for why in found.values()
    )
    assert leaks(open_dataset(train), open_dataset(train))["t0.png"] == (
        "(val) is the same file (train)"
    )


def landscape(seed, size=(120, 180)):
    """Something with large and small structures, as imagery has."""
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(size=(*size, 3)), (0, 0), s) * s for s in (10, 3, 1)]
    return np.clip(120 + 40 * np.sum(layers, axis=0), 1, 255).astype(np.uint8)


def test_copies_that_look_the_same(tmp_path):
    train, val = tmp_path / "train", tmp_path / "val"
    for index in range(8):
        add(train, f"t{index}", landscape(index))
        add(val, f"other{index}", landscape(100 + index))
    add(val, "small", cv2.resize(landscape(1), (108, 72), interpolation=cv2.INTER_AREA))
    jpeg = cv2.imencode(".jpg", landscape(2), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    add(val, "jpeg", cv2.imdecode(jpeg, cv2.IMREAD_COLOR))
    add(val, "bright", cv2.convertScaleAbs(landscape(3), alpha=1.2, beta=5))
    found = leaks(open_dataset(train), open_dataset(val))
    assert set(found) == {"small.png", "jpeg.png", "bright.png"}
    for file, original in (("small", "t1"), ("jpeg", "t2"), ("bright", "t3")):
        assert found[f"{file}.png"].endswith(f"{original}.png (train)")
        assert "looks like" in found[f"{file}.png"]
    dataset = open_dataset(val)
    assert find_duplicates(dataset, check_images(dataset, progress=False)) == []
    add(val, "zz", landscape(105)[::2, ::2])
    dataset = open_dataset(val)
    (problem,) = find_duplicates(dataset, check_images(dataset, progress=False))
    assert "zz.png" in problem.name and "other5.png" in problem.text


def test_slopes_borders_and_plain_tiles_are_not_alike():
    rows, columns = np.mgrid[:90, :120]
    valid = np.ones((90, 120), bool)
    assert look_of(rows + 2 * columns + 1, valid) is None  # light from one side
    assert look_of(np.full((90, 120, 3), 7), valid) is None
    assert look_of(np.zeros((90, 120, 3)), valid) is None and look_of(rows + 1.0, ~valid) is None
    looks = []
    for seed in range(8):  # the black corner of a survey, in PNGs that do not say it
        tile = landscape(seed, (90, 120))
        tile[rows > columns] = 0
        looks.append(look_of(tile, valid))
    assert all(look is not None for look in looks)
    assert most_alike(looks, looks, earlier_only=True) == {}
    assert most_alike(looks, [*looks[3:], None]) == {i: i - 3 for i in range(3, 8)}
    assert most_alike(looks, []) == {} == most_alike([], looks)


def georeferenced(left, top, crs="EPSG:32648", size=2.0):
    return {"crs": crs, "transform": Affine(size, 0, left, 0, -size, top)}


def test_tiles_that_overlap_on_the_ground(tmp_path):
    train, val = tmp_path / "train", tmp_path / "val"
    left, top = 500_000, 4_000_000  # a tile is 120 m x 80 m
    add(train, "a", noise(0), **georeferenced(left, top))
    add(train, "b", noise(1), **georeferenced(left, top - 80))
    add(train, "nowhere", noise(2))
    add(val, "beside", noise(3), **georeferenced(left + 120, top))
    add(val, "far", noise(4), **georeferenced(left + 9000, top))
    add(val, "quarter", noise(5), **georeferenced(left + 90, top))
    add(val, "both", noise(6), **georeferenced(left, top - 30))
    degrees = rasterio.warp.transform("EPSG:32648", "EPSG:4326", [left + 60], [top - 40])
    place = georeferenced(degrees[0][0], degrees[1][0], "EPSG:4326", 2e-6)
    add(val, "degrees", noise(7), **place)
    add(val, "nowhere", noise(8))
    found = leaks(open_dataset(train), open_dataset(val))
    assert set(found) == {"quarter.tif", "both.tif", "degrees.tif"}
    assert "overlaps 25% with" in found["quarter.tif"] and "a.tif (train)" in found["quarter.tif"]
    assert "overlaps 62% with" in found["both.tif"] and "a.tif and 1 more" in found["both.tif"]
    assert "overlaps 100% with" in found["degrees.tif"]


@pytest.mark.parametrize("crs", ["EPSG:32648", None])
def test_parts_of_one_scene(tmp_path, write_raster, crs):
    place = {"crs": crs} if crs else {"crs": None, "transform": Affine.identity()}
    scene = write_raster(noise(0, (100, 200)), **place)
    shape = shapely.box(500_000, 3_999_900, 500_050, 4_000_000) if crs else shapely.box(0, 0, 9, 9)
    gpd.GeoDataFrame(geometry=[shape], crs=crs).to_file(tmp_path / "map.gpkg")

    def part(first_col, width, size=50):
        window = Window(first_col, 0, width, 100)
        return SceneDataset(
            scene, tmp_path / "map.gpkg", tile_size=size, window=window, allow_no_crs=True
        )

    assert leaks(part(0, 100), part(100, 100)) == {}
    # A tile may reach beyond its part, but sees nothing there.
    assert leaks(part(0, 90, size=64), part(90, 110, size=64)) == {}
    found = leaks(part(0, 100), part(90, 110))
    assert len(found) == 2 and all("overlaps 20% with" in why for why in found.values())
    assert all("is the same file" in why for why in leaks(part(0, 100), part(0, 100)).values())


def test_the_command_compares_with_other_data(tmp_path, train):
    val = tmp_path / "val"
    add(val, "copy", noise(1))
    add(val, "other", noise(9))
    report = tmp_path / "report.json"
    arguments = ["dataset", str(val), "--against", str(train), "-q", "--json", str(report)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    (leak,) = [p for p in json.loads(report.read_text())["problems"] if p["kind"] == "leak"]
    assert leak["name"].endswith("copy.png") and f"({train})" in leak["text"]
    assert "samples shared between datasets" in done.output


@needs_data("bijie")
@pytest.mark.slow
def test_bijies_counties_share_no_image(caplog):
    with caplog.at_level(logging.WARNING):
        parts = {part: open_dataset(data_file("bijie"), part=part) for part in ("val", "test")}
        assert leaks(parts["val"], parts["test"]) == {}
    for dataset in parts.values():
        assert find_duplicates(dataset, check_images(dataset, progress=False)) == []
