"""How depthwise convolutions start. Used by MobileNet, Xception and the separable convolutions."""

import math

import keras


class HeDepthwise(keras.initializers.RandomNormal):
    """He's normal start, for the kernel of a depthwise convolution [h, w, C, 1].

    Keras' own starts count the channels among what a value is summed over, although each channel
    is convolved alone: of 1024 channels of 3 x 3 the variance is a thousandth, which is below the
    epsilon of the normalisation behind it, and the stored variances follow only after hundreds
    of steps.
    """

    def __init__(self, size: int = 3):
        super().__init__(stddev=math.sqrt(2) / size)
        self.size = size

    def get_config(self):
        return {"size": self.size}
