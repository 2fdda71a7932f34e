"""Changing training images at random: exact flips and quarter turns, and imgaug augmenters.

Called by `data/samples.py`. Flips and quarter turns (the dihedral group of the square) move
pixels without resampling; everything else is left to imgaug, which is imported only when used.
The papers' own recipes are in `data/recipes.py`.

Shape letters: H, W pixels; C channels; N instances.
"""

from collections.abc import Collection
from typing import Any

import numpy as np

from landslide_rcnn.errors import DatasetError

DIHEDRAL_ORDER = 8


def dihedral(array: np.ndarray, k: int) -> np.ndarray:
    """Turn and flip an array exactly.

    Args:
        array: [H, W, ...].
        k: 0..7: `k % 4` quarter turns counter-clockwise, after a left-right flip if `k >= 4`.
            0 changes nothing; even values keep H and W in their places.

    Returns:
        [H, W, ...], or [W, H, ...] for an odd `k`; a view of `array`.
    """
    if k >= 4:
        array = np.flip(array, axis=1)
    return np.rot90(array, k % 4, axes=(0, 1))


def apply_imgaug(
    augmenter: Any,
    image: np.ndarray,
    masks: np.ndarray,
    seed: int | None = None,
    imagery_bands: Collection[int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Apply an imgaug augmenter to an image, and its geometric part to the masks.

    Masks go through imgaug as segmentation maps: every augmenter that moves pixels (flips,
    `Affine`, `Rot90`, `PerspectiveTransform`, ...) moves them in the same way, nearest
    neighbour, and none that changes colours touches them. What comes in from outside the image
    is False.

    Bands that are no imagery (terrain factors) move as the masks do, to the nearest pixel: they
    keep their values whatever these are, and are 0 where they come in from outside.

    Args:
        augmenter: Any `imgaug.augmenters.Augmenter`. It is copied: its own random state is
            neither used up nor shared between threads.
        image: [H, W, C], a dtype that the augmenter takes (uint8 works for all).
        masks: [H, W, N] bool.
        seed: Decides the random choices; the same seed gives the same result. None: fresh ones.
        imagery_bands: Which of the C bands the augmenter sees; None for all.

    Returns:
        image: [H, W, C], dtype as given.
        masks: [H, W, N] bool.

    Raises:
        DatasetError: The augmenter changes the size or the dtype of the image.
    """
    frozen = augmenter.deepcopy()
    if seed is not None:
        _seed(frozen, np.random.default_rng(seed))
    frozen = frozen.to_deterministic()
    bands = list(range(image.shape[2]) if imagery_bands is None else imagery_bands)
    imagery = np.ascontiguousarray(image[..., bands])
    augmented = frozen.augment_image(imagery)
    if augmented.shape != imagery.shape or augmented.dtype != imagery.dtype:
        raise DatasetError(
            "An augmenter must keep the image's size and dtype. Received: "
            f"{augmenter.__class__.__name__} turned {imagery.shape} {imagery.dtype} into "
            f"{augmented.shape} {augmented.dtype}. Use keep_size=True, or leave it out."
        )
    if len(bands) < image.shape[2]:
        augmented = _with_moved_bands(frozen, image, bands, augmented)
    return augmented, _move_labels(frozen, masks).astype(bool)


def _seed(augmenter: Any, rng: np.random.Generator) -> None:
    """Seed an augmenter and all within, each by itself; deterministic ones stay as they are.

    imgaug's own `seed_` forgets the augmenter in `Sometimes(p, OneOf([...]))`, which would then
    choose the same every time.
    """
    from imgaug.augmenters import Augmenter
    from imgaug.random import RNG

    if not augmenter.deterministic:
        augmenter.random_state = RNG(int(rng.integers(2**31)))
    for children in augmenter.get_children_lists():
        # `Sequential` is its own list of children.
        hidden = isinstance(children, Augmenter) and children is not augmenter
        for child in [children] if hidden else children:
            _seed(child, rng)


def _with_moved_bands(
    frozen: Any, image: np.ndarray, bands: list[int], augmented: np.ndarray
) -> np.ndarray:
    """Return [H, W, C]: the augmented bands, and the others at their pixels' new places."""
    # Where each pixel comes from moves as a label would: any value of any dtype can follow it.
    numbers = np.arange(1, image[..., 0].size + 1, dtype=np.int32).reshape(*image.shape[:2], 1)
    origin = _move_labels(frozen, numbers)[..., 0]
    outside = np.zeros((1, image.shape[2]), image.dtype)
    moved = np.concatenate([outside, image.reshape(-1, image.shape[2])])[origin]
    moved[..., bands] = augmented
    return moved


def _move_labels(frozen: Any, labels: np.ndarray) -> np.ndarray:
    """Move [H, W, N] bool or int labels as a deterministic augmenter moves images; 0 outside."""
    from imgaug.augmentables.segmaps import SegmentationMapsOnImage

    if labels.shape[-1] == 0:
        return labels
    maps = SegmentationMapsOnImage(np.ascontiguousarray(labels), shape=labels.shape[:2])
    return frozen.augment_segmentation_maps(maps).get_arr().reshape(labels.shape)
