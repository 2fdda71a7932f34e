"""A backbone of the user's own, as matterport's `Config.BACKBONE` takes it."""

from collections.abc import Callable

import keras

from landslide_rcnn.errors import ShapeError

# What FPN, anchors and heads rely on: pixels of input a cell of each level stands for.
LEVEL_STRIDES = {"C2": 4, "C3": 8, "C4": 16, "C5": 32}
_PROBE = 64  # pixels


def build_custom(levels_of: Callable, *, channels: int) -> keras.Model:
    """Build a backbone from a function.

    Args:
        levels_of: From the input image, a Keras tensor [B, H, W, channels], to [C1, .., C5].
        channels: Bands of the image.

    Returns:
        A model from [B, H, W, channels] to {"C2": [B, H/4, W/4, *], .., "C5": [B, H/32, W/32,
        *]}.

    Raises:
        ShapeError: The function does not give five levels of these strides.
    """
    image = keras.Input((None, None, channels), name="input_image")
    levels = list(levels_of(image))
    if len(levels) != 5:
        raise ShapeError(
            "A backbone must give five levels, C1 to C5. Received: "
            f"{len(levels)}. Return [C1, C2, C3, C4, C5]; C1 may be None."
        )
    model = keras.Model(image, dict(zip(LEVEL_STRIDES, levels[1:])), name="backbone")
    shapes = model.compute_output_shape((1, _PROBE, _PROBE, channels))
    strides = {name: _PROBE // shapes[name][1] for name in LEVEL_STRIDES}
    if strides != LEVEL_STRIDES:
        raise ShapeError(
            f"The levels of a backbone must have the strides {LEVEL_STRIDES}. Received: "
            f"{strides}. Return the features of these strides."
        )
    return model
