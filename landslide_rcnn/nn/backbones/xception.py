"""Xception: separable convolutions with shortcuts, with the layer names of keras.applications.

Chollet 2017 (Xception). With `output_stride` 16 or 8 the last strides are replaced by dilations
(Chen et al. 2018, DeepLabv3+), with the same weights. The original, not DeepLab's longer
"aligned" one, because its ImageNet weights are public. Shape letters: `landslide_rcnn.nn`.
"""

import keras
from keras import layers

from landslide_rcnn.nn.backbones.dilation import dilate
from landslide_rcnn.nn.batch_norm import BatchNorm
from landslide_rcnn.nn.conv_norm import ConvNorm
from landslide_rcnn.nn.depthwise import HeDepthwise

# Keras numbers these convolutions, and the normalisations behind them (`.._bn`), in this order
# ("conv2d", "conv2d_1", ..), by what was built before. Every other name is Keras' own.
UNNAMED = ("block2_shortcut", "block3_shortcut", "block4_shortcut", "block13_shortcut")

_SPEC = dict(use_bias=False)
_HE = dict(kernel_initializer="he_normal")


def build_xception(*, channels: int = 3, output_stride: int = 32) -> keras.Model:
    """Build Xception without its classifier.

    The image is padded by 2 pixels before and 3 behind, so that its first two convolutions,
    which pad nothing, give H/2.

    Args:
        channels: Bands of the image.
        output_stride: Pixels a cell of C5 stands for: 8, 16 or 32.

    Returns:
        A model from [B, H, W, channels] to {"C2": [B, H/4, W/4, 128], "C3": [.., H/8, .., 256],
        "C4": [.., 728], "C5": [.., 2048]}; the last ones are H/output_stride at the least.
    """
    image = keras.Input((None, None, channels), name="input_image")
    x = layers.ZeroPadding2D(((2, 3), (2, 3)), name="block1_pad")(image)
    x = _conv(x, 32, 3, 2, "block1_conv1")
    x = layers.ReLU(name="block1_conv1_act")(x)
    x = _conv(x, 64, 3, 1, "block1_conv2")
    x = layers.ReLU(name="block1_conv2_act")(x)

    _, at2, at3, at4, at13 = dilate([2, 2, 2, 2, 2], output_stride)
    c2 = _down_block(x, 2, (128, 128), at2, relu_first=False)
    c3 = _down_block(c2, 3, (256, 256), at3)
    x = _down_block(c3, 4, (728, 728), at4)
    for block in range(5, 13):
        shortcut = x
        for i in (1, 2, 3):
            x = _relu_separable(x, 728, block, i, dilation=at4[2])
        x = layers.Add(name=f"block{block}_add")([x, shortcut])
    c4 = x
    x = _down_block(x, 13, (728, 1024), at13)
    for i, filters in ((1, 1536), (2, 2048)):
        x = _separable(x, filters, f"block14_sepconv{i}", dilation=at13[2])
        x = layers.ReLU(name=f"block14_sepconv{i}_act")(x)
    return keras.Model(image, {"C2": c2, "C3": c3, "C4": c4, "C5": x}, name="backbone")


def _down_block(x, block: int, filters: tuple[int, int], at, *, relu_first: bool = True):
    """Two separable convolutions and a pooling with the stride, beside a strided shortcut."""
    stride, dilation, _ = at
    shortcut = _conv(x, filters[-1], 1, stride, f"block{block}_shortcut")
    separable = _relu_separable if relu_first else _first_separable
    x = separable(x, filters[0], block, 1, dilation)
    x = _relu_separable(x, filters[1], block, 2, dilation)
    x = layers.MaxPooling2D(3, stride, padding="same", name=f"block{block}_pool")(x)
    return layers.Add(name=f"block{block}_add")([x, shortcut])


def _first_separable(x, filters: int, block: int, i: int, dilation: int):
    return _separable(x, filters, f"block{block}_sepconv{i}", dilation)


def _relu_separable(x, filters: int, block: int, i: int, dilation: int):
    x = layers.ReLU(name=f"block{block}_sepconv{i}_act")(x)
    return _separable(x, filters, f"block{block}_sepconv{i}", dilation)


def _separable(x, filters: int, name: str, dilation: int):
    spec = dict(padding="same", dilation_rate=dilation, name=name, **_SPEC)
    start = dict(depthwise_initializer=HeDepthwise(), pointwise_initializer="he_normal")
    x = layers.SeparableConv2D(filters, 3, **start, **spec)(x)
    return BatchNorm(name=f"{name}_bn")(x)


def _conv(x, filters: int, size: int, stride: int, name: str):
    convolution = layers.Conv2D(filters, size, stride, name=name, **_SPEC, **_HE)
    return ConvNorm(convolution, BatchNorm(name=f"{name}_bn"))(x)
