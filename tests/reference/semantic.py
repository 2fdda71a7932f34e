"""Slow twins of what the semantic networks are made of."""

import numpy as np


def soft_threshold(x, tau):
    out = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        batch, _, _, channel = index
        value, limit = x[index], tau[batch, 0, 0, channel]
        if abs(value) > limit:
            out[index] = value - limit if value > 0 else value + limit
    return out


def pool_and_unpool(x, values):
    """Maxima of 2 x 2 squares, and `values` put back where each maximum was."""
    pooled, unpooled = np.zeros_like(values), np.zeros_like(x)
    for b, i, j, c in np.ndindex(values.shape):
        square = x[b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
        row, column = np.unravel_index(np.argmax(square), (2, 2))
        pooled[b, i, j, c] = square[row, column]
        unpooled[b, 2 * i + row, 2 * j + column, c] = values[b, i, j, c]
    return pooled, unpooled


def average_pool_to(x, bins):
    batch, height, width, channels = x.shape
    out = np.zeros((batch, bins, bins, channels))
    for i in range(bins):
        for j in range(bins):
            y1, y2 = i * height // bins, int(np.ceil((i + 1) * height / bins))
            x1, x2 = j * width // bins, int(np.ceil((j + 1) * width / bins))
            out[:, i, j] = x[:, y1:y2, x1:x2].mean(axis=(1, 2))
    return out
