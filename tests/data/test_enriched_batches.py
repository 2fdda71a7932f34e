"""Shares of background and of made-up samples in the batches; the same ones for the same seed."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from landslide_rcnn.config import Config
from landslide_rcnn.data.background import BackgroundEnhanced
from landslide_rcnn.data.batches import TrainingBatches
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.recipes import recipe
from landslide_rcnn.errors import ConfigError, DatasetError


class TinyConfig(Config):
    NAME = "tiny"
    BATCH_SIZE = 4
    NUM_CLASSES = 2
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 64
    MAX_GT_INSTANCES = 4
    MEAN_PIXEL = 0
    MINI_MASK_SHAPE = (16, 16)


class Numbered(Dataset):
    """Tiles whose pixels are their number + 1; the first ones have a landslide."""

    def __init__(self, landslides, backgrounds):
        super().__init__()
        self.add_class("made", 1, "landslide")
        self.landslides = landslides
        for index in range(landslides + backgrounds):
            self.add_image("made", index, None)
        self.prepare()
        self.loaded = 0

    def load_image(self, image_id):
        self.loaded += 1
        return np.full((64, 64, 3), image_id + 1, np.uint16)

    def load_mask(self, image_id):
        masks = np.zeros((64, 64, int(image_id < self.landslides)), bool)
        masks[16:32, 8:40] = True
        return masks, np.ones(masks.shape[-1], np.int32)


def epoch_of(batches, epoch=0):
    batches.set_epoch(epoch)
    images = np.concatenate([batch["image"][..., 0] for batch in batches]).astype(int) - 1
    class_ids = np.concatenate([batch["gt_class_ids"] for batch in batches])
    return images, class_ids


def test_the_share_of_background():
    dataset = Numbered(6, 30)
    batches = TrainingBatches(dataset, TinyConfig(BACKGROUND_SHARE=0.5))
    assert len(batches) == 3
    seen = set()
    for epoch in range(8):
        images, class_ids = epoch_of(batches, epoch)
        numbers = images[:, 0, 0]
        assert sorted(numbers[numbers < 6]) == list(range(6))
        assert ((numbers >= 6).reshape(3, 4).sum(axis=1) == 2).all()
        np.testing.assert_array_equal(class_ids.any(axis=1), numbers < 6)
        seen.update(numbers[numbers >= 6])
    assert len(seen) > 20
    assert len(TrainingBatches(dataset, TinyConfig(BACKGROUND_SHARE=0.0))) == 2
    assert len(TrainingBatches(dataset, TinyConfig())) == 9
    validation = TrainingBatches(dataset, TinyConfig(BACKGROUND_SHARE=0.5), enrich=False)
    assert len(validation) == 9


def test_spliced_and_cutmix_samples_at_their_shares():
    config = TinyConfig(BACKGROUND_ENHANCEMENT={"splice": 0.25, "cutmix": 0.25})
    batches = TrainingBatches(Numbered(4, 6), config, shuffle=False)
    assert len(batches) == 5  # 10 images of their own are half of it
    images, class_ids = epoch_of(batches)
    kinds = []
    for image, ids in zip(images, class_ids):
        corners = image[::32, ::32].ravel()  # a quarter each
        values = set(np.unique(image))
        if len(values) == 1:
            kinds.append("own")
            assert ids.any() == (values.pop() < 4)
        elif len(values) == 2:
            kinds.append("cutmix")
            assert min(values) < 4 <= max(values) and ids.tolist() == [1, 0, 0, 0]
            assert (image == min(values)).sum() == 16 * 32
        else:
            kinds.append("splice")
            assert sorted(corners < 4) == [False] * 3 + [True] and len(set(corners)) == 4
            assert ids.tolist() == [1, 0, 0, 0]
    assert [kinds.count(kind) for kind in ("own", "splice", "cutmix")] == [10, 5, 5]
    batch = batches[0]
    y1, x1, y2, x2 = batch["gt_boxes"][kinds.index("cutmix"), 0].astype(int)
    inside = images[kinds.index("cutmix"), y1:y2, x1:x2]
    assert inside.shape == (16, 32) and (inside < 4).all()


@pytest.mark.parametrize("name", ["jiuzhaigou", "fcn_fl", "pspnet"])
def test_two_trainings_of_one_seed_see_the_same(name):
    config = TinyConfig(BACKGROUND_SHARE=0.2, BACKGROUND_ENHANCEMENT={"splice": 0.2, "cutmix": 0.2})

    def epochs(seed, workers):
        dataset = BackgroundEnhanced(Numbered(3, 4), splice=2, cutmix=2)
        batches = TrainingBatches(
            dataset, config, augment=True, augmentation=recipe(name), seed=seed
        )
        made = []
        for epoch in range(2):
            batches.set_epoch(epoch)
            with ThreadPoolExecutor(workers) as pool:
                made += list(pool.map(batches.__getitem__, range(len(batches))))
        return made

    first, again, other = epochs(1, 1), epochs(1, 3), epochs(2, 1)
    assert len(first) == len(again) == len(other)
    for one, two in zip(first, again):
        for key in one:
            np.testing.assert_array_equal(one[key], two[key])
    assert any(not np.array_equal(a["image"], b["image"]) for a, b in zip(first, other))


def test_memory_does_not_grow_with_the_dataset():
    def peak(count):
        batches = TrainingBatches(
            Numbered(count, count),
            TinyConfig(BACKGROUND_ENHANCEMENT={"splice": 0.2, "cutmix": 0.2}),
            augment=True,
        )
        batches[0]  # what is loaded once, such as libraries
        tracemalloc.start()
        for _ in batches:
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    # 90 tiles more are 4 MB more as float32; what is known of each image is a few bytes.
    assert peak(100) < peak(10) + 200_000


def test_instances_are_counted_once():
    dataset = Numbered(3, 3)
    batches = TrainingBatches(dataset, TinyConfig(BACKGROUND_SHARE=0.5))
    batches.verify(progress=False)
    assert dataset.instance_counts == [1, 1, 1, 0, 0, 0]
    loaded = dataset.loaded
    len(batches)
    assert dataset.loaded == loaded


def test_errors():
    enhanced = {"BACKGROUND_ENHANCEMENT": {"splice": 0.2}}
    for dataset, settings, message in (
        (Numbered(3, 0), {"BACKGROUND_SHARE": 0.3}, "none of them without landslides"),
        (Numbered(0, 3), {"BACKGROUND_SHARE": 0.0}, "none of them with landslides"),
        (Numbered(3, 0), enhanced, "none of them without landslides"),
    ):
        with pytest.raises(DatasetError, match=message):
            len(TrainingBatches(dataset, TinyConfig(**settings)))
    assert len(TrainingBatches(Numbered(3, 0), TinyConfig(BACKGROUND_SHARE=0.0))) == 1


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"BACKGROUND_SHARE": 1.0}, "BACKGROUND_SHARE.*add up to 0.9"),
        ({"BACKGROUND_SHARE": -0.1}, "BACKGROUND_SHARE=-0.1"),
        ({"BACKGROUND_ENHANCEMENT": {"mosaic": 0.1}}, "must name shares of splice and cutmix"),
        ({"BACKGROUND_ENHANCEMENT": 0.3}, "must name shares of splice and cutmix"),
        (
            {"BACKGROUND_SHARE": 0.5, "BACKGROUND_ENHANCEMENT": {"splice": 0.5}},
            "BACKGROUND_SHARE, with the shares of BACKGROUND_ENHANCEMENT",
        ),
        ({"IMAGERY_BANDS": [0, 3]}, r"IMAGERY_BANDS=\[0, 3\]"),
        ({"IMAGERY_BANDS": [0, 0]}, r"IMAGERY_BANDS=\[0, 0\]"),
        ({"CLASS_WEIGHTS": [1]}, r"NUM_CLASSES=2, CLASS_WEIGHTS=\[1\]"),
        ({"CLASS_WEIGHTS": [0, 0]}, "CLASS_WEIGHTS"),
        ({"MASK_LOSS": "iou"}, "MASK_LOSS must be one of bce, focal, dice"),
    ],
)
def test_settings_that_cannot_work(settings, message):
    with pytest.raises(ConfigError, match=message):
        TinyConfig(**settings)
