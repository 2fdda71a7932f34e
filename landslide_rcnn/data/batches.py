"""Batches for training a detector: `Dataset` -> NumPy arrays of fixed shapes.

The last step of `data/`; `training.py` hands the batches to Keras. One sample goes through
load -> imgaug -> resize -> flips and quarter turns -> normalise -> boxes and masks.

Differs from matterport's `data_generator` on purpose: every image is seen once an epoch, images
without instances included; what cannot be read is an error, not skipped; a batch depends on the
seed, the epoch and its index only, whichever thread makes it.

Shape letters: B batch; H, W pixels; C channels; N = MAX_GT_INSTANCES; h, w pixels of a mask;
K classes with background 0.
"""

import threading
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from landslide_rcnn.config import Config
from landslide_rcnn.data.augment import DIHEDRAL_ORDER, apply_imgaug, dihedral
from landslide_rcnn.data.dataset import Dataset, match_channels
from landslide_rcnn.data.masks import extract_bboxes, minimize_mask
from landslide_rcnn.data.normalize import normalize_image
from landslide_rcnn.data.resize import (
    Crop,
    Padding,
    resize_array,
    resize_image,
    resize_mask,
    scaled_size,
)
from landslide_rcnn.errors import ConfigError, DatasetError

# Separate the streams of random numbers that are drawn from one seed.
_ORDER_STREAM, _SAMPLE_STREAM = 0, 1


@dataclass(frozen=True)
class Sample:
    """One image with its labels.

    Attributes:
        image: [H, W, C], the file's own values and dtype.
        masks: [H, W, N] bool.
        class_ids: [N] int32, 1..K-1; negative = crowd.
        valid: [H, W] bool, True = usable pixel.
    """

    image: np.ndarray
    masks: np.ndarray
    class_ids: np.ndarray
    valid: np.ndarray


class TrainingBatches:
    """A sequence of batches, the same length every epoch.

    A batch is a dict of
        "image" [B, H, W, C] float32, normalised; 0 (the mean) where padded or not valid,
        "gt_class_ids" [B, N] int32, 0 = no instance, negative = crowd,
        "gt_boxes" [B, N, (y1, x1, y2, x2)] float32, pixels of the padded image, half-open,
        "gt_masks" [B, N, h, w] uint8 0/1: MINI_MASK_SHAPE, each mask cut to its box, with
            USE_MINI_MASK; otherwise the padded image's size,
        "active_class_ids" [B, K] int32, 1 = a class of the image's source.

    Thread-safe: batches may be made by several workers at once.

    Attributes:
        counts: What was left out so far: "instances_without_pixels" (nothing left of them after
            resizing or augmenting), "instances_over_limit" (more than MAX_GT_INSTANCES in an
            image; a random choice is kept).
    """

    def __init__(
        self,
        dataset: Dataset,
        config: Config,
        *,
        batch_size: int | None = None,
        shuffle: bool = True,
        augment: bool = False,
        augmentation: Any = None,
        no_augmentation_sources: Collection[str] | None = None,
        seed: int = 0,
    ) -> None:
        """Check that dataset and configuration fit; nothing is read yet.

        Args:
            dataset: Prepared.
            config: Image size, normalisation, masks and limits.
            batch_size: B; `config.BATCH_SIZE` if None.
            shuffle: A new order every epoch. Otherwise the dataset's own.
            augment: Flip and turn at random, the eight ways of a square equally often (an
                oblong image: the four that keep its shape).
            augmentation: An imgaug augmenter, applied to the image as loaded.
            no_augmentation_sources: Sources whose images are never augmented, in neither way.
            seed: Decides order, augmentation and every other choice.

        Raises:
            DatasetError: The dataset is empty or not prepared, or has more classes than
                NUM_CLASSES.
            ConfigError: `batch_size` is not positive.
        """
        if not len(dataset.image_ids):
            raise DatasetError(
                "Training needs at least one image. Received: a dataset with 0 image ids. "
                "Add images and call prepare()."
            )
        if dataset.num_classes > config.NUM_CLASSES:
            raise DatasetError(
                "NUM_CLASSES must cover the dataset's classes and the background. Received: "
                f"NUM_CLASSES={config.NUM_CLASSES}, classes {dataset.class_names}. "
                f"Use NUM_CLASSES={dataset.num_classes}."
            )
        self.batch_size = config.BATCH_SIZE if batch_size is None else int(batch_size)
        if self.batch_size < 1:
            raise ConfigError(f"The batch size must be positive. Received: {self.batch_size}.")
        self.dataset = dataset
        self.config = config
        self.shuffle = shuffle
        self.augment = augment
        self.augmentation = augmentation
        self.no_augmentation_sources = frozenset(no_augmentation_sources or ())
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.set_epoch(0)

    def __len__(self) -> int:
        return -(-len(self.dataset.image_ids) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        """Yield the batches of the current epoch."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Make one batch of the current epoch.

        Raises:
            IndexError: There is no such batch.
            DatasetError: An image or its masks cannot be used; the message names the file.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} batches. Received: index {index}.")
        epoch, order = self._epoch_and_order
        first = index * self.batch_size
        samples = [
            self._make_sample(int(order[position]), epoch, position)
            for position in range(first, first + self.batch_size)
        ]
        shapes = {sample["image"].shape for sample in samples}
        if len(shapes) > 1:
            raise DatasetError(
                "The images of a batch must have one size after resizing. Received: "
                f"{sorted(shapes)} with IMAGE_RESIZE_MODE={self.config.IMAGE_RESIZE_MODE!r}. "
                "Use IMAGE_RESIZE_MODE='square', or a batch size of 1."
            )
        return {key: np.stack([sample[key] for sample in samples]) for key in samples[0]}

    def verify(self, progress: bool = True) -> dict[str, int]:
        """Open every image and mask once, before the first step.

        Args:
            progress: Show a progress bar on stderr.

        Returns:
            The counts of `Dataset.verify`.

        Raises:
            DatasetError: Files are unreadable, do not fit together, or have another number of
                channels than IMAGE_CHANNEL_COUNT; the message names every one.
        """
        return self.dataset.verify(progress, channel_count=self.config.IMAGE_CHANNEL_COUNT)

    def image_ids_of(self, index: int) -> np.ndarray:
        """Return the ids, [B], of the images in a batch of the current epoch."""
        first = index * self.batch_size
        return self._epoch_and_order[1][first : first + self.batch_size]

    @property
    def epoch(self) -> int:
        """The current epoch, from 0."""
        return self._epoch_and_order[0]

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's order and augmentation."""
        self.set_epoch(self.epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch, from 0; how a training run is resumed."""
        # One assignment, so that a worker never sees the order of one epoch with another's number.
        self._epoch_and_order = epoch, self._order_of(epoch)

    def _order_of(self, epoch: int) -> np.ndarray:
        """Return [number of batches x B] image ids: each once, then the first ones again."""
        order = np.asarray(self.dataset.image_ids)
        if self.shuffle:
            order = np.random.default_rng((self.seed, _ORDER_STREAM, epoch)).permutation(order)
        return np.resize(order, len(self) * self.batch_size)

    def _make_sample(self, image_id: int, epoch: int, position: int) -> dict[str, np.ndarray]:
        """Load, augment, resize, normalise and label one image."""
        config = self.config
        rng = np.random.default_rng((self.seed, _SAMPLE_STREAM, epoch, position))
        source = self.dataset.image_info[image_id]["source"]
        augmented = source not in self.no_augmentation_sources
        sample = prepare_sample(
            self.dataset,
            config,
            image_id,
            rng=rng,
            augment=augmented and self.augment,
            augmentation=self.augmentation if augmented else None,
        )
        masks, class_ids = self._keep_instances(sample, rng)
        active = np.zeros(config.NUM_CLASSES, np.int32)
        active[self.dataset.source_class_ids.get(source, [0])] = 1
        return {
            "image": normalize_image(sample.image, sample.valid, config),
            **_pack_instances(masks, class_ids, config),
            "active_class_ids": active,
        }

    def _keep_instances(
        self, sample: Sample, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Drop instances without pixels and choose among too many; count both."""
        limit = self.config.MAX_GT_INSTANCES
        kept = np.flatnonzero(sample.masks.any(axis=(0, 1)))
        without_pixels = sample.masks.shape[-1] - len(kept)
        over_limit = max(0, len(kept) - limit)
        if over_limit:
            kept = np.sort(rng.choice(kept, limit, replace=False))
        if without_pixels or over_limit:
            with self._lock:
                self.counts["instances_without_pixels"] += without_pixels
                self.counts["instances_over_limit"] += over_limit
        return sample.masks[..., kept], sample.class_ids[kept]


def prepare_sample(
    dataset: Dataset,
    config: Config,
    image_id: int,
    *,
    rng: np.random.Generator,
    augment: bool = False,
    augmentation: Any = None,
) -> Sample:
    """Load one image with its labels, augment it, and bring it to the size a network takes.

    Args:
        dataset: Prepared.
        config: Its IMAGE_* settings.
        image_id: Of the dataset.
        rng: Draws the augmentation and the crop.
        augment: Random flips and quarter turns.
        augmentation: An imgaug augmenter.

    Raises:
        DatasetError: The image or its masks cannot be used; names the file.
    """
    sample = load_sample(dataset, config, image_id)
    if augmentation is not None:
        sample = _augment_by_imgaug(sample, augmentation, int(rng.integers(2**31)))
    sample = resize_sample(sample, config, rng=rng)
    return _turn(sample, rng) if augment else sample


def load_sample(dataset: Dataset, config: Config, image_id: int) -> Sample:
    """Load one image with its labels, and check that they fit together and the configuration.

    A one-channel image is repeated where IMAGE_CHANNEL_COUNT is 3.

    Raises:
        DatasetError: Sizes, class ids or the number of channels do not fit; names the file.
    """
    name = dataset.describe_image(image_id)
    image = np.asarray(dataset.load_image(image_id))
    image = match_channels(image, config.IMAGE_CHANNEL_COUNT, name)
    masks, class_ids = dataset.load_mask(image_id)
    masks = np.asarray(masks).astype(bool, copy=False)
    class_ids = np.asarray(class_ids).astype(np.int32, copy=False)
    valid = dataset.load_valid_mask(image_id)
    dataset.check_sample(image_id, image, masks, class_ids, valid)
    return Sample(image, masks, class_ids, valid)


def resize_sample(sample: Sample, config: Config, rng: np.random.Generator | None = None) -> Sample:
    """Resize and pad image, masks and valid mask as the configuration says, on one grid.

    Padding is not valid, and neither is a pixel with any invalid one in what it covers.
    """
    # What lies under invalid pixels (nodata values, NaN) must not be mixed into valid ones.
    image = np.where(sample.valid[..., None], sample.image, np.zeros((), sample.image.dtype))
    image, _, scale, padding, crop = resize_image(
        image,
        min_dim=config.IMAGE_MIN_DIM,
        max_dim=config.IMAGE_MAX_DIM,
        min_scale=config.IMAGE_MIN_SCALE,
        mode=config.IMAGE_RESIZE_MODE,
        rng=rng,
    )
    masks = resize_mask(sample.masks, scale, padding, crop)
    valid = _resize_valid(sample.valid, scale, padding, crop)
    return replace(sample, image=image, masks=masks, valid=valid)


def _augment_by_imgaug(sample: Sample, augmentation: Any, seed: int) -> Sample:
    # The valid mask travels with the masks: what comes in from outside is no longer imagery.
    layers = np.concatenate([sample.masks, sample.valid[..., None]], axis=-1)
    image, layers = apply_imgaug(augmentation, sample.image, layers, seed)
    return replace(sample, image=image, masks=layers[..., :-1], valid=layers[..., -1])


def _turn(sample: Sample, rng: np.random.Generator) -> Sample:
    """Flip and turn a sample at random; an oblong one only so that its shape stays."""
    k = int(rng.integers(DIHEDRAL_ORDER))
    height, width = sample.valid.shape
    if height != width:
        k -= k % 2
    return replace(
        sample,
        image=dihedral(sample.image, k),
        masks=dihedral(sample.masks, k),
        valid=dihedral(sample.valid, k),
    )


def _pack_instances(
    masks: np.ndarray, class_ids: np.ndarray, config: Config
) -> dict[str, np.ndarray]:
    """Put [H, W, n] masks and [n] class ids into arrays for N = MAX_GT_INSTANCES."""
    limit, count = config.MAX_GT_INSTANCES, len(class_ids)
    boxes = extract_bboxes(masks)
    if config.USE_MINI_MASK:
        masks = minimize_mask(boxes, masks, config.MINI_MASK_SHAPE)
    packed = {
        "gt_class_ids": np.zeros(limit, np.int32),
        "gt_boxes": np.zeros((limit, 4), np.float32),
        "gt_masks": np.zeros((limit, *masks.shape[:2]), np.uint8),
    }
    packed["gt_class_ids"][:count] = class_ids
    packed["gt_boxes"][:count] = boxes
    packed["gt_masks"][:count] = masks.transpose(2, 0, 1)
    return packed


def _resize_valid(
    valid: np.ndarray, scale: float, padding: Padding, crop: Crop | None
) -> np.ndarray:
    """Resize a valid mask as its image; a pixel is valid only if all that it mixes is."""
    invalid = (~valid).astype(np.float32)
    touched = resize_array(invalid, *scaled_size(*valid.shape, scale)) > 1e-3
    # `resize_mask` at scale 1 crops, or pads with False = not valid.
    return resize_mask(~touched, 1.0, padding, crop)
