"""Batches: what is in them, that nothing is missing, and that they can be made again."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide_rcnn.config import Config
from landslide_rcnn.data.augment import dihedral
from landslide_rcnn.data.batches import TrainingBatches
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.masks import expand_mask
from landslide_rcnn.data.samples import load_sample, resize_sample
from landslide_rcnn.errors import ConfigError, DatasetError


class TinyConfig(Config):
    NAME = "tiny"
    IMAGES_PER_GPU = 2
    NUM_CLASSES = 3
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 64
    MAX_GT_INSTANCES = 4
    MEAN_PIXEL = np.array([10.0, 20.0, 30.0])
    STD_PIXEL = np.array([2.0, 4.0, 5.0])
    MINI_MASK_SHAPE = (16, 16)


class Made(Dataset):
    """Images whose first pixel's value is their number, with masks as given."""

    def __init__(self, count=5, size=(64, 64), masks=None, class_ids=None, channels=3, valid=None):
        super().__init__()
        self.add_class("made", 1, "landslide")
        self.add_class("other", 1, "road")
        self.size, self.channels, self.valid = size, channels, valid
        self.masks = np.zeros((*size, 0), bool) if masks is None else masks
        self.ids = np.ones(self.masks.shape[-1], np.int32) if class_ids is None else class_ids
        for index in range(count):
            self.add_image("made", index, None)
        self.prepare()

    def load_image(self, image_id):
        rng = np.random.default_rng(image_id)
        image = rng.integers(100, 255, (*self.size, self.channels), np.uint8)
        image[0, 0] = image_id
        return image

    def load_mask(self, image_id):
        return self.masks, self.ids

    def load_valid_mask(self, image_id):
        return np.ones(self.size, bool) if self.valid is None else self.valid


@pytest.fixture
def two_masks():
    masks = np.zeros((64, 64, 2), bool)
    masks[10:26, 20:36, 0] = np.random.default_rng(0).random((16, 16)) < 0.6
    masks[10, 20, 0] = masks[25, 35, 0] = True  # so that the box is the whole square
    masks[40:50, 1:30, 1] = True
    return masks


def numbers(batch, config):
    """Return the image numbers of a batch, from their first pixels."""
    return np.rint(batch["image"][:, 0, 0, 0] * config.STD_PIXEL[0] + config.MEAN_PIXEL[0])


def test_a_batch_by_hand(two_masks):
    config = TinyConfig()
    dataset = Made(2, masks=two_masks, class_ids=np.array([1, -2], np.int32))
    batch = TrainingBatches(dataset, config, shuffle=False)[0]
    assert {key: (value.shape, value.dtype.name) for key, value in batch.items()} == {
        "image": ((2, 64, 64, 3), "float32"),
        "gt_class_ids": ((2, 4), "int32"),
        "gt_boxes": ((2, 4, 4), "float32"),
        "gt_masks": ((2, 4, 16, 16), "uint8"),
        "active_class_ids": ((2, 3), "int32"),
    }
    for index in range(2):
        expected = (dataset.load_image(index) - np.array([10, 20, 30])) / np.array([2, 4, 5])
        np.testing.assert_allclose(batch["image"][index], expected, rtol=1e-6)
        assert batch["gt_class_ids"][index].tolist() == [1, -2, 0, 0]
        boxes = [[10, 20, 26, 36], [40, 1, 50, 30], [0] * 4, [0] * 4]
        assert batch["gt_boxes"][index].tolist() == boxes
        np.testing.assert_array_equal(batch["gt_masks"][index, 0], two_masks[10:26, 20:36, 0])
        assert (batch["gt_masks"][index, 1] == 1).all()
        assert not batch["gt_masks"][index, 2:].any()
        assert batch["active_class_ids"][index].tolist() == [1, 1, 0]


def test_full_size_masks(two_masks):
    config = TinyConfig(USE_MINI_MASK=False)
    batch = TrainingBatches(Made(1, masks=two_masks), config, batch_size=1)[0]
    assert batch["gt_masks"].shape == (1, 4, 64, 64)
    np.testing.assert_array_equal(batch["gt_masks"][0, :2], two_masks.transpose(2, 0, 1))


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 20), batch_size=st.integers(1, 7), shuffle=st.booleans())
def test_every_image_once_an_epoch(count, batch_size, shuffle):
    config = TinyConfig()
    dataset = Made(count)
    batches = TrainingBatches(dataset, config, batch_size=batch_size, shuffle=shuffle)
    for _ in range(2):
        seen = np.concatenate([numbers(batch, config) for batch in batches])
        assert len(seen) == len(batches) * batch_size
        assert sorted(seen[:count]) == list(range(count))
        # The last batch is filled up from the start, whatever that takes.
        np.testing.assert_array_equal(seen, np.resize(seen[:count], len(seen)))
        if not shuffle:
            assert seen[:count].tolist() == list(range(count))
        batches.on_epoch_end()


def test_orders_differ_between_epochs_and_seeds():
    config, dataset = TinyConfig(), Made(12)

    def order(seed, epoch):
        batches = TrainingBatches(dataset, config, seed=seed)
        batches.set_epoch(epoch)
        return tuple(np.concatenate([numbers(batch, config) for batch in batches]))

    assert len({order(0, 0), order(0, 1), order(1, 0), order(1, 1)}) == 4
    assert order(1, 1) == order(1, 1)


def test_the_same_whatever_the_workers(two_masks):
    config, dataset = TinyConfig(MAX_GT_INSTANCES=1), Made(9, masks=two_masks)
    iaa = pytest.importorskip("imgaug.augmenters")
    augmentation = iaa.Sequential([iaa.Affine(rotate=(-20, 20)), iaa.Multiply((0.7, 1.3))])

    def make():
        return TrainingBatches(dataset, config, augment=True, augmentation=augmentation, seed=5)

    one = make()
    expected = [one[index] for index in range(len(one))]
    many = make()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(many.__getitem__, reversed(range(len(many)))))[::-1]
    for first, second in zip(expected, made):
        for key in first:
            np.testing.assert_array_equal(first[key], second[key])
    # The instance that MAX_GT_INSTANCES leaves is not the same everywhere.
    assert len({batch["gt_boxes"].tobytes() for batch in expected}) > 1


def test_images_without_instances_are_batched():
    batch = TrainingBatches(Made(2), TinyConfig())[0]
    assert not batch["gt_class_ids"].any() and not batch["gt_boxes"].any()
    assert not batch["gt_masks"].any() and batch["gt_masks"].shape == (2, 4, 16, 16)
    assert batch["image"].any()


def test_turns_move_image_boxes_and_masks_together(two_masks):
    config = TinyConfig()
    dataset = Made(1, masks=two_masks[..., :1])
    batches = TrainingBatches(dataset, config, augment=True, batch_size=1)
    plain = (dataset.load_image(0) - config.MEAN_PIXEL) / config.STD_PIXEL
    ways = set()
    for epoch in range(40):
        batches.set_epoch(epoch)
        batch = batches[0]
        k = next(k for k in range(8) if np.allclose(dihedral(plain, k), batch["image"][0]))
        box = batch["gt_boxes"][0, :1].astype(int)
        mask = expand_mask(box, batch["gt_masks"][0, :1].transpose(1, 2, 0), (64, 64))
        np.testing.assert_array_equal(mask, dihedral(two_masks[..., :1], k))
        ways.add(k)
    assert ways == set(range(8))


def test_oblong_images_keep_their_shape():
    config = TinyConfig(IMAGE_RESIZE_MODE="pad64")
    batches = TrainingBatches(Made(1, size=(64, 100)), config, augment=True, batch_size=4)
    images = [batches[0]["image"]]
    for epoch in range(1, 6):
        batches.set_epoch(epoch)
        images.append(batches[0]["image"])
    assert {image.shape for image in images} == {(4, 64, 128, 3)}
    assert len({image.tobytes() for stack in images for image in stack}) == 4


def test_invalid_and_padded_pixels_are_the_mean():
    valid = np.ones((32, 64), bool)
    valid[:, :10] = False
    dataset = Made(1, size=(32, 64), valid=valid)
    image = TrainingBatches(dataset, TinyConfig(), batch_size=1)[0]["image"][0]
    expected = np.zeros((64, 64), bool)
    expected[16:48, 10:] = True
    np.testing.assert_array_equal((image != 0).any(axis=-1), expected)


def test_no_invalid_value_is_mixed_into_valid_pixels():
    class Nodata(Made):
        def load_image(self, image_id):
            return np.where(self.valid[..., None], 50.0, np.nan) * np.ones(3)

    valid = np.ones((48, 48), bool)
    valid[:, 24:] = False
    dataset = Nodata(1, size=(48, 48), valid=valid)
    config = TinyConfig()
    sample = resize_sample(load_sample(dataset, config, 0), config)
    assert sample.image.shape == (64, 64, 3)
    assert (sample.image[sample.valid] == 50).all()
    assert sample.valid[:, :31].all() and not sample.valid[:, 33:].any()


def test_masks_and_images_shrink_together():
    masks = np.zeros((128, 128, 1), bool)
    masks[32:64, 64:128] = True
    batch = TrainingBatches(Made(1, size=(128, 128), masks=masks), TinyConfig(), batch_size=1)[0]
    assert batch["gt_boxes"][0, 0].tolist() == [16, 32, 32, 64]


def test_what_is_left_out_is_counted():
    masks = np.zeros((256, 256, 8), bool)
    for index in range(6):
        masks[:40, 40 * index : 40 * index + 40, index] = True
    masks[200, 200, 6] = True  # less than half of a pixel after resizing; number 7 is empty
    batches = TrainingBatches(Made(1, size=(256, 256), masks=masks), TinyConfig(), batch_size=1)
    kept = set()
    for epoch in range(10):
        batches.set_epoch(epoch)
        batch = batches[0]
        assert batch["gt_class_ids"].tolist() == [[1, 1, 1, 1]]
        assert np.unique(batch["gt_boxes"][0, :, 1]).size == 4
        kept.update(batch["gt_boxes"][0, :, 1])
    assert batches.counts == {"instances_without_pixels": 20, "instances_over_limit": 20}
    assert len(kept) == 6  # another choice each time


def test_sources_without_augmentation(two_masks):
    config, dataset = TinyConfig(), Made(6, masks=two_masks)
    iaa = pytest.importorskip("imgaug.augmenters")
    batches = TrainingBatches(
        dataset,
        config,
        shuffle=False,
        augment=True,
        augmentation=iaa.Add(30),
        no_augmentation_sources=["made"],
    )
    plain = TrainingBatches(dataset, config, shuffle=False)
    for one, other in zip(batches, plain):
        np.testing.assert_array_equal(one["image"], other["image"])


def test_imgaug_comes_in_before_normalisation():
    config, dataset = TinyConfig(), Made(1)
    iaa = pytest.importorskip("imgaug.augmenters")
    batch = TrainingBatches(dataset, config, batch_size=1, augmentation=iaa.Multiply(0.5))[0]
    halved = np.clip(np.rint(dataset.load_image(0) * 0.5), 0, 255)
    difference = batch["image"][0] * config.STD_PIXEL + config.MEAN_PIXEL - halved
    assert np.abs(difference).max() <= 1


def test_what_imgaug_brings_in_from_outside_is_the_mean():
    iaa = pytest.importorskip("imgaug.augmenters")
    shift = iaa.Affine(translate_px={"x": 16}, order=0)
    image = TrainingBatches(Made(1), TinyConfig(), batch_size=1, augmentation=shift)[0]["image"][0]
    assert not image[:, :16].any() and (image[:, 16:] != 0).any(axis=-1).all()


def test_grey_serves_as_rgb_and_other_bands_are_an_error():
    batch = TrainingBatches(Made(2, channels=1), TinyConfig())[0]
    raw = batch["image"] * TinyConfig.STD_PIXEL + TinyConfig.MEAN_PIXEL
    np.testing.assert_allclose(raw[..., 0], raw[..., 2], rtol=1e-5)
    batches = TrainingBatches(Made(2, channels=4), TinyConfig())
    message = "made image .: .*Received: 4 channels, IMAGE_CHANNEL_COUNT=3. Use .*COUNT=4"
    with pytest.raises(DatasetError, match=message):
        batches[0]
    with pytest.raises(DatasetError, match="2 of 2"):
        batches.verify(progress=False)
    config = TinyConfig(IMAGE_CHANNEL_COUNT=4, MEAN_PIXEL=100, STD_PIXEL=50)
    assert TrainingBatches(Made(2, channels=4), config)[0]["image"].shape == (2, 64, 64, 4)


def test_errors(two_masks):
    with pytest.raises(DatasetError, match="at least one image"):
        TrainingBatches(Dataset(), TinyConfig())
    with pytest.raises(DatasetError, match="NUM_CLASSES=2, classes.*Use NUM_CLASSES=3"):
        TrainingBatches(Made(1), TinyConfig(NUM_CLASSES=2))
    with pytest.raises(ConfigError, match="batch size must be positive. Received: 0"):
        TrainingBatches(Made(1), TinyConfig(), batch_size=0)
    with pytest.raises(IndexError, match="There are 3 batches. Received: index 3"):
        TrainingBatches(Made(5), TinyConfig())[3]
    with pytest.raises(DatasetError, match="must have one height and width"):
        TrainingBatches(Made(1, size=(60, 64), masks=two_masks), TinyConfig())[0]


def test_sizes_must_agree_within_a_batch():
    class Sizes(Made):
        def load_image(self, image_id):
            return np.zeros((64, 64 * (image_id + 1), 3), np.uint8)

        def load_mask(self, image_id):
            return Dataset.load_mask(self, image_id)

        def load_valid_mask(self, image_id):
            return Dataset.load_valid_mask(self, image_id)

    batches = TrainingBatches(Sizes(2), TinyConfig(IMAGE_RESIZE_MODE="pad64"))
    with pytest.raises(DatasetError, match="must have one size.*IMAGE_RESIZE_MODE='square'"):
        batches[0]
