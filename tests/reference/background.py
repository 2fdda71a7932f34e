"""CutMix pixel by pixel."""

import numpy as np


def paste(background, source, masks, box, top, left):
    """Paste a box (y1, x1, y2, x2) of `source` [H, W, C] and its `masks` [H, W, N] at a place.

    Returns the new image, and the masks that have a pixel in it, as a list of [H, W] bool.
    """
    image = background.copy()
    moved = [np.zeros(background.shape[:2], bool) for _ in range(masks.shape[2])]
    y1, x1, y2, x2 = box
    for y in range(y1, y2):
        for x in range(x1, x2):
            image[top + y - y1, left + x - x1] = source[y, x]
            for n in range(masks.shape[2]):
                moved[n][top + y - y1, left + x - x1] = masks[y, x, n]
    return image, [mask for mask in moved if mask.any()]
