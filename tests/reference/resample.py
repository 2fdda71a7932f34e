"""Resampling by plain loops: every pixel at its centre, bilinear between cell centres."""

import math

import numpy as np


def bilinear_at(grid: np.ndarray, y: float, x: float) -> float:
    """Return the value of a grid at a position in cells, cell (i, j) being centred at (i, j)."""
    rows, columns = grid.shape
    y, x = min(max(y, 0.0), rows - 1.0), min(max(x, 0.0), columns - 1.0)
    i, j = math.floor(y), math.floor(x)
    i2, j2 = min(i + 1, rows - 1), min(j + 1, columns - 1)
    dy, dx = y - i, x - j
    top = grid[i, j] * (1 - dx) + grid[i, j2] * dx
    bottom = grid[i2, j] * (1 - dx) + grid[i2, j2] * dx
    return top * (1 - dy) + bottom * dy


def resize(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return [height, width]: bilinear on half-pixel centres, from [H, W]."""
    rows, columns = grid.shape
    result = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            y = (i + 0.5) * rows / height - 0.5
            x = (j + 0.5) * columns / width - 0.5
            result[i, j] = bilinear_at(grid, y, x)
    return result


def paste(mask: np.ndarray, box, height: int, width: int) -> np.ndarray:
    """Return [height, width] with the mask stretched over its box; -1 where no mask is."""
    y1, x1, y2, x2 = box
    result = np.full((height, width), -1.0)
    for i in range(height):
        for j in range(width):
            if y1 <= i + 0.5 < y2 and x1 <= j + 0.5 < x2:
                y = (i + 0.5 - y1) / (y2 - y1) * mask.shape[0] - 0.5
                x = (j + 0.5 - x1) / (x2 - x1) * mask.shape[1] - 0.5
                value = bilinear_at(np.pad(mask, 1), y + 1, x + 1)
                result[i, j] = min(max(value, mask.min()), mask.max())
    return result
