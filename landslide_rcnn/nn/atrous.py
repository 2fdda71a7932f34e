"""Depthwise dilated (atrous) convolution that costs little more than a plain one.

With the weights, name and numbers of Keras' own. In a small map most taps of a large rate lie
outside and meet zeros alone; they are cut off the kernel. Used by DeepLab's pyramid. Shape
letters: `landslide_rcnn.nn`.
"""

import keras
from keras import ops


class AtrousDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` without the taps that lie outside the map.

    TensorFlow pads the map by the rate on every side: 8 x 8 cells become 44 x 44 at rate 18.
    """

    def call(self, inputs):
        if self.padding != "same" or self.strides != (1, 1):
            return super().call(inputs)
        kernel, rates = cut_off_taps(self.kernel, inputs.shape[1:3], self.dilation_rate)
        outputs = ops.depthwise_conv(inputs, kernel, padding="same", dilation_rate=rates)
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        return self.activation(outputs)


def cut_off_taps(kernel, sizes: tuple, rates: tuple[int, int]):
    """Leave the taps out that meet only the zeros around a map, whatever cell the middle is on.

    Args:
        kernel: [h, w, ..], h and w odd.
        sizes: Cells of the map (H, W); None where that is not known, and nothing is left out.
        rates: Cells between two taps, (rows, columns).

    Returns:
        The middle of the kernel, and its rates, which are 1 where one tap is left.
    """
    spans, kept = [], []
    for length, size, rate in zip(kernel.shape[:2], sizes, rates, strict=True):
        middle = length // 2
        reach = middle if size is None else min(middle, (size - 1) // rate)
        spans.append(slice(middle - reach, middle + reach + 1))
        kept.append(rate if reach else 1)
    return ops.convert_to_tensor(kernel)[tuple(spans)], tuple(kept)
