"""Convolutions that are matrix products, computed as such. Used by backbones and the box head."""

import math

import keras
from keras import ops


class MatrixConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` whose kernel is 1 x 1, or covers its whole input.

    Arguments, weights and numbers are those of Conv2D. With a stride it is computed as usual.
    TensorFlow's matrix product on a CPU is faster than its convolution, most of all backwards. A
    convolution takes the bias, the ReLU and the bias' gradient along, a product does not: where
    there are many cells to few channels in bfloat16, those passes over the cells weigh more.
    """

    def convolution_op(self, inputs, kernel):
        height, width = inputs.shape[1:3]
        if self.kernel_size == (1, 1) and self.strides == (1, 1):
            if _passes_weigh_more(height, width, kernel):
                return super().convolution_op(inputs, kernel)
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


def _passes_weigh_more(height: int | None, width: int | None, kernel) -> bool:
    """Whether one pass over the cells of an image costs more than the product can save."""
    if height is None or width is None:
        return False
    # In float32 the products take twice as long, and the passes vanish behind them.
    is_fast = keras.backend.standardize_dtype(kernel.dtype) == "bfloat16"
    return is_fast and height * width > max(kernel.shape[2:])
