"""matterport's `utils`, for `from landslide_rcnn import utils`: names only, no logic.

The definitions are in `data/dataset.py`, `data/resize.py` and `data/masks.py`.
"""

from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.masks import expand_mask, extract_bboxes, minimize_mask, unmold_mask
from landslide_rcnn.data.resize import resize_image, resize_mask

__all__ = [
    "Dataset",
    "expand_mask",
    "extract_bboxes",
    "minimize_mask",
    "resize_image",
    "resize_mask",
    "unmold_mask",
]
