"""DRs-UNet: a U-Net whose encoder shrinks what it takes for noise, by learned thresholds.

Chen et al. 2022 (DRs-UNet), for noisy InSAR maps. The encoder is 8 residual shrinkage blocks with
a threshold for each channel (Zhao et al. 2020, Deep Residual Shrinkage Networks, RSBU-CW), the
decoder 4 blocks of a transposed convolution, a skip and two convolutions.

The paper's figure leaves open the stem, how the stages halve, and the decoder's widths. Chosen to
meet its Table 4 (256 x 256 x 3): a 7 x 7 stem at full size, whose features are the last skip; two
blocks a stage of 64, 128, 256 and 512 channels, the first of them with the stride; transposed
2 x 2 convolutions that keep the channels; convolutions of 256, 128, 64 and 16. That is 17.1 M
parameters (table: 17.19 M) and 19.2 G multiply-adds (19.12 G). Shape letters: `landslide_rcnn.nn`.
"""

import keras
from keras import layers, ops

from landslide_rcnn.nn.batch_norm import BatchNorm
from landslide_rcnn.nn.matrix_conv import MatrixConv2D
from landslide_rcnn.nn.semantic.parts import (
    CropLike,
    PadToMultiple,
    conv_norm_relu,
    join,
    score,
)

_HE = dict(padding="same", kernel_initializer="he_normal")


def build_drs_unet(
    *, channels: int = 3, classes: int = 1, backbone: str = "plain", width: int = 64
) -> keras.Model:
    """Build DRs-UNet.

    Args:
        channels: Bands of the image.
        classes: Logits of a pixel.
        backbone: "plain"; the registry offers no other.
        width: Channels of the stem and of the first stage.

    Returns:
        A model from [B, H, W, channels] to logits [B, H, W, classes].
    """
    image = keras.Input((None, None, channels), name="input_image")
    x = PadToMultiple(16, name="pad")(image)
    x = conv_norm_relu(x, width, 7, "stem_conv")
    skips = []
    for stage in range(1, 5):
        skips.append(x)
        filters = width * 2 ** (stage - 1)
        x = shrinkage_block(x, filters, f"encoder{stage}a", stride=2)
        x = shrinkage_block(x, filters, f"encoder{stage}b")
    for i, filters in enumerate((4 * width, 2 * width, width, width // 4), start=1):
        up = layers.Conv2DTranspose(x.shape[-1], 2, 2, name=f"decoder{i}_up", **_HE)
        x = join(up(x), skips.pop(), filters, f"decoder{i}")
    return keras.Model(image, CropLike(name="crop")(score(x, classes), image), name="network")


def shrinkage_block(x, filters: int, name: str, *, stride: int = 1):
    """Residual block whose branch is soft-thresholded: [B, H, W, C] -> [B, H/s, W/s, filters].

    tau = alpha x mean|y| of each image and channel, with alpha in (0, 1) from two dense layers.
    """
    y = layers.ReLU(name=f"{name}_relu1")(BatchNorm(name=f"{name}_bn1")(x))
    y = layers.Conv2D(filters, 3, stride, use_bias=False, name=f"{name}_conv1", **_HE)(y)
    y = layers.ReLU(name=f"{name}_relu2")(BatchNorm(name=f"{name}_bn2")(y))
    y = layers.Conv2D(filters, 3, use_bias=False, name=f"{name}_conv2", **_HE)(y)

    mean = AbsoluteMean(name=f"{name}_mean")(y)  # [B, 1, 1, filters]
    alpha = layers.Dense(filters, use_bias=False, name=f"{name}_alpha1", **_BRANCH)(mean)
    alpha = RunningNorm(dtype="float32", name=f"{name}_alpha_bn")(alpha)
    alpha = layers.ReLU(name=f"{name}_alpha_relu", dtype="float32")(alpha)
    alpha = layers.Dense(filters, activation="sigmoid", name=f"{name}_alpha2", **_BRANCH)(alpha)
    tau = layers.Multiply(name=f"{name}_tau", dtype="float32")([alpha, mean])
    y = SoftThreshold(name=f"{name}_shrink")(y, tau)

    if stride > 1 or x.shape[-1] != filters:
        # Thinned out first: oneDNN's gradient of a strided 1 x 1 convolution of few channels
        # writes beyond its memory (TensorFlow 2.21, 8 to 8 channels).
        x = x[:, ::stride, ::stride]
        x = MatrixConv2D(filters, 1, use_bias=False, name=f"{name}_shortcut", **_HE)(x)
    return layers.Add(name=f"{name}_add")([x, y])


# float32: a handful of numbers an image, of which a threshold is made.
_BRANCH = dict(kernel_initializer="he_normal", dtype="float32")


class AbsoluteMean(layers.Layer):
    """Mean of |x| of each image and channel: [B, H, W, C] -> [B, 1, 1, C], float32."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, x):
        return ops.mean(ops.cast(ops.abs(x), "float32"), axis=(1, 2), keepdims=True)

    def compute_output_spec(self, x):
        return keras.KerasTensor((x.shape[0], 1, 1, x.shape[-1]), "float32")


class RunningNorm(BatchNorm):
    """Batch normalisation of one value an image, by the statistics of all batches so far.

    The batch's own would be those of B values: of one image alone the output would be beta and
    nothing before it would learn, of two images each would be at one of two values. The variance
    is that about the stored mean, so that a batch of one image counts too.
    """

    def _normalise_by_batch(self, inputs):
        keep, wide = self.momentum, ops.stop_gradient(ops.cast(inputs, "float32"))
        mean = ops.mean(wide, axis=(0, 1, 2))
        variance = ops.mean(ops.square(wide - self.moving_mean), axis=(0, 1, 2))
        self.moving_mean.assign(self.moving_mean * keep + mean * (1 - keep))
        self.moving_variance.assign(self.moving_variance * keep + variance * (1 - keep))
        scale, shift = self.scale_and_shift()
        return inputs * ops.cast(scale, inputs.dtype) + ops.cast(shift, inputs.dtype)


class SoftThreshold(layers.Layer):
    """sign(x) max(|x| - tau, 0), for x [B, H, W, C] and tau [B, 1, 1, C], not negative.

    Written as x minus x limited to [-tau, tau]: the same, in fewer passes over x.
    """

    def call(self, x, tau):
        tau = ops.cast(tau, x.dtype)
        return x - ops.maximum(ops.minimum(x, tau), -tau)

    def compute_output_shape(self, x_shape, tau_shape):
        return x_shape
