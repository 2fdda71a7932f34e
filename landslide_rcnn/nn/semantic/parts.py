"""What several of the semantic networks are made of. Shape letters: `landslide_rcnn.nn`."""

import keras
from keras import layers, ops

from landslide_rcnn.nn.atrous import AtrousDepthwiseConv2D
from landslide_rcnn.nn.batch_norm import BatchNorm
from landslide_rcnn.nn.conv_norm import ConvNorm
from landslide_rcnn.nn.depthwise import HeDepthwise


def conv_norm_relu(x, filters: int, size: int, name: str, *, bias: bool = False):
    """Convolution, batch normalisation and ReLU: [B, H, W, C] -> [B, H, W, filters]."""
    convolution = layers.Conv2D(
        filters,
        size,
        padding="same",
        use_bias=bias,
        kernel_initializer="he_normal",
        name=name,
    )
    x = ConvNorm(convolution, BatchNorm(name=f"{name}_bn"))(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def separable_norm_relu(x, filters: int, name: str, *, dilation: int = 1):
    """Depthwise 3 x 3 and pointwise convolution, each normalised and with a ReLU.

    [B, H, W, C] -> [B, H, W, filters]. Source: Chen et al. 2018 (DeepLabv3+), section 3.2.
    """
    x = AtrousDepthwiseConv2D(
        3,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        depthwise_initializer=HeDepthwise(),
        name=f"{name}_depthwise",
    )(x)
    x = BatchNorm(name=f"{name}_depthwise_bn")(x)
    x = layers.ReLU(name=f"{name}_depthwise_relu")(x)
    return conv_norm_relu(x, filters, 1, f"{name}_pointwise")


def global_conv_relu(x, filters: int, name: str):
    """1 x 1 convolution with bias and ReLU of features of the whole image: [B, 1, 1, C].

    Differs from the papers: not normalised. A batch has one such value an image, and a batch of
    one image normalises it to nothing; the stored statistics then fit no image.
    """
    return layers.Conv2D(filters, 1, activation="relu", kernel_initializer="he_normal", name=name)(
        x
    )


def join(x, skip, filters: int, name: str):
    """Join the encoder's features to enlarged ones, and convolve twice.

    Args:
        x: [B, H, W, *].
        skip: [B, H, W, *], or None where the encoder has none of that size.
        filters: Of both convolutions.
        name: Of the block; its layers' names begin with it.

    Returns:
        [B, H, W, filters].
    """
    if skip is not None:
        x = layers.Concatenate(name=f"{name}_join")([skip, x])
    x = conv_norm_relu(x, filters, 3, f"{name}_conv1")
    return conv_norm_relu(x, filters, 3, f"{name}_conv2")


def score(x, classes: int, name: str = "logits"):
    """1 x 1 convolution to logits in float32: [B, H, W, C] -> [B, H, W, classes]."""
    return layers.Conv2D(classes, 1, dtype="float32", name=name)(x)


class PadToMultiple(layers.Layer):
    """Zeros below and to the right, up to the next multiple: [B, H, W, C] -> [B, H', W', C]."""

    def __init__(self, multiple: int, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.multiple = multiple

    def call(self, image):
        height, width = ops.shape(image)[1:3]
        rows, columns = -height % self.multiple, -width % self.multiple
        if isinstance(rows, int) and rows == columns == 0:
            return image
        return ops.pad(image, [[0, 0], [0, rows], [0, columns], [0, 0]])

    def compute_output_shape(self, input_shape):
        batch, *sizes, channels = input_shape
        sizes = (None if size is None else size + -size % self.multiple for size in sizes)
        return (batch, *sizes, channels)

    def get_config(self):
        return {**super().get_config(), "multiple": self.multiple}


class CropLike(layers.Layer):
    """Cut off what is below and to the right of a smaller image: [B, H', W', K] -> [B, H, W, K]."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, x, like):
        height, width = ops.shape(like)[1:3]
        return x[:, :height, :width]

    def compute_output_shape(self, x_shape, like_shape):
        return (x_shape[0], *like_shape[1:3], x_shape[-1])


class ResizeLike(layers.Layer):
    """Resize bilinearly to the size of another map: [B, h, w, C] -> [B, H, W, C]."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, x, like):
        size = ops.shape(like)[1:3]
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # What `ops.image.resize` calls, which refuses a size that is known late.
            resized = tf.image.resize(x, size)
        else:
            resized = ops.image.resize(x, size, interpolation="bilinear")
        return ops.cast(resized, x.dtype)

    def compute_output_shape(self, x_shape, like_shape):
        return (x_shape[0], *like_shape[1:3], x_shape[-1])


class Bilinear(keras.initializers.Initializer):
    """A transposed convolution that starts as bilinear interpolation of each channel alone.

    Source: Long et al. 2015 (FCN), section 3.3.
    """

    def __call__(self, shape, dtype=None):
        size, _, outputs, inputs = shape
        factor = (size + 1) // 2
        centre = factor - 1 if size % 2 else factor - 0.5
        distance = ops.abs(ops.arange(size, dtype="float32") - centre) / factor
        line = 1.0 - distance
        kernel = line[:, None, None, None] * line[None, :, None, None]
        return ops.cast(kernel * ops.eye(outputs, inputs, dtype="float32"), dtype or "float32")
