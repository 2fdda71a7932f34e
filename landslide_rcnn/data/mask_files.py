"""Mask images -> instances: connected components, or instance ids where the values are those.

Used by `MaskFolderDataset`. Values other than 0/1, 0/255 and ids are refused: what JPEG or
smoothing made of a mask would become landslide pixel by pixel.

Shape letters: H, W pixels; N instances.
"""

from pathlib import Path

import cv2
import numpy as np

from landslide_rcnn.data.image_files import read_image_file
from landslide_rcnn.data.problems import ProblemError

FULL = 255  # "landslide" in 8 bits; beside other values it is no instance id
MIN_BLOCK_SHARE = 0.2  # squares of 2 x 2 a pixel: 0 in a line, 0.5 in 3 x 4 pixels, 0.8 in 10 x 10
COMPONENTS, IDS = "components", "ids"


def read_mask_file(path: str | Path) -> np.ndarray:
    """Return [H, W] of a mask image; of several bands, e.g. a red mask, the largest value.

    Raises:
        DatasetError: It cannot be read, or its values are neither a mask nor instance ids.
    """
    values = read_image_file(path).max(axis=-1)
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.rint(values))).all():
        raise _refused(path, "fractions")
    return values


def instances_of(
    values: np.ndarray, path: str | Path, min_pixels: int, instances: str | None = None
) -> tuple[np.ndarray, int]:
    """Split a mask into instances.

    Args:
        values: [H, W] whole numbers.
        path: Of the mask, for messages.
        min_pixels: Smaller instances are left out.
        instances: "components" or "ids"; None: as `kind_of_values` finds out.

    Returns:
        masks: [H, W, N] bool, in the order of their first pixels, or of their ids.
        left_out: How many were too small.

    Raises:
        DatasetError: See `kind_of_values`.
    """
    kind = instances or kind_of_values(values, path, min_pixels)
    if kind == COMPONENTS:
        return split_components(values != 0, min_pixels)
    ids, counts = np.unique(values[values != 0], return_counts=True)
    large = ids[counts >= min_pixels]
    return values[..., None] == large, len(ids) - len(large)


def kind_of_values(values: np.ndarray, path: str | Path, min_pixels: int) -> str:
    """Return whether the values of a mask are one class or instance ids.

    One value besides 0 is a class. Several are ids, unless 255 is among them in 8 bits, or the
    pixels of most of them are few or thin lines: then they are the grey values of a smooth edge.

    Raises:
        DatasetError: They are neither.
    """
    ids, counts = np.unique(values[values != 0], return_counts=True)
    if len(ids) <= 1:
        return COMPONENTS
    mixed = values.dtype == np.uint8 and ids[-1] == FULL
    is_thin = (counts < min_pixels) | (_block_counts(values, ids) < MIN_BLOCK_SHARE * counts)
    if mixed or ids[0] < 0 or is_thin.mean() > 0.5:
        some = ", ".join(f"{value:g}" for value in ids[:5].tolist())
        raise _refused(path, f"{len(ids)} values besides 0 ({some}{', ...' * (len(ids) > 5)})")
    return IDS


def _block_counts(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return how many squares of 2 x 2 pixels each value [n] fills."""
    corner = values[:-1, :-1]
    squares = (corner == values[1:, :-1]) & (corner == values[:-1, 1:]) & (corner == values[1:, 1:])
    found, counts = np.unique(corner[squares & (corner != 0)], return_counts=True)
    of_ids = np.zeros(len(ids), np.int64)
    of_ids[np.searchsorted(ids, found)] = counts
    return of_ids


def split_components(landslide: np.ndarray, min_pixels: int) -> tuple[np.ndarray, int]:
    """Split a semantic mask into instances.

    Args:
        landslide: [H, W] bool.
        min_pixels: 8-connected components smaller than this are left out.

    Returns:
        masks: [H, W, N] bool, in the order of their first pixels.
        left_out: How many components were too small.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(landslide, np.uint8), connectivity=8, ltype=cv2.CV_32S
    )
    large = np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= min_pixels) + 1
    return labels[..., None] == large, count - 1 - len(large)


def _refused(path: str | Path, found: str) -> ProblemError:
    return ProblemError(
        "mask_values",
        str(path),
        f"a mask is 0/1, 0/255 or instance ids. Received: {found}. Save it again without "
        "smoothing or JPEG, or say instances=components to take every value but 0 as landslide",
    )
