"""SegNet: VGG16 and its mirror image, which puts values back where the poolings took them.

Badrinarayanan et al. 2017 (SegNet). 29.45 M parameters and 40.1 G multiply-adds at 256 x 256 x 3
(Chen et al. 2022, Table 4: 29.45 M, 40.10 G). The encoder has VGG16's layer names, so that its
weights load, and for that reason the bias that its batch normalisations make needless. The last
convolution, 3 x 3, gives the logits, as the table's parameters and multiply-adds say.
Shape letters: `landslide_rcnn.nn`.
"""

import keras
from keras import layers, ops

from landslide_rcnn.nn.backbones.vgg import BLOCKS
from landslide_rcnn.nn.conv_norm import feature_input
from landslide_rcnn.nn.semantic.parts import CropLike, PadToMultiple, conv_norm_relu


def build_segnet(
    *, channels: int = 3, classes: int = 1, backbone: str = "vgg16", width: int = 64
) -> keras.Model:
    """Build SegNet.

    Args:
        channels: Bands of the image.
        classes: Logits of a pixel.
        backbone: "vgg16"; the registry offers no other.
        width: Channels of the full size; VGG16's weights are for 64.

    Returns:
        A model from [B, H, W, channels] to logits [B, H, W, classes].
    """
    image = keras.Input((None, None, channels), name="input_image")
    blocks = [(width * filters // BLOCKS[0][0], count) for filters, count in BLOCKS]
    *corners, x = _build_encoder(channels, blocks)(PadToMultiple(32, name="pad")(image))
    for block, (filters, count) in reversed(list(enumerate(blocks, start=1))):
        x = MaxUnpool(name=f"decoder{block}_unpool")(x, corners[block - 1])
        narrower = blocks[block - 2][0] if block > 1 else None
        widths = [filters] * (count - 1) + [narrower]
        for i, filters in enumerate(widths, start=1):
            if filters is not None:
                x = conv_norm_relu(x, filters, 3, f"decoder{block}_conv{i}")
    logits = layers.Conv2D(classes, 3, padding="same", dtype="float32", name="logits")(x)
    return keras.Model(image, CropLike(name="crop")(logits, image), name="network")


def _build_encoder(channels: int, blocks: list[tuple[int, int]]) -> keras.Model:
    """Return a model from the image to the corners of the five poolings and the last features."""
    x = image = feature_input((None, None, channels), "input_image")
    corners = []
    for block, (filters, count) in enumerate(blocks, start=1):
        for i in range(1, count + 1):
            x = conv_norm_relu(x, filters, 3, f"block{block}_conv{i}", bias=True)
        x, corner = MaxPoolWithCorner(name=f"block{block}_pool")(x)
        corners.append(corner)
    return keras.Model(image, [*corners, x], name="backbone")


class MaxPoolWithCorner(layers.Layer):
    """2 x 2 max pooling that says which pixel was the largest.

    [B, 2 h, 2 w, C] -> maxima [B, h, w, C], and corners uint8 [B, h, w, C]: 0 upper left, 1 upper
    right, 2 lower left, 3 lower right; the first one where several are equal.
    """

    def call(self, x):
        largest = ops.max_pool(x, 2, 2)
        # The corners have no gradient, and the pooling's own one goes where it should.
        x, found = ops.stop_gradient(x), ops.stop_gradient(largest)
        upper_left, upper_right, lower_left, _ = (_corner(x, k) == found for k in range(4))
        corners = ops.where(lower_left, 2, 3)
        corners = ops.where(upper_right, 1, corners)
        return largest, ops.cast(ops.where(upper_left, 0, corners), "uint8")

    def compute_output_spec(self, x):
        batch, height, width, channels = x.shape
        sizes = (None if size is None else size // 2 for size in (height, width))
        shape = (batch, *sizes, channels)
        return keras.KerasTensor(shape, x.dtype), keras.KerasTensor(shape, "uint8")


class MaxUnpool(layers.Layer):
    """Put each value at its corner of a 2 x 2 square, and 0 elsewhere.

    [B, h, w, C] and corners of `MaxPoolWithCorner` [B, h, w, C] -> [B, 2 h, 2 w, C].
    """

    def call(self, x, corners):
        _, height, width, channels = ops.shape(x)
        parts = [ops.where(corners == k, x, ops.zeros((), x.dtype)) for k in range(4)]
        rows = [ops.stack(parts[i : i + 2], axis=3) for i in (0, 2)]  # [B, h, w, 2, C]
        square = ops.stack(rows, axis=2)  # [B, h, 2, w, 2, C]
        return ops.reshape(square, (-1, 2 * height, 2 * width, channels))

    def compute_output_shape(self, x_shape, corners_shape):
        batch, height, width, channels = x_shape
        sizes = (None if size is None else 2 * size for size in (height, width))
        return (batch, *sizes, channels)


def _corner(x, k: int):
    return x[:, k // 2 :: 2, k % 2 :: 2]
