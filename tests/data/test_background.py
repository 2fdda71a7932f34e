"""Splicing and CutMix: every pixel, band and label where it belongs, and the same ones again."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landslide_rcnn.data.background import PAPER_COUNTS, BackgroundEnhanced, cutmix, splice
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.masks import extract_bboxes
from landslide_rcnn.data.samples import Sample, read_sample
from landslide_rcnn.errors import ConfigError, DatasetError
from tests.reference import background as slow


def tile(height, width, boxes=(), value=None, channels=3, seed=0, ids=None, dtype=np.uint8):
    """A tile of noise or of one value, with rectangles (y1, x1, y2, x2) as instances."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (height, width, channels)).astype(dtype)
    if value is not None:
        image[:] = value
    masks = np.zeros((height, width, len(boxes)), bool)
    for index, (y1, x1, y2, x2) in enumerate(boxes):
        masks[y1:y2, x1:x2, index] = True
    class_ids = np.ones(len(boxes), np.int32) if ids is None else np.asarray(ids, np.int32)
    return Sample(image, masks, class_ids, np.ones((height, width), bool))


class Tiles(Dataset):
    """Samples in memory."""

    def __init__(self, samples, sources=None):
        super().__init__()
        self.samples = samples
        self.add_class("a", 1, "landslide")
        self.add_class("b", 1, "rockfall")
        for index in range(len(samples)):
            self.add_image(sources[index] if sources else "a", index, None)
        self.prepare()

    def load_image(self, image_id):
        return self.samples[image_id].image

    def load_mask(self, image_id):
        return self.samples[image_id].masks, self.samples[image_id].class_ids

    def load_valid_mask(self, image_id):
        return self.samples[image_id].valid


def some_tiles(channels=3):
    return [
        tile(32, 40, [(2, 3, 20, 17), (25, 30, 30, 39)], seed=1, channels=channels),
        tile(24, 24, [(0, 0, 10, 24)], seed=2, channels=channels),
        *(tile(28 + i, 30 - i, seed=3 + i, channels=channels) for i in range(4)),
    ]


def test_splice_by_hand():
    landslide = tile(8, 12, [(2, 4, 6, 8)], value=10)
    others = [tile(8, 12, value=value) for value in (20, 30, 40)]
    places = set()
    for seed in range(60):
        spliced = splice(landslide, others, np.random.default_rng(seed))
        assert spliced.image.shape == (8, 12, 3) and spliced.valid.all()
        corners = spliced.image[::4, ::6, 0].ravel().tolist()
        assert sorted(corners) == [10, 20, 30, 40]
        for corner, value in enumerate(corners):
            top, left = 4 * (corner // 2), 6 * (corner % 2)
            assert (spliced.image[top : top + 4, left : left + 6] == value).all()
            if value == 10:
                # The landslide's 4 x 4 pixels at (2, 4) are 2 x 2 at half of that.
                expected = np.zeros((8, 12), bool)
                expected[top + 1 : top + 3, left + 2 : left + 4] = True
                np.testing.assert_array_equal(spliced.masks[..., 0], expected)
        assert spliced.class_ids.tolist() == [1]
        places.add(tuple(corners))
    assert len(places) > 15  # of 24


def test_splice_averages_pixels_and_keeps_all_bands():
    landslide = tile(16, 16, [(0, 0, 8, 8)], channels=7, seed=1)
    others = [tile(16, 16, channels=7, seed=seed) for seed in (2, 3, 4)]
    spliced = splice(landslide, others, np.random.default_rng(0))
    top, left, *_ = extract_bboxes(spliced.masks)[0] // 8 * 8
    halves = landslide.image.astype(float).reshape(8, 2, 8, 2, 7).mean(axis=(1, 3))
    np.testing.assert_allclose(spliced.image[top : top + 8, left : left + 8], halves, atol=0.51)


def test_splice_of_tiles_of_other_sizes_stretches_nothing():
    # A grid of squares stays one of squares, whatever the tile's shape.
    wide = tile(10, 40, value=0)
    wide.image[:, :, 0] = np.arange(40) * 6
    wide.image[:, :, 1] = np.arange(10)[:, None] * 6
    landslide = tile(20, 20, [(4, 4, 12, 12)], value=200)
    spliced = splice(landslide, [wide] * 3, np.random.default_rng(2))
    assert spliced.image.shape == (20, 20, 3)
    y, x, *_ = extract_bboxes(spliced.masks)[0] // 10
    inner = spliced.image[10 - 10 * y :, :10] if y else spliced.image[10:, :10]
    inner = inner[:10, :10].astype(int)
    np.testing.assert_array_equal(np.diff(inner[..., 0], axis=1), 6)
    np.testing.assert_array_equal(np.diff(inner[..., 1], axis=0), 6)


@given(
    st.integers(0, 10_000),
    st.tuples(*[st.integers(2, 30)] * 2),
    st.tuples(*[st.integers(1, 30)] * 2),
)
def test_splice_of_any_sizes_covers_every_pixel(seed, size, other):
    landslide = tile(*size, [(0, 0, *size)], value=100)
    others = [tile(*other, value=value) for value in (20, 30, 40)]
    spliced = splice(landslide, others, np.random.default_rng(seed))
    assert spliced.image.shape[:2] == size and spliced.valid.all()
    assert set(np.unique(spliced.image)) == {100, 20, 30, 40}
    np.testing.assert_array_equal(spliced.masks[..., 0], spliced.image[..., 0] == 100)


def test_invalid_pixels_follow_and_mix_into_nothing():
    landslide = tile(16, 16, [(4, 4, 12, 12)], value=100, dtype=np.float32)
    landslide.image[5, 5], landslide.valid[5, 5] = np.nan, False
    other = tile(16, 16, value=50, dtype=np.float32)
    spliced = splice(landslide, [other] * 3, np.random.default_rng(0))
    assert (~spliced.valid).sum() == 1
    assert set(np.unique(spliced.image[spliced.valid])) == {50, 100}
    mixed = cutmix(other, landslide, np.random.default_rng(0))
    y, x = np.argwhere(~mixed.valid)[0]
    assert (~mixed.valid).sum() == 1
    assert extract_bboxes(mixed.masks)[0].tolist() == [y - 1, x - 1, y + 7, x + 7]


@pytest.mark.parametrize("seed", range(20))
def test_cutmix_against_loops(seed):
    boxes = [(2, 3, 20, 17), (10, 10, 30, 39), (31, 39, 32, 40)]
    landslide = tile(32, 40, boxes, seed=1, channels=5)
    background = tile(36, 45, seed=2, channels=5)
    mixed = cutmix(background, landslide, np.random.default_rng(seed))
    changed = np.argwhere((mixed.image != background.image).any(axis=-1))
    top, left = changed.min(axis=0)
    found = [
        box
        for box in boxes
        if top + box[2] - box[0] <= 36
        and left + box[3] - box[1] <= 45
        and (mixed.image[top, left] == landslide.image[box[0], box[1]]).all()
    ]
    image, masks = slow.paste(background.image, landslide.image, landslide.masks, *found, top, left)
    np.testing.assert_array_equal(mixed.image, image)
    np.testing.assert_array_equal(np.moveaxis(mixed.masks, -1, 0), masks)
    assert mixed.class_ids.tolist() == [1] * len(masks)


def test_cutmix_draws_every_instance_and_place():
    landslide = tile(10, 10, [(0, 0, 2, 2), (5, 5, 9, 8)], value=9)
    background = tile(6, 6, value=0)
    drawn = set()
    for seed in range(300):
        mixed = cutmix(background, landslide, np.random.default_rng(seed))
        assert (mixed.image[..., 0] == 9).sum() == mixed.masks.sum() in (4, 12)
        drawn.add(tuple(extract_bboxes(mixed.masks)[0].tolist()))
    places = {(y, x, y + 2, x + 2) for y in range(5) for x in range(5)}
    places |= {(y, x, y + 4, x + 3) for y in range(3) for x in range(4)}
    assert drawn == places


def test_cutmix_into_a_smaller_tile():
    fitting = tile(20, 20, [(0, 0, 20, 20), (3, 4, 6, 8)], value=9)
    for seed in range(10):
        mixed = cutmix(tile(5, 6, value=0), fitting, np.random.default_rng(seed))
        assert (mixed.image[..., 0] == 9).sum() == 12  # the one that fits, not the large one
    # A ring, whose box is mostly not landslide: what is cut out of it holds a part of it.
    large = tile(20, 20, [(0, 0, 20, 20)], value=9)
    large.masks[1:19, 1:19] = False
    for seed in range(30):
        mixed = cutmix(tile(5, 6, value=0), large, np.random.default_rng(seed))
        assert mixed.image.shape == (5, 6, 3) and (mixed.image == 9).all()
        assert mixed.masks.shape == (5, 6, 1) and mixed.masks.any()


def test_crowds_are_pasted_only_where_there_is_nothing_else():
    both = tile(10, 10, [(0, 0, 2, 2), (5, 5, 9, 8)], ids=[-1, 2])
    crowd = tile(10, 10, [(0, 0, 2, 2)], ids=[-1])
    for seed in range(10):
        rng = np.random.default_rng(seed)
        assert cutmix(tile(6, 6), both, rng).class_ids.tolist() == [2]
        assert cutmix(tile(6, 6), crowd, rng).class_ids.tolist() == [-1]


def test_the_wrapper_keeps_what_it_wraps_and_adds_behind():
    dataset = Tiles(some_tiles(), ["a", "b", "a", "a", "b", "b"])
    enhanced = BackgroundEnhanced(dataset, splice=5, cutmix=7)
    assert enhanced.num_images == 6 + 5 + 7
    for image_id in dataset.image_ids:
        assert enhanced.load_image(image_id) is dataset.samples[image_id].image
    kinds = [info.get("kind") for info in enhanced.image_info]
    assert kinds == [None] * 6 + ["splice"] * 5 + ["cutmix"] * 7
    for image_id in range(6, 18):
        info, sample = enhanced.image_info[image_id], enhanced.sample(image_id)
        landslide, *others = info["tiles"]
        assert landslide in (0, 1) and set(others) <= {2, 3, 4, 5}
        assert len(set(others)) == len(others) == (3 if info["kind"] == "splice" else 1)
        assert info["source"] == dataset.image_info[landslide]["source"]
        sized_by = landslide if info["kind"] == "splice" else others[0]
        assert enhanced.image_size(image_id) == dataset.samples[sized_by].valid.shape
        assert sample.valid.shape == enhanced.image_size(image_id)
        assert enhanced.load_mask(image_id)[1].tolist() == sample.class_ids.tolist() != []
        names = " + ".join(dataset.describe_image(i) for i in info["tiles"])
        assert enhanced.describe_image(image_id) == f"{info['id']} of {names}"
    # What is checked are the tiles that all of it is made of.
    assert enhanced.verify(progress=False)["images"] == 6
    assert len(enhanced.facts) == 6


def test_one_seed_one_dataset():
    def samples(seed, order=range(6, 16)):
        enhanced = BackgroundEnhanced(Tiles(some_tiles()), splice=5, cutmix=5, seed=seed)
        return {i: (enhanced.load_image(i), enhanced.load_mask(i)[0]) for i in order}

    first, again = samples(3), samples(3, reversed(range(6, 16)))
    for image_id, arrays in first.items():
        for one, other in zip(arrays, again[image_id]):
            np.testing.assert_array_equal(one, other)
    other = samples(4)
    assert any(first[i][0].tobytes() != other[i][0].tobytes() for i in first)
    assert len({image.tobytes() for image, _ in first.values()}) == 10


def test_threads_share_a_dataset():
    enhanced = BackgroundEnhanced(Tiles(some_tiles()), splice=20, cutmix=20)
    expected = [enhanced.sample(i).image.tobytes() for i in enhanced.image_ids]
    with ThreadPoolExecutor(4) as pool:
        ids = list(enhanced.image_ids) * 5
        made = list(pool.map(lambda i: enhanced.sample(i).image.tobytes(), ids))
    assert made == expected * 5


def test_the_papers_counts():
    enhanced = BackgroundEnhanced(Tiles(some_tiles()), **PAPER_COUNTS)
    kinds = [info.get("kind") for info in enhanced.image_info]
    assert (kinds.count("splice"), kinds.count("cutmix")) == (531, 600)
    assert PAPER_COUNTS == {"splice": 531, "cutmix": 600}
    assert BackgroundEnhanced(Tiles(some_tiles()), 0, 0).num_images == 6


def test_few_backgrounds_are_used_again():
    enhanced = BackgroundEnhanced(Tiles(some_tiles()[:3]), splice=2, cutmix=1)
    assert [info["tiles"][1:] for info in enhanced.image_info[3:]] == [[2, 2, 2]] * 2 + [[2]]


def test_virtual_samples_are_not_kept():
    dataset = Tiles([tile(256, 256, [(9, 9, 99, 99)]), *(tile(256, 256) for _ in range(3))])

    def peak(count):
        enhanced = BackgroundEnhanced(dataset, splice=count, cutmix=count)
        tracemalloc.start()
        for image_id in enhanced.image_ids:
            read_sample(enhanced, image_id)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(50) < 1.2 * peak(5)


def test_errors():
    landslides, backgrounds = some_tiles()[:2], some_tiles()[2:]
    with pytest.raises(DatasetError, match="without landslides. Received: 2 images, none"):
        BackgroundEnhanced(Tiles(landslides))
    with pytest.raises(DatasetError, match="with landslides. Received: 4 images, none"):
        BackgroundEnhanced(Tiles(backgrounds))
    with pytest.raises(ConfigError, match="cannot be negative. Received: splice=-1, cutmix=3"):
        BackgroundEnhanced(Tiles(some_tiles()), splice=-1, cutmix=3)
    with pytest.raises(DatasetError, match="must be prepared.*0 image ids"):
        BackgroundEnhanced(Dataset())
    odd = BackgroundEnhanced(Tiles([landslides[0], tile(20, 20, channels=4)]), 1, 1)
    for image_id in (2, 3):
        with pytest.raises(DatasetError, match="a image 0 with 3 of uint8, a image 1 with 4 of"):
            odd.load_image(image_id)
    with pytest.raises(DatasetError, match="at least 2 x 2 pixels to be halved. Received: 1 x 9"):
        splice(tile(1, 9, [(0, 0, 1, 1)]), backgrounds[:3], np.random.default_rng(0))
    empty = tile(9, 9, [(0, 0, 0, 0)])
    with pytest.raises(DatasetError, match="needs an instance with pixels"):
        cutmix(backgrounds[0], empty, np.random.default_rng(0))
