"""The numbers that belong to weights: strides, biases, epsilon and the scale of the pixels.

The same arrays in a network of another convention fit and answer wrongly. Where one convention
can be turned into another without loss, that is done and said; elsewhere it is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from landslide_rcnn.weights.arrays import Array, NamedWeights, derived

if TYPE_CHECKING:
    import keras

    from landslide_rcnn.config import Config

BACKBONE_LAYER = re.compile(r"conv1|bn_conv1|fc1000|(res|bn)[2-5][a-z]_branch.*")
# These two differ in epsilon, which is made good below, and by one pixel in the place of the
# pooling windows. torchvision's strides are elsewhere, which nothing makes good.
INTERCHANGEABLE = ({"keras", "matterport"},)
# What pixels were divided by when the public weights of a convention were made.
PIXEL_SCALE = {
    **{"torchvision": 57.7, "keras": 1.0, "matterport": 1.0},
    **{"vgg16": 1.0, "mobilenet": 127.5, "xception": 127.5},
}
# What was subtracted before, where it is not ImageNet's mean colour, which is MEAN_PIXEL's default.
PIXEL_MEAN = {"mobilenet": 127.5, "xception": 127.5}


def network_style(layers: dict[str, keras.layers.Layer]) -> str | None:
    """Return the key of `backbones.resnet.STYLES` that a backbone was built with, or None."""
    from landslide_rcnn.nn.backbones.resnet import STYLES

    convolution, norm = layers.get("conv1"), layers.get("bn_conv1")
    if convolution is None or norm is None:
        return None
    told = (convolution.use_bias, norm.epsilon)
    return next((n for n, s in STYLES.items() if (s.conv_bias, s.epsilon) == told), None)


def is_interchangeable(first: str, second: str) -> bool:
    """Whether weights of one convention can be turned into the other."""
    return first == second or {first, second} in INTERCHANGEABLE


def with_epsilon(arrays: list[Array], of_file: str, of_network: str) -> list[Array]:
    """Let a batch normalisation of one epsilon answer the same with another.

    gamma / sqrt(variance + epsilon) stays: gamma is multiplied by
    sqrt((variance + new epsilon) / (variance + old epsilon)).

    Args:
        arrays: gamma, beta, moving mean and moving variance, each [C].
        of_file: The convention of the arrays.
        of_network: The convention of the network.
    """
    from landslide_rcnn.nn.backbones.resnet import STYLES

    old, new = STYLES[of_file].epsilon, STYLES[of_network].epsilon

    def rescaled(gamma: np.ndarray, variance: np.ndarray) -> np.ndarray:
        wide = variance.astype(np.float64)
        return (gamma * np.sqrt((wide + new) / (wide + old))).astype(np.float32)

    gamma, beta, mean, variance = arrays
    return [derived(gamma.shape, rescaled, gamma, variance), beta, mean, variance]


def for_bands(kernel: Array, bands: int) -> Array:
    """Turn the first kernel, made for RGB, into one for another number of bands.

    More bands: the first three keep the RGB filters; each further one gets the mean of the
    three, times 3 / C. Then bands that vary independently add at most a quarter to the
    response's variance (3 (C - 3) / C^2), and bands that all agree at most double it, so that
    the batch normalisation behind it still fits. One band or two are no RGB: each gets the mean
    times 3 / C, so that a grey image answers as it did.

    Args:
        kernel: [h, w, 3, F].
        bands: C.

    Returns:
        [h, w, C, F].
    """
    height, width, _, filters = kernel.shape

    def adapted(rgb: np.ndarray) -> np.ndarray:
        kept = rgb.astype(np.float32) if bands > 3 else rgb[:, :, :0].astype(np.float32)
        mean = rgb.astype(np.float32).mean(axis=2, keepdims=True) * np.float32(3 / bands)
        return np.concatenate([kept, np.repeat(mean, bands - kept.shape[2], axis=2)], axis=2)

    return derived((height, width, bands, filters), adapted, kernel)


def pixel_scale_note(named: NamedWeights, config: Config) -> str | None:
    """Say where the configuration scales pixels otherwise than the file's training did.

    Args:
        named: With its convention, or the configuration of its card.
        config: Of the network.
    """
    trained: Any = named.settings.get("STD_PIXEL", PIXEL_SCALE.get(named.style or ""))
    if trained is None:
        return None
    then, now = float(np.mean(trained)), float(np.mean(config.STD_PIXEL))
    if 0.5 < then / now < 2:
        return None
    mean = None if named.settings else PIXEL_MEAN.get(named.style or "")
    return (
        f"pixels were divided by {then:.4g} when these weights were trained, and are by "
        f"{now:.4g} here: set STD_PIXEL={then:.4g}"
        + (f" and MEAN_PIXEL={mean:g}" if mean is not None else "")
    )
