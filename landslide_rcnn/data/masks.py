"""Instance masks: their boxes, their small versions for training, and back to image size.

Used by `data/batches.py` on the way in and by `model.py` on the way out. All resampling is on
half-pixel centres. Boxes are (y1, x1, y2, x2), pixels, half-open.

Shape letters: H, W pixels of an image; h, w pixels of a small mask; N instances.
"""

import numpy as np

from landslide_rcnn.data.resize import resize_array
from landslide_rcnn.errors import ShapeError


def extract_bboxes(mask: np.ndarray) -> np.ndarray:
    """Return the smallest box around each mask.

    Args:
        mask: [H, W, N], bool or 0/1.

    Returns:
        [N, (y1, x1, y2, x2)] int32, pixels, half-open; zeros for an empty mask.
    """
    boxes = np.zeros((mask.shape[-1], 4), np.int32)
    rows, columns = mask.any(axis=1), mask.any(axis=0)  # [H, N], [W, N]
    for index in range(mask.shape[-1]):
        ys, xs = np.flatnonzero(rows[:, index]), np.flatnonzero(columns[:, index])
        if ys.size:
            boxes[index] = ys[0], xs[0], ys[-1] + 1, xs[-1] + 1
    return boxes


def minimize_mask(
    bbox: np.ndarray, mask: np.ndarray, mini_shape: tuple[int, int] | list[int]
) -> np.ndarray:
    """Cut each mask to its box and resize it, to save memory.

    Args:
        bbox: [N, (y1, x1, y2, x2)] int, pixels, half-open, inside the image.
        mask: [H, W, N], bool or 0/1.
        mini_shape: (h, w), pixels.

    Returns:
        [h, w, N] bool. `expand_mask` is the way back, with the loss that the size brings.

    Raises:
        ShapeError: A box has no area.
    """
    height, width = mini_shape[:2]
    mini_masks = np.zeros((height, width, mask.shape[-1]), bool)
    for index, (y1, x1, y2, x2) in enumerate(_checked(bbox)):
        inside = mask[y1:y2, x1:x2, index].astype(np.float32)
        mini_masks[..., index] = resize_array(inside, height, width) >= 0.5
    return mini_masks


def expand_mask(
    bbox: np.ndarray, mini_mask: np.ndarray, image_shape: tuple[int, ...]
) -> np.ndarray:
    """Put mini masks back at image size.

    Args:
        bbox: [N, (y1, x1, y2, x2)] int, pixels, half-open, inside the image.
        mini_mask: [h, w, N], bool or 0/1.
        image_shape: (H, W) or (H, W, C).

    Returns:
        [H, W, N] bool.

    Raises:
        ShapeError: A box has no area.
    """
    masks = np.zeros((*image_shape[:2], mini_mask.shape[-1]), bool)
    for index, (y1, x1, y2, x2) in enumerate(_checked(bbox)):
        inside = resize_array(mini_mask[..., index].astype(np.float32), y2 - y1, x2 - x1)
        masks[y1:y2, x1:x2, index] = inside >= 0.5
    return masks


def unmold_mask(mask: np.ndarray, bbox: np.ndarray, image_shape: tuple[int, ...]) -> np.ndarray:
    """Put one mask of the mask head at its place in the image, as matterport does.

    Args:
        mask: [h, w] float in [0, 1], e.g. 28 x 28.
        bbox: (y1, x1, y2, x2), pixels, half-open; parts outside the image are cut off.
        image_shape: (H, W) or (H, W, C).

    Returns:
        [H, W] bool: the probability is at least 0.5.
    """
    full = np.zeros(image_shape[:2], bool)
    crop, (y1, x1, y2, x2) = paste_mask(mask, bbox, *image_shape[:2])
    full[y1:y2, x1:x2] = crop >= 0.5
    return full


def paste_mask(
    mask: np.ndarray, box: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Resample one mask of the mask head onto the pixels of its box.

    The mask's cells divide the box evenly; a pixel takes the bilinear value at its centre. Beyond
    the centres of the outer cells the mask falls off towards 0, but never below its own smallest
    value: a mask that is landslide everywhere fills its box. (As matterport's, which resizes by
    skimage with a constant border and clips to the mask's range.)

    Args:
        mask: [h, w] float in [0, 1].
        box: (y1, x1, y2, x2), pixels, half-open, of any sub-pixel position; may reach beyond
            the image.
        height: H of the image, pixels.
        width: W of the image, pixels.

    Returns:
        crop: [y2 - y1, x2 - x1] float32, the probabilities at the pixels whose centres lie in
            the box and in the image.
        box: [4] int32, those pixels, half-open. Without any, the crop is empty.
    """
    mask = np.asarray(mask, np.float32)
    y1, x1, y2, x2 = (float(value) for value in box)
    (top, bottom), rows = _bilinear_weights(y1, y2, height, mask.shape[0])
    (left, right), columns = _bilinear_weights(x1, x2, width, mask.shape[1])
    crop = np.clip(rows @ mask @ columns.T, mask.min(), mask.max())
    return crop, np.array([top, left, bottom, right], np.int32)


def _bilinear_weights(
    start: float, stop: float, limit: int, cells: int
) -> tuple[tuple[int, int], np.ndarray]:
    """Return the pixel range of an interval and each pixel's weights on the cells.

    Args:
        start: Where the interval begins, pixels.
        stop: Where it ends, pixels.
        limit: Pixels of the image along this axis.
        cells: How many equal cells divide the interval.

    Returns:
        first, last: The pixels whose centres lie in the interval and the image, half-open.
        weights: [last - first, cells] float32; a row sums to 1, less beyond the outer cells.
    """
    # The centre of pixel p is p + 0.5; ceil(x - 0.5) is the first pixel with its centre >= x.
    first = min(max(int(np.ceil(start - 0.5)), 0), limit)
    last = max(min(int(np.ceil(stop - 0.5)), limit), first)
    centres = np.arange(first, last) + 0.5
    positions = (centres - start) * (cells / max(stop - start, 1e-9)) - 0.5
    distance = np.abs(positions[:, None] - np.arange(cells))
    return (first, last), np.maximum(1 - distance, 0).astype(np.float32)


def _checked(bbox: np.ndarray) -> np.ndarray:
    boxes = np.asarray(bbox, np.int64).reshape(-1, 4)
    bad = np.flatnonzero((boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1]))
    if bad.size:
        raise ShapeError(
            "A box must have an area. Received: box "
            f"{boxes[bad[0]].tolist()} (number {bad[0]}). Drop instances without pixels first."
        )
    return boxes
