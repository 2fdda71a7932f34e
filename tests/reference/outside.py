"""The black outside of a survey, pixel by pixel."""

from collections import deque

import numpy as np


def outside_reference(
    image: np.ndarray, dark_limit: int, min_black_share: float
) -> tuple[np.ndarray, bool]:
    """Grow every dark region from every pixel of the scene's edge.

    Args:
        image: [H, W, C] of unsigned integers.
        dark_limit: A pixel is dark where no band is above it.
        min_black_share: Of a region's pixels, exactly 0 in all bands.

    Returns:
        [H, W] bool, without any rim, and whether all of it is exactly black.
    """
    height, width, _ = image.shape
    outside = np.zeros((height, width), bool)
    seen = np.zeros((height, width), bool)
    for start in np.ndindex(height, width):
        at_edge = start[0] in (0, height - 1) or start[1] in (0, width - 1)
        if not at_edge or seen[start] or image[start].max() > dark_limit:
            continue
        seen[start] = True
        region, queue = [], deque([start])
        while queue:
            row, column = queue.popleft()
            region.append((row, column))
            for near in (
                (row - 1, column),
                (row + 1, column),
                (row, column - 1),
                (row, column + 1),
            ):
                is_inside = 0 <= near[0] < height and 0 <= near[1] < width
                if is_inside and not seen[near] and image[near].max() <= dark_limit:
                    seen[near] = True
                    queue.append(near)
        black = sum(image[pixel].max() == 0 for pixel in region)
        if black >= min_black_share * len(region):
            for pixel in region:
                outside[pixel] = True
    return outside, bool((image[outside] == 0).all())
