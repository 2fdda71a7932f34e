"""matterport's names that do not exist here, and what to use instead.

`model.ProposalLayer` and its like raise an AttributeError with the hint. docs/matterport.md has
the whole list of names; a test keeps the two together.
"""

_STAGES = "model.run_graph gives its result"

# Module (or class) -> name -> what to use instead.
REPLACED_BY: dict[str, dict[str, str]] = {
    "model": {
        "identity_block": "landslide_rcnn.nn.backbones.resnet.build_resnet",
        "conv_block": "landslide_rcnn.nn.backbones.resnet.build_resnet",
        "resnet_graph": "landslide_rcnn.nn.backbones.resnet.build_resnet",
        "ProposalLayer": f"landslide_rcnn.nn.proposals.propose; {_STAGES} under 'ROI'",
        "PyramidROIAlign": "landslide_rcnn.nn.ops.roi_align.pyramid_roi_align; "
        f"{_STAGES} under 'roi_align_classifier' and 'roi_align_mask'",
        "DetectionTargetLayer": "landslide_rcnn.nn.targets.roi_targets",
        "DetectionLayer": "landslide_rcnn.nn.proposals.refine_detections; "
        f"{_STAGES} under 'mrcnn_detection'",
        "rpn_graph": "landslide_rcnn.nn.rpn.build_rpn",
        "build_rpn_model": "landslide_rcnn.nn.rpn.build_rpn",
        "fpn_classifier_graph": "landslide_rcnn.nn.heads.build_box_head",
        "build_fpn_mask_graph": "landslide_rcnn.nn.heads.build_mask_head",
    },
    "utils": {
        "batch_slice": "the functions of landslide_rcnn.nn.ops, which take whole batches",
        "mold_mask": "minimize_mask; matterport's mold_mask is empty",
    },
    "MaskRCNN": {
        "build": "the constructor, which builds the network; landslide_rcnn.model.build_network "
        "for a network alone",
        "compile": "train, which compiles for itself: give it the learning rate, and "
        "LEARNING_MOMENTUM, GRADIENT_CLIP_NORM and OPTIMIZER in the Config",
    },
    "parallel_model": {
        "ParallelModel": "GPU_COUNT and IMAGES_PER_GPU in the Config; MaskRCNN.train spreads a "
        "batch over the GPUs itself",
    },
}


def missing(module: str, name: str) -> AttributeError:
    """Make the error for an attribute that a module or class does not have.

    Args:
        module: A key of `REPLACED_BY`.
        name: The attribute asked for.
    """
    message = f"{module} has no attribute {name!r}."
    hint = REPLACED_BY[module].get(name)
    if hint is not None:
        message += f" matterport's {name} is replaced. Use {hint}."
    return AttributeError(message)
