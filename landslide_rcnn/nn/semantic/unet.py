"""U-Net: an encoder, and a decoder that joins the encoder's features at every size.

Ronneberger et al. 2015 (U-Net). The plain one has 31.04 M parameters and 54.6 G multiply-adds at
256 x 256 x 3 (Chen et al. 2022, Table 4: 31.03 M, 54.68 G). To enlarge, pixels are repeated and
convolved 2 x 2, in the words of 2015; a transposed convolution has the same parameters, but would
make 48.2 G of the table's multiply-adds. Differs from 2015: convolutions keep the size and are
batch-normalised.
VGG16 and ResNet-50 as encoders: Yang et al. 2022 (Bijie). The same decoder, its widths those of
the plain one; ResNet-50 has no features of the full size, and the last block joins none.
Shape letters: `landslide_rcnn.nn`.
"""

import keras
from keras import layers

from landslide_rcnn.nn.backbones.resnet import build_resnet
from landslide_rcnn.nn.backbones.vgg import build_vgg16
from landslide_rcnn.nn.semantic.parts import (
    CropLike,
    PadToMultiple,
    conv_norm_relu,
    join,
    score,
)


def build_unet(
    *, channels: int = 3, classes: int = 1, backbone: str = "plain", width: int = 64
) -> keras.Model:
    """Build a U-Net.

    Args:
        channels: Bands of the image.
        classes: Logits of a pixel.
        backbone: A key of `ENCODERS`.
        width: Channels of the full size: of the plain encoder's first and of the decoder's last.
            ResNet-50's decoder has one block more, of half as many.

    Returns:
        A model from [B, H, W, channels] to logits [B, H, W, classes].
    """
    image = keras.Input((None, None, channels), name="input_image")
    padded = PadToMultiple(32, name="pad")(image)
    *skips, x = ENCODERS[backbone](padded, channels, width)
    for i, skip in enumerate(reversed(skips), start=1):
        filters = 16 * width // 2**i
        x = layers.UpSampling2D(2, name=f"decoder{i}_repeat")(x)
        x = layers.Conv2D(filters, 2, padding="same", name=f"decoder{i}_up")(x)
        x = join(x, skip, filters, f"decoder{i}")
    return keras.Model(image, CropLike(name="crop")(score(x, classes), image), name="network")


def _plain(image, channels: int, width: int) -> list:
    """Features of strides 1, 2, 4, 8 and 16, of `width` to 16 x `width` channels."""
    x, features = image, []
    for i in range(5):
        if i:
            x = layers.MaxPooling2D(2, name=f"encoder{i}_pool")(x)
        for j in (1, 2):
            x = conv_norm_relu(x, width * 2**i, 3, f"encoder{i + 1}_conv{j}")
        features.append(x)
    return features


def _vgg16(image, channels: int, width: int) -> list:
    """Features of strides 1, 2, 4, 8 and 16: what goes into VGG16's five poolings."""
    features = build_vgg16(channels=channels)(image)
    return [features[f"conv{block}"] for block in range(1, 6)]


def _resnet50(image, channels: int, width: int) -> list:
    """Nothing of stride 1, features of strides 2 (before the pooling), 4, 8, 16 and 32."""
    resnet = build_resnet("resnet50", channels=channels)
    levels = {"C1": resnet.get_layer("conv1_relu").output, **resnet.output}
    features = keras.Model(resnet.input, levels, name="backbone")(image)
    return [None, *(features[f"C{level}"] for level in range(1, 6))]


# From the image to features of falling size, None where there are none.
ENCODERS = {"plain": _plain, "vgg16": _vgg16, "resnet50": _resnet50}
