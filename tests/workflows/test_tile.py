"""Tiles of a scene, on the fly and in files: which landslides are in them, and that all is kept."""

import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from shapely.geometry import box

from landslide_rcnn.cli import main
from landslide_rcnn.data.readers import open_dataset
from landslide_rcnn.data.scenes import SceneDataset
from landslide_rcnn.data.tiles import InstanceRules
from landslide_rcnn.errors import ConfigError, DatasetError, GeoReferenceError
from landslide_rcnn.files import OutputExistsError
from landslide_rcnn.workflows.tile import write_tiles

TILE = dict(tile_size=64, overlap=16)


def pixels(y1, x1, y2, x2):
    """A rectangle of pixels of `write_raster`'s scene, on the map."""
    return box(500_000 + 2 * x1, 4_000_000 - 2 * y2, 500_000 + 2 * x2, 4_000_000 - 2 * y1)


@pytest.fixture
def scene(tmp_path, write_raster, rng):
    """112 x 160 pixels of 2 m; nodata in the south east; landslides of several sizes."""
    image = rng.integers(1, 250, (112, 160, 4), np.uint8)
    image[90:, 100:] = 0
    write_raster(image, nodata=0, photometric="MINISBLACK", ALPHA="NO")
    with rasterio.open(tmp_path / "scene.tif", "r+") as file:
        file.descriptions = ("red", "green", "blue", "nir")
    shapes = [
        pixels(4, 4, 9, 9),  # 25 px = 100 m2
        pixels(20, 54, 40, 74),  # cut by the first tile's right edge: half of it
        pixels(30, 0, 112, 48),  # larger than a tile
        pixels(45, 63, 60, 93),  # one column of 30 in the first tile
    ]
    truth = gpd.GeoDataFrame(geometry=shapes, crs="EPSG:32648")
    truth.to_file(tmp_path / "truth.gpkg", layer="landslides")
    return tmp_path


def open_scene(folder, **rules):
    return SceneDataset(
        folder / "scene.tif", folder / "truth.gpkg", **TILE, rules=InstanceRules(**rules)
    )


def sizes_of(dataset, image_id=0):
    masks, class_ids = dataset.load_mask(image_id)
    return list(zip(class_ids.tolist(), masks.sum(axis=(0, 1)).tolist()))


def test_which_landslides_are_instances(scene):
    every = [(1, 25), (1, 200), (1, 34 * 48), (1, 15)]
    assert sizes_of(open_scene(scene)) == every
    assert sizes_of(open_scene(scene, min_pixels=20)) == every[:3]
    assert sizes_of(open_scene(scene, min_area_m2=101)) == every[1:]
    # 15 of 450 px lie in the tile; of the large one 40 % of the tile, and 41 % of itself.
    assert sizes_of(open_scene(scene, min_share=0.04)) == every[:3]
    assert sizes_of(open_scene(scene, min_share=0.45)) == every[:2]
    assert sizes_of(open_scene(scene, min_share=1)) == every[:1]  # not cut
    dataset = open_scene(scene, min_share=0.45, min_area_m2=101)
    assert sizes_of(dataset) == every[1:2] and dataset.left_out_fragments[0] == 3


def test_what_is_left_out_may_be_a_crowd(scene):
    dataset = open_scene(scene, min_share=0.45, left_out="crowd")
    assert sizes_of(dataset) == [(1, 25), (1, 200), (-1, 34 * 48 + 15)]
    masks, _ = dataset.load_mask(0)
    every, _ = open_scene(scene, min_pixels=0).load_mask(0)
    np.testing.assert_array_equal(masks.any(axis=-1), every.any(axis=-1))
    counts = dataset.verify(progress=False)
    assert counts["fragments_left_out"] == sum(dataset.left_out_fragments.values()) > 0


def test_rules_that_cannot_be(scene, write_raster):
    with pytest.raises(ConfigError, match="share at most 1. Received: .*min_share=2"):
        InstanceRules(min_share=2)
    with pytest.raises(ConfigError, match="one of background, crowd. Received: left_out='ignore'"):
        InstanceRules(left_out="ignore")
    write_raster(np.ones((64, 64, 3), np.uint8), "bare.tif", crs=None, transform=None)
    gpd.GeoDataFrame(geometry=[box(2, 2, 9, 9)]).to_file(scene / "bare.shp")
    with pytest.raises(GeoReferenceError, match="needs a scene with a CRS. Received: min_area_m2"):
        open_dataset(
            f"{scene / 'bare.tif'}:{scene / 'bare.shp'}",
            allow_no_crs=True,
            rules=InstanceRules(min_area_m2=5),
        )


def test_files_give_what_the_scene_gives(scene):
    dataset = open_scene(scene, min_share=0.45, left_out="crowd")
    counts = write_tiles(dataset, scene / "out", TILE, progress=False)
    assert counts["tiles"] == 6 and counts["kept"] == 0
    again = open_dataset(scene / "out")
    assert again.num_images == dataset.num_images == 6
    for image_id in range(6):
        np.testing.assert_array_equal(again.load_image(image_id), dataset.load_image(image_id))
        np.testing.assert_array_equal(
            again.load_valid_mask(image_id), dataset.load_valid_mask(image_id)
        )
        masks, class_ids = dataset.load_mask(image_id)
        found, found_ids = again.load_mask(image_id)
        np.testing.assert_array_equal(found, masks)
        assert found_ids.tolist() == class_ids.tolist()
    instances = sum(kind > 0 for i in range(6) for kind, _ in sizes_of(dataset, i))
    assert counts["instances"] == instances and counts["left_out"] > 0
    assert not dataset.load_valid_mask(5).all()
    with rasterio.open(scene / "scene.tif") as whole:
        for one in json.loads((scene / "out" / "annotations.json").read_text())["images"]:
            with rasterio.open(scene / "out" / one["file_name"]) as file:
                window = whole.window(*file.bounds)
                np.testing.assert_array_equal(file.read(), whole.read(window=window))
                assert file.descriptions == ("red", "green", "blue", "nir")
                assert list(file.transform[:6]) == one["transform"] and "UTM" in one["crs"]


def test_a_stopped_run_goes_on(scene):
    dataset, out = open_scene(scene), scene / "out"
    write_tiles(dataset, out, TILE, progress=False)
    expected = (out / "annotations.json").read_bytes()
    paths = sorted((out / "images").iterdir())
    # As if it had been stopped in the fourth of six tiles.
    (out / "annotations.json").unlink()
    for path in paths[3:]:
        path.unlink()
    marked = paths[0].stat().st_mtime_ns
    with pytest.raises(OutputExistsError, match="--resume"):
        write_tiles(dataset, out, TILE)
    with pytest.raises(DatasetError, match="made with other rules min_share. Use --overwrite"):
        write_tiles(open_scene(scene, min_share=0.5), out, TILE, resume=True)
    assert write_tiles(dataset, out, TILE, resume=True, progress=False)["kept"] == 3
    assert paths[0].stat().st_mtime_ns == marked and sorted((out / "images").iterdir()) == paths
    assert (out / "annotations.json").read_bytes() == expected
    with pytest.raises(OutputExistsError, match="annotations.json"):
        write_tiles(dataset, out, TILE)
    (out / "images" / "mine.tif").touch()
    other = SceneDataset(scene / "scene.tif", scene / "truth.gpkg", tile_size=112)
    assert write_tiles(other, out, {}, overwrite=True, progress=False)["kept"] == 0
    left = sorted(path.name for path in (out / "images").iterdir())
    assert left == ["mine.tif", "scene_r000000_c000000.tif", "scene_r000000_c000048.tif"]


def test_the_command(scene, caplog):
    data = f"{scene / 'scene.tif'}:{scene / 'truth.gpkg'}"
    out = scene / "out"
    arguments = ["tile", data, "-o", out, "--tile-size", 64, "--min-share", 0.04, "-q"]
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("6 tiles, ") and "parts of landslides left out" in done.stderr
    assert json.loads((out / ".tiles.json").read_text())["settings"]["overlap"] == 16
    failed = CliRunner().invoke(main, ["tile", str(out), "-o", str(scene / "two")])
    assert failed.exit_code == 1 and "Tiles are cut from a scene" in failed.stderr
