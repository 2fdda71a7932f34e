"""The inside of a detection, stage by stage and by name: what notebooks look at.

A detection itself does not come here; it is `MaskRCNNNetwork.call`, whose stages are called here
one by one, each only when asked for. Shape letters: `landslide_rcnn.nn`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
from keras import ops

from landslide_rcnn.errors import RegistryError
from landslide_rcnn.nn.heads import own_class_masks
from landslide_rcnn.nn.ops.boxes import clip_boxes, decode_boxes
from landslide_rcnn.nn.ops.matching import take_rows
from landslide_rcnn.nn.ops.nms import nms
from landslide_rcnn.nn.ops.packing import flatten_rows
from landslide_rcnn.nn.ops.sobel import sobel
from landslide_rcnn.nn.proposals import refine_detections


@dataclass(frozen=True)
class Stage:
    """The name of a stage that is no layer; stands where a layer's output would.

    `keras_model.get_layer("ROI").output` is one, as `model.run_graph` takes it.
    """

    name: str

    @property
    def output(self) -> "Stage":
        """Itself."""
        return self


class Forward:
    """One pass of images through a network, whose stages are computed when asked for.

    Args:
        network: A `MaskRCNNNetwork`.
        images: [B, H, W, C], normalised.
        windows: [B, 4], normalised, the part of each image that is not padding.
    """

    def __init__(self, network: Any, images: Any, windows: Any):
        self.network, self.images, self.windows = network, images, windows

    @cached_property
    def backbone(self) -> dict:
        """{"C2", .., "C5"}."""
        return self.network.backbone(self.images)

    @cached_property
    def fpn(self) -> dict:
        """{"P2", .., "P6"}."""
        return self.network.fpn(self.backbone)

    @cached_property
    def bottom_up_path(self) -> dict:
        """{"N2", .., "N6"}; empty for a network without them."""
        path = self.network.bottom_up_path
        return {} if path is None else path(self.fpn)

    @cached_property
    def levels(self) -> list:
        """What RPN and heads read."""
        return list((self.bottom_up_path or self.fpn).values())

    @cached_property
    def rpn(self):
        """Logits [B, A, 2] and deltas [B, A, 4]."""
        return self.network.rpn_answers(self.levels)

    @cached_property
    def rpn_class(self):
        """[B, A, (background, foreground)], probabilities."""
        return ops.softmax(self.rpn[0], axis=-1)

    @cached_property
    def proposals(self):
        """[B, R, 4], normalised, padded with zeros; and which are real, [B, R]."""
        count = self.network.settings.post_nms_rois_inference
        return self.network.proposals(self.images, *self.rpn, count)

    @cached_property
    def refinement(self) -> dict:
        """The way of the best anchors to proposals, in steps; `propose` goes it in one."""
        s, scores = self.network.settings, self.rpn_class[..., 1]
        anchors = self.network.anchors(*self.images.shape[1:3])
        scores, best = ops.top_k(scores, min(s.pre_nms_limit, anchors.shape[0]))
        chosen = ops.take(anchors, best, axis=0)
        refined = decode_boxes(chosen, take_rows(self.rpn[1], best), s.rpn_bbox_std_dev)
        clipped = clip_boxes(refined)
        indices, _ = nms(
            clipped,
            scores,
            iou_threshold=s.rpn_nms_threshold,
            max_output=s.post_nms_rois_inference,
            min_score=-1.0,
        )
        return {
            "pre_nms_anchors": chosen,
            "refined_anchors": refined,
            "refined_anchors_clipped": clipped,
            "rpn_non_max_suppression": indices,
        }

    @cached_property
    def box_head(self):
        """Class logits [B, R, K] and deltas [B, R, K, 4] of the proposals."""
        return self.network.box_answers(self.images, self.levels, self.proposals[0])

    @cached_property
    def detections(self):
        """[B, D, (y1, x1, y2, x2, class_id, score)], normalised, zeros for padding."""
        s = self.network.settings
        return refine_detections(
            *self.proposals,
            *self.box_head,
            self.windows,
            min_confidence=s.detection_min_confidence,
            iou_threshold=s.detection_nms_threshold,
            max_detections=s.detection_max_instances,
            std_dev=s.bbox_std_dev,
        )

    @cached_property
    def mask_head(self):
        """Logits [B, D, h, w, K] of the detections, padding included."""
        boxes = self.detections[..., :4]
        return self._by_image(
            self.network.mask_answers(
                self.images, self.levels, flatten_rows(boxes), _image_of_each(boxes)
            ),
            boxes,
        )

    @cached_property
    def mask_edges(self):
        """Sobel responses of the detections' own masks, [B, D, h - 2, w - 2, (y, x)].

        What the edge loss compares with the true mask's; see `nn.losses`.
        """
        class_ids = ops.cast(flatten_rows(self.detections[..., 4:5])[:, 0], "int32")
        masks = ops.sigmoid(own_class_masks(flatten_rows(self.mask_head), class_ids))
        return self._by_image(sobel(masks), self.detections)

    def cuts(self, head: str):
        """What a head reads: [B, R, 7, 7, C] of proposals, [B, D, 14, 14, C] of detections."""
        s = self.network.settings
        rois, bins = {
            "box_head": lambda: (self.proposals[0], s.pool_size),
            "mask_head": lambda: (self.detections[..., :4], s.mask_pool_size),
        }[head]()
        flat = self.network.cuts(
            self.images, self.levels, flatten_rows(rois), _image_of_each(rois), bins
        )
        return self._by_image(flat, rois)

    def layer(self, name: str):
        """The output of a layer of backbone, pyramid or heads; None if there is none."""
        reads: dict[str, Callable] = {
            "backbone": lambda: self.images,
            "fpn": lambda: self.backbone,
            "bottom_up_path": lambda: self.fpn,
        }
        for part, read in reads.items():
            model = getattr(self.network, part)
            if model is not None and _has(model, name):
                return keras.Model(model.input, model.get_layer(name).output)(read())
        for part in ("box_head", "mask_head"):
            model = getattr(self.network, part)
            if _has(model, name):
                cuts = self.cuts(part)
                values = keras.Model(model.input, model.get_layer(name).output)(flatten_rows(cuts))
                return self._by_image(values, cuts)
        return None

    @staticmethod
    def _by_image(values, like):
        """[B x R, ...] -> [B, R, ...] as `like` [B, R, ...]."""
        return ops.reshape(values, (-1, like.shape[1], *values.shape[1:]))


# Stages by matterport's names. Layers of the network are found by their own names besides.
STAGES: dict[str, Callable[[Forward], Any]] = {
    "input_image": lambda f: f.images,
    "anchors": lambda f: f.network.anchors(*f.images.shape[1:3]),
    **{f"C{i}": lambda f, i=i: f.backbone[f"C{i}"] for i in range(2, 6)},
    **{f"P{i}": lambda f, i=i: f.fpn[f"P{i}"] for i in range(2, 7)},
    **{f"N{i}": lambda f, i=i: f.bottom_up_path.get(f"N{i}") for i in range(2, 7)},
    "rpn_class_logits": lambda f: f.rpn[0],
    "rpn_class": lambda f: f.rpn_class,
    "rpn_bbox": lambda f: f.rpn[1],
    "pre_nms_anchors": lambda f: f.refinement["pre_nms_anchors"],
    "refined_anchors": lambda f: f.refinement["refined_anchors"],
    "refined_anchors_clipped": lambda f: f.refinement["refined_anchors_clipped"],
    "rpn_non_max_suppression": lambda f: f.refinement["rpn_non_max_suppression"],
    "ROI": lambda f: f.proposals[0],
    "roi_align_classifier": lambda f: f.cuts("box_head"),
    "mrcnn_class_logits": lambda f: f.box_head[0],
    "mrcnn_class": lambda f: ops.softmax(f.box_head[0], axis=-1),
    "mrcnn_bbox": lambda f: f.box_head[1],
    "mrcnn_detection": lambda f: f.detections,
    "roi_align_mask": lambda f: f.cuts("mask_head"),
    "mrcnn_mask": lambda f: ops.sigmoid(f.mask_head),
    "mrcnn_mask_edges": lambda f: f.mask_edges,
}
_OTHER_NAMES = {"proposals": "ROI", "rpn_rois": "ROI", "detections": "mrcnn_detection"}


def stage_name(what: Any) -> str:
    """Return the name of a stage or layer.

    Args:
        what: A name, with or without TensorFlow's scope and number ("ROI/refined_anchors:0"); a
            `Stage`; or the output tensor of one of the network's layers.

    Raises:
        RegistryError: It is none of these.
    """
    if isinstance(what, Stage):
        return what.name
    if isinstance(what, str):
        name = what.split(":")[0].removeprefix("ROI/").split("/")[0]
        return _OTHER_NAMES.get(name, name)
    history = getattr(what, "_keras_history", None)  # Keras' own record of a tensor's layer
    if history is not None:
        return history.operation.name
    raise RegistryError(
        "A stage is named by a text or by a layer's output. Received: "
        f"{type(what).__name__}. Use a name such as 'ROI' or 'res4a_out'."
    )


def compute_stage(forward: Forward, name: str) -> Any:
    """Compute one stage or layer of a pass.

    Raises:
        RegistryError: The network has none of that name; the message lists the stages.
    """
    found = STAGES[name](forward) if name in STAGES else forward.layer(name)
    if found is None:
        raise RegistryError(
            f"A stage must be one of the network's. Received: {name!r}. Use one of "
            f"{', '.join(STAGES)}, or a layer of backbone, pyramid or heads such as 'res4a_out'."
        )
    return found


def _image_of_each(rois):
    """Return [B x R] int32: the image of each of [B, R, 4] rois."""
    return ops.repeat(ops.arange(ops.shape(rois)[0], dtype="int32"), rois.shape[1])


def _has(model: keras.Model, name: str) -> bool:
    return any(layer.name == name for layer in model.layers)
