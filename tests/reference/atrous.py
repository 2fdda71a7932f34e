"""Depthwise dilated convolution, tap by tap."""

import numpy as np


def dilated(x: np.ndarray, kernel: np.ndarray, rate: int) -> np.ndarray:
    """Convolve each channel with zeros around.

    Args:
        x: [B, H, W, C].
        kernel: [h, w, C, 1].
        rate: Cells between two taps.

    Returns:
        [B, H, W, C].
    """
    height, width = x.shape[1:3]
    y = np.zeros(x.shape)
    middle_row, middle_column = kernel.shape[0] // 2, kernel.shape[1] // 2
    for row, column, i, j in np.ndindex(height, width, *kernel.shape[:2]):
        from_row = row + (i - middle_row) * rate
        from_column = column + (j - middle_column) * rate
        if 0 <= from_row < height and 0 <= from_column < width:
            y[:, row, column] += x[:, from_row, from_column] * kernel[i, j, :, 0]
    return y
