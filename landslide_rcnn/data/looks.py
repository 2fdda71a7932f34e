"""How an image looks, in 256 numbers: to find copies that were resized, compressed or brightened.

The image is reduced to 16 x 16 cells of grey, less its mean and its slope (light and haze make
many tiles alike), and scaled to length 1; two looks are compared by their correlation. Of the
different images of Bijie, Landslide4Sense, Mars and Hokkaido none is above 0.84 to another; their
copies at 60 % of the size, as JPEG of quality 60, or brightened, none below 0.97.

Shape letters: H, W pixels; C channels; n, m images.
"""

from collections.abc import Sequence

import cv2
import numpy as np

SIDE = 16  # cells
MIN_CORRELATION = 0.95
MIN_TEXTURE = 0.01  # of the mean: below, cells differ by noise and rounding
MAX_BANDS = 3  # those of the picture; factors may be constant over a tile
ROWS_AT_ONCE = 1024


def look_of(image: np.ndarray, valid: np.ndarray) -> np.ndarray | None:
    """Return [256] float32 of length 1; None for an image without texture.

    Args:
        image: [H, W, C] or [H, W].
        valid: [H, W] bool. Other pixels, and black ones, count as the mean: the border of a
            survey is not what an image looks like.
    """
    bands = image if image.ndim == 3 else image[..., None]
    grey = bands[..., :MAX_BANDS].astype(np.float32).mean(axis=-1)
    seen = valid & bands.any(axis=-1) & np.isfinite(grey)
    if not seen.any():
        return None
    mean = float(grey[seen].mean(dtype=np.float64))
    cells = cv2.resize(np.where(seen, grey, mean), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    across = np.linspace(-1, 1, SIDE)
    slopes = np.stack(
        [np.ones((SIDE, SIDE)), np.tile(across, (SIDE, 1)), np.tile(across, (SIDE, 1)).T], axis=-1
    ).reshape(-1, 3)
    flat = cells.astype(np.float64).ravel()
    flat -= slopes @ np.linalg.lstsq(slopes, flat, rcond=None)[0]
    length = np.linalg.norm(flat)
    if length <= MIN_TEXTURE * max(abs(mean), 1e-12) * SIDE:
        return None
    return (flat / length).astype(np.float32)


def most_alike(
    looks: Sequence[np.ndarray | None],
    others: Sequence[np.ndarray | None],
    *,
    earlier_only: bool = False,
) -> dict[int, int]:
    """Return the positions of looks that are alike another one, and of that one.

    Args:
        looks: [n] of [256].
        others: [m] of [256].
        earlier_only: Both are the same; an image is compared with those before it.
    """
    nothing = np.zeros(SIDE * SIDE, np.float32)
    mine, theirs = (
        np.array([nothing if look is None else look for look in some]).reshape(-1, SIDE * SIDE)
        for some in (looks, others)
    )
    found: dict[int, int] = {}
    for start in range(0, len(mine) if len(theirs) else 0, ROWS_AT_ONCE):
        correlation = mine[start : start + ROWS_AT_ONCE] @ theirs.T  # [rows, m]
        if earlier_only:
            correlation = np.tril(correlation, start - 1)
        best = correlation.argmax(axis=1)
        high = correlation[np.arange(len(best)), best] >= MIN_CORRELATION
        found |= {start + int(row): int(best[row]) for row in np.flatnonzero(high)}
    return found
