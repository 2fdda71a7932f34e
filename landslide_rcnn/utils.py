"""matterport's `utils`, for `from landslide_rcnn import utils`: names only, no logic.

The definitions are in `data/dataset.py`, `data/resize.py`, `data/masks.py` and `weights/`.
"""

from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.masks import expand_mask, extract_bboxes, minimize_mask, unmold_mask
from landslide_rcnn.data.resize import resize_image, resize_mask
from landslide_rcnn.weights import COCO_URL as COCO_MODEL_URL
from landslide_rcnn.weights import download_trained_weights

__all__ = [
    "COCO_MODEL_URL",
    "Dataset",
    "download_trained_weights",
    "expand_mask",
    "extract_bboxes",
    "minimize_mask",
    "resize_image",
    "resize_mask",
    "unmold_mask",
]
