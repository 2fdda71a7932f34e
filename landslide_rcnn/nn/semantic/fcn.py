"""FCN-8s: VGG16 made fully convolutional, its scores joined at strides 32, 16 and 8.

Long et al. 2015 (Fully Convolutional Networks). The dense layers of VGG16 are convolutions here
(`fc1` 7 x 7, `fc2` 1 x 1; a kernel is the dense one, reshaped). Differs: the image is padded to a
multiple of 32 instead of by 100 pixels; score layers start as usual instead of at zero.
`fcn_fl.py` is the same with more score layers. Shape letters: `landslide_rcnn.nn`.
"""

import keras
from keras import layers

from landslide_rcnn.nn.backbones.vgg import build_vgg16
from landslide_rcnn.nn.semantic.parts import Bilinear, CropLike, PadToMultiple, score

EIGHT_S = (4, 3)


def build_fcn(
    *,
    channels: int = 3,
    classes: int = 1,
    backbone: str = "vgg16",
    poolings: tuple[int, ...] = EIGHT_S,
    head_width: int = 4096,
) -> keras.Model:
    """Build FCN.

    Args:
        channels: Bands of the image.
        classes: Logits of a pixel.
        backbone: "vgg16"; the registry offers no other.
        poolings: Poolings of VGG16 that have a score layer besides the last one, from 4 down.
        head_width: Channels of `fc1` and `fc2`; 4096 are those of VGG16's weights.

    Returns:
        A model from [B, H, W, channels] to logits [B, H, W, classes].
    """
    image = keras.Input((None, None, channels), name="input_image")
    features = build_vgg16(channels=channels)(PadToMultiple(32, name="pad")(image))
    x = features["pool5"]
    for name, size in (("fc1", 7), ("fc2", 1)):
        x = layers.Conv2D(
            head_width,
            size,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            name=name,
        )(x)
        x = layers.Dropout(0.5, name=f"{name}_dropout")(x)
    x = score(x, classes, "score_pool5")
    for pooling in poolings:
        x = _enlarge(x, classes, 2, f"up_pool{pooling}")
        skip = score(features[f"pool{pooling}"], classes, f"score_pool{pooling}")
        x = layers.Add(dtype="float32", name=f"add_pool{pooling}")([x, skip])
    x = _enlarge(x, classes, 2 ** poolings[-1], "up_image")
    return keras.Model(image, CropLike(name="crop")(x, image), name="network")


def _enlarge(x, classes: int, factor: int, name: str):
    """[B, h, w, K] -> [B, factor h, factor w, K], learned, bilinear at the start."""
    return layers.Conv2DTranspose(
        classes,
        2 * factor,
        factor,
        padding="same",
        use_bias=False,
        kernel_initializer=Bilinear(),
        dtype="float32",
        name=name,
    )(x)
