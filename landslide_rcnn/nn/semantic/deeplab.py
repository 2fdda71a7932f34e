"""DeepLabv3+: atrous pyramid over features of stride 16, refined by those of stride 4.

Chen et al. 2018 (DeepLabv3+): rates 6, 12 and 18, image-level features, 48 low-level channels.
Xception or MobileNet as Yang et al. 2022 (Bijie) have it. That paper speaks of an output stride
of 8 without the doubled rates that go with it; stride 16 is what the rates 6, 12, 18 belong to.
Shape letters: `landslide_rcnn.nn`.
"""

import keras
from keras import layers

from landslide_rcnn.nn.backbones.mobilenet import build_mobilenet
from landslide_rcnn.nn.backbones.xception import build_xception
from landslide_rcnn.nn.semantic.parts import (
    CropLike,
    PadToMultiple,
    ResizeLike,
    conv_norm_relu,
    global_conv_relu,
    score,
    separable_norm_relu,
)

RATES = (6, 12, 18)
OUTPUT_STRIDE = 16
LOW_LEVEL = 48  # channels; more of them would outweigh the pyramid's

BACKBONES = {"xception": build_xception, "mobilenet": build_mobilenet}


def build_deeplab(
    *, channels: int = 3, classes: int = 1, backbone: str = "xception", width: int = 256
) -> keras.Model:
    """Build DeepLabv3+.

    Args:
        channels: Bands of the image.
        classes: Logits of a pixel.
        backbone: A key of `BACKBONES`.
        width: Channels of the pyramid's branches and of the decoder.

    Returns:
        A model from [B, H, W, channels] to logits [B, H, W, classes].
    """
    image = keras.Input((None, None, channels), name="input_image")
    padded = PadToMultiple(OUTPUT_STRIDE, name="pad")(image)
    encode = BACKBONES[backbone](channels=channels, output_stride=OUTPUT_STRIDE)
    levels = encode(padded)
    x, low = _atrous_pyramid(levels["C5"], width), levels["C2"]
    low = conv_norm_relu(low, LOW_LEVEL, 1, "low_level")
    x = layers.Concatenate(name="decoder_join")([ResizeLike(name="decoder_resize")(x, low), low])
    for i in (1, 2):
        x = separable_norm_relu(x, width, f"decoder{i}")
    logits = ResizeLike(name="resize")(score(x, classes), padded)
    return keras.Model(image, CropLike(name="crop")(logits, image), name="network")


def _atrous_pyramid(x, width: int):
    """See each cell by itself, at three distances, and beside the mean of the whole image."""
    mean = layers.GlobalAveragePooling2D(keepdims=True, name="aspp_mean")(x)
    mean = global_conv_relu(mean, width, "aspp_mean_conv")
    branches = [conv_norm_relu(x, width, 1, "aspp_1x1")]
    for rate in RATES:
        branches.append(separable_norm_relu(x, width, f"aspp_rate{rate}", dilation=rate))
    branches.append(ResizeLike(name="aspp_mean_resize")(mean, x))
    x = layers.Concatenate(name="aspp_join")(branches)
    x = conv_norm_relu(x, width, 1, "aspp_conv")
    return layers.Dropout(0.1, name="aspp_dropout")(x)
