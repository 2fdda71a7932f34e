"""The cache gives what the files give, notices every change, and stays within its limit."""

import logging
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from landslide_rcnn.config import Config
from landslide_rcnn.data.background import BackgroundEnhanced
from landslide_rcnn.data.batches import TrainingBatches
from landslide_rcnn.data.cache import CachedDataset
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.readers import MaskFolderDataset, SceneDataset
from landslide_rcnn.data.samples import read_sample
from landslide_rcnn.errors import ConfigError, DatasetError


@pytest.fixture
def tiles(tmp_path, rng):
    """A folder of six tiles, two of them without landslides."""
    root = tmp_path / "tiles"
    for folder in ("image", "mask"):
        (root / folder).mkdir(parents=True)
    for index in range(6):
        mask = np.zeros((40, 50), np.uint8)
        mask[5:20, 4 : 9 + index] = mask[30:38, 20:40] = 255 * (index < 4)
        image = rng.integers(0, 255, (40, 50, 3), np.uint8)
        cv2.imwrite(str(root / "image" / f"{index}.png"), image)
        cv2.imwrite(str(root / "mask" / f"{index}.png"), mask)
    return root


def assert_same(one, other):
    assert one.num_images == other.num_images
    for image_id in one.image_ids:
        first, second = read_sample(one, image_id), read_sample(other, image_id)
        for name in ("image", "masks", "class_ids", "valid"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
            assert getattr(first, name).dtype == getattr(second, name).dtype


def test_a_second_run_reads_no_file(tiles, tmp_path):
    dataset = MaskFolderDataset.from_folder(tiles)
    first = CachedDataset(dataset, tmp_path / "cache")
    assert_same(first, dataset)
    assert (first.hits, first.misses) == (0, 6)
    again = CachedDataset(MaskFolderDataset.from_folder(tiles), tmp_path / "cache")
    for image_id in again.image_ids:
        again.base.load_image = again.base.load_mask = None  # nobody may ask
        read_sample(again, image_id)
    assert (again.hits, again.misses) == (6, 0)
    assert_same(again, MaskFolderDataset.from_folder(tiles))


def test_what_changes_is_made_anew(tiles, tmp_path):
    def misses(**settings):
        cached = CachedDataset(MaskFolderDataset.from_folder(tiles, **settings), tmp_path / "c")
        assert_same(cached, MaskFolderDataset.from_folder(tiles, **settings))
        return cached.misses

    def misses_of_text_paths():
        dataset = MaskFolderDataset.from_folder(tiles)
        for info in dataset.image_info:
            info["path"] = str(info["path"])
        cached = CachedDataset(dataset, tmp_path / "text")
        assert_same(cached, dataset)
        return cached.misses

    assert misses() == 6 and misses() == 0
    assert misses_of_text_paths() == 6
    mask = np.zeros((40, 50), np.uint8)
    mask[1:9, 1:9] = 255
    cv2.imwrite(str(tiles / "mask" / "3.png"), mask)
    assert misses() == 1 and misses() == 0
    image = cv2.imread(str(tiles / "image" / "1.png"))
    cv2.imwrite(str(tiles / "image" / "1.png"), 255 - image)
    assert misses() == 1 and misses_of_text_paths() == 2
    assert misses(min_landslide_pixels=100) == 6
    assert misses() == 0


def test_other_code_and_other_attributes_are_other_samples(tmp_path):
    class Made(Dataset):
        def __init__(self, value):
            super().__init__()
            self.value = value
            self.add_class("made", 1, "landslide")
            self.add_image("made", 0, None)
            self.prepare()

        def load_image(self, image_id):
            return np.full((4, 4, 1), self.value, np.uint8)

    class Doubled(Made):
        def load_image(self, image_id):
            return np.full((4, 4, 1), 2 * self.value, np.uint8)

    Doubled.__qualname__ = Made.__qualname__  # as if the class had been edited
    values = [
        CachedDataset(dataset, tmp_path).load_image(0)[0, 0, 0]
        for dataset in (Made(3), Made(4), Doubled(3), Made(np.uint8(5)), Made(3))
    ]
    assert values == [3, 4, 6, 5, 3]


def test_polygons_of_a_scene_count(tmp_path, write_raster, rng):
    import geopandas
    import shapely

    scene = write_raster(rng.integers(1, 255, (64, 64, 3), np.uint8))

    def cached(size):
        box = shapely.box(500_010, 4_000_000 - size, 500_010 + size, 3_999_990)
        path = tmp_path / "polygons.gpkg"
        path.unlink(missing_ok=True)
        geopandas.GeoDataFrame(geometry=[box], crs="EPSG:32648").to_file(path)
        dataset = SceneDataset(scene, path, tile_size=32)
        found = CachedDataset(dataset, tmp_path / "cache")
        assert_same(found, dataset)
        return found.misses

    assert [cached(60), cached(60), cached(80)] == [4, 0, 4]


def test_the_limit_holds(tiles, tmp_path, caplog):
    dataset = MaskFolderDataset.from_folder(tiles)
    with caplog.at_level(logging.WARNING):
        cached = CachedDataset(dataset, tmp_path / "cache", max_gb=25e-6)
        assert_same(cached, dataset)
        assert_same(cached, dataset)
    files = list((tmp_path / "cache").iterdir())
    assert 1 <= len(files) < 6 and sum(file.stat().st_size for file in files) <= 25_000
    assert caplog.text.count("is full") == 1
    # What is there counts for the next run.
    again = CachedDataset(dataset, tmp_path / "cache", max_gb=25e-6)
    assert_same(again, dataset)
    assert again.hits == len(files)
    assert sum(file.stat().st_size for file in (tmp_path / "cache").iterdir()) <= 25_000


def test_a_damaged_file_is_said_and_replaced(tiles, tmp_path, caplog):
    dataset = MaskFolderDataset.from_folder(tiles)
    cached = CachedDataset(dataset, tmp_path / "cache")
    cached.load_image(2)
    path = cached.path_of(2)
    for damage in (path.read_bytes()[:500], b""):
        path.write_bytes(damage)
        again = CachedDataset(dataset, tmp_path / "cache")
        assert_same(again, dataset)
        assert f"{path} is damaged" in caplog.text
        caplog.clear()
        assert CachedDataset(dataset, tmp_path / "cache").load_mask(2)[0].any()
        assert not caplog.text
    assert not list((tmp_path / "cache").glob(".partial*"))


def test_a_wrapper_is_told_by_what_it_wraps(tiles, tmp_path):
    def misses(seed):
        enhanced = BackgroundEnhanced(MaskFolderDataset.from_folder(tiles), 2, 2, seed=seed)
        cached = CachedDataset(enhanced, tmp_path / "cache")
        assert_same(cached, enhanced)
        return cached.misses

    assert [misses(0), misses(0), misses(1)] == [10, 0, 10]


def test_batches_are_the_same_with_and_without(tiles, tmp_path):
    class TinyConfig(Config):
        NUM_CLASSES = 2
        IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64
        BACKGROUND_ENHANCEMENT = {"splice": 0.3}

    plain = MaskFolderDataset.from_folder(tiles)
    cached = CachedDataset(plain, tmp_path / "cache")

    def batches(dataset):
        enhanced = BackgroundEnhanced(dataset, splice=3, cutmix=3)
        made = TrainingBatches(enhanced, TinyConfig(), augment=True)
        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(made.__getitem__, range(len(made))))

    for first, second, third in zip(batches(plain), batches(cached), batches(cached)):
        for key in first:
            np.testing.assert_array_equal(first[key], second[key])
            np.testing.assert_array_equal(first[key], third[key])
    assert cached.hits > 6 and cached.misses >= 6


def test_errors(tiles, tmp_path):
    with pytest.raises(DatasetError, match="must be prepared"):
        CachedDataset(Dataset(), tmp_path)
    odd = MaskFolderDataset.from_folder(tiles)
    odd.callback = lambda: None
    with pytest.raises(DatasetError, match="Received: MaskFolderDataset.callback, a function"):
        CachedDataset(odd, tmp_path)
    with pytest.raises(ConfigError, match="needs room. Received: max_gb=0"):
        CachedDataset(MaskFolderDataset.from_folder(tiles), tmp_path, max_gb=0)
