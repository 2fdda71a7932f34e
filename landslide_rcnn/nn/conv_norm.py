"""A convolution and its batch normalisation as one step. Used by the backbones and the heads.

With stored statistics a normalisation is a scale and a shift of each channel. Where the kernel is
smaller than what it produces, the scale is moved into the kernel and the shift becomes the bias:
the activations, and in training their gradients, are passed over once instead of four times.
Shape letters: `landslide_rcnn.nn`.
"""

import math

import keras
from keras import ops

from landslide_rcnn.nn.batch_norm import BatchNorm


class ConvNorm(keras.layers.Layer):
    """`norm(convolution(x))`, by the shorter of two ways to the same numbers.

    Args:
        convolution: A `keras.layers.Conv2D` without activation. Its weights and name stay its own.
        norm: The batch normalisation behind it.
        rows: Images or rois that usually come at once; decides which way is shorter.
    """

    def __init__(self, convolution: keras.layers.Conv2D, norm: BatchNorm, *, rows: int = 4):
        # float32, so that a kernel is scaled before it is rounded to the convolution's precision.
        super().__init__(name=f"{convolution.name}_norm", dtype="float32", autocast=False)
        self.convolution, self.norm, self.rows = convolution, norm, rows

    def build(self, input_shape):
        self.convolution.build(input_shape)
        self.norm.build(self.convolution.compute_output_shape(input_shape))

    def compute_output_spec(self, inputs, training=None):
        shape = self.convolution.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, self.convolution.compute_dtype)

    def call(self, inputs, training=False):
        if self.norm.uses_batch(training):
            return self.norm(self.convolution(inputs), training=training)
        convolution, (scale, shift) = self.convolution, self.norm.scale_and_shift()
        dtype = convolution.compute_dtype
        if convolution.use_bias:
            shift = shift + convolution.bias * scale
        inputs, kernel = ops.cast(inputs, dtype), convolution.kernel
        if self._kernel_is_smaller(inputs.shape):
            kernel = ops.cast(kernel * scale, dtype)
            outputs = convolution.convolution_op(inputs, kernel)
        else:
            outputs = convolution.convolution_op(inputs, ops.cast(kernel, dtype))
            outputs = outputs * ops.cast(scale, dtype)
        # Spelled as an addition of a vector, so that TensorFlow fuses it with the convolution.
        return ops.add(outputs, ops.cast(shift, dtype))

    def _kernel_is_smaller(self, input_shape) -> bool:
        height, width = self.convolution.compute_output_shape(input_shape)[1:3]
        if height is None or width is None:
            return True
        return math.prod(self.convolution.kernel.shape[:3]) <= self.rows * height * width

    def compute_output_shape(self, input_shape):
        return self.convolution.compute_output_shape(input_shape)


def leaf_layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Return every layer with weights of its own, by its name, from input to output."""
    leaves = {}
    for layer in model._flatten_layers(include_self=False, recursive=False):
        inner = leaf_layers(layer)
        if layer.weights and not inner:
            leaves[layer.name] = layer
        leaves.update(inner)
    return leaves


def feature_input(shape: tuple, name: str) -> keras.KerasTensor:
    """Return the input of a stage inside a network, in the precision that layers compute in.

    Keras' own would be float32, and every feature map would be cast there and back.
    """
    return keras.Input(shape, name=name, dtype=keras.config.dtype_policy().compute_dtype)
