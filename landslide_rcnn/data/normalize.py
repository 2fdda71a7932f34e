"""Pixel values in the file's units -> what the network sees; the same in training and detection.

Used by `batches.py` and `molding.py`; `Config.NORMALIZATION` names the way, and travels with the
weights in their card.
"""

from collections.abc import Callable

import numpy as np

from landslide_rcnn.config import Config

# Deviations below it are noise of rounding: a constant band becomes 0, not huge.
SMALLEST_STD = 1e-6


def normalize_image(image: np.ndarray, valid: np.ndarray, config: Config) -> np.ndarray:
    """Return [..., H, W, C] float32: normalised values, and 0 (the mean) where not valid.

    Args:
        image: [..., H, W, C], in the file's own units.
        valid: [..., H, W] bool.
        config: Its NORMALIZATION, MEAN_PIXEL and STD_PIXEL.
    """
    image = image.astype(np.float32)
    mean, std = NORMALIZATIONS[config.NORMALIZATION](image, valid, config)
    normalized = (image - mean) / std
    normalized[~valid] = 0
    return normalized


def _of_dataset(
    _image: np.ndarray, _valid: np.ndarray, config: Config
) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(config.MEAN_PIXEL, np.float32), np.asarray(config.STD_PIXEL, np.float32)


def _of_tile(
    image: np.ndarray, valid: np.ndarray, _config: Config
) -> tuple[np.ndarray, np.ndarray]:
    """Return each band's mean and standard deviation over the image's own valid pixels.

    Source: Chen et al. 2022 (DRs-UNet), who standardise every sample by itself.
    """
    inside = np.broadcast_to(valid[..., None], image.shape)
    # Padding and nodata are no imagery; an image without any valid pixel is 0 throughout.
    some = valid.any(axis=(-2, -1))[..., None, None, None]
    inside = inside | ~some
    options = dict(axis=(-3, -2), keepdims=True, where=inside, dtype=np.float64)
    mean, std = np.mean(image, **options), np.std(image, **options)
    return mean.astype(np.float32), np.maximum(std, SMALLEST_STD).astype(np.float32)


# name -> (image, valid, config) -> what is subtracted, and what the difference is divided by.
NORMALIZATIONS: dict[str, Callable] = {"dataset": _of_dataset, "tile": _of_tile}
