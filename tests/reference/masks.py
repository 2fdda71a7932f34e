"""Cutting masks inside boxes, one cell at a time."""

import numpy as np


def crop(mask, box, size):
    """mask [h, w], box (y1, x1, y2, x2) in its pixels from edge to edge -> [size, size]."""
    h, w = mask.shape
    out = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            y = box[0] + (box[2] - box[0]) * (i + 0.5) / size - 0.5
            x = box[1] + (box[3] - box[1]) * (j + 0.5) / size - 0.5
            if -0.5 <= y <= h - 0.5 and -0.5 <= x <= w - 0.5:
                y, x = min(max(y, 0.0), h - 1.0), min(max(x, 0.0), w - 1.0)
                for row in {int(np.floor(y)), int(np.ceil(y))}:
                    for column in {int(np.floor(x)), int(np.ceil(x))}:
                        share = (1 - abs(y - row)) * (1 - abs(x - column))
                        out[i, j] += share * mask[row, column]
    return out
