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

    One value besides 0 is a class. Several are ids, unless 255 is among them in 8 bits, or most
    of them have fewer than `min_pixels` pixels: then they are grey values.

    Raises:
        DatasetError: They are neither.
    """
    ids, counts = np.unique(values[values != 0], return_counts=True)
    if len(ids) <= 1:
        return COMPONENTS
    mixed = values.dtype == np.uint8 and ids[-1] == FULL
    if mixed or ids[0] < 0 or (counts < min_pixels).mean() > 0.5:
        some = ", ".join(f"{value:g}" for value in ids[:5].tolist())
        raise _refused(path, f"{len(ids)} values besides 0 ({some}{', ...' * (len(ids) > 5)})")
    return IDS


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
