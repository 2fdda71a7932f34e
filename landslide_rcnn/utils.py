"""matterport's `utils`, for `from landslide_rcnn import utils`: names only, no logic.

The definitions are in `boxes.py`, `data/dataset.py`, `data/resize.py`, `data/masks.py`,
`evaluation/instances.py` and `weights/`.
"""

from landslide_rcnn.boxes import (
    apply_box_deltas,
    box_refinement,
    box_refinement_graph,
    compute_iou,
    compute_overlaps,
    denorm_boxes,
    generate_anchors,
    generate_pyramid_anchors,
    non_max_suppression,
    norm_boxes,
    trim_zeros,
)
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.masks import expand_mask, extract_bboxes, minimize_mask, unmold_mask
from landslide_rcnn.data.resize import resize, resize_image, resize_mask
from landslide_rcnn.evaluation.instances import (
    compute_ap,
    compute_ap_range,
    compute_matches,
    compute_overlaps_masks,
    compute_recall,
)
from landslide_rcnn.matterport.replaced import missing
from landslide_rcnn.weights import COCO_URL as COCO_MODEL_URL
from landslide_rcnn.weights import download_trained_weights

__all__ = [
    "COCO_MODEL_URL",
    "Dataset",
    "apply_box_deltas",
    "box_refinement",
    "box_refinement_graph",
    "compute_ap",
    "compute_ap_range",
    "compute_iou",
    "compute_matches",
    "compute_overlaps",
    "compute_overlaps_masks",
    "compute_recall",
    "denorm_boxes",
    "download_trained_weights",
    "expand_mask",
    "extract_bboxes",
    "generate_anchors",
    "generate_pyramid_anchors",
    "minimize_mask",
    "non_max_suppression",
    "norm_boxes",
    "resize",
    "resize_image",
    "resize_mask",
    "trim_zeros",
    "unmold_mask",
]


def __getattr__(name: str):
    """Say what to use instead of a name of matterport's that is not here."""
    raise missing("utils", name)
