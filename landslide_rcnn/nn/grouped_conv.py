"""Grouped convolution that is fast on a CPU, with the weights of Keras' own.

Keras sends a grouped `Conv2D` through XLA on TensorFlow's CPU, which takes seconds where oneDNN
takes milliseconds. `GroupedConv2D` calls the kernel that oneDNN provides, and falls back on dense
blocks where that is missing. Used by the ResNeXt blocks of `backbones/resnet.py`.
"""

import functools
from concurrent.futures import ThreadPoolExecutor

import keras
from keras import ops


class GroupedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D(groups=...)` whose speed does not depend on the backend.

    Arguments, weights (kernel [kh, kw, C / groups, F]) and numbers are those of Conv2D.
    """

    def convolution_op(self, inputs, kernel):
        convolve = STRATEGIES[choose_strategy(self.compute_dtype)]
        return convolve(inputs, kernel, self.strides, self.padding, self.groups)


def _native(inputs, kernel, strides, padding, groups):
    """Keras' own: the right one on JAX, PyTorch and GPUs. `groups` follows from the shapes."""
    return ops.conv(inputs, kernel, strides=list(strides), padding=padding)


# Channels of a group that fill a processor's vector registers. oneDNN pads narrower groups.
FULL_WIDTH = 8


def _direct(inputs, kernel, strides, padding, groups):
    """TensorFlow's kernel outside XLA, which oneDNN provides for groups as well."""
    import tensorflow as tf

    per_group, together = kernel.shape[2], 1
    while per_group * together < FULL_WIDTH and groups % (2 * together) == 0:
        together *= 2
    if together > 1:
        kernel = _join_groups(kernel, groups, together)
    return tf.nn.conv2d(inputs, kernel, list(strides), padding.upper())


def _blocks(inputs, kernel, strides, padding, groups, dense_count: int = 8):
    """A few dense convolutions whose kernels are zero between groups."""
    count = min(dense_count, groups)
    while groups % count:
        count -= 1
    groups_each = groups // count
    block = functools.partial(_join_groups, groups=groups_each, together=groups_each)
    outputs = [
        ops.conv(part, block(weights), strides=list(strides), padding=padding)
        for part, weights in zip(
            ops.split(inputs, count, axis=-1), ops.split(kernel, count, axis=-1), strict=True
        )
    ]
    return ops.concatenate(outputs, axis=-1)


def _join_groups(kernel, groups: int, together: int):
    """Make wider groups of `together` neighbours, with zeros between these.

    [kh, kw, c, F] -> [kh, kw, together x c, F], a kernel of `groups` / `together` groups.
    """
    kh, kw, per_group, filters = kernel.shape
    wide = groups // together
    kernel = ops.reshape(kernel, (kh, kw, 1, per_group, wide, together, filters // groups))
    own = ops.reshape(ops.eye(together, dtype=kernel.dtype), (1, 1, together, 1, 1, together, 1))
    return ops.reshape(kernel * own, (kh, kw, together * per_group, filters))


STRATEGIES = {"native": _native, "direct": _direct, "blocks": _blocks}


@functools.cache
def choose_strategy(dtype: str) -> str:
    """Name the strategy for this machine. The direct call is tried once for each dtype.

    Args:
        dtype: The convolution's, "float32" or "bfloat16".
    """
    if keras.backend.backend() != "tensorflow":
        return "native"
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return "native"

    @tf.function
    def gradients(inputs, kernel, bias):
        with tf.GradientTape() as tape:
            tape.watch([inputs, kernel])
            outputs = _direct(inputs, kernel, (1, 1), "same", 2)
            # With what follows it in a network, because TensorFlow makes one operation of these.
            outputs = tf.nn.relu(tf.nn.bias_add(outputs, bias))
            loss = tf.reduce_sum(outputs * outputs)
        return tape.gradient(loss, [inputs, kernel])

    def probe():
        arguments = (tf.ones(shape, dtype) for shape in ((1, 8, 8, 16), (3, 3, 8, 16), (16,)))
        return [gradient.numpy() for gradient in gradients(*arguments)]

    # In a thread of its own the probe runs at once, also while a graph is being traced here.
    with ThreadPoolExecutor(1) as thread:
        try:
            thread.submit(probe).result()
        except (tf.errors.UnimplementedError, tf.errors.InvalidArgumentError, ValueError):
            return "blocks"  # without oneDNN, TensorFlow has no gradient for groups on the CPU
    return "direct"
