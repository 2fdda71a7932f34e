"""Flips, quarter turns, and imgaug augmenters on image and masks together."""

import numpy as np
import pytest

from landslide_rcnn.data.augment import apply_imgaug, dihedral
from landslide_rcnn.errors import DatasetError

iaa = pytest.importorskip("imgaug.augmenters")


@pytest.fixture
def sample():
    """An image whose values name its pixels, and masks of the even and of the first pixels."""
    values = np.arange(12 * 12, dtype=np.uint8).reshape(12, 12)
    masks = np.stack([values % 2 == 0, values < 30], axis=-1)
    return np.repeat(values[..., None], 3, axis=-1), masks


def test_dihedral_by_hand():
    corners = np.array([[1, 2], [3, 4]])
    expected = [
        [[1, 2], [3, 4]],
        [[2, 4], [1, 3]],
        [[4, 3], [2, 1]],
        [[3, 1], [4, 2]],
        [[2, 1], [4, 3]],
        [[1, 3], [2, 4]],
        [[3, 4], [1, 2]],
        [[4, 2], [3, 1]],
    ]
    for k in range(8):
        assert dihedral(corners, k).tolist() == expected[k]


def test_dihedral_is_a_group_and_keeps_every_pixel():
    image = np.arange(5 * 5 * 2).reshape(5, 5, 2)
    turned = {k: dihedral(image, k).tobytes() for k in range(8)}
    assert len(set(turned.values())) == 8
    for first in range(8):
        for second in range(8):
            both = dihedral(dihedral(image, first), second)
            assert both.tobytes() in turned.values()


def test_dihedral_shapes():
    oblong = np.zeros((3, 7, 4))
    assert [dihedral(oblong, k).shape for k in range(8)] == [(3, 7, 4), (7, 3, 4)] * 4


@pytest.mark.parametrize(
    "augmenter, k",
    [(iaa.Fliplr(1.0), 4), (iaa.Flipud(1.0), 6), (iaa.Rot90(1), 3), (iaa.Rot90(2), 2)],
)
def test_geometry_reaches_every_mask(sample, augmenter, k):
    image, masks = apply_imgaug(iaa.Sequential([augmenter]), *sample)
    np.testing.assert_array_equal(image, dihedral(sample[0], k))
    np.testing.assert_array_equal(masks, dihedral(sample[1], k))
    assert masks.dtype == bool


def test_colours_leave_masks_alone(sample):
    image, masks = apply_imgaug(
        iaa.Sequential([iaa.Multiply(0.5), iaa.GaussianBlur(1.0), iaa.AdditiveGaussianNoise(9)]),
        *sample,
    )
    assert not np.array_equal(image, sample[0])
    np.testing.assert_array_equal(masks, sample[1])


def test_masks_follow_pixel_values(sample):
    values, masks = sample
    augmenter = iaa.Affine(rotate=(-90, 90), translate_px=(-4, 4), order=0, cval=255)
    for seed in range(5):
        image, moved = apply_imgaug(augmenter, values, masks, seed)
        inside = image[..., 0] != 255
        np.testing.assert_array_equal(moved[..., 0], inside & (image[..., 0] % 2 == 0))
        np.testing.assert_array_equal(moved[..., 1], inside & (image[..., 0] < 30))


def test_nested_random_augmenters_move_masks_with_the_image(sample):
    values, masks = sample
    augmenter = iaa.Sequential(
        [
            iaa.SomeOf((1, 2), [iaa.Fliplr(0.5), iaa.Rot90((0, 3))]),
            iaa.Sometimes(0.5, iaa.Add(100)),
            iaa.Affine(translate_px=(-3, 3), order=0, cval=255),
        ],
        random_order=True,
    )
    seen = set()
    for seed in range(12):
        image, moved = apply_imgaug(augmenter, values, masks, seed)
        pixels, inside = image[..., 0].astype(int), image[..., 0] != 255
        if pixels[inside].max() > values.max():
            pixels -= 100  # `Add` was drawn: it must not have touched the masks
        np.testing.assert_array_equal(moved[..., 0], inside & (pixels % 2 == 0))
        np.testing.assert_array_equal(moved[..., 1], inside & (pixels < 30))
        seen.add(moved.tobytes())
    assert len(seen) > 6


def test_seed_decides_and_the_augmenter_is_not_used_up(sample):
    augmenter = iaa.Affine(rotate=(-180, 180), seed=3)
    before = str(augmenter.random_state.state)
    first, other, again = (apply_imgaug(augmenter, *sample, seed=seed)[0] for seed in (1, 2, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert str(augmenter.random_state.state) == before


def test_nested_choices_are_independent(sample):
    choice = iaa.OneOf([iaa.Fliplr(1.0), iaa.Flipud(1.0), iaa.Rot90(1)])
    augmenter = iaa.Sometimes(0.5, choice)
    seen = [apply_imgaug(augmenter, *sample, seed=seed)[0].tobytes() for seed in range(120)]
    counts = sorted(seen.count(image) for image in set(seen))
    assert len(counts) == 4 and counts[0] > 8 and 40 < counts[-1] < 80


def test_bands_that_are_no_imagery_only_move(sample):
    values, masks = sample
    image = np.concatenate([values, values[..., :2]], axis=-1).astype(np.float32)
    image[3, 4, 4] = np.inf
    augmenter = iaa.Sequential([iaa.Add(50), iaa.Affine(translate_px={"x": 3}, cval=255)])
    moved, _ = apply_imgaug(augmenter, image, masks, 0, [3, 0, 1])
    expected = np.zeros((12, 12, 5), np.float32)
    expected[:, 3:] = image[:, :-3] + [50, 50, 0, 50, 0]
    np.testing.assert_array_equal(moved[:, 3:], expected[:, 3:])
    assert (moved[:, :3, [0, 1, 3]] == 255).all() and not moved[:, :3, [2, 4]].any()


def test_many_masks_and_none(sample):
    image, _ = sample
    many = np.random.default_rng(0).random((12, 12, 70)) < 0.5
    np.testing.assert_array_equal(apply_imgaug(iaa.Fliplr(1.0), image, many)[1], many[:, ::-1])
    assert apply_imgaug(iaa.Fliplr(1.0), image, many[..., :0])[1].shape == (12, 12, 0)


def test_changed_size_is_an_error(sample):
    with pytest.raises(DatasetError, match=r"CropToFixedSize turned \(12, 12, 3\).*\(8, 8, 3\)"):
        apply_imgaug(iaa.CropToFixedSize(8, 8), *sample)
