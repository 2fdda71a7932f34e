"""One image with its labels: loading it, changing it, and bringing it to a network's size.

`Dataset` -> `Sample` -> `data/batches.py`. `data/background.py` makes new samples of several.

Shape letters: H, W pixels; C channels; N instances.
"""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from landslide_rcnn.config import Config
from landslide_rcnn.data.augment import DIHEDRAL_ORDER, apply_imgaug, dihedral
from landslide_rcnn.data.checking import READING_ERRORS
from landslide_rcnn.data.dataset import Dataset, match_channels
from landslide_rcnn.data.resize import (
    Crop,
    Padding,
    resize_array,
    resize_image,
    resize_mask,
    scaled_size,
)


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


def read_sample(dataset: Dataset, image_id: int) -> Sample:
    """Load one image with its labels, with as many channels as the file has.

    Raises:
        DatasetError: Image, masks and class ids do not fit together; names the file.
    """
    image = np.asarray(dataset.load_image(image_id))
    masks, class_ids = dataset.load_mask(image_id)
    masks = np.asarray(masks).astype(bool, copy=False)
    class_ids = np.asarray(class_ids).astype(np.int32, copy=False)
    valid = dataset.load_valid_mask(image_id)
    dataset.check_sample(image_id, image, masks, class_ids, valid)
    return Sample(image[..., None] if image.ndim == 2 else image, masks, class_ids, valid)


def load_sample(dataset: Dataset, config: Config, image_id: int) -> Sample:
    """Load one image with its labels, and check that they fit together and the configuration.

    A one-channel image is repeated where IMAGE_CHANNEL_COUNT is 3.

    Raises:
        DatasetError: Sizes, class ids or the number of channels do not fit; names the file.
    """
    sample = read_sample(dataset, image_id)
    name = dataset.describe_image(image_id)
    return replace(sample, image=match_channels(sample.image, config.IMAGE_CHANNEL_COUNT, name))


def count_instances(dataset: Dataset) -> np.ndarray:
    """Return [images] int: how many instances, crowds included, each image has.

    Every mask is read once, in threads, unless `Dataset.verify` has counted before.

    Raises:
        DatasetError: Images or masks cannot be used; names every file at fault.
    """
    counts = dataset.instance_counts
    if counts is None or len(counts) != dataset.num_images:
        try:
            with ThreadPoolExecutor(max_workers=4) as pool:
                counts = list(pool.map(lambda i: len(dataset.load_mask(i)[1]), dataset.image_ids))
        except READING_ERRORS:
            dataset.verify(progress=False)
            raise
        dataset.instance_counts = counts
    return np.asarray(counts, np.int64)


def prepare_sample(
    sample: Sample,
    config: Config,
    *,
    rng: np.random.Generator,
    augment: bool = False,
    augmentation: Any = None,
) -> Sample:
    """Augment a sample, and bring it to the size that a network takes.

    Args:
        sample: As loaded.
        config: Its IMAGE_* settings and IMAGERY_BANDS.
        rng: Draws the augmentation and the crop.
        augment: Random flips and quarter turns.
        augmentation: An imgaug augmenter.
    """
    if augmentation is not None:
        seed = int(rng.integers(2**31))
        sample = _augment_by_imgaug(sample, augmentation, seed, config.IMAGERY_BANDS)
    sample = resize_sample(sample, config, rng=rng)
    return _turn(sample, rng) if augment else sample


def resize_sample(sample: Sample, config: Config, rng: np.random.Generator | None = None) -> Sample:
    """Resize and pad image, masks and valid mask as the configuration says, on one grid.

    Padding is not valid, and neither is a pixel with any invalid one in what it covers.
    """
    image, _, scale, padding, crop = resize_image(
        cleared_image(sample),
        min_dim=config.IMAGE_MIN_DIM,
        max_dim=config.IMAGE_MAX_DIM,
        min_scale=config.IMAGE_MIN_SCALE,
        mode=config.IMAGE_RESIZE_MODE,
        rng=rng,
    )
    masks = resize_mask(sample.masks, scale, padding, crop)
    valid = _resize_valid(sample.valid, scale, padding, crop)
    return replace(sample, image=image, masks=masks, valid=valid)


def scale_sample(sample: Sample, height: int, width: int) -> Sample:
    """Resample image, masks and valid mask to `height` x `width` pixels, on one grid."""
    return replace(
        sample,
        image=resize_array(cleared_image(sample), height, width),
        masks=resize_array(sample.masks, height, width),
        valid=_shrink_valid(sample.valid, height, width),
    )


def crop_sample(sample: Sample, top: int, left: int, height: int, width: int) -> Sample:
    """Cut image, masks and valid mask; instances without a pixel left stay, as empty masks."""
    rows, columns = slice(top, top + height), slice(left, left + width)
    return replace(
        sample,
        image=sample.image[rows, columns],
        masks=sample.masks[rows, columns],
        valid=sample.valid[rows, columns],
    )


def cleared_image(sample: Sample) -> np.ndarray:
    """Return the image with 0 where it is not valid.

    What lies there (nodata values, NaN) must not be mixed into valid pixels.
    """
    return np.where(sample.valid[..., None], sample.image, np.zeros((), sample.image.dtype))


def _augment_by_imgaug(
    sample: Sample, augmentation: Any, seed: int, imagery_bands: Collection[int] | None
) -> Sample:
    # The valid mask travels with the masks: what comes in from outside is no longer imagery.
    layers = np.concatenate([sample.masks, sample.valid[..., None]], axis=-1)
    image, layers = apply_imgaug(augmentation, cleared_image(sample), layers, seed, imagery_bands)
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


def _resize_valid(
    valid: np.ndarray, scale: float, padding: Padding, crop: Crop | None
) -> np.ndarray:
    """Resize a valid mask as its image; a pixel is valid only if all that it mixes is."""
    usable = _shrink_valid(valid, *scaled_size(*valid.shape, scale))
    # `resize_mask` at scale 1 crops, or pads with False = not valid.
    return resize_mask(usable, 1.0, padding, crop)


def _shrink_valid(valid: np.ndarray, height: int, width: int) -> np.ndarray:
    return resize_array((~valid).astype(np.float32), height, width) <= 1e-3
