"""MobileNet: depthwise separable convolutions, with the layer names of keras.applications.

Howard et al. 2017 (MobileNets), width 1. With `output_stride` 8 or 16 the last strides are
replaced by dilations (Chen et al. 2017, DeepLab): the same weights, and at every stride-th cell
the same numbers as the plain network. Shape letters: `landslide_rcnn.nn`.
"""

import keras
from keras import layers

from landslide_rcnn.nn.backbones.dilation import dilate
from landslide_rcnn.nn.batch_norm import BatchNorm
from landslide_rcnn.nn.conv_norm import ConvNorm
from landslide_rcnn.nn.depthwise import HeDepthwise

# Filters and stride of the 13 blocks.
BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    *[(512, 2)] + [(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)
_LEVELS = {3: "C2", 5: "C3", 11: "C4", 13: "C5"}  # the last block of each stride
_SPEC = dict(use_bias=False)


def build_mobilenet(*, channels: int = 3, output_stride: int = 32) -> keras.Model:
    """Build MobileNet without its classifier.

    Args:
        channels: Bands of the image.
        output_stride: Pixels a cell of C5 stands for: 8, 16 or 32.

    Returns:
        A model from [B, H, W, channels] to {"C2": [B, H/4, W/4, 128], "C3": [.., H/8, .., 256],
        "C4": [.., 512], "C5": [.., 1024]}; the last ones are H/output_stride at the least.
    """
    image = keras.Input((None, None, channels), name="input_image")
    conv1 = layers.Conv2D(
        32, 3, 2, padding="same", kernel_initializer="he_normal", name="conv1", **_SPEC
    )
    x = ConvNorm(conv1, BatchNorm(name="conv1_bn"))(image)
    x = layers.ReLU(6.0, name="conv1_relu")(x)
    levels, strides = {}, dilate([2, *(stride for _, stride in BLOCKS)], output_stride)[1:]
    for i, ((filters, plain), (stride, before, _)) in enumerate(zip(BLOCKS, strides), start=1):
        padding = "same"
        if plain == 2:
            # Keras pads below and to the right alone. Without the stride, every cell has that.
            margin = 1 if stride == 2 else 2 * before
            x = layers.ZeroPadding2D(((0, margin), (0, margin)), name=f"conv_pad_{i}")(x)
            padding = "valid"
        x = layers.DepthwiseConv2D(
            3,
            stride,
            padding=padding,
            dilation_rate=before,
            depthwise_initializer=HeDepthwise(),
            name=f"conv_dw_{i}",
            **_SPEC,
        )(x)
        x = BatchNorm(name=f"conv_dw_{i}_bn")(x)
        x = layers.ReLU(6.0, name=f"conv_dw_{i}_relu")(x)
        point = layers.Conv2D(
            filters, 1, kernel_initializer="he_normal", name=f"conv_pw_{i}", **_SPEC
        )
        x = ConvNorm(point, BatchNorm(name=f"conv_pw_{i}_bn"))(x)
        x = layers.ReLU(6.0, name=f"conv_pw_{i}_relu")(x)
        if i in _LEVELS:
            levels[_LEVELS[i]] = x
    return keras.Model(image, levels, name="backbone")
