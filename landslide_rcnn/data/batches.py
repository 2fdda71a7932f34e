"""Batches for training: `Dataset` -> NumPy arrays of fixed shapes.

The last step of `data/`; `training/` hands the batches to Keras. One sample goes through
load (-> splice or CutMix) -> imgaug -> resize -> flips and quarter turns -> normalise -> labels:
boxes and masks here, a map of classes in `semantic_batches.py`.

Differs from matterport's `data_generator` on purpose: every image is seen once an epoch, images
without instances included; what cannot be read is an error, not skipped; a batch depends on the
seed, the epoch and its index only, whichever thread makes it.

Shape letters: B batch; H, W pixels; C channels; N = MAX_GT_INSTANCES; h, w pixels of a mask;
K classes with background 0.
"""

import threading
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from landslide_rcnn.config import Config
from landslide_rcnn.data.background import KINDS, compose, draw_tiles, tell_apart
from landslide_rcnn.data.dataset import Dataset, match_channels
from landslide_rcnn.data.epochs import BACKGROUND, COVERED, EpochPlan, plan_epoch
from landslide_rcnn.data.masks import extract_bboxes, minimize_mask
from landslide_rcnn.data.normalize import normalize_image
from landslide_rcnn.data.samples import Sample, load_sample, prepare_sample
from landslide_rcnn.errors import ConfigError, DatasetError

# Separate the streams of random numbers that are drawn from one seed.
_ORDER_STREAM, _SAMPLE_STREAM = 0, 1


class TrainingBatches:
    """A sequence of batches, the same length every epoch.

    An epoch shows every image once. With BACKGROUND_SHARE it shows every landslide tile once, and
    so many images without landslides that they have that share of every batch. The samples of
    BACKGROUND_ENHANCEMENT come on top, made of tiles that are drawn anew for each.

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
        enrich: bool = True,
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
            enrich: Heed BACKGROUND_SHARE and BACKGROUND_ENHANCEMENT; False for validation.
            seed: Decides order, augmentation and every other choice.

        Raises:
            DatasetError: The dataset is empty or not prepared, or has more classes than
                NUM_CLASSES. Later, when the instances are counted: it lacks images with, or
                without landslides, which the configuration asks for.
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
        self.enrich = enrich
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.set_epoch(0)

    def __len__(self) -> int:
        return len(self._plan.kinds) // self.batch_size

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
            self._make_sample(self._plan.kinds[position], int(order[position]), epoch, position)
            for position in range(first, first + self.batch_size)
        ]
        shapes = {sample["image"].shape for sample in samples}
        if len(shapes) > 1:
            raise DatasetError(
                "The images of a batch must have one size after resizing. Received: "
                f"{sorted(shapes)} with IMAGE_RESIZE_MODE={self.config.IMAGE_RESIZE_MODE!r}. "
                "Use IMAGE_RESIZE_MODE='square' or 'crop'."
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
        """Return the ids, [B], of the images in a batch of the current epoch.

        A spliced or CutMix sample goes by its landslide tile.
        """
        first = index * self.batch_size
        return self._epoch_and_order[1][first : first + self.batch_size]

    @property
    def epoch(self) -> int:
        """The current epoch, from 0."""
        return self._epoch

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's order and augmentation."""
        self.set_epoch(self.epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch, from 0; how a training run is resumed."""
        self._epoch, self._order = epoch, None

    @cached_property
    def _plan(self) -> EpochPlan:
        # Made when it is first needed, after `verify`, which counts the instances on its way.
        shares, pools = {}, {COVERED: np.asarray(self.dataset.image_ids)}
        background_share = self.config.BACKGROUND_SHARE if self.enrich else None
        if self.enrich:
            shares = {k: share for k, share in self.config.BACKGROUND_ENHANCEMENT.items() if share}
        if shares or background_share is not None:
            landslides, backgrounds = tell_apart(
                self.dataset, need_background=bool(shares or background_share)
            )
            pools |= {BACKGROUND: backgrounds, **dict.fromkeys(KINDS, landslides)}
        if background_share is not None:
            pools[COVERED] = landslides
            shares[BACKGROUND] = background_share
        return plan_epoch(pools, shares, self.batch_size)

    @property
    def _epoch_and_order(self) -> tuple[int, np.ndarray]:
        """The epoch and its [number of batches x B] image ids."""
        # One value, so that a worker never sees the order of one epoch with another's number.
        epoch, made = self._epoch, self._order
        if made is None or made[0] != epoch:
            rng = np.random.default_rng((self.seed, _ORDER_STREAM, epoch))
            made = epoch, self._plan.order(rng if self.shuffle else None, epoch)
            self._order = made
        return made

    def _make_sample(
        self, kind: str, image_id: int, epoch: int, position: int
    ) -> dict[str, np.ndarray]:
        """Load or compose, augment, resize, normalise and label one sample."""
        config = self.config
        rng = np.random.default_rng((self.seed, _SAMPLE_STREAM, epoch, position))
        source = self.dataset.image_info[image_id]["source"]
        augmented = source not in self.no_augmentation_sources
        sample = prepare_sample(
            self._load(kind, image_id, rng),
            config,
            rng=rng,
            augment=augmented and self.augment,
            augmentation=self.augmentation if augmented else None,
        )
        return {
            "image": normalize_image(sample.image, sample.valid, config),
            **self._labels(sample, source, rng),
        }

    def _labels(
        self, sample: Sample, source: str, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return what a network learns from a sample of the network's size."""
        masks, class_ids = self._keep_instances(sample, rng)
        active = np.zeros(self.config.NUM_CLASSES, np.int32)
        active[self.dataset.source_class_ids.get(source, [0])] = 1
        return {**_pack_instances(masks, class_ids, self.config), "active_class_ids": active}

    def _load(self, kind: str, image_id: int, rng: np.random.Generator) -> Sample:
        """Return an image with its labels, or a sample made of it and of images without."""
        if kind not in KINDS:
            return load_sample(self.dataset, self.config, image_id)
        tiles = draw_tiles(kind, image_id, self._plan.pools[BACKGROUND], rng)
        sample = compose(self.dataset, kind, tiles, rng)
        name = f"{kind} with {self.dataset.describe_image(image_id)}"
        image = match_channels(sample.image, self.config.IMAGE_CHANNEL_COUNT, name)
        return replace(sample, image=image)

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
