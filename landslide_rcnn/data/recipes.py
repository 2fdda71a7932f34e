"""The papers' augmentations, by name, as imgaug augmenters.

`recipe(name)` goes to `MaskRCNN.train(augmentation=...)` or any other place that takes an imgaug
augmenter; `landslide-rcnn train --augmentation NAME` does so. What moves pixels moves masks,
valid mask and every band; what changes colours changes the bands of `Config.IMAGERY_BANDS`.

Colours are changed by values relative to their range, so that images of any dtype work: 0 to 255
for uint8, from the tile's smallest value to its largest, band by band, for the others.

Shape letters: H, W pixels; C channels.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from landslide_rcnn.errors import RegistryError

FILTER_SIDE = 3  # pixels, mean filter
GAMMA_RANGE = (0.5, 2.0)
NOISE_STD = 0.05  # share of the range of values
CROP_SIDE = 0.7  # share of a tile's side


def recipe(name: str) -> Any:
    """Return the imgaug augmenter of one of `RECIPES`; a new one each time.

    Raises:
        RegistryError: There is no such recipe.
    """
    if name not in RECIPES:
        raise RegistryError(
            f"An augmentation recipe must be known. Received: {name!r}. "
            f"Use one of: {', '.join(RECIPES)}."
        )
    import imgaug.augmenters as iaa  # slow to import

    return RECIPES[name](iaa)


def jiuzhaigou(iaa: Any) -> Any:
    """Liu et al. 2021: the tile, turned by 90, 180 or 270 degrees, or flipped either way.

    Each of the six equally often. An oblong tile is stretched into its old shape by a quarter
    turn.
    """
    turns = [iaa.Rot90(k) for k in (1, 2, 3)]
    return iaa.OneOf([iaa.Identity(), *turns, iaa.Fliplr(1.0), iaa.Flipud(1.0)])


def fcn_fl(iaa: Any) -> Any:
    """FCN-FL: three pairs of a flip and a change of colours, and the tile itself.

    Left-right flip + mean filter, up-down flip + random gamma, mirror (both flips) + random
    noise; each of the four equally often. The paper gives no strengths: those of this module.
    """
    pairs = [
        [iaa.Fliplr(1.0), _on_images(iaa, mean_filter)],
        [iaa.Flipud(1.0), _on_images(iaa, random_gamma)],
        [iaa.Fliplr(1.0), iaa.Flipud(1.0), _on_images(iaa, random_noise)],
    ]
    return iaa.OneOf([iaa.Identity(), *(iaa.Sequential(pair) for pair in pairs)])


def pspnet(iaa: Any) -> Any:
    """Yang et al. 2022 (PSPNet): half of the tiles turned, half flipped left-right, half cut.

    Turned by 20, +90 or -90 degrees; cut to a random 0.7 x 0.7 of the tile, enlarged to its size.
    """
    # The cut as one resampling: enlarged about the centre, and moved as far as the tile reaches.
    reach = (1 - CROP_SIDE) / 2 / CROP_SIDE
    crop = iaa.Affine(
        scale=1 / CROP_SIDE, translate_percent={"x": (-reach, reach), "y": (-reach, reach)}
    )
    turn = iaa.OneOf([iaa.Affine(rotate=20), iaa.Rot90(1), iaa.Rot90(3)])
    return iaa.Sequential([iaa.Sometimes(0.5, turn), iaa.Fliplr(0.5), iaa.Sometimes(0.5, crop)])


RECIPES: dict[str, Callable[[Any], Any]] = {
    "jiuzhaigou": jiuzhaigou,
    "fcn_fl": fcn_fl,
    "pspnet": pspnet,
}


def mean_filter(image: np.ndarray, _rng: np.random.Generator) -> np.ndarray:
    """Return [H, W, C]: every pixel the mean of the square around it."""
    blurred = cv2.blur(image.astype(np.float64), (FILTER_SIDE, FILTER_SIDE))
    return _as_dtype(blurred.reshape(image.shape), image.dtype)


def random_gamma(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return [H, W, C]: values in their range to the power of a random gamma, one a tile."""
    low, span = _range_of(image)
    # As often below 1 as above.
    gamma = np.exp(rng.uniform(*np.log(GAMMA_RANGE)))
    return _as_dtype(low + span * ((image - low) / span) ** gamma, image.dtype)


def random_noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return [H, W, C]: with normally distributed noise, another at every pixel and band."""
    low, span = _range_of(image)
    noisy = image + span * NOISE_STD * rng.standard_normal(image.shape)
    return _as_dtype(np.clip(noisy, low, low + span), image.dtype)


def _range_of(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest value and the span of each band, [C] float64 each."""
    if image.dtype == np.uint8:
        return np.zeros(image.shape[2]), np.full(image.shape[2], 255.0)
    low = image.min(axis=(0, 1)).astype(np.float64)
    span = image.max(axis=(0, 1)) - low
    return low, np.where(span > 0, span, 1.0)  # a constant band has nothing to change


def _as_dtype(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return (
        np.rint(values).astype(dtype) if np.issubdtype(dtype, np.integer) else values.astype(dtype)
    )


def _on_images(iaa: Any, change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Any:
    """Return an augmenter that changes images by a function, and leaves masks alone."""

    def change_all(images, random_state, parents, hooks):
        return [change(image, random_state.generator) for image in images]

    return iaa.Lambda(func_images=change_all, name=change.__name__)
