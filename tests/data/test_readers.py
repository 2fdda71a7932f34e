"""Folders of tiles, scenes with polygons, and the ways to name them."""

import logging

import cv2
import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window
from shapely.geometry import box

from landslide_rcnn.config import Config
from landslide_rcnn.data.batches import TrainingBatches
from landslide_rcnn.data.mask_files import split_components
from landslide_rcnn.data.readers import MaskFolderDataset, open_dataset
from landslide_rcnn.data.scenes import SceneDataset
from landslide_rcnn.data.tiles import InstanceRules
from landslide_rcnn.errors import DatasetError, GeoReferenceError
from tests.helpers.outside import data_file, needs_data

BIJIE = data_file("bijie")


def write_image(path, value=0, size=(20, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((*size, 3), value, np.uint8))


def write_mask(path, *boxes, size=(20, 30)):
    mask = np.zeros(size, np.uint8)
    for y1, x1, y2, x2 in boxes:
        mask[y1:y2, x1:x2] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask)


@pytest.fixture
def bijie(tmp_path):
    """Two landslide tiles (train, test) and one without (train), in the Bijie layout."""
    write_image(tmp_path / "landslide/image/a.png", 1)
    write_mask(tmp_path / "landslide/mask/a.png", (2, 3, 8, 9), (12, 3, 18, 20), (0, 28, 2, 30))
    write_image(tmp_path / "landslide/image/b.png", 2)
    write_mask(tmp_path / "landslide/mask/b.png", (0, 0, 20, 30))
    write_image(tmp_path / "non-landslide/image/c.png", 3)
    (tmp_path / "split.csv").write_text(
        "file,county,part\na.png,x,train\nb.png,y,test\nc.png,x,train\n"
    )
    return tmp_path


def names(dataset):
    return [info["id"] for info in dataset.image_info]


def test_components_touch_at_corners():
    landslide = np.array(
        [
            [1, 0, 0, 0, 1],
            [0, 1, 0, 0, 0],
            [0, 0, 0, 1, 1],
        ],
        bool,
    )
    masks, left_out = split_components(landslide, 2)
    assert left_out == 1 and masks.shape == (3, 5, 2)
    assert masks[..., 0].tolist() == (landslide & (np.arange(5) < 2)).tolist()
    assert np.argwhere(masks[..., 1]).tolist() == [[2, 3], [2, 4]]
    assert split_components(np.zeros((4, 4), bool), 1)[0].shape == (4, 4, 0)


def test_the_bijie_layout(bijie, caplog):
    dataset = MaskFolderDataset.from_folder(bijie)
    assert names(dataset) == ["a", "b", "c"] and dataset.class_names == ["BG", "landslide"]
    masks, class_ids = dataset.load_mask(0)
    # The corner of 4 px is a fragment.
    assert masks.sum(axis=(0, 1)).tolist() == [36, 6 * 17] and class_ids.tolist() == [1, 1]
    assert dataset.left_out_fragments == {0: 1}
    assert dataset.load_mask(2)[0].shape == (20, 30, 0)
    with caplog.at_level(logging.WARNING):
        counts = dataset.verify(progress=False)
    assert counts == {
        "images": 3,
        "images_without_instances": 1,
        "instances": 3,
        "fragments_left_out": 1,
    }
    assert "1 samples with mask fragments too small" in caplog.text
    everything = MaskFolderDataset.from_folder(bijie, min_landslide_pixels=1)
    assert everything.load_mask(0)[0].shape == (20, 30, 3)


def test_parts_of_the_split(bijie, caplog):
    assert names(MaskFolderDataset.from_folder(bijie, "train")) == ["a", "c"]
    assert names(open_dataset(f"{bijie}#test")) == ["b"]
    assert names(open_dataset(bijie, part="test")) == ["b"]
    assert names(open_dataset(str(bijie))) == ["a", "b", "c"]
    both = open_dataset(f"{bijie}#train+test")
    assert names(both) == ["a", "b", "c"] and both.split.parts == ("train", "test")
    with pytest.raises(DatasetError, match="one of test, train. Received: 'train.val'"):
        open_dataset(f"{bijie}#train+val")
    write_image(bijie / "non-landslide/image/new.png")
    assert names(open_dataset(f"{bijie}#train")) == ["a", "c"]
    assert "1 images are in no part" in caplog.text and "new.png" in caplog.text
    with pytest.raises(DatasetError, match="one of test, train. Received: 'val'"):
        open_dataset(f"{bijie}#val")
    with pytest.raises(DatasetError, match="A part is named once"):
        open_dataset(f"{bijie}#train", part="test")


def test_faulty_splits(bijie):
    (bijie / "non-landslide/image/c.png").unlink()
    with pytest.raises(DatasetError, match="1 missing of part 'train': c.png"):
        MaskFolderDataset.from_folder(bijie, "train")
    assert names(MaskFolderDataset.from_folder(bijie, "test")) == ["b"]
    (bijie / "split.csv").write_text("name,part\na.png,train\n")
    with pytest.raises(
        DatasetError, match=r"columns file and part. Received: .*\['name', 'part'\]"
    ):
        MaskFolderDataset.from_folder(bijie, "train")
    (bijie / "split.csv").unlink()
    with pytest.raises(DatasetError, match="Received: no .*split.csv"):
        MaskFolderDataset.from_folder(bijie, "train")


@pytest.mark.parametrize("image, mask", [("image", "mask"), ("images", "masks")])
def test_the_plain_layout(tmp_path, image, mask):
    for name in ("t1", "t2"):
        write_image(tmp_path / image / f"{name}.jpg", 100)
        write_mask(tmp_path / mask / f"{name}.png", *([(0, 0, 10, 10)] if name == "t2" else []))
    dataset = open_dataset(tmp_path)
    assert names(dataset) == ["t1", "t2"]
    assert [dataset.load_mask(i)[0].shape[-1] for i in (0, 1)] == [0, 1]


def test_names_that_say_image_and_mask(tmp_path):
    write_image(tmp_path / "image/image_1.png")
    write_mask(tmp_path / "mask/mask_1.png", (0, 0, 10, 10))
    dataset = open_dataset(tmp_path)
    assert names(dataset) == ["image_1"] and dataset.load_mask(0)[0].sum() == 100


def test_missing_images_and_masks_are_named(bijie):
    (bijie / "landslide/mask/b.png").unlink()
    with pytest.raises(DatasetError, match="1 without: .*image/b.png. Add the masks"):
        MaskFolderDataset.from_folder(bijie)
    (bijie / "landslide/image/b.png").unlink()
    (bijie / "landslide/image/a.png").unlink()
    with pytest.raises(DatasetError, match="1 without: .*mask/a.png. Add the images"):
        MaskFolderDataset.from_folder(bijie)


def test_many_missing_masks_are_counted(tmp_path):
    for index in range(14):
        write_image(tmp_path / f"image/t{index:02}.png")
    with pytest.raises(DatasetError, match="14 without: .*t09.png and 4 more"):
        MaskFolderDataset.from_folder(tmp_path)


def test_ambiguous_and_empty_folders(tmp_path):
    with pytest.raises(DatasetError, match="without a folder 'image'.*FOLDER#PART.*SCENE.tif:POL"):
        MaskFolderDataset.from_folder(tmp_path)
    (tmp_path / "image").mkdir()
    (tmp_path / "mask").mkdir()
    with pytest.raises(DatasetError, match="needs images .* without any"):
        MaskFolderDataset.from_folder(tmp_path)
    write_image(tmp_path / "image/t.png")
    write_image(tmp_path / "image/t.jpg")
    with pytest.raises(DatasetError, match="t.jpg and t.png. Rename one"):
        MaskFolderDataset.from_folder(tmp_path)


def test_a_mask_of_another_size_stops_verify(bijie):
    write_mask(bijie / "landslide/mask/b.png", size=(10, 10))
    with pytest.raises(
        DatasetError,
        match=r"1 of 3 .*b.png: .*image \(20, 30\), masks \(10, 10",
    ):
        MaskFolderDataset.from_folder(bijie).verify(progress=False)


@pytest.mark.parametrize("spec", ["nothing", "no/such/folder", "bijie#train", "a:b", "scene.tif:"])
def test_other_names_show_both_forms(spec):
    with pytest.raises(DatasetError, match="FOLDER#PART.*SCENE.tif:POLYGONS.gpkg"):
        open_dataset(spec)


@pytest.fixture
def scene(tmp_path):
    """A scene of 100 x 150 px of 2 m, black from column 100 on, and three landslides.

    Pixel values are 1 + row in band 1 and 1 + column in band 2.
    """
    transform = Affine(2, 0, 500000, 0, -2, 4000000)
    rows, columns = np.mgrid[:100, :150]
    bands = np.stack([rows + 1, columns + 1, np.full_like(rows, 9)]).astype(np.uint8)
    bands[:, :, 100:] = 0
    profile = {"driver": "GTiff", "height": 100, "width": 150, "count": 3, "dtype": "uint8"}
    with rasterio.open(
        tmp_path / "scene.tif", "w", crs="EPSG:32648", transform=transform, nodata=0, **profile
    ) as file:
        file.write(bands)

    def pixels(y1, x1, y2, x2):
        return box(500000 + 2 * x1, 4000000 - 2 * y2, 500000 + 2 * x2, 4000000 - 2 * y1)

    landslides = [pixels(10, 10, 20, 30), pixels(30, 45, 40, 60), pixels(80, 5, 90, 49)]
    polygons = gpd.GeoDataFrame(geometry=landslides, crs="EPSG:32648")
    polygons.to_file(tmp_path / "landslides.gpkg", layer="landslides")
    return tmp_path


def open_scene(folder, **kwargs):
    return SceneDataset(folder / "scene.tif", folder / "landslides.gpkg", **kwargs)


def test_tiles_of_a_scene(scene):
    dataset = open_scene(scene, tile_size=50)
    # Of the 2 x 3 tiles, the black right column is left out.
    assert dataset.num_images == 4 and dataset.tiles_without_valid_pixels == 2
    corners = [(i["tile"].row_off, i["tile"].col_off) for i in dataset.image_info]
    assert corners == [(0, 0), (0, 50), (50, 0), (50, 50)]
    image = dataset.load_image(1)
    assert image.shape == (50, 50, 3) and image.dtype == np.uint8
    np.testing.assert_array_equal(image[..., 0], np.tile(np.arange(1, 51), (50, 1)).T)
    np.testing.assert_array_equal(image[..., 1], np.tile(np.arange(51, 101), (50, 1)))

    def boxes(image_id):
        masks, class_ids = dataset.load_mask(image_id)
        assert class_ids.tolist() == [1] * masks.shape[-1] and masks.dtype == bool
        found = []
        for index in range(masks.shape[-1]):
            ys, xs = np.nonzero(masks[..., index])
            assert len(ys) == (ys.max() - ys.min() + 1) * (xs.max() - xs.min() + 1)
            found.append((ys.min(), xs.min(), ys.max() + 1, xs.max() + 1))
        return found

    assert boxes(0) == [(10, 10, 20, 30), (30, 45, 40, 50)]  # the second is cut by the edge
    assert boxes(1) == [(30, 0, 40, 10)]
    assert boxes(2) == [(30, 5, 40, 49)]
    assert boxes(3) == []  # a tile without landslides stays
    assert dataset.verify(progress=False) == {
        "images": 4,
        "images_without_instances": 1,
        "instances": 4,
        "fragments_left_out": 0,
    }


def test_slivers_are_left_out_and_counted(scene):
    dataset = open_scene(scene, tile_size=50, rules=InstanceRules(60))
    assert dataset.load_mask(0)[0].sum(axis=(0, 1)).tolist() == [200]  # not the 10 x 5 px
    counts = dataset.verify(progress=False)
    assert counts["instances"] == 3 and counts["fragments_left_out"] == 1


def test_nothing_outside_the_window_is_seen(scene):
    dataset = open_scene(scene, tile_size=64, window=Window(0, 0, 50, 35))
    assert dataset.num_images == 1
    image, valid = dataset.load_image(0), dataset.load_valid_mask(0)
    assert image.shape == (64, 64, 3) and image[:35, :50].all()
    assert not image[35:].any() and not image[:, 50:].any()
    assert valid[:35, :50].all() and valid.sum() == 35 * 50
    masks, _ = dataset.load_mask(0)
    assert masks.sum(axis=(0, 1)).tolist() == [200, 25]


def test_a_window_moves_the_tiles(scene):
    dataset = open_scene(scene, tile_size=32, window=Window(20, 60, 64, 40))
    corners = [(i["tile"].row_off, i["tile"].col_off) for i in dataset.image_info]
    assert corners == [(60, 20), (60, 52), (68, 20), (68, 52)]
    assert dataset.load_image(0)[0, 0].tolist() == [61, 21, 9]


def test_a_scene_in_batches(scene):
    config = Config(
        NUM_CLASSES=2, IMAGE_MIN_DIM=64, IMAGE_MAX_DIM=64, MAX_GT_INSTANCES=3, MEAN_PIXEL=0
    )
    batches = TrainingBatches(
        open_scene(scene, tile_size=64, overlap=16), config, batch_size=4, shuffle=False
    )
    batch = batches[0]
    assert batch["image"].shape == (4, 64, 64, 3)
    assert batch["gt_boxes"][0, 0].tolist() == [10, 10, 20, 30]
    # The black part of the second tile (columns 100 to 111 of the scene) is the mean.
    assert not batch["image"][1][:, 100 - 48 :].any() and batch["image"][1][:, : 100 - 48].all()


def test_polygons_in_another_crs(scene):
    polygons = gpd.read_file(scene / "landslides.gpkg").to_crs("EPSG:4326")
    polygons.to_file(scene / "degrees.gpkg")
    dataset = SceneDataset(scene / "scene.tif", scene / "degrees.gpkg", tile_size=50)
    expected = open_scene(scene, tile_size=50)
    for image_id in range(4):
        masks, _ = dataset.load_mask(image_id)
        np.testing.assert_array_equal(masks, expected.load_mask(image_id)[0])


def test_open_dataset_opens_scenes(scene):
    dataset = open_dataset(f"{scene}/scene.tif:{scene}/landslides.gpkg", tile_size=50, overlap=10)
    assert isinstance(dataset, SceneDataset)
    assert dataset.num_images + dataset.tiles_without_valid_pixels == 3 * 4
    with pytest.raises(
        DatasetError, match="Only a folder of tiles has parts. Received: part='train'"
    ):
        open_dataset(f"{scene}/scene.tif:{scene}/landslides.gpkg", part="train")
    with pytest.raises(DatasetError, match="must exist.*without .*rivers.gpkg"):
        open_dataset(f"{scene}/scene.tif:{scene}/rivers.gpkg")


def test_a_scene_without_valid_pixels_or_crs(scene):
    with pytest.raises(DatasetError, match="must have valid pixels.*2 tiles, all without"):
        open_scene(scene, tile_size=50, window=Window(100, 0, 50, 100))
    with rasterio.open(scene / "scene.tif") as file:
        profile, bands = file.profile, file.read()
    profile.update(crs=None, transform=Affine.identity())
    with rasterio.open(scene / "scene.tif", "w", **profile) as file:
        file.write(bands)
    with pytest.raises(GeoReferenceError):
        open_scene(scene, tile_size=50)
    pixels = gpd.GeoDataFrame(geometry=[box(10, 20, 30, 40)])
    pixels.to_file(scene / "pixels.gpkg")
    dataset = open_dataset(
        f"{scene}/scene.tif:{scene}/pixels.gpkg", tile_size=50, allow_no_crs=True
    )
    masks, _ = dataset.load_mask(0)
    assert np.argwhere(masks[..., 0]).min(axis=0).tolist() == [20, 10] and masks.sum() == 400


@needs_data("bijie")
def test_the_real_bijie_tiles():
    sizes = {part: open_dataset(f"{BIJIE}#{part}").num_images for part in ("train", "val", "test")}
    assert sizes == {"train": 580, "val": 50, "test": 97}
    counts = open_dataset(BIJIE, part="val").verify(progress=False)
    assert counts["images"] == 50 and counts["fragments_left_out"] == 0
    assert counts["instances"] + counts["images_without_instances"] == 50


def test_classes_must_be_the_same_in_training_and_validation(bijie, tmp_path):
    from landslide_rcnn.workflows.train import train_model

    train, val = MaskFolderDataset.from_folder(bijie), MaskFolderDataset.from_folder(bijie)
    val.class_names = ["BG", "slide"]
    config = Config(NUM_CLASSES=2, IMAGE_MIN_DIM=64, IMAGE_MAX_DIM=64)
    with pytest.raises(DatasetError, match="Received: landslide and slide. Name them"):
        train_model(config, train, val, tmp_path / "out", progress=False)
