"""PSPNet: a backbone of stride 8, and its features averaged over 1, 4, 9 and 36 parts of the tile.

Zhao et al. 2017 (Pyramid Scene Parsing), with ResNet-50 or MobileNet as Yang et al. 2022 (Bijie)
have it, whose tiles of 473 px give maps of 60 x 60. Differs: no auxiliary loss in the middle of
the backbone, which the paper on landslides does not mention. Shape letters: `landslide_rcnn.nn`.
"""

import keras
from keras import layers, ops

from landslide_rcnn.nn.backbones.mobilenet import build_mobilenet
from landslide_rcnn.nn.backbones.resnet import build_resnet
from landslide_rcnn.nn.semantic.parts import ResizeLike, conv_norm_relu, global_conv_relu, score

BINS = (1, 2, 3, 6)
OUTPUT_STRIDE = 8


def build_pspnet(
    *, channels: int = 3, classes: int = 1, backbone: str = "resnet50", width: int = 512
) -> keras.Model:
    """Build PSPNet.

    Args:
        channels: Bands of the image.
        classes: Logits of a pixel.
        backbone: A key of `BACKBONES`.
        width: Channels of the convolution behind the pyramid.

    Returns:
        A model from [B, H, W, channels] to logits [B, H, W, classes].
    """
    image = keras.Input((None, None, channels), name="input_image")
    features = BACKBONES[backbone](channels)(image)["C5"]
    levels = [features]
    for bins in BINS:
        x = AveragePoolTo(bins, name=f"pyramid{bins}_pool")(features)
        share, name = features.shape[-1] // len(BINS), f"pyramid{bins}_conv"
        x = conv_norm_relu(x, share, 1, name) if bins > 1 else global_conv_relu(x, share, name)
        levels.append(ResizeLike(name=f"pyramid{bins}_resize")(x, features))
    x = layers.Concatenate(name="pyramid_join")(levels)
    x = conv_norm_relu(x, width, 3, "head_conv")
    x = layers.Dropout(0.1, name="head_dropout")(x)
    logits = ResizeLike(name="resize")(score(x, classes), image)
    return keras.Model(image, logits, name="network")


def _resnet50(channels: int) -> keras.Model:
    resnet = build_resnet("resnet50", channels=channels, output_stride=OUTPUT_STRIDE)
    return keras.Model(resnet.input, resnet.output, name="backbone")


def _mobilenet(channels: int) -> keras.Model:
    return build_mobilenet(channels=channels, output_stride=OUTPUT_STRIDE)


BACKBONES = {"resnet50": _resnet50, "mobilenet": _mobilenet}


class AveragePoolTo(layers.Layer):
    """Average over `bins` x `bins` parts of a map of any size: [B, H, W, C] -> [B, n, n, C].

    Part i holds the rows from floor(i H / n) to below ceil((i + 1) H / n), so that parts overlap
    where n does not divide H, and none is empty. Written as two matrix products, which every
    backend has for sizes that are known late.
    """

    def __init__(self, bins: int, **kwargs):
        super().__init__(**kwargs)
        self.bins = bins

    def call(self, x):
        height, width = ops.shape(x)[1:3]
        x = ops.einsum("bhwc,nh->bnwc", x, self._shares(height, x.dtype))
        return ops.einsum("bnwc,mw->bnmc", x, self._shares(width, x.dtype))

    def _shares(self, size, dtype):
        """[n, size]: the share of each row in each part."""
        part, row = ops.arange(self.bins)[:, None], ops.arange(size)[None]
        first, end = part * size // self.bins, -(-(part + 1) * size // self.bins)
        inside = ops.cast((row >= first) & (row < end), "float32")
        return ops.cast(inside / ops.sum(inside, axis=1, keepdims=True), dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.bins, self.bins, input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "bins": self.bins}
