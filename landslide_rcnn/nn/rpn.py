"""The region proposal network: on every cell of a pyramid, or at a few drawn anchors.

Ren et al. 2015 (Faster R-CNN), with matterport's layers and names. Third stage of
`mask_rcnn.py`'s story. Shape letters: `landslide_rcnn.nn`; S anchors drawn of an image.
"""

import keras
import numpy as np
from keras import layers, ops

from landslide_rcnn.nn.conv_norm import feature_input


def build_rpn(size: int, anchors_per_cell: int, anchor_stride: int = 1) -> keras.Model:
    """Build the RPN of one level; all levels share it.

    Args:
        size: Channels of a level. The shared convolution has twice as many.
        anchors_per_cell: Anchors at each cell.
        anchor_stride: Cells between anchors.

    Returns:
        A model from [B, h, w, size] to (logits [B, h w anchors_per_cell, (background,
        foreground)], deltas [B, h w anchors_per_cell, (dy, dx, log dh, log dw)]), float32.
    """
    level = feature_input((None, None, size), name="input_rpn_feature_map")
    x = layers.Conv2D(
        2 * size, 3, anchor_stride, padding="same", activation="relu", name="rpn_conv_shared"
    )(level)
    logits = layers.Conv2D(2 * anchors_per_cell, 1, name="rpn_class_raw", dtype="float32")(x)
    # Small first answers: random anchors must not start as confident proposals.
    deltas = layers.Conv2D(
        4 * anchors_per_cell,
        1,
        name="rpn_bbox_pred",
        dtype="float32",
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
    )(x)
    logits = layers.Reshape((-1, 2), name="rpn_class_logits", dtype="float32")(logits)
    deltas = layers.Reshape((-1, 4), name="rpn_bbox", dtype="float32")(deltas)
    return keras.Model(level, [logits, deltas], name="rpn_model")


def rpn_answers_at(rpn: keras.Model, levels: list, indices):
    """Run the RPN at some anchors only.

    The numbers are those of the whole levels, gathered at `indices`. Its use is in training: the
    losses know a few hundred of the anchors, so that the gradient of the widest convolution of
    the network need not pass through every cell of every level.

    Args:
        rpn: From `build_rpn`.
        levels: Five of [B, h, w, C].
        indices: [B, S] int, anchors, in the order of the levels, rows, columns, ratios.

    Returns:
        logits: [B, S, 2], float32.
        deltas: [B, S, 4], float32.
    """
    shared = rpn.get_layer("rpn_conv_shared")
    class_raw, bbox_pred = rpn.get_layer("rpn_class_raw"), rpn.get_layer("rpn_bbox_pred")
    anchors_per_cell = class_raw.filters // 2
    patches = _patches(levels, indices // anchors_per_cell, shared.strides[0])

    dtype = patches.dtype
    kernel = ops.reshape(ops.cast(shared.kernel, dtype), (-1, shared.filters))
    x = ops.relu(ops.matmul(patches, kernel) + ops.cast(shared.bias, dtype))
    x = ops.cast(x, "float32")  # [B, S, 2 C]
    own = ops.one_hot(indices % anchors_per_cell, anchors_per_cell, dtype="float32")
    return _at_own_ratio(x, class_raw, own), _at_own_ratio(x, bbox_pred, own)


def _patches(levels: list, cells, stride: int):
    """Gather what the 3 x 3 convolution sees at some cells.

    Args:
        levels: Five of [B, h, w, C].
        cells: [B, S] int, answers of the convolution, in the order of the levels, rows, columns.
        stride: The convolution's.

    Returns:
        [B, S, 9 C], the levels' dtype.
    """
    channels = levels[0].shape[-1]
    height, width = (np.array([x.shape[axis] for x in levels]) for axis in (1, 2))
    rows, columns = -(-height // stride), -(-width // stride)
    # Padding "same" puts the larger half of the padding behind: with an odd number of pixels to
    # pad, a window begins `before` cells ahead of its first cell. The table is padded by one.
    first_row = 1 - _padding_before(height, rows, stride)
    first_column = 1 - _padding_before(width, columns, stride)
    starts = np.cumsum([0, *(rows * columns)])  # of the levels' answers
    tables = np.cumsum([0, *((height + 2) * (width + 2))])  # of the levels' padded cells

    later_levels = ops.convert_to_tensor(starts[1:-1], "int32")
    level = ops.sum(ops.cast(cells[..., None] >= later_levels, "int32"), axis=-1)  # [B, S]
    of_level = lambda values: ops.take(np.asarray(values, np.int32), level)  # noqa: E731
    within = cells - of_level(starts[:-1])
    row = within // of_level(columns) * stride + of_level(first_row)
    column = within % of_level(columns) * stride + of_level(first_column)
    step = np.arange(3, dtype=np.int32)
    row = (row[..., None] + step)[..., :, None]  # [B, S, 3, 1]
    column = (column[..., None] + step)[..., None, :]  # [B, S, 1, 3]
    line = of_level(width + 2)[..., None, None]
    position = of_level(tables[:-1])[..., None, None] + row * line + column  # [B, S, 3, 3]

    padded = [ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]) for x in levels]
    table = ops.concatenate(
        [ops.reshape(x, (-1, n, channels)) for x, n in zip(padded, np.diff(tables).tolist())],
        axis=1,
    )
    image = ops.arange(ops.shape(table)[0], dtype="int32")[:, None, None, None]
    flat = ops.reshape(table, (-1, channels))
    found = ops.take(flat, image * int(tables[-1]) + position, axis=0)
    return ops.reshape(found, (-1, cells.shape[1], 9 * channels))


def _padding_before(size: np.ndarray, answers: np.ndarray, stride: int) -> np.ndarray:
    """Cells that padding "same" puts before `size` cells, for a window of 3."""
    return np.maximum((answers - 1) * stride + 3 - size, 0) // 2


def _at_own_ratio(x, layer, own):
    """Apply a 1 x 1 convolution to x [B, S, C] and pick each anchor's own part: [B, S, n]."""
    kernel = ops.reshape(ops.cast(layer.kernel, "float32"), (x.shape[-1], -1))
    values = ops.matmul(x, kernel) + ops.cast(layer.bias, "float32")
    values = ops.reshape(values, (-1, own.shape[1], own.shape[2], values.shape[-1] // own.shape[2]))
    return ops.sum(values * own[..., None], axis=2)
