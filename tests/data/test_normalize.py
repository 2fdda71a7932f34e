"""Normalisation of images, over the dataset's numbers and over a tile's own."""

import numpy as np
import pytest

from landslide_rcnn.config import Config
from landslide_rcnn.data.normalize import normalize_image
from landslide_rcnn.errors import ConfigError
from landslide_rcnn.matterport.image_meta import mold_image, unmold_image


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    return rng.integers(0, 4000, (7, 9, 2)).astype(np.uint16)


@pytest.fixture
def valid():
    return np.random.default_rng(1).random((7, 9)) < 0.7


def test_over_the_dataset(image, valid):
    config = Config(IMAGE_CHANNEL_COUNT=2, MEAN_PIXEL=[100, 200], STD_PIXEL=[2, 4])
    normalized = normalize_image(image, valid, config)
    assert normalized.dtype == np.float32
    row, column = np.argwhere(valid)[3]
    expected = [(image[row, column, 0] - 100.0) / 2, (image[row, column, 1] - 200.0) / 4]
    np.testing.assert_allclose(normalized[row, column], expected, rtol=1e-6)
    assert not normalized[~valid].any()


def test_over_the_tile_only_its_valid_pixels_count(image, valid):
    config = Config(IMAGE_CHANNEL_COUNT=2, NORMALIZATION="tile")
    spoiled = image.copy()
    spoiled[~valid] = 65535
    normalized = normalize_image(spoiled, valid, config)
    for band in range(2):
        values = image[..., band][valid].astype(float)
        expected = (values - values.mean()) / values.std()
        np.testing.assert_allclose(normalized[..., band][valid], expected, atol=1e-5)
    assert not normalized[~valid].any()


def test_over_the_tile_brightness_and_contrast_do_not_matter(image, valid):
    config = Config(IMAGE_CHANNEL_COUNT=2, NORMALIZATION="tile")
    darker = image * 0.25 + 17
    np.testing.assert_allclose(
        normalize_image(darker, valid, config), normalize_image(image, valid, config), atol=1e-4
    )


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_constant_tile_and_one_without_valid_pixels_become_0(share):
    config = Config(IMAGE_CHANNEL_COUNT=1, NORMALIZATION="tile")
    valid = np.full((4, 4), bool(share))
    assert not normalize_image(np.full((4, 4, 1), 1234.5), valid, config).any()


def test_every_image_of_a_batch_has_numbers_of_its_own(image):
    config = Config(IMAGE_CHANNEL_COUNT=2, NORMALIZATION="tile")
    batch = np.stack([image, image // 3])
    molded = mold_image(batch, config)
    np.testing.assert_allclose(molded.mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(molded.std(axis=(1, 2)), 1, atol=1e-5)
    with pytest.raises(ConfigError, match="brought back"):
        unmold_image(molded, config)


def test_other_names_are_refused():
    with pytest.raises(ConfigError, match="NORMALIZATION must be one of dataset, tile"):
        Config(NORMALIZATION="z-score")
