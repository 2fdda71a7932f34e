"""Resizing images and their masks to the size that a network takes.

Between `data/dataset.py` (raw arrays) and `data/batches.py`. The arguments, modes and results
are matterport's; the difference is that image and mask are resampled on ONE grid (half-pixel
centres, target size rounded once), so that masks never shift against their image.

Shape letters: H, W pixels; C channels; N instances.
"""

import cv2
import numpy as np

from landslide_rcnn.errors import ConfigError

MODES = ("none", "square", "pad64", "crop")
MULTIPLE = 64  # what the strides of the pyramid (up to 2^6) divide

Padding = list[tuple[int, int]]
Crop = tuple[int, int, int, int]

# OpenCV resamples these; anything else goes through float64.
_NATIVE_DTYPES = (np.uint8, np.uint16, np.int16, np.float32, np.float64)
_CHANNELS_AT_ONCE = 4  # OpenCV's area interpolation takes no more


def resize_image(
    image: np.ndarray,
    min_dim: int | None = None,
    max_dim: int | None = None,
    min_scale: float | None = None,
    mode: str = "square",
    *,
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, tuple[int, int, int, int], float, Padding, Crop | None]:
    """Resize an image, keeping its aspect ratio.

    Args:
        image: [H, W, C].
        min_dim: Pixels; an image whose shorter side is smaller is enlarged to it. Also the side
            of the crop in mode "crop".
        max_dim: Pixels; in mode "square" the longer side is at most this, and the result is
            [max_dim, max_dim, C].
        min_scale: Enlarge at least by this factor, even where `min_dim` does not ask for it.
        mode: "none" (nothing is done), "square" (scaled, padded with zeros to a square),
            "pad64" (scaled, padded to multiples of 64), "crop" (scaled, then a random crop of
            `min_dim` x `min_dim`; for training only).
        rng: Draws the crop; a fresh generator if None.

    Returns:
        image: [H', W', C], dtype as given.
        window: (y1, x1, y2, x2), pixels of the result, half-open: the part that is not padding.
        scale: The factor.
        padding: [(top, bottom), (left, right), (0, 0)], pixels.
        crop: (y, x, height, width), pixels of the scaled image; None except in mode "crop".

    Raises:
        ConfigError: `mode` is unknown, or lacks the dimension that it needs.

    Source: matterport/Mask_RCNN, `utils.resize_image` (behaviour only).
    Differs: the sampling grid is shared with `resize_mask`; "pad64" takes any `min_dim`.
    """
    _check_mode(mode, min_dim, max_dim)
    height, width = image.shape[:2]
    padding: Padding = [(0, 0), (0, 0), (0, 0)]
    if mode == "none":
        return image, (0, 0, height, width), 1.0, padding, None

    scale = max(1.0, min_dim / min(height, width)) if min_dim else 1.0
    if min_scale:
        scale = max(scale, min_scale)
    if mode == "square" and round(max(height, width) * scale) > max_dim:
        scale = max_dim / max(height, width)
    height, width = scaled_size(height, width, scale)
    image = resize_array(image, height, width)

    if mode == "crop":
        rng = rng or np.random.default_rng()
        y = int(rng.integers(0, height - min_dim + 1))
        x = int(rng.integers(0, width - min_dim + 1))
        image = image[y : y + min_dim, x : x + min_dim]
        return image, (0, 0, min_dim, min_dim), scale, padding, (y, x, min_dim, min_dim)

    if mode == "square":
        target_height = target_width = max_dim
    else:
        target_height = -(-height // MULTIPLE) * MULTIPLE
        target_width = -(-width // MULTIPLE) * MULTIPLE
    top, left = (target_height - height) // 2, (target_width - width) // 2
    padding = [
        (top, target_height - height - top),
        (left, target_width - width - left),
        (0, 0),
    ]
    return np.pad(image, padding), (top, left, top + height, left + width), scale, padding, None


def resize_mask(
    mask: np.ndarray, scale: float, padding: Padding, crop: Crop | None = None
) -> np.ndarray:
    """Resize masks as `resize_image` resized their image.

    Args:
        mask: [H, W, N] or [H, W], bool or 0/1.
        scale: From `resize_image`.
        padding: From `resize_image`.
        crop: From `resize_image`.

    Returns:
        [H', W', N] or [H', W'], dtype as given: a pixel is set where at least half of what it
        covers is.

    Empty: [H, W, 0] in, [H', W', 0] out.
    """
    height, width = scaled_size(*mask.shape[:2], scale)
    if (height, width) != mask.shape[:2]:
        mask = (resize_array(mask.astype(np.float32), height, width) >= 0.5).astype(mask.dtype)
    if crop is not None:
        y, x, crop_height, crop_width = crop
        return mask[y : y + crop_height, x : x + crop_width]
    return np.pad(mask, padding[: mask.ndim])


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Return height and width in whole pixels after scaling; each at least 1."""
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize_array(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resample [H, W] or [H, W, C] to `height` x `width`, on half-pixel centres, dtype kept.

    Bilinear; averages areas where a side shrinks by more than 2, so that nothing is skipped.
    Integers are rounded, bool is set from one half on.
    """
    if array.shape[:2] == (height, width):
        return array
    if array.dtype == bool:
        return resize_array(array.astype(np.float32), height, width) >= 0.5
    if array.dtype not in _NATIVE_DTYPES:
        resized = resize_array(array.astype(np.float64), height, width)
        if np.issubdtype(array.dtype, np.integer):
            resized = np.rint(resized)
        return resized.astype(array.dtype)

    shrinks = array.shape[0] > 2 * height or array.shape[1] > 2 * width
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    if array.ndim == 2:
        return cv2.resize(array, (width, height), interpolation=interpolation)
    resized = np.empty((height, width, array.shape[2]), array.dtype)
    for first in range(0, array.shape[2], _CHANNELS_AT_ONCE):
        channels = slice(first, first + _CHANNELS_AT_ONCE)
        part = np.ascontiguousarray(array[..., channels])
        part = cv2.resize(part, (width, height), interpolation=interpolation)
        resized[..., channels] = part.reshape(height, width, -1)
    return resized


def resize(
    image: np.ndarray,
    output_shape: tuple[int, ...],
    order: int = 1,
    mode: str = "constant",
    cval: float = 0,
    clip: bool = True,
    preserve_range: bool = False,
    anti_aliasing: bool = False,
    anti_aliasing_sigma: float | None = None,
) -> np.ndarray:
    """Resize as matterport's scripts do: `skimage.transform.resize`, whose arguments these are.

    Nothing in this package uses it; see `resize_array`. An array of bool counts as 0 and 1.

    Returns:
        [*output_shape] float.
    """
    import skimage.transform

    if image.dtype == bool:
        image = image.astype(np.float32)  # skimage interpolates no bool
    return skimage.transform.resize(
        image,
        output_shape,
        order=order,
        mode=mode,
        cval=cval,
        clip=clip,
        preserve_range=preserve_range,
        anti_aliasing=anti_aliasing,
        anti_aliasing_sigma=anti_aliasing_sigma,
    )


def _check_mode(mode: str, min_dim: int | None, max_dim: int | None) -> None:
    if mode not in MODES:
        raise ConfigError(
            f"The resize mode must be one of {', '.join(MODES)}. Received: mode={mode!r}."
        )
    needed = {"square": ("max_dim", max_dim), "crop": ("min_dim", min_dim)}.get(mode)
    if needed and not needed[1]:
        raise ConfigError(
            f"Resize mode {mode!r} needs {needed[0]}. Received: {needed[0]}={needed[1]}. "
            f"Set IMAGE_{needed[0].upper()}."
        )
