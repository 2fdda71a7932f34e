"""Changing training images at random: exact flips and quarter turns, and imgaug augmenters.

Called by `data/batches.py`. Flips and quarter turns (the dihedral group of the square) move
pixels without resampling; everything else is left to imgaug, which is imported only when used.

Shape letters: H, W pixels; C channels; N instances.
"""

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
    augmenter: Any, image: np.ndarray, masks: np.ndarray, seed: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Apply an imgaug augmenter to an image, and its geometric part to the masks.

    Masks go through imgaug as segmentation maps: every augmenter that moves pixels (flips,
    `Affine`, `Rot90`, `PerspectiveTransform`, ...) moves them in the same way, nearest
    neighbour, and none that changes colours touches them. What comes in from outside the image
    is False.

    Args:
        augmenter: Any `imgaug.augmenters.Augmenter`. It is copied: its own random state is
            neither used up nor shared between threads.
        image: [H, W, C], a dtype that the augmenter takes (uint8 works for all).
        masks: [H, W, N] bool.
        seed: Decides the random choices; the same seed gives the same result. None: fresh ones.

    Returns:
        image: [H, W, C], dtype as given.
        masks: [H, W, N] bool.

    Raises:
        DatasetError: The augmenter changes the size or the dtype of the image.
    """
    from imgaug.augmentables.segmaps import SegmentationMapsOnImage

    frozen = augmenter.deepcopy()
    if seed is not None:
        frozen.seed_(seed)
    frozen = frozen.to_deterministic()
    augmented = frozen.augment_image(np.ascontiguousarray(image))
    if augmented.shape != image.shape or augmented.dtype != image.dtype:
        raise DatasetError(
            "An augmenter must keep the image's size and dtype. Received: "
            f"{augmenter.__class__.__name__} turned {image.shape} {image.dtype} into "
            f"{augmented.shape} {augmented.dtype}. Use keep_size=True, or leave it out."
        )
    if masks.shape[-1] == 0:
        return augmented, masks
    maps = SegmentationMapsOnImage(np.ascontiguousarray(masks, bool), shape=image.shape)
    moved = frozen.augment_segmentation_maps(maps).get_arr()
    return augmented, moved.astype(bool).reshape(masks.shape)
