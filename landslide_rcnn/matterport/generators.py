"""A dataset's images as matterport's notebooks look at them: one by one, or as its batches.

`data/batches.py` does the work; training itself goes through `TrainingBatches`.
Shape letters: B batch; H, W pixels; C channels; A anchors; S anchors drawn; N instances
(MAX_GT_INSTANCES in a batch); h, w pixels of a mask; T rois; K classes with background 0.
"""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from landslide_rcnn.boxes import generate_pyramid_anchors
from landslide_rcnn.config import Config
from landslide_rcnn.data.batches import TrainingBatches
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.masks import extract_bboxes, minimize_mask
from landslide_rcnn.data.resize import resize_image
from landslide_rcnn.data.samples import load_sample, prepare_sample
from landslide_rcnn.matterport.image_meta import compose_image_meta, compute_backbone_shapes
from landslide_rcnn.matterport.targets import (
    build_detection_targets,
    build_rpn_targets,
    generate_random_rois,
)


def load_image_gt(
    dataset: Dataset,
    config: Config,
    image_id: int,
    augment: bool = False,
    augmentation: Any = None,
    use_mini_mask: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Load one image with its instances, resized and padded as for training.

    Args:
        dataset: Prepared.
        config: Its IMAGE_* settings and MINI_MASK_SHAPE.
        image_id: Of the dataset.
        augment: Random flips and quarter turns.
        augmentation: An imgaug augmenter.
        use_mini_mask: Masks as MINI_MASK_SHAPE inside their boxes.

    Returns:
        image: [H, W, C], the file's own values and dtype, not normalised.
        image_meta: [IMAGE_META_SIZE]; its window is that before `augment`.
        class_ids: [N] int32; negative = crowd. Instances without pixels are left out.
        bbox: [N, (y1, x1, y2, x2)] int32, pixels of `image`, half-open.
        mask: [H, W, N] bool, or [h, w, N].

    Raises:
        DatasetError: The image or its masks cannot be used; names the file.
    """
    sample = prepare_sample(
        load_sample(dataset, config, image_id),
        config,
        rng=np.random.default_rng(),
        augment=augment,
        augmentation=augmentation,
    )
    kept = np.flatnonzero(sample.masks.any(axis=(0, 1)))
    masks, class_ids = sample.masks[..., kept], sample.class_ids[kept]
    boxes = extract_bboxes(masks)
    meta = _image_meta(dataset, config, image_id, sample.image.shape, dataset.num_classes)
    if use_mini_mask:
        masks = minimize_mask(boxes, masks, config.MINI_MASK_SHAPE)
    return sample.image, meta, class_ids, boxes, masks


def data_generator(
    dataset: Dataset,
    config: Config,
    shuffle: bool = True,
    augment: bool = False,
    augmentation: Any = None,
    random_rois: int = 0,
    batch_size: int = 1,
    detection_targets: bool = False,
    no_augmentation_sources: Collection[str] | None = None,
    *,
    seed: int = 0,
) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Yield batches without end, every image once an epoch, those without instances included.

    For looking at data and targets; `MaskRCNN.train` makes its own. What cannot be read raises.

    Args:
        dataset: Prepared.
        config: As for training.
        shuffle: A new order every epoch.
        augment: Random flips and quarter turns.
        augmentation: An imgaug augmenter.
        random_rois: Rois drawn at random of each image; 0 for none.
        batch_size: B.
        detection_targets: With `random_rois`, also the targets of the heads for them.
        no_augmentation_sources: Sources that are never augmented.
        seed: Of order, augmentation and drawing.

    Yields:
        inputs: images [B, H, W, C] float32 normalised, image_meta [B, IMAGE_META_SIZE],
            rpn_match [B, A, 1] int32, rpn_bbox [B, S, 4], gt_class_ids [B, N] int32, gt_boxes
            [B, N, 4] int32 pixels, gt_masks [B, h, w, N] bool; with `random_rois` also rpn_rois
            [B, random_rois, 4] int32 pixels; with `detection_targets` also rois [B, T, 4].
        outputs: Empty; with `detection_targets` class ids [B, T, 1], deltas [B, T, K, 4], masks
            [B, T, *MASK_SHAPE, K] of the rois.

    Raises:
        DatasetError: An image or its masks cannot be used; names the file.
    """
    batches = TrainingBatches(
        dataset,
        config,
        batch_size=batch_size,
        shuffle=shuffle,
        augment=augment,
        augmentation=augmentation,
        no_augmentation_sources=no_augmentation_sources,
        seed=seed,
    )
    rng = np.random.default_rng(seed)
    while True:
        for index in range(len(batches)):
            batch, image_ids = batches[index], batches.image_ids_of(index)
            inputs = _inputs(dataset, config, batch, image_ids)
            outputs: list[np.ndarray] = []
            if random_rois:
                outputs = _add_random_rois(inputs, config, random_rois, detection_targets, rng)
            yield inputs, outputs
        batches.on_epoch_end()


def _inputs(
    dataset: Dataset, config: Config, batch: dict[str, np.ndarray], image_ids: np.ndarray
) -> list[np.ndarray]:
    shape = batch["image"].shape[1:]
    anchors = generate_pyramid_anchors(
        config.RPN_ANCHOR_SCALES,
        config.RPN_ANCHOR_RATIOS,
        compute_backbone_shapes(config, shape),
        config.BACKBONE_STRIDES,
        config.RPN_ANCHOR_STRIDE,
    )
    targets = [
        build_rpn_targets(shape, anchors, ids, boxes, config)
        for ids, boxes in zip(batch["gt_class_ids"], batch["gt_boxes"])
    ]
    metas = [_image_meta(dataset, config, i, shape, config.NUM_CLASSES) for i in image_ids]
    return [
        batch["image"],
        np.stack(metas),
        np.stack([match for match, _ in targets])[..., None],
        np.stack([deltas for _, deltas in targets]),
        batch["gt_class_ids"],
        batch["gt_boxes"].astype(np.int32),
        batch["gt_masks"].transpose(0, 2, 3, 1).astype(bool),
    ]


def _add_random_rois(
    inputs: list[np.ndarray],
    config: Config,
    count: int,
    detection_targets: bool,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Append random rois, and their targets if wanted, to `inputs`; return the outputs."""
    images, *_, class_ids, boxes, masks = inputs
    rois = np.stack(
        [
            generate_random_rois(images.shape[1:], count, ids, box, rng=rng)
            for ids, box in zip(class_ids, boxes)
        ]
    )
    inputs.append(rois)
    if not detection_targets:
        return []
    targets = [
        build_detection_targets(*arrays, config, image_shape=images.shape[1:])
        for arrays in zip(rois, class_ids, boxes, masks)
    ]
    chosen, target_ids, deltas, target_masks = (np.stack(part) for part in zip(*targets))
    inputs.append(chosen)
    return [target_ids[..., None], deltas, target_masks]


def _image_meta(
    dataset: Dataset, config: Config, image_id: int, shape: tuple[int, ...], num_classes: int
) -> np.ndarray:
    # Resizing an image of no channels costs nothing and tells window and scale.
    height, width = dataset.image_size(image_id)
    _, window, scale, *_ = resize_image(
        np.zeros((height, width, 0), np.uint8),
        config.IMAGE_MIN_DIM,
        config.IMAGE_MAX_DIM,
        config.IMAGE_MIN_SCALE,
        config.IMAGE_RESIZE_MODE,
    )
    active = np.zeros(num_classes, np.int32)
    active[dataset.source_class_ids.get(dataset.image_info[image_id]["source"], [0])] = 1
    original = (height, width, shape[2])
    return compose_image_meta(image_id, original, shape, window, scale, active)
