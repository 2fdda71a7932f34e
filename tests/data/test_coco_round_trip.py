"""To COCO and back without losing a pixel; COCO's own tools agree."""

import json

import cv2
import numpy as np
import pytest

from landslide_rcnn.data.coco import CocoWriter, write_coco_dataset
from landslide_rcnn.data.coco_polygons import coco_polygon, polygon_mask
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.readers import open_dataset
from landslide_rcnn.errors import DatasetError
from tests.helpers.outside import data_file, needs_data


def test_cocos_polygons_are_painted_as_by_cocos_tools(rng):
    tools = pytest.importorskip("pycocotools.mask")
    for _ in range(300):
        height, width = (int(side) for side in rng.integers(5, 60, 2))
        ring = rng.uniform(-8, 65, (rng.integers(3, 9), 2)).round(int(rng.integers(0, 3)))
        theirs = tools.decode(tools.frPyObjects([ring.ravel().tolist()], height, width))[..., 0]
        np.testing.assert_array_equal(polygon_mask(ring, height, width), theirs > 0)
        mask = np.zeros((height, width), bool)
        try:
            coco_polygon(ring).paint(mask)  # by its part of the image only
        except DatasetError:
            continue  # without an area
        np.testing.assert_array_equal(mask, theirs > 0)


@pytest.fixture
def mixed(tmp_path):
    """Three images of different size with many instances, one of them empty, one a crowd."""
    rng = np.random.default_rng(4)

    class Mixed(Dataset):
        def load_mask(self, image_id):
            return self.image_info[image_id]["masks"], self.image_info[image_id]["class_ids"]

    dataset = Mixed()
    dataset.add_class("landslide", 1, "slide")
    dataset.add_class("landslide", 2, "flow")
    for index, (size, count) in enumerate((((37, 52), 5), ((64, 64), 0), ((20, 91), 3))):
        path = tmp_path / "pictures" / f"é {index}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imencode(".png", rng.integers(0, 255, (*size, 3), dtype=np.uint8))[1].tofile(path)
        masks = rng.random((*size, count)) > np.linspace(0.2, 0.999, max(count, 1))[:count]
        masks[0, 0] = masks[-1, -1] = True  # overlapping, at the corners
        class_ids = np.array([1, 2, -1, 2, 1][:count], np.int32)
        dataset.add_image("landslide", index, path, masks=masks, class_ids=class_ids)
    dataset.prepare()
    return dataset


def test_not_a_pixel_is_lost_on_the_way_to_coco_and_back(tmp_path, mixed):
    path = tmp_path / "labels" / "coco.json"
    write_coco_dataset(mixed, path, progress=False)
    content = json.loads(path.read_text())
    assert content["images"][0]["file_name"] == "../pictures/é 0.png"
    back = open_dataset(path)
    assert back.class_names == mixed.class_names and back.num_images == 3
    for image_id in range(3):
        np.testing.assert_array_equal(back.load_image(image_id), mixed.load_image(image_id))
        masks, class_ids = back.load_mask(image_id)
        np.testing.assert_array_equal(masks, mixed.load_mask(image_id)[0])
        np.testing.assert_array_equal(class_ids, mixed.load_mask(image_id)[1])
    write_coco_dataset(back, tmp_path / "labels" / "again.json", progress=False)
    assert json.loads((tmp_path / "labels" / "again.json").read_text()) == content


def test_cocos_own_tools_read_what_is_written(tmp_path, mixed):
    tools = pytest.importorskip("pycocotools.coco")
    write_coco_dataset(mixed, tmp_path / "coco.json", progress=False)
    read = tools.COCO(tmp_path / "coco.json")
    masks, class_ids = mixed.load_mask(0)
    for index, annotation in enumerate(read.loadAnns(read.getAnnIds(imgIds=1))):
        mask = read.annToMask(annotation)
        np.testing.assert_array_equal(mask > 0, masks[..., index])
        assert annotation["area"] == mask.sum()
        assert annotation["iscrowd"] == (class_ids[index] < 0)
        rows, columns = np.nonzero(mask)
        x, y, width, height = annotation["bbox"]
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)


def test_tiles_of_a_scene_are_no_files_for_coco(tmp_path, mixed):
    mixed.image_info[1]["path"] = None
    with pytest.raises(DatasetError, match="landslide-rcnn tile"):
        write_coco_dataset(mixed, tmp_path / "coco.json", progress=False)
    assert not (tmp_path / "coco.json").exists()


def test_more_entries_of_an_image(tmp_path):
    writer = CocoWriter(["slide"], "tiles")
    masks = np.zeros((4, 5, 1), bool)
    masks[1:3, 2] = True
    assert writer.add_image("a.tif", masks, np.array([1]), crs="EPSG:32648") == 1
    writer.write(tmp_path / "coco.json")
    content = json.loads((tmp_path / "coco.json").read_text())
    assert content["images"][0]["crs"] == "EPSG:32648"
    assert content["annotations"][0]["bbox"] == [2, 1, 1, 2]
    assert content["annotations"][0]["segmentation"] == {"size": [4, 5], "counts": "929"}


@needs_data("hokkaido")
@pytest.mark.parametrize(
    "name",
    [
        "hokkaido",
        "hokkaido/labelme",
        "mars_mmls/val",
        "bijie#val",
        pytest.param("bijie", marks=pytest.mark.slow),
        pytest.param("landslide4sense_rgb", marks=pytest.mark.slow),
    ],
)
def test_real_sets_lose_no_pixel_on_the_way_to_coco_and_back(tmp_path, name):
    dataset = open_dataset(f"{data_file('')}/{name}")
    write_coco_dataset(dataset, tmp_path / "coco.json", progress=False)
    back = open_dataset(tmp_path / "coco.json")
    assert back.num_images == dataset.num_images
    for image_id in dataset.image_ids:
        assert back.describe_image(image_id).endswith(dataset.image_info[image_id]["path"].name)
        masks, class_ids = dataset.load_mask(image_id)
        masks_back, class_ids_back = back.load_mask(image_id)
        np.testing.assert_array_equal(masks_back, masks)
        np.testing.assert_array_equal(class_ids_back, class_ids)
