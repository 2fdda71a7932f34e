"""VGG16: 13 convolutions in five blocks, with the layer names of keras.applications.

Simonyan and Zisserman 2015 (Very Deep Convolutional Networks), configuration D. Without batch
normalisation, as its ImageNet weights are. The semantic models take its features before and
after the poolings. Shape letters: `landslide_rcnn.nn`.
"""

import keras
from keras import layers

# Filters and convolutions of each block.
BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def build_vgg16(*, channels: int = 3) -> keras.Model:
    """Build VGG16 without its dense layers.

    Args:
        channels: Bands of the image.

    Returns:
        A model from [B, H, W, channels] to {"conv1": [B, H, W, 64], "pool1": [B, H/2, W/2, 64],
        .., "conv5": [B, H/16, W/16, 512], "pool5": [B, H/32, W/32, 512]}, the last features of
        each block before and after its pooling.
    """
    x = image = keras.Input((None, None, channels), name="input_image")
    features = {}
    for block, (filters, count) in enumerate(BLOCKS, start=1):
        for i in range(1, count + 1):
            x = layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
                name=f"block{block}_conv{i}",
            )(x)
        features[f"conv{block}"] = x
        x = features[f"pool{block}"] = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    return keras.Model(image, features, name="backbone")
