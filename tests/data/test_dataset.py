"""`Dataset`: matterport's API, reading image files, and checking them all before training."""

import cv2
import numpy as np
import pytest
from skimage.draw import polygon

from landslide_rcnn.data.dataset import Dataset, match_channels, read_image_file
from landslide_rcnn.errors import DatasetError
from landslide_rcnn.utils import Dataset as UtilsDataset

rasterio = pytest.importorskip("rasterio")


class BalloonDataset(UtilsDataset):
    """Written as matterport's sample: polygons in `add_image`, drawn in `load_mask`."""

    def load_balloon(self, folder):
        self.add_class("balloon", 1, "balloon")
        self.add_image(
            "balloon",
            image_id="a.jpg",
            path=str(folder / "a.jpg"),
            width=40,
            height=30,
            polygons=[
                {"all_points_x": [5, 15, 15, 5], "all_points_y": [5, 5, 20, 20]},
                {"all_points_x": [20, 35, 35, 20], "all_points_y": [10, 10, 14, 14]},
            ],
        )

    def load_mask(self, image_id):
        image_info = self.image_info[image_id]
        if image_info["source"] != "balloon":
            return super(self.__class__, self).load_mask(image_id)
        info = self.image_info[image_id]
        mask = np.zeros([info["height"], info["width"], len(info["polygons"])], dtype=np.uint8)
        for i, p in enumerate(info["polygons"]):
            rr, cc = polygon(p["all_points_y"], p["all_points_x"])
            mask[rr, cc, i] = 1
        return mask.astype(bool), np.ones([mask.shape[-1]], dtype=np.int32)

    def image_reference(self, image_id):
        info = self.image_info[image_id]
        if info["source"] == "balloon":
            return info["path"]
        return super(self.__class__, self).image_reference(image_id)


class ArrayDataset(Dataset):
    """Images that are arrays, with masks and class ids as given."""

    def __init__(self, samples):
        super().__init__()
        self.samples = samples
        self.add_class("made", 1, "landslide")
        for index in range(len(samples)):
            self.add_image("made", index, None)
        self.prepare()

    def load_image(self, image_id):
        return self.samples[image_id][0]

    def load_mask(self, image_id):
        return self.samples[image_id][1:]


def write_png(path, array):
    """Write an RGB(A) or grey array; OpenCV's order is the reverse."""
    order = [2, 1, 0, 3][: array.shape[-1]] if array.ndim == 3 else None
    assert cv2.imwrite(str(path), array if order is None else array[..., order])
    return path


@pytest.fixture
def balloons(tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((30, 40, 3), 90, np.uint8))
    dataset = BalloonDataset()
    dataset.load_balloon(tmp_path)
    dataset.prepare()
    return dataset


def test_a_matterport_subclass_works(balloons, tmp_path):
    assert balloons.image_ids.tolist() == [0] and balloons.num_images == 1
    assert balloons.class_names == ["BG", "balloon"] and balloons.num_classes == 2
    assert balloons.image_reference(0) == str(tmp_path / "a.jpg")
    assert balloons.load_image(0).shape == (30, 40, 3)
    masks, class_ids = balloons.load_mask(0)
    # skimage draws both ends of a polygon: 11 x 16 and 16 x 5 pixels.
    assert masks.sum(axis=(0, 1)).tolist() == [11 * 16, 16 * 5] and class_ids.tolist() == [1, 1]
    counts = balloons.verify(progress=False)
    assert counts["instances"] == 2 and counts["images_without_instances"] == 0


def test_classes_and_sources():
    dataset = Dataset()
    dataset.add_class("coco", 12, "stop sign,sign")
    dataset.add_class("field", 1, "landslide")
    dataset.add_class("field", 1, "again")
    dataset.add_class("field", 7, "scar")
    dataset.add_image("field", "x", "x.png", date="2017-08-08")
    dataset.prepare()
    assert dataset.class_names == ["BG", "stop sign", "landslide", "scar"]
    assert dataset.class_ids.tolist() == [0, 1, 2, 3]
    assert dataset.map_source_class_id("coco.12") == 1
    assert dataset.class_from_source_map == {".0": 0, "coco.12": 1, "field.1": 2, "field.7": 3}
    assert dataset.image_from_source_map == {"field.x": 0}
    assert dataset.get_source_class_id(3, "field") == 7
    assert dataset.source_class_ids == {"": [0], "coco": [0, 1], "field": [0, 2, 3]}
    assert dataset.sources == ["", "coco", "field"]
    assert dataset.image_info == [
        {"id": "x", "source": "field", "path": "x.png", "date": "2017-08-08"}
    ]
    assert dataset.source_image_link(0) == "x.png"
    with pytest.raises(DatasetError, match="own source only. Received: class 3 of source 'field'"):
        dataset.get_source_class_id(3, "coco")
    with pytest.raises(DatasetError, match=r"full stop. Received: source='a.b'"):
        dataset.add_class("a.b", 1, "x")


def test_base_masks_have_the_image_size(tmp_path):
    dataset = Dataset()
    dataset.add_image("s", "a", write_png(tmp_path / "a.png", np.zeros((4, 6, 3), np.uint8)))
    dataset.prepare()
    masks, class_ids = dataset.load_mask(0)
    assert masks.shape == (4, 6, 0) and masks.dtype == bool
    assert class_ids.shape == (0,) and class_ids.dtype == np.int32
    assert dataset.load_valid_mask(0).tolist() == [[True] * 6] * 4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pngs_keep_colours_and_depth(tmp_path, dtype):
    rgb = np.arange(4 * 5 * 3).reshape(4, 5, 3).astype(dtype) * 3
    image = read_image_file(write_png(tmp_path / "rgb.png", rgb))
    np.testing.assert_array_equal(image, rgb)
    assert image.dtype == dtype
    grey = read_image_file(write_png(tmp_path / "grey.png", rgb[..., 0]))
    np.testing.assert_array_equal(grey, rgb[..., :1])


def test_the_alpha_of_a_png_is_dropped(tmp_path):
    rgba = np.random.default_rng(0).integers(0, 255, (4, 5, 4), np.uint8)
    image = read_image_file(write_png(tmp_path / "rgba.png", rgba))
    np.testing.assert_array_equal(image, rgba[..., :3])


def test_a_geotiff_keeps_its_bands_and_knows_its_valid_pixels(tmp_path):
    bands = np.random.default_rng(0).integers(1, 999, (7, 16, 16), np.uint16)
    bands[:, :, :5] = 0
    profile = {"driver": "GTiff", "height": 16, "width": 16, "count": 7, "dtype": "uint16"}
    path = tmp_path / "tile.tif"
    with rasterio.open(path, "w", nodata=0, **profile) as file:
        file.write(bands)
    dataset = Dataset()
    dataset.add_image("s", "tile", path)
    dataset.prepare()
    np.testing.assert_array_equal(dataset.load_image(0), bands.transpose(1, 2, 0))
    valid = dataset.load_valid_mask(0)
    assert not valid[:, :5].any() and valid[:, 5:].all()


def test_own_load_image_makes_every_pixel_valid(tmp_path):
    class Fused(Dataset):
        def load_image(self, image_id):
            return np.zeros((3, 2, 5))

    dataset = Fused()
    dataset.add_image("s", "a", tmp_path / "not_read.tif")
    dataset.prepare()
    assert dataset.load_valid_mask(0).shape == (3, 2) and dataset.load_valid_mask(0).all()


def test_match_channels():
    grey = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(match_channels(grey, 3, "g"), np.stack([grey] * 3, axis=-1))
    assert match_channels(grey, 1, "g").shape == (2, 3, 1)
    with pytest.raises(DatasetError, match=r"t.tif: .* Received: 4 channels.*COUNT=3.*COUNT=4"):
        match_channels(np.zeros((2, 3, 4)), 3, "t.tif")


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(DatasetError, match="missing.png: No such file"):
        read_image_file(tmp_path / "missing.png")
    for name in ("text.png", "text.jpg", "text.tif"):
        (tmp_path / name).write_text("not an image")
        with pytest.raises(DatasetError, match=f"Received: .*{name}"):
            read_image_file(tmp_path / name)
    (tmp_path / "empty.png").touch()
    with pytest.raises(DatasetError, match=r"empty.png \(0 bytes\)"):
        read_image_file(tmp_path / "empty.png")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    whole = write_png(tmp_path / "whole.png", noise).read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match="half.png .*damaged.*Replace or remove it"):
        read_image_file(tmp_path / "half.png")


def test_verify_names_every_bad_file_at_once(tmp_path):
    class Tiles(Dataset):
        def load_mask(self, image_id):
            kind = self.image_info[image_id]["id"]
            if kind == "polygon outside":
                raise IndexError("index 99 is out of bounds")
            size = (4, 4) if kind == "small mask" else (8, 8)
            return np.ones((*size, 1), bool), np.array([5 if kind == "class 5" else 1])

    dataset = Tiles()
    dataset.add_class("s", 1, "landslide")
    good = write_png(tmp_path / "good.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "broken.png").write_text("x")
    dataset.add_image("s", "good", good)
    dataset.add_image("s", "broken", tmp_path / "broken.png")
    for kind in ("small mask", "class 5", "polygon outside"):
        path = write_png(tmp_path / f"{kind}.png", np.zeros((8, 8, 3), np.uint8))
        dataset.add_image("s", kind, path)
    dataset.prepare()
    with pytest.raises(DatasetError) as caught:
        dataset.verify(progress=False)
    message = str(caught.value)
    assert "4 of 5" in message and "good.png" not in message and "\n" not in message
    assert "broken.png" in message
    assert "small mask.png: image and masks must have one height and width" in message
    assert "class 5.png: class ids must be 1 to 1" in message and "Received: [5]" in message
    assert "polygon outside.png: index 99 is out of bounds" in message


def test_verify_counts_and_checks_channels():
    image, none = np.zeros((8, 8, 3)), np.zeros((8, 8, 0), bool)
    two = np.zeros((8, 8, 2), bool)
    dataset = ArrayDataset(
        [(image, two, np.array([1, -1])), (image, none, np.zeros(0, int))] * 3
    )  # fmt: skip
    assert dataset.verify(progress=False, channel_count=3) == {
        "images": 6,
        "images_without_instances": 3,
        "instances": 6,
        "fragments_left_out": 0,
    }
    with pytest.raises(DatasetError, match="6 of 6.*made image 0.*Received: 3 channels"):
        dataset.verify(progress=False, channel_count=4)


@pytest.mark.parametrize(
    "sample, message",
    [
        ((np.zeros((8, 8, 1)), np.zeros((8, 8, 2), bool), [1]), "2 masks, 1 class ids"),
        ((np.zeros((8, 8, 1)), np.zeros((8, 8, 1), bool), [0]), r"Received: \[0\]"),
        ((np.zeros((8, 8, 1)), np.zeros((8, 8), bool), [1]), r"masks \(8, 8\)"),
        ((np.full((8, 8, 1), np.nan), np.zeros((8, 8, 0), bool), []), "NaN or infinity"),
    ],
)
def test_verify_messages(sample, message):
    with pytest.raises(DatasetError, match=message):
        ArrayDataset([sample]).verify(progress=False)


def test_verify_of_nothing():
    with pytest.raises(DatasetError, match="at least one image. Received: 0 images"):
        Dataset().verify()


def test_an_image_without_path_says_so():
    dataset = Dataset()
    dataset.add_image("shapes", 3, None)
    with pytest.raises(DatasetError, match="shapes image 3 was added without a path"):
        dataset.load_image(0)
