"""Batches of class maps: what is painted, what is not valid, and that the rest is as in batches."""

import numpy as np
import pytest

from landslide_rcnn.data.batches import TrainingBatches
from landslide_rcnn.data.semantic_batches import SemanticBatches
from tests.data.test_batches import Made, TinyConfig


def square(y, x, size):
    mask = np.zeros((64, 64), bool)
    mask[y : y + size, x : x + size] = True
    return mask


def only(batches):
    return {name: values[0] for name, values in batches[0].items()}


def test_classes_are_painted_and_crowds_are_not_valid():
    masks = np.stack([square(0, 0, 20), square(10, 10, 20), square(40, 40, 8)], -1)
    dataset = Made(count=2, masks=masks, class_ids=np.array([1, 2, -1], np.int32))
    sample = only(SemanticBatches(dataset, TinyConfig(), shuffle=False))
    assert sample["class_map"].dtype == np.int32 and set(sample) == {
        "image",
        "class_map",
        "valid_mask",
    }
    expected = np.zeros((64, 64), int)
    expected[:20, :20] = 1
    expected[10:30, 10:30] = 2  # the later one where two overlap
    np.testing.assert_array_equal(sample["class_map"], expected)
    np.testing.assert_array_equal(sample["valid_mask"], ~square(40, 40, 8))


def test_padding_and_nodata_are_not_valid():
    valid = np.ones((48, 64), bool)
    valid[:, :5] = False
    dataset = Made(count=2, size=(48, 64), valid=valid)
    sample = only(SemanticBatches(dataset, TinyConfig(), shuffle=False))
    expected = np.zeros((64, 64), bool)
    expected[8:56, 5:] = True  # 48 rows in the middle of 64
    np.testing.assert_array_equal(sample["valid_mask"], expected)
    assert (sample["image"][~expected] == 0).all() and (sample["class_map"] == 0).all()


def test_every_image_is_seen_and_more_instances_than_a_detector_takes():
    masks = np.stack([square(8 * i, 8 * j, 4) for i in range(4) for j in range(4)], -1)
    batches = SemanticBatches(Made(count=5, masks=masks), TinyConfig(), seed=3)
    seen = [i for b in range(len(batches)) for i in batches.image_ids_of(b)]
    assert set(seen) == set(range(5))
    assert TinyConfig.MAX_GT_INSTANCES == 4 and (batches[0]["class_map"] == 1).sum() == 2 * 16 * 16


@pytest.mark.parametrize("options", [{}, {"augment": True}])
def test_images_and_labels_are_those_of_the_detectors_batches(options):
    masks = np.stack([square(3, 5, 20), square(40, 30, 9)], -1)
    dataset, config = Made(count=4, masks=masks), TinyConfig(USE_MINI_MASK=False)
    for epoch in (0, 1):
        pair = [
            kind(dataset, config, seed=7, **options) for kind in (TrainingBatches, SemanticBatches)
        ]
        for batches in pair:
            batches.set_epoch(epoch)
        for detector, semantic in zip(*pair):
            np.testing.assert_array_equal(detector["image"], semantic["image"])
            np.testing.assert_array_equal(
                detector["gt_masks"].any(axis=1), semantic["class_map"] == 1
            )
            assert semantic["valid_mask"].all()


def test_enriched_samples_are_painted_too():
    class Mixed(Made):
        def load_mask(self, image_id):
            none = np.zeros((*self.size, 0), bool), np.zeros(0, np.int32)
            return none if image_id >= 2 else super().load_mask(image_id)

    dataset = Mixed(count=6, masks=square(0, 0, 32)[..., None])
    config = TinyConfig(BATCH_SIZE=4, BACKGROUND_ENHANCEMENT={"splice": 0.25, "cutmix": 0.25})
    [areas] = [b["class_map"].sum(axis=(1, 2)) for b in list(SemanticBatches(dataset, config))[:1]]
    # A spliced tile is a quarter of its size; CutMix pastes the landslide as large as it is.
    assert 16 * 16 in areas and 32 * 32 in areas
