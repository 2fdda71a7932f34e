"""Anchors: the fixed boxes that the RPN moves. They depend on the image's size alone.

Computed in NumPy while a network is traced, so that they are constants of the graph, never
weights: they do not train, do not decay and are in no checkpoint.
"""

from collections.abc import Sequence

import numpy as np


def pyramid_anchors(
    height: int,
    width: int,
    *,
    scales: Sequence[float],
    ratios: Sequence[float],
    strides: Sequence[int],
    anchor_stride: int = 1,
) -> np.ndarray:
    """Return the anchors of all pyramid levels.

    Args:
        height: Pixels of the image, a multiple of the largest stride.
        width: Pixels of the image.
        scales: Square root of the anchors' area in pixels, one a level.
        ratios: Width / height.
        strides: Pixels a cell, one a level.
        anchor_stride: Cells between anchors.

    Returns:
        [A, (y1, x1, y2, x2)], float32, pixels, ordered by level, row, column, ratio. An anchor is
        centred at stride x cell, without half a stride of offset.

    Source: Lin et al. 2017 (FPN), one scale a level; the centres are matterport's.
    """
    levels = [
        _level_anchors(height, width, scale, ratios, stride, anchor_stride)
        for scale, stride in zip(scales, strides, strict=True)
    ]
    return np.concatenate(levels).astype(np.float32)


def _level_anchors(height, width, scale, ratios, stride, anchor_stride) -> np.ndarray:
    rows, columns = -(-height // stride), -(-width // stride)
    root = np.sqrt(np.asarray(ratios, np.float64))
    heights, widths = scale / root, scale * root
    y = np.arange(0, rows, anchor_stride) * stride
    x = np.arange(0, columns, anchor_stride) * stride
    cy, cx, _ = np.meshgrid(y, x, root, indexing="ij")
    boxes = np.stack(
        [cy - heights / 2, cx - widths / 2, cy + heights / 2, cx + widths / 2], axis=-1
    )
    return boxes.reshape(-1, 4)
