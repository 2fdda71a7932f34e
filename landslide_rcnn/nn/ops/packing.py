"""Rows of a batch, one after another: what lets a head run on real boxes only.

Boxes come padded to a fixed number an image. On TensorFlow the padding is left out before the
heads that are dear; the other backends want static shapes and keep it.
"""

import keras
from keras import ops

# Every new number of rows costs the CPU's convolutions new plans once: as long as the mask head
# takes for three more rows, and 2 MB. Every row that rounding adds costs its time at every step.
ROUND_TO = 4


def pack(mask):
    """List where a mask is True.

    Args:
        mask: [B, M] bool.

    Returns:
        indices: [P] int32, into the flattened mask, in its order. Padding is 0.
        used: [P] bool, False for padding. P is the number of True values rounded up to the next
            multiple of `ROUND_TO` on TensorFlow, at least that; B x M on the other backends.
    """
    flat = ops.reshape(mask, (-1,))
    if keras.backend.backend() != "tensorflow":
        return ops.arange(flat.shape[0], dtype="int32"), flat
    import tensorflow as tf

    indices = tf.cast(tf.where(flat)[:, 0], tf.int32)
    count = tf.shape(indices)[0]
    slots = tf.maximum(-(-count // ROUND_TO), 1) * ROUND_TO
    return tf.pad(indices, [[0, slots - count]]), tf.range(slots) < count


def unpack(values, indices, used, batch, count: int):
    """Put packed rows back where `pack` took them from; the other rows are 0.

    Args:
        values: [P, ...].
        indices: [P] int32, from `pack`.
        used: [P] bool, from `pack`.
        batch: B, int or scalar tensor.
        count: M.

    Returns:
        [B, M, ...], the values' dtype.
    """
    rest = tuple(values.shape[1:])
    row = ops.reshape(used, (-1, *(1 for _ in rest)))
    values = ops.where(row, values, ops.zeros_like(values))  # padding adds nothing to row 0
    flat = ops.scatter(indices[:, None], values, (batch * count, *rest))
    return ops.reshape(flat, (-1, count, *rest))


def flatten_rows(values):
    """[B, M, ...] -> [B x M, ...]."""
    return ops.reshape(values, (-1, *values.shape[2:]))
