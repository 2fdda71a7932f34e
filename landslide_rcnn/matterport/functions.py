"""The functions of matterport's `model` module; `landslide_rcnn.model` hands them on.

Names only, no logic.
"""

from landslide_rcnn.matterport.generators import data_generator, load_image_gt
from landslide_rcnn.matterport.graphs import (
    apply_box_deltas_graph,
    batch_pack_graph,
    clip_boxes_graph,
    denorm_boxes_graph,
    detection_targets_graph,
    log2_graph,
    mrcnn_bbox_loss_graph,
    mrcnn_class_loss_graph,
    mrcnn_mask_loss_graph,
    norm_boxes_graph,
    overlaps_graph,
    refine_detections_graph,
    rpn_bbox_loss_graph,
    rpn_class_loss_graph,
    smooth_l1_loss,
    trim_zeros_graph,
)
from landslide_rcnn.matterport.image_meta import (
    compose_image_meta,
    compute_backbone_shapes,
    log,
    mold_image,
    parse_image_meta,
    parse_image_meta_graph,
    unmold_image,
)
from landslide_rcnn.matterport.targets import (
    build_detection_targets,
    build_rpn_targets,
    generate_random_rois,
)
from landslide_rcnn.nn.batch_norm import BatchNorm

__all__ = [
    "BatchNorm",
    "apply_box_deltas_graph",
    "batch_pack_graph",
    "build_detection_targets",
    "build_rpn_targets",
    "clip_boxes_graph",
    "compose_image_meta",
    "compute_backbone_shapes",
    "data_generator",
    "denorm_boxes_graph",
    "detection_targets_graph",
    "generate_random_rois",
    "load_image_gt",
    "log",
    "log2_graph",
    "mold_image",
    "mrcnn_bbox_loss_graph",
    "mrcnn_class_loss_graph",
    "mrcnn_mask_loss_graph",
    "norm_boxes_graph",
    "overlaps_graph",
    "parse_image_meta",
    "parse_image_meta_graph",
    "refine_detections_graph",
    "rpn_bbox_loss_graph",
    "rpn_class_loss_graph",
    "smooth_l1_loss",
    "trim_zeros_graph",
    "unmold_image",
]
