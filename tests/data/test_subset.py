"""`Subset`: some images of any dataset, each with what belongs to it."""

import numpy as np
import pytest

from landslide_rcnn.data.background import BackgroundEnhanced
from landslide_rcnn.data.cache import CachedDataset
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.wrapper import Subset
from landslide_rcnn.errors import DatasetError


class Arrays(Dataset):
    """Images of one value each, which is also how many pixels its landslide has."""

    def __init__(self, values):
        super().__init__()
        self.values = values  # by image id: what numbering anew would break
        self.add_class("made", 1, "landslide")
        for index, value in enumerate(values):
            self.add_image("made", f"v{value}", None, number=index)
        self.prepare()

    def load_image(self, image_id):
        image = np.full((8, 6 + image_id, 3), self.values[image_id], np.uint8)
        image[0, 0] += 1  # not all of one value
        return image

    def load_mask(self, image_id):
        count = self.values[image_id]
        masks = (np.arange(8 * (6 + image_id)) < count).reshape(8, -1, 1)
        self.left_out_fragments[image_id] = count
        some = int(count > 0)
        return masks[..., :some], np.ones(some, np.int32)

    def load_valid_mask(self, image_id):
        return np.indices((8, 6 + image_id))[1] < 6 + image_id - self.values[image_id] // 10


@pytest.fixture
def subset():
    return Subset(Arrays([3, 0, 12, 7, 20]), [4, 1, 2])


def test_every_image_keeps_what_belongs_to_it(subset):
    assert subset.num_images == 3 and subset.image_ids.tolist() == [0, 1, 2]
    assert [info["id"] for info in subset.image_info] == ["v20", "v0", "v12"]
    for image_id, (value, width) in enumerate([(20, 10), (0, 7), (12, 8)]):
        assert subset.load_image(image_id)[1, 1].tolist() == [value] * 3
        assert subset.image_size(image_id) == (8, width)
        masks, class_ids = subset.load_mask(image_id)
        assert masks.sum() == value and len(class_ids) == (value > 0)
        assert (~subset.load_valid_mask(image_id)).sum() == 8 * (value // 10)
        assert subset.describe_image(image_id) == f"made image v{value}"
    assert subset.left_out_fragments == {0: 20, 1: 0, 2: 12}


def test_checking_it_counts_it_alone_and_leaves_the_whole_as_it_was(subset):
    counts = subset.verify(progress=False)
    assert counts == {
        "images": 3, "images_without_instances": 1, "instances": 2, "fragments_left_out": 32,
    }  # fmt: skip
    assert [fact.landslide_px for fact in subset.facts] == [
        int((subset.load_mask(i)[0].any(axis=-1) & subset.load_valid_mask(i)).sum())
        for i in range(3)
    ]
    assert subset.base.num_images == 5 and subset.base.facts is None


def test_subsets_of_wrapped_and_wrapped_subsets(subset, tmp_path):
    of_cached = Subset(CachedDataset(subset.base, tmp_path), [2, 3])
    assert [of_cached.load_mask(i)[0].sum() for i in range(2)] == [12, 7]
    assert Subset(of_cached, [1]).load_image(0)[1, 1, 0] == 7
    enhanced = BackgroundEnhanced(subset, splice=0, cutmix=4)
    assert enhanced.num_images == 7
    # A landslide of the subset (20 or 12) on its one tile without: nothing of the other images.
    for image_id in range(3, 7):
        assert set(np.unique(enhanced.load_image(image_id))) <= {0, 1, 12, 13, 20, 21}


def test_it_needs_images():
    with pytest.raises(DatasetError, match="prepared"):
        Subset(Dataset(), [])
