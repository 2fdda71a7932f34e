"""The papers' augmentations: what each does, to what, how often, and again with the same seed."""

import numpy as np
import pytest

from landslide_rcnn.config import Config
from landslide_rcnn.data.augment import apply_imgaug, dihedral
from landslide_rcnn.data.recipes import RECIPES, mean_filter, random_gamma, random_noise, recipe
from landslide_rcnn.data.samples import Sample, prepare_sample
from landslide_rcnn.errors import RegistryError

SIDE = 24


@pytest.fixture
def image(rng):
    """A smooth image of 7 bands: imagery in 0 to 2, factors from 3 on, their numbers unlike."""
    smooth = np.add.outer(np.arange(SIDE) * 4, np.arange(SIDE) * 6)[..., None] + [0, 5, 9] + 1
    factors = rng.permutation(4 * SIDE * SIDE).reshape(SIDE, SIDE, 4)
    return np.concatenate([smooth, factors], axis=-1).astype(np.float32)


@pytest.fixture
def masks():
    masks = np.zeros((SIDE, SIDE, 2), bool)
    masks[3:12, 5:20, 0] = masks[15:20, 1:4, 1] = True
    return masks


def apply(name, image, masks, seed, bands=(0, 1, 2)):
    return apply_imgaug(recipe(name), image, masks, seed, bands)


def test_jiuzhaigou_is_six_ways_equally_often(image, masks):
    ways = []
    for seed in range(240):
        moved, moved_masks = apply("jiuzhaigou", image, masks, seed)
        k = next(k for k in range(8) if np.array_equal(dihedral(image, k), moved))
        np.testing.assert_array_equal(moved_masks, dihedral(masks, k))
        ways.append(k)
    assert sorted(set(ways)) == [0, 1, 2, 3, 4, 6]
    assert min(np.bincount(ways)[[0, 1, 2, 3, 4, 6]]) > 20


def test_fcn_fl_pairs_a_flip_with_a_change_of_colours(image, masks):
    seen = []
    for seed in range(80):
        moved, moved_masks = apply("fcn_fl", image, masks, seed)
        k = next(
            k for k in (0, 4, 6, 2) if np.array_equal(dihedral(image, k)[..., 3:], moved[..., 3:])
        )
        np.testing.assert_array_equal(moved_masks, dihedral(masks, k))
        flipped = dihedral(image, k)[..., :3]
        if k == 0:
            np.testing.assert_array_equal(moved[..., :3], flipped)
        elif k == 4:
            np.testing.assert_allclose(moved[..., :3], mean_filter(flipped, None), rtol=1e-6)
        elif k == 6:
            # One power of the share of the range for all bands and pixels.
            low, span = flipped.min(axis=(0, 1)), np.ptp(flipped, axis=(0, 1))
            share, changed = (flipped - low) / span, (moved[..., :3] - low) / span
            inside = (share > 0.05) & (share < 0.95)
            gammas = np.log(changed[inside]) / np.log(share[inside])
            np.testing.assert_allclose(gammas, gammas[0], rtol=1e-3)
            assert 0.5 <= gammas[0] <= 2
        else:
            noise = moved[..., :3] - flipped
            assert 0.02 < (noise / np.ptp(flipped, axis=(0, 1))).std() < 0.06
        seen.append(k)
    assert set(seen) == {0, 2, 4, 6} and min(seen.count(k) for k in (0, 2, 4, 6)) > 8


def test_pspnet_moves_image_masks_and_factors_together():
    # A coarse pattern that is mask, imagery and factor at once.
    blocks = np.kron(np.random.default_rng(0).random((6, 6)) < 0.5, np.ones((16, 16), bool))
    image = np.repeat(blocks[..., None], 4, axis=-1).astype(np.float32) * 200 + 50
    turned = []
    for seed in range(60):
        moved, masks = apply("pspnet", image, blocks[..., None], seed)
        mask, factor = masks[..., 0], moved[..., 3]
        np.testing.assert_array_equal(mask, factor == 250)  # both to the nearest pixel
        assert set(np.unique(factor)) <= {0, 50, 250}
        # The imagery is resampled: it may differ at the edges of the blocks.
        agrees = (moved[..., 0] > 150) == mask
        assert agrees.mean() > 0.9
        turned.append((factor == 0).any())
    # A third of one half is turned by 20 degrees, which brings in pixels from outside.
    assert 0.05 < np.mean(turned) < 0.35


def test_pspnet_crops_to_seven_tenths():
    # The crop alone: what is left of a ramp spans 0.7 of it, anywhere.
    ramp = np.repeat(np.arange(100, dtype=np.float32)[None, :, None], 100, axis=0) + 1
    starts = []
    for seed in range(80):
        moved, _ = apply("pspnet", ramp, np.zeros((100, 100, 0), bool), seed, None)
        row = moved[50, :, 0]
        slope = np.abs(np.median(np.diff(row)))
        vertical = np.abs(np.median(np.diff(moved[:, 50, 0])))
        if vertical < 1e-3 and 0.65 < slope < 0.75:
            assert row.min() >= 1 and moved.min() > 0  # nothing comes in from outside
            starts.append(row.min())
    assert len(starts) > 10 and np.ptp(starts) > 15


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_same_seed_gives_the_same(name, dtype, image, masks):
    image = np.clip(image, 0, 255).astype(dtype)
    results = [apply(name, image, masks, seed) for seed in (*range(12), *range(12))]
    for first, again in zip(results[:12], results[12:]):
        np.testing.assert_array_equal(first[0], again[0])
        np.testing.assert_array_equal(first[1], again[1])
        assert first[0].dtype == dtype
    assert len({image.tobytes() for image, _ in results}) > 3


def test_colours_by_hand():
    image = np.full((5, 5, 2), 60, np.uint16)
    image[2, 2, 0] = 150
    assert mean_filter(image, None)[1:4, 1:4].tolist() == [[[70, 60]] * 3] * 3
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(random_gamma(image, rng), image)  # ends of the range stay
    np.testing.assert_array_equal(random_gamma(np.uint8(image), rng)[0, 0, 0] == 60, False)
    noisy = random_noise(np.full((99, 99, 1), 128, np.uint8), rng)
    assert abs(noisy.mean() - 128) < 1 and 11 < noisy.std() < 14


def test_factors_of_a_whole_sample_are_left_alone(image):
    class SevenBands(Config):
        NAME = "seven"
        IMAGE_CHANNEL_COUNT = 7
        IMAGERY_BANDS = [0, 1, 2]
        IMAGE_RESIZE_MODE = "none"
        MEAN_PIXEL = STD_PIXEL = 1

    import imgaug.augmenters as iaa

    image[4, 4] = np.nan
    valid = np.isfinite(image[..., 0])
    sample = Sample(image, np.zeros((SIDE, SIDE, 0), bool), np.zeros(0, np.int32), valid)
    augmenter = iaa.Sequential([iaa.Fliplr(1.0), iaa.Multiply(2.0), iaa.AverageBlur(3)])
    rng = np.random.default_rng(0)
    made = prepare_sample(sample, SevenBands(), rng=rng, augmentation=augmenter)
    np.testing.assert_array_equal(made.valid, valid[:, ::-1])
    expected = image[:, ::-1, 3:]
    np.testing.assert_array_equal(made.image[made.valid][:, 3:], expected[made.valid])
    assert np.isfinite(made.image).all()
    assert made.image[20, 10, 0] == pytest.approx(2 * image[20, SIDE - 11, 0], rel=0.01)


def test_an_unknown_recipe():
    with pytest.raises(RegistryError, match="Received: 'ludian'. Use one of: jiuzhaigou, fcn_fl"):
        recipe("ludian")
