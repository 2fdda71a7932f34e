"""Mask images: one class or instance ids, values that are neither, and Landslide4Sense's files."""

import cv2
import h5py
import numpy as np
import pytest

from landslide_rcnn.data.image_files import LANDSLIDE4SENSE_BANDS, read_image_file
from landslide_rcnn.data.mask_files import instances_of, kind_of_values, read_mask_file
from landslide_rcnn.data.readers import open_dataset
from landslide_rcnn.errors import DatasetError

SIZE = (20, 30)


def two_blocks(first, second, dtype=np.uint8):
    """Two blocks of `first` (20 and 30 px) and one of `second` (40 px)."""
    values = np.zeros(SIZE, dtype)
    values[0:4, 0:5] = values[10:15, 0:6] = first
    values[0:4, 10:20] = second
    return values


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.mark.parametrize("value", [1, 255, 128])
def test_one_value_is_one_class(tmp_path, value):
    path = save(tmp_path / "m.png", two_blocks(value, value))
    masks, left_out = instances_of(read_mask_file(path), path, 25)
    assert masks.sum(axis=(0, 1)).tolist() == [40, 30] and left_out == 1


@pytest.mark.parametrize("dtype, second", [(np.uint8, 7), (np.uint16, 255), (np.uint16, 999)])
def test_several_values_are_instance_ids(tmp_path, dtype, second):
    path = save(tmp_path / "m.png", two_blocks(2, second, dtype))
    masks, left_out = instances_of(read_mask_file(path), path, 10)
    assert masks.sum(axis=(0, 1)).tolist() == [50, 40] and left_out == 0  # two parts, one id
    masks, left_out = instances_of(read_mask_file(path), path, 45)
    assert masks.sum(axis=(0, 1)).tolist() == [50] and left_out == 1
    components, _ = instances_of(read_mask_file(path), path, 10, "components")
    assert components.sum(axis=(0, 1)).tolist() == [20, 40, 30]
    with pytest.raises(DatasetError, match="components or ids. Received: 'id'"):
        save(tmp_path / "d/image/m.png", np.zeros(SIZE, np.uint8))
        save(tmp_path / "d/mask/m.png", np.zeros(SIZE, np.uint8))
        open_dataset(f"{tmp_path}/d?instances=id")


def test_ids_may_be_asked_for(tmp_path):
    save(tmp_path / "image/m.png", np.zeros((*SIZE, 3), np.uint8))
    save(tmp_path / "mask/m.png", two_blocks(1, 1))
    assert open_dataset(tmp_path).load_mask(0)[0].shape[-1] == 3
    dataset = open_dataset(f"{tmp_path}?instances=ids")
    assert dataset.load_mask(0)[0].sum(axis=(0, 1)).tolist() == [90]


def test_a_coloured_mask_is_one_class(tmp_path):
    red = np.zeros((*SIZE, 3), np.uint8)
    red[2:6, 2:8, 2] = 128
    masks, _ = instances_of(read_mask_file(save(tmp_path / "m.png", red)), "m", 10)
    assert masks.sum(axis=(0, 1)).tolist() == [24]


def test_grey_values_are_refused(tmp_path):
    smooth = cv2.GaussianBlur(two_blocks(255, 255), (0, 0), 1)
    for values in (smooth, smooth // 2, two_blocks(1, 255), two_blocks(-3, 2, np.int16)):
        with pytest.raises(DatasetError, match="m.png: a mask is 0/1, 0/255 or instance ids. Rec"):
            kind_of_values(values, "m.png", 10)
    fractions = two_blocks(0.5, 1, np.float32)
    with pytest.raises(DatasetError, match="Received: fractions"):
        read_mask_file(save(tmp_path / "m.tif", fractions))
    save(tmp_path / "image/a.png", np.zeros((*SIZE, 3), np.uint8))
    save(tmp_path / "mask/a.jpg", smooth)
    with pytest.raises(DatasetError, match=r"mask/a.jpg: a mask is .*values besides 0 \("):
        open_dataset(tmp_path).verify(progress=False)
    assert open_dataset(f"{tmp_path}?instances=components").verify(progress=False)["instances"]


def write_h5(path, name, array, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file[name] = array
        for key, value in more.items():
            file[key] = value
    return path


def test_landslide4sense(tmp_path, rng):
    pixels = rng.normal(1, 0.5, (2, 128, 128, 14))
    mask = np.zeros((128, 128), np.uint8)
    mask[10:20, 30:50] = mask[60:70, 60:70] = 1
    for index in (1, 2):
        write_h5(tmp_path / f"TrainData/img/image_{index}.h5", "img", pixels[index - 1])
        write_h5(tmp_path / f"TrainData/mask/mask_{index}.h5", "mask", mask * (index - 1))
    dataset = open_dataset(tmp_path / "TrainData")
    assert dataset.band_names == LANDSLIDE4SENSE_BANDS and len(dataset.band_names) == 14
    assert dataset.pixel_size_m == 10
    np.testing.assert_array_equal(dataset.load_image(1), pixels[1])
    assert dataset.load_mask(0)[0].shape == (128, 128, 0)
    assert dataset.load_mask(1)[0].sum(axis=(0, 1)).tolist() == [200, 100]
    assert dataset.verify(progress=False, channel_count=14)["instances"] == 2


def test_other_hdf5_files_are_refused(tmp_path, rng):
    good = write_h5(tmp_path / "good.h5", "img", rng.random((8, 8, 14)))
    assert read_image_file(good).shape == (8, 8, 14)
    for path, text in (
        (write_h5(tmp_path / "b.h5", "pixels", np.zeros((8, 8))), "img or mask. .* with pixels"),
        (write_h5(tmp_path / "c.h5", "img", np.zeros(3)), r"\[H, W\] or .*\(3,\) float64"),
        (write_h5(tmp_path / "d.h5", "img", h5py.ExternalLink("good.h5", "img")), "with img"),
        (write_h5(tmp_path / "e.h5", "img", np.zeros((2, 2)), mask=np.zeros((2, 2))), "img, mask"),
        (tmp_path / "gone.h5", "must be readable"),
    ):
        with pytest.raises(DatasetError, match=text):
            read_image_file(path)
    good.write_bytes(good.read_bytes()[:3000])
    with pytest.raises(DatasetError, match="good.h5"):
        read_image_file(good)
