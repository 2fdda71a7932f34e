"""ResNet and ResNeXt: one definition; a variant is a row of data.

He et al. 2016 (Deep Residual Learning), Xie et al. 2017 (Aggregated Residual Transformations).
A ResNeXt is a ResNet whose 3 x 3 convolution has `groups` and another width. Layer names are
matterport's (`res3a_branch2b`, `bn2a_branch2a`), so that old weight files and layer patterns
work. First stage of `mask_rcnn.py`'s story. Shape letters: `landslide_rcnn.nn`.
"""

from dataclasses import dataclass

import keras
from keras import layers

from landslide_rcnn.errors import RegistryError
from landslide_rcnn.nn.backbones.dilation import dilate
from landslide_rcnn.nn.batch_norm import BatchNorm
from landslide_rcnn.nn.conv_norm import ConvNorm
from landslide_rcnn.nn.grouped_conv import GroupedConv2D
from landslide_rcnn.nn.matrix_conv import MatrixConv2D


@dataclass(frozen=True)
class Variant:
    """Blocks of the four stages, groups of the 3 x 3 convolutions, channels of one group, of C2."""

    blocks: tuple[int, int, int, int]
    groups: int = 1
    group_width: int = 64
    width: int = 256


VARIANTS = {
    "resnet14_thin": Variant((1, 1, 1, 1), group_width=16, width=64),  # for trying things out
    "resnet26": Variant((2, 2, 2, 2)),
    "resnet50": Variant((3, 4, 6, 3)),
    "resnet101": Variant((3, 4, 23, 3)),
    "resnext50": Variant((3, 4, 6, 3), groups=32, group_width=4),
    "resnext101": Variant((3, 4, 23, 3), groups=32, group_width=4),
}


@dataclass(frozen=True)
class Style:
    """The conventions that weights from elsewhere were trained with.

    Attributes:
        conv_bias: Convolutions before a batch normalisation have a bias.
        stride_in_3x3: The second convolution of a stage's first block has the stride; else the
            first one has it.
        symmetric_padding: One pixel on every side before the pooling and the strided 3 x 3;
            else TensorFlow's "same".
        epsilon: Of the batch normalisation.
    """

    conv_bias: bool
    stride_in_3x3: bool
    symmetric_padding: bool
    epsilon: float


STYLES = {
    "torchvision": Style(False, True, True, 1e-5),
    "keras": Style(True, False, True, 1.001e-5),
    "matterport": Style(True, False, False, 1e-3),
}


def build_resnet(
    name: str,
    *,
    channels: int = 3,
    style: str = "torchvision",
    batch_statistics: bool = True,
    classes: int | None = None,
    output_stride: int = 32,
) -> keras.Model:
    """Build a backbone, or a classifier when `classes` is given.

    Args:
        name: A key of `VARIANTS`.
        channels: Bands of the image.
        style: A key of `STYLES`.
        batch_statistics: Train the batch normalisation by the batch's statistics.
        classes: Units of a classification head.
        output_stride: Pixels a cell of C5 stands for. 8 and 16 replace the last strides by
            dilations: the same weights, and at every stride-th cell the same numbers.

    Returns:
        A model from [B, H, W, channels] to {"C2": [B, H/4, W/4, 256], "C3": [.., 512], "C4":
        [.., 1024], "C5": [B, H/32, W/32, 2048]}, or to logits [B, classes]; "resnet14_thin" has a
        quarter of the channels.

    Raises:
        RegistryError: `name` or `style` is not in its table, or a ResNeXt is to be dilated.
        ShapeError: `output_stride` is none of 8, 16 and 32.
    """
    variant, conventions = _look_up(VARIANTS, name), _look_up(STYLES, style)
    if variant.groups > 1 and output_stride < 32:
        plain = [key for key, value in VARIANTS.items() if value.groups == 1]
        raise RegistryError(
            "A backbone of grouped convolutions must have the output stride 32. Received: "
            f"{name!r}, {output_stride}. Use one of: {', '.join(plain)}."
        )
    stages = dilate([2, 2, 2, 2, 2], output_stride)[1:]  # C2's stride is that of the pooling
    block = _Bottleneck(variant, conventions, batch_statistics)
    image = keras.Input((None, None, channels), name="input_image")
    x = layers.ZeroPadding2D(3, name="conv1_pad")(image)
    conv1 = layers.Conv2D(64, 7, 2, use_bias=conventions.conv_bias, name="conv1", **_HE)
    x = layers.ReLU(name="conv1_relu")(ConvNorm(conv1, block.norm("bn_conv1"))(x))
    if conventions.symmetric_padding:
        # Padding by zero equals padding by minus infinity: the activations are not negative.
        x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
        x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    else:
        x = layers.MaxPooling2D(3, 2, padding="same", name="pool1")(x)

    levels = {}
    for stage, count in enumerate(variant.blocks, start=2):
        for i in range(count):
            x = block(x, stage, "abcdefghijklmnopqrstuvwxyz"[i], i == 0, stages[stage - 2])
        levels[f"C{stage}"] = x
    if classes is None:
        return keras.Model(image, levels, name=name)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(image, layers.Dense(classes, name="fc1000")(x), name=name)


_HE = dict(kernel_initializer="he_normal")


class _Bottleneck:
    """The residual block: 1 x 1, 3 x 3 (grouped in a ResNeXt), 1 x 1, and a shortcut."""

    def __init__(self, variant: Variant, style: Style, batch_statistics: bool):
        self.variant, self.style, self.batch_statistics = variant, style, batch_statistics

    def __call__(self, x, stage: int, letter: str, first: bool, at: tuple[int, int, int]):
        out = self.variant.width * 2 ** (stage - 2)
        width = self.variant.groups * self.variant.group_width * 2 ** (stage - 2)
        stride, dilation_before, dilation = at
        stride = stride if first and stage > 2 else 1
        stride1, stride3 = (1, stride) if self.style.stride_in_3x3 else (stride, 1)
        if first and self.style.stride_in_3x3:
            dilation = dilation_before  # it sees the cells before the stride
        ending = f"{stage}{letter}_branch"

        y = self.conv_norm(x, width, 1, stride1, f"{ending}2a")
        y = layers.ReLU(name=f"res{ending}2a_relu")(y)
        y = self.conv_norm(
            y, width, 3, stride3, f"{ending}2b", self.variant.groups, dilation=dilation
        )
        y = layers.ReLU(name=f"res{ending}2b_relu")(y)
        y = self.conv_norm(y, out, 1, 1, f"{ending}2c")
        shortcut = self.conv_norm(x, out, 1, stride, f"{ending}1") if first else x
        y = layers.Add(name=f"res{stage}{letter}_add")([y, shortcut])
        return layers.ReLU(name=f"res{stage}{letter}_out")(y)

    def conv_norm(self, x, filters: int, size: int, stride: int, ending: str, groups=1, dilation=1):
        padding = "same" if size > 1 else "valid"
        if size > 1 and stride > 1 and self.style.symmetric_padding:
            x = layers.ZeroPadding2D(1, name=f"res{ending}_pad")(x)
            padding = "valid"
        spec = dict(padding=padding, use_bias=self.style.conv_bias, name=f"res{ending}", **_HE)
        if groups > 1:
            convolution = GroupedConv2D(filters, size, stride, groups=groups, **spec)
        else:
            kind = MatrixConv2D if size == 1 else layers.Conv2D
            convolution = kind(filters, size, stride, dilation_rate=dilation, **spec)
        return ConvNorm(convolution, self.norm(f"bn{ending}"))(x)

    def norm(self, name: str) -> BatchNorm:
        return BatchNorm(
            epsilon=self.style.epsilon, batch_statistics=self.batch_statistics, name=name
        )


def _look_up(table: dict, name: str):
    if name not in table:
        raise RegistryError(
            f"A backbone's variant and style must be known. Received: {name!r}. "
            f"Use one of: {', '.join(table)}."
        )
    return table[name]
