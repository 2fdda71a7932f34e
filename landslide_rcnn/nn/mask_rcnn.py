"""The detector on one page: Mask R-CNN with the improved FPN of Liu et al. 2021.

    image -> backbone -> C2..C5 -> fpn -> P2..P6 -> bottom_up_path -> N2..N6
          -> rpn -> proposals -> [targets] -> box head, mask head -> detections and masks

The stages are handed in, not built here; `build_mask_rcnn` puts the usual ones together. One
network serves training and detection. Source: He et al. 2017; Liu et al. 2021, Figures 3 and 4.
Shape letters: `landslide_rcnn.nn`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
from keras import ops

from landslide_rcnn.errors import ShapeError
from landslide_rcnn.nn.backbones.custom import build_custom
from landslide_rcnn.nn.backbones.resnet import build_resnet
from landslide_rcnn.nn.conv_norm import leaf_layers
from landslide_rcnn.nn.heads import build_box_head, build_mask_head, own_class_masks
from landslide_rcnn.nn.necks import build_bottom_up_path, build_fpn
from landslide_rcnn.nn.ops.anchors import pyramid_anchors
from landslide_rcnn.nn.ops.boxes import norm_boxes
from landslide_rcnn.nn.ops.packing import flatten_rows, pack, unpack
from landslide_rcnn.nn.ops.roi_align import pyramid_roi_align
from landslide_rcnn.nn.proposals import propose, refine_detections
from landslide_rcnn.nn.rpn import build_rpn, rpn_answers_at
from landslide_rcnn.nn.stages import STAGES, Stage
from landslide_rcnn.nn.targets import (
    GroundTruth,
    mask_targets,
    most_positives,
    roi_targets,
    rpn_targets,
)

LEVELS = (2, 3, 4, 5, 6)


@dataclass(frozen=True, kw_only=True)
class DetectorSettings:
    """The numbers that are not weights. Each is the `Config` attribute of the same name."""

    rpn_anchor_scales: Sequence[float]
    rpn_anchor_ratios: Sequence[float]
    rpn_anchor_stride: int
    backbone_strides: Sequence[int]
    rpn_bbox_std_dev: Sequence[float]
    rpn_nms_threshold: float
    rpn_train_anchors_per_image: int
    pre_nms_limit: int
    post_nms_rois_training: int
    post_nms_rois_inference: int
    train_rois_per_image: int
    roi_positive_ratio: float
    bbox_std_dev: Sequence[float]
    pool_size: int
    mask_pool_size: int
    roi_align_samples: int
    roi_align_pooling: str
    use_mini_mask: bool
    detection_max_instances: int
    detection_min_confidence: float
    detection_nms_threshold: float


class MaskRCNNNetwork(keras.Model):
    """The detector.

    Args:
        backbone: [B, H, W, C] -> {"C2", .., "C5"}.
        fpn: {"C2", ..} -> {"P2", .., "P6"}.
        bottom_up_path: {"P2", ..} -> {"N2", .., "N6"}, or None for the plain FPN.
        rpn: A level -> (class logits, deltas).
        box_head: Cuts -> (class logits, deltas).
        mask_head: Cuts -> mask logits.
        settings: The numbers that are not weights.
        seed: Of the drawing of anchors and rois in training.
    """

    def __init__(
        self,
        *,
        backbone: keras.Model,
        fpn: keras.Model,
        bottom_up_path: keras.Model | None,
        rpn: keras.Model,
        box_head: keras.Model,
        mask_head: keras.Model,
        settings: DetectorSettings,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.backbone = backbone
        self.fpn = fpn
        self.bottom_up_path = bottom_up_path
        self.rpn = rpn
        self.box_head = box_head
        self.mask_head = mask_head
        self.settings = settings
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True  # its stages are, and it has no weights of its own

    def call(self, images, windows=None, training=False):
        """Detect.

        Args:
            images: [B, H, W, C], normalised; H and W are multiples of 64.
            windows: [B, 4], normalised, the part of each image that is not padding; None for all.
            training: Mode of the batch normalisation; targets are `training_pass`'s business.

        Returns:
            detections: [B, D, (y1, x1, y2, x2, class_id, score)], normalised, zeros for padding.
            masks: [B, D, h, w], probability of each detection's own class inside its box.
        """
        s = self.settings
        levels = self.pyramid(images, training)
        rpn_class_logits, rpn_bbox = self.rpn_answers(levels)
        proposals, is_proposal = self.proposals(
            images, rpn_class_logits, rpn_bbox, s.post_nms_rois_inference
        )
        class_logits, deltas = self.box_answers(images, levels, proposals)
        if windows is None:
            windows = ops.tile(ops.convert_to_tensor([[0.0, 0, 1, 1]]), (ops.shape(images)[0], 1))
        detections = refine_detections(
            proposals,
            is_proposal,
            class_logits,
            deltas,
            windows,
            min_confidence=s.detection_min_confidence,
            iou_threshold=s.detection_nms_threshold,
            max_detections=s.detection_max_instances,
            std_dev=s.bbox_std_dev,
        )
        return {"detections": detections, "masks": self.masks(images, levels, detections)}

    def training_pass(self, batch, training=True):
        """Run the network on images with known instances, up to what the losses need.

        Args:
            batch: {"image": [B, H, W, C] normalised, "gt_class_ids": [B, N] (0 padding, negative
                crowd), "gt_boxes": [B, N, 4] half-open pixels, "gt_masks": [B, N, h, w],
                "active_class_ids": [B, K]}.
            training: False in validation: the batch normalisation keeps its statistics.

        Returns:
            A dict of the heads' answers, "rpn_targets", "roi_targets" and
            "mask_targets"; see `nn.losses`.
        """
        s = self.settings
        images = batch["image"]
        height, width = images.shape[1:3]
        truth = GroundTruth(
            ops.cast(batch["gt_class_ids"], "int32"),
            norm_boxes(batch["gt_boxes"], height, width),
            batch["gt_masks"],
        )
        levels = self.pyramid(images, training)
        rpn_class_logits, rpn_bbox = self.rpn_answers(levels)
        proposals, is_proposal = self.proposals(
            images, rpn_class_logits, rpn_bbox, s.post_nms_rois_training
        )
        anchors_to_learn = rpn_targets(
            self.anchors(height, width),
            truth,
            count=s.rpn_train_anchors_per_image,
            std_dev=s.rpn_bbox_std_dev,
            seed=self.seed_generator,
        )
        rois_to_learn = roi_targets(
            proposals,
            is_proposal,
            truth,
            count=s.train_rois_per_image,
            positive_ratio=s.roi_positive_ratio,
            std_dev=s.bbox_std_dev,
            seed=self.seed_generator,
        )
        masks_to_learn = mask_targets(
            rois_to_learn,
            truth,
            limit=most_positives(s.train_rois_per_image, s.roi_positive_ratio),
            mask_size=2 * s.mask_pool_size,
            masks_in_boxes=s.use_mini_mask,
            image_height=height,
            image_width=width,
        )
        # Only here does a gradient enter the RPN: the proposals carry none.
        rpn_class_logits, rpn_bbox = rpn_answers_at(self.rpn, levels, anchors_to_learn.indices)
        class_logits, deltas = self.box_answers(
            images, levels, rois_to_learn.rois, with_gradient=True
        )
        mask_logits = self.mask_answers(
            images, levels, masks_to_learn.rois, masks_to_learn.images, with_gradient=True
        )
        return {
            "rpn_class_logits": rpn_class_logits,
            "rpn_bbox": rpn_bbox,
            "mrcnn_class_logits": class_logits,
            "mrcnn_bbox": deltas,
            "mrcnn_mask_logits": mask_logits,
            "rpn_targets": anchors_to_learn,
            "roi_targets": rois_to_learn,
            "mask_targets": masks_to_learn,
            "active_class_ids": batch["active_class_ids"],
        }

    # The stages ------------------------------------------------------------------------------

    def pyramid(self, images, training=False) -> list:
        """[B, H, W, C] -> the five levels that the RPN reads; the heads read the first four."""
        height, width = images.shape[1:3]
        if height is None or height % 64 or width % 64:
            raise ShapeError(
                "Image height and width must be multiples of 64, so that six halvings fit. "
                f"Received: {height} x {width}. Use IMAGE_RESIZE_MODE='square' or 'pad64'."
            )
        maps = self.fpn(self.backbone(images, training=training), training=training)
        if self.bottom_up_path is None:
            return [maps[f"P{i}"] for i in LEVELS]
        maps = self.bottom_up_path(maps, training=training)
        return [maps[f"N{i}"] for i in LEVELS]

    def rpn_answers(self, levels: list):
        """Five levels -> class logits [B, A, 2] and deltas [B, A, 4], float32."""
        logits, deltas = zip(*(self.rpn(level) for level in levels))
        return ops.concatenate(logits, axis=1), ops.concatenate(deltas, axis=1)

    def anchors(self, height: int, width: int):
        """[A, 4], normalised. A constant of the graph."""
        s = self.settings
        anchors = pyramid_anchors(
            height,
            width,
            scales=s.rpn_anchor_scales,
            ratios=s.rpn_anchor_ratios,
            strides=s.backbone_strides,
            anchor_stride=s.rpn_anchor_stride,
        )
        return norm_boxes(anchors, height, width)

    def proposals(self, images, rpn_class_logits, rpn_bbox, max_proposals: int):
        """The RPN's answers -> proposals [B, R, 4] and which of them are real [B, R]."""
        s = self.settings
        return propose(
            self.anchors(*images.shape[1:3]),
            ops.softmax(rpn_class_logits, axis=-1)[..., 1],
            rpn_bbox,
            pre_nms_limit=s.pre_nms_limit,
            max_proposals=max_proposals,
            iou_threshold=s.rpn_nms_threshold,
            std_dev=s.rpn_bbox_std_dev,
        )

    def box_answers(self, images, levels: list, rois, with_gradient=False):
        """Rois [B, R, 4] -> class logits [B, R, K] and deltas [B, R, K, 4]."""
        count = rois.shape[1]
        of_image = ops.repeat(ops.arange(ops.shape(rois)[0], dtype="int32"), count)
        size, rois = self.settings.pool_size, flatten_rows(rois)
        cuts = self.cuts(images, levels, rois, of_image, size, with_gradient)
        logits, deltas = self.box_head(cuts)
        by_image = (-1, count, logits.shape[-1])
        return ops.reshape(logits, by_image), ops.reshape(deltas, (*by_image, 4))

    def mask_answers(self, images, levels: list, rois, of_image, with_gradient=False):
        """Rois [P, 4] of the images [P] -> mask logits [P, h, w, K], float32."""
        size = self.settings.mask_pool_size
        cuts = self.cuts(images, levels, rois, of_image, size, with_gradient)
        return self.mask_head(cuts)

    def masks(self, images, levels: list, detections):
        """Detections [B, D, 6] -> probabilities of their own class [B, D, h, w]; padding is 0."""
        batch, count = ops.shape(detections)[0], detections.shape[1]
        indices, used = pack(detections[..., 4] > 0)
        real = ops.take(flatten_rows(detections), indices, axis=0)  # [P, 6]
        logits = self.mask_answers(images, levels, real[:, :4], indices // count)
        probabilities = ops.sigmoid(own_class_masks(logits, ops.cast(real[:, 4], "int32")))
        return unpack(probabilities, indices, used, batch, count)

    def cuts(self, images, levels: list, rois, of_image, bins: int, with_gradient=False):
        """Rois [P, 4] of the images [P] -> what a head reads, [P, bins, bins, C]."""
        return pyramid_roi_align(
            levels[:4],
            rois,
            of_image,
            *images.shape[1:3],
            bins=bins,
            samples=self.settings.roi_align_samples,
            pooling=self.settings.roi_align_pooling,
            with_gradient=with_gradient,
        )

    # What users of matterport's model expect of a Keras model ----------------------------------

    def leaf_layers(self) -> dict[str, keras.layers.Layer]:
        """Every layer with weights of its own, by its name, from input to output."""
        return leaf_layers(self)

    def get_layer(self, name=None, index=None):
        """Find a layer by name also inside the stages; for a stage's name, a `Stage`."""
        if name is not None:
            for layer in self._flatten_layers(include_self=False):
                if layer.name == name:
                    return layer
            if name in STAGES:
                return Stage(name)
        return super().get_layer(name=name, index=index)


def build_mask_rcnn(
    *,
    backbone: str | Callable,
    style: str,
    channels: int,
    num_classes: int,
    pyramid_size: int,
    bottom_up_path: bool,
    box_head_units: int,
    batch_statistics: bool,
    settings: DetectorSettings,
    seed: int = 0,
) -> MaskRCNNNetwork:
    """Put the usual stages together and create their weights.

    Args:
        backbone: A key of `backbones.resnet.VARIANTS`, or a function for `backbones.custom`.
        style: A key of `backbones.resnet.STYLES`.
        channels: C, bands of an image.
        num_classes: K, with the background.
        pyramid_size: Channels of the pyramid's levels.
        bottom_up_path: Add N2..N6.
        box_head_units: Of the box head's fully connected layers.
        batch_statistics: Of the backbone's batch normalisation in training.
        settings: The numbers that are not weights.
        seed: Of the drawing of anchors and rois.
    """
    if callable(backbone):
        body = build_custom(backbone, channels=channels)
    else:
        resnet = dict(style=style, batch_statistics=batch_statistics)
        body = build_resnet(backbone, channels=channels, **resnet)
    level_channels = {name: int(level.shape[-1]) for name, level in body.output.items()}
    return MaskRCNNNetwork(
        backbone=body,
        fpn=build_fpn(level_channels, pyramid_size),
        bottom_up_path=build_bottom_up_path(pyramid_size) if bottom_up_path else None,
        rpn=build_rpn(pyramid_size, len(settings.rpn_anchor_ratios), settings.rpn_anchor_stride),
        box_head=build_box_head(pyramid_size, settings.pool_size, box_head_units, num_classes),
        mask_head=build_mask_head(pyramid_size, settings.mask_pool_size, num_classes),
        settings=settings,
        seed=seed,
        name="mask_rcnn",
    )
