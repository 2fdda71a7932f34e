"""Images and masks resized on one grid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide_rcnn.data.resize import resize_array, resize_image, resize_mask
from landslide_rcnn.errors import ConfigError
from tests.reference import resample

sizes = st.integers(1, 40)


@settings(max_examples=40, deadline=None)
@given(height=sizes, width=sizes, factor=st.floats(0.5, 3), seed=st.integers(0, 999))
def test_bilinear_equals_the_loop(height, width, factor, seed):
    grid = np.random.default_rng(seed).random((height, width), np.float32)
    target = max(1, round(height * factor)), max(1, round(width * factor))
    if height > 2 * target[0] or width > 2 * target[1]:
        return  # averaged over areas: tested below
    expected = resample.resize(grid, *target)
    np.testing.assert_allclose(resize_array(grid, *target), expected, atol=2e-5)


def test_shrinking_by_four_averages_blocks():
    grid = np.random.default_rng(0).random((16, 24, 5), np.float32)
    expected = grid.reshape(4, 4, 6, 4, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(resize_array(grid, 4, 6), expected, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float16])
@pytest.mark.parametrize("side", [3, 30])
def test_any_channels_and_dtype(channels, dtype, side):
    array = (np.arange(10 * 10 * channels).reshape(10, 10, channels) % 251).astype(dtype)
    resized = resize_array(array, side, side)
    assert resized.shape == (side, side, channels) and resized.dtype == dtype
    for channel in range(channels):  # each channel as if it were alone
        alone = resize_array(array[..., channel], side, side)
        np.testing.assert_allclose(resized[..., channel], alone, rtol=1e-6)


def test_bool_is_set_from_one_half_on():
    mask = np.array([[False, True], [False, True]])
    expected = [[False, False, True, True]] * 4
    np.testing.assert_array_equal(resize_array(mask, 4, 4), expected)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(2, 70),
    width=st.integers(2, 70),
    max_dim=st.sampled_from([16, 32, 64]),
    min_dim=st.sampled_from([None, 16]),
    mode=st.sampled_from(["square", "pad64", "none"]),
    seed=st.integers(0, 999),
)
def test_masks_stay_on_their_image(height, width, max_dim, min_dim, mode, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width, 2)) < 0.5
    image, window, scale, padding, crop = resize_image(
        mask.astype(np.float32), min_dim, max_dim, None, mode
    )
    resized = resize_mask(mask, scale, padding, crop)
    np.testing.assert_array_equal(resized, image >= 0.5)
    y1, x1, y2, x2 = window
    outside = np.ones(image.shape[:2], bool)
    outside[y1:y2, x1:x2] = False
    assert not resized[outside].any()
    assert image.shape[0] == y2 - y1 + sum(padding[0])
    assert image.shape[1] == x2 - x1 + sum(padding[1])


def test_square_by_hand():
    image = np.full((100, 50, 3), 7, np.uint8)
    resized, window, scale, padding, crop = resize_image(image, min_dim=32, max_dim=64)
    assert resized.shape == (64, 64, 3) and resized.dtype == np.uint8
    assert (window, scale, crop) == ((0, 16, 64, 48), 0.64, None)
    assert padding == [(0, 0), (16, 16), (0, 0)]
    assert (resized[:, 16:48] == 7).all() and resized.sum() == 7 * 64 * 32 * 3


def test_square_enlarges_to_min_dim():
    resized, window, scale, _, _ = resize_image(np.ones((10, 20, 1)), min_dim=30, max_dim=64)
    assert (scale, window) == (3.0, (17, 2, 47, 62))
    assert resized.shape == (64, 64, 1)


def test_min_scale_enlarges_where_min_dim_does_not():
    _, window, scale, _, _ = resize_image(np.ones((20, 20, 1)), 20, 64, min_scale=2)
    assert (scale, window) == (2, (12, 12, 52, 52))


def test_pad64_by_hand():
    resized, window, scale, padding, _ = resize_image(
        np.ones((65, 130, 1)), min_dim=64, mode="pad64"
    )
    assert resized.shape == (128, 192, 1) and scale == 1
    assert window == (31, 31, 96, 161) and padding == [(31, 32), (31, 31), (0, 0)]


def test_none_changes_nothing():
    image = np.arange(12.0).reshape(3, 4, 1)
    resized, window, scale, padding, crop = resize_image(image, 64, 128, mode="none")
    assert resized is image
    assert (window, scale, padding, crop) == ((0, 0, 3, 4), 1, [(0, 0)] * 3, None)


def test_crop_cuts_image_and_mask_alike():
    image = np.arange(20 * 30, dtype=np.float32).reshape(20, 30, 1)
    crops = set()
    for seed in range(8):
        cut, window, scale, padding, crop = resize_image(
            image, min_dim=16, mode="crop", rng=np.random.default_rng(seed)
        )
        assert cut.shape == (16, 16, 1) and scale == 1 and window == (0, 0, 16, 16)
        y, x, *_ = crop
        np.testing.assert_array_equal(cut, image[y : y + 16, x : x + 16])
        mask = resize_mask(image[..., 0] % 2 == 1, scale, padding, crop)
        np.testing.assert_array_equal(mask, cut[..., 0] % 2 == 1)
        crops.add(crop)
    assert len(crops) > 1


def test_crop_enlarges_a_small_image():
    cut, _, scale, _, crop = resize_image(np.ones((5, 8, 1)), min_dim=10, mode="crop")
    assert cut.shape == (10, 10, 1) and scale == 2 and 0 <= crop[1] <= 6


def test_no_masks_and_one_pixel():
    assert resize_mask(np.zeros((10, 10, 0), bool), 0.5, [(1, 2), (3, 4), (0, 0)]).shape == (
        8,
        12,
        0,
    )
    image, _, scale, _, _ = resize_image(np.full((1, 1, 2), 9, np.uint8), 8, 8)
    assert scale == 8 and (image == 9).all()


def test_a_very_long_image_keeps_a_pixel():
    image, window, _, _, _ = resize_image(np.ones((1, 1000, 1), np.float32), 1, 64)
    assert image.shape == (64, 64, 1) and window == (31, 0, 32, 64)


def test_errors():
    with pytest.raises(ConfigError, match="one of none, square, pad64, crop. Received: mode='big'"):
        resize_image(np.ones((2, 2, 1)), mode="big")
    with pytest.raises(ConfigError, match="'square' needs max_dim.*IMAGE_MAX_DIM"):
        resize_image(np.ones((2, 2, 1)), min_dim=4)
    with pytest.raises(ConfigError, match="'crop' needs min_dim"):
        resize_image(np.ones((2, 2, 1)), max_dim=4, mode="crop")
