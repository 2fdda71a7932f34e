"""Convolutions that are matrix products, computed as such. Used by backbones and the box head."""

import math

import keras
from keras import ops


class MatrixConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` whose kernel is 1 x 1, or covers its whole input.

    Arguments, weights and numbers are those of Conv2D. With a stride it is computed as usual.
    TensorFlow's matrix product on a CPU is faster than its convolution, most of all backwards.
    """

    def convolution_op(self, inputs, kernel):
        height, width = inputs.shape[1:3]
        if self.kernel_size == (1, 1) and self.strides == (1, 1):
            answers = (height, width)
        elif self.kernel_size == (height, width) and self.padding == "valid":
            answers = (1, 1)
        else:
            return super().convolution_op(inputs, kernel)
        if None in answers:
            answers = ops.shape(inputs)[1:3]
        kernel = ops.reshape(kernel, (-1, self.filters))
        flat = ops.reshape(inputs, (-1, math.prod(self.kernel.shape[:3])))
        return ops.reshape(ops.matmul(flat, kernel), (-1, *answers, self.filters))
