"""What matterport's scripts carry along with an image: its meta vector, and small helpers.

Shape letters: B batch; H, W pixels; C channels; K classes with background 0.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from landslide_rcnn.config import Config
from landslide_rcnn.data.normalize import normalize_image
from landslide_rcnn.errors import ConfigError

# The parts of an image meta and where each begins; the last one has one number a class.
_PARTS = {
    "image_id": 0,
    "original_image_shape": slice(1, 4),
    "image_shape": slice(4, 7),
    "window": slice(7, 11),
    "scale": 11,
    "active_class_ids": slice(12, None),
}


def compose_image_meta(
    image_id: int,
    original_image_shape: Sequence[int],
    image_shape: Sequence[int],
    window: Sequence[int],
    scale: float,
    active_class_ids: Sequence[int],
) -> np.ndarray:
    """Put what is known of an image into one vector.

    Args:
        image_id: Of the dataset.
        original_image_shape: (H, W, C) of the file.
        image_shape: (H, W, C) after resizing and padding.
        window: (y1, x1, y2, x2), pixels of the resized image without its padding, half-open.
        scale: Of the resizing.
        active_class_ids: [K], 1 for a class of the image's source.

    Returns:
        [IMAGE_META_SIZE] float64.
    """
    parts = ([image_id], original_image_shape, image_shape, window, [scale], active_class_ids)
    return np.concatenate([np.asarray(part, np.float64) for part in parts])


def parse_image_meta(meta: np.ndarray) -> dict[str, np.ndarray]:
    """Take image metas [B, IMAGE_META_SIZE] apart; int32 except "scale", which is float32."""
    return {
        name: np.asarray(part, np.float32 if name == "scale" else np.int32)
        for name, part in parse_image_meta_graph(meta).items()
    }


def parse_image_meta_graph(meta: Any) -> dict[str, Any]:
    """Take image metas [B, IMAGE_META_SIZE] apart, as a tensor or an array, dtype as given."""
    return {name: meta[:, where] for name, where in _PARTS.items()}


def mold_image(images: np.ndarray, config: Config) -> np.ndarray:
    """Normalise images [..., H, W, C] as `config.NORMALIZATION` says; float32."""
    return normalize_image(images, np.ones(images.shape[:-1], bool), config)


def unmold_image(normalized_images: np.ndarray, config: Config) -> np.ndarray:
    """Undo `mold_image`: [..., H, W, C] uint8, rounded and cut at 0 and 255.

    Raises:
        ConfigError: Every image had a mean and a deviation of its own, which are not known here.
    """
    if config.NORMALIZATION != "dataset":
        raise ConfigError(
            'Only images normalised with NORMALIZATION="dataset" can be brought back. '
            f"Received: {config.NORMALIZATION!r}. Keep the original image instead."
        )
    images = normalized_images * config.STD_PIXEL + config.MEAN_PIXEL
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def compute_backbone_shapes(config: Config, image_shape: Sequence[int]) -> np.ndarray:
    """Return [levels, (h, w)] int: the cells of each pyramid level for an image (H, W, ...).

    The same for every backbone, since BACKBONE_STRIDES is: COMPUTE_BACKBONE_SHAPE is not asked.
    """
    height, width = image_shape[:2]
    return np.array(
        [[math.ceil(height / s), math.ceil(width / s)] for s in config.BACKBONE_STRIDES]
    )


def log(text: str, array: np.ndarray | None = None) -> None:
    """Print a text, and of an array its shape, smallest and largest value and dtype."""
    if array is not None:
        array = np.asarray(array)
        low, high = (f"{f(array):10.5f}" if array.size else "" for f in (np.min, np.max))
        text = f"{text:25}  shape: {array.shape!s:20}  min: {low:10}  max: {high:10}  {array.dtype}"
    print(text)
