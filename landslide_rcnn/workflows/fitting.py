"""A configuration that fits the training data: how many bands, and what is normal for each.

Before the first step of `workflows/train.py`. RGB in bytes keeps MEAN_PIXEL and STD_PIXEL of the
configuration, which pretrained weights expect; other bands have units of their own.
"""

import logging

import numpy as np

from landslide_rcnn.config import Config
from landslide_rcnn.data.bands import band_statistics, channels_and_dtype, pixel_scale
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.errors import ConfigError

logger = logging.getLogger(__name__)

# What `normalize` may say, besides None.
NORMALIZE = ("data", "config")


def fit_channels(config: Config, dataset: Dataset) -> Config:
    """Return a configuration for as many bands as a dataset's images have; grey goes with 3."""
    channels, _ = channels_and_dtype(dataset)
    if channels == config.IMAGE_CHANNEL_COUNT or (channels, config.IMAGE_CHANNEL_COUNT) == (1, 3):
        return config
    logger.info("The images have %d bands: IMAGE_CHANNEL_COUNT=%d", channels, channels)
    return config.replaced(IMAGE_CHANNEL_COUNT=channels)


def fit_normalization(
    config: Config, dataset: Dataset, normalize: str | None = None, *, progress: bool = True
) -> Config:
    """Return a configuration whose MEAN_PIXEL and STD_PIXEL are a dataset's, if they should be.

    Args:
        config: Its IMAGE_CHANNEL_COUNT is that of the images.
        dataset: Prepared; the training data.
        normalize: "data": take the dataset's mean and deviation of each band, over its usable
            pixels. "config": keep the configuration's. None: the dataset's where nobody set
            them and the images are not RGB in bytes.
        progress: Show a progress bar on stderr.

    Raises:
        ConfigError: `normalize` is something else.
        DatasetError: The dataset has no usable pixel.
    """
    if normalize not in (None, *NORMALIZE):
        raise ConfigError(
            f"normalize must be one of {', '.join(NORMALIZE)}. Received: {normalize!r}. "
            "Use one of these, or leave it out."
        )
    unset = config.default_pixels
    if normalize is None and unset and config.NORMALIZATION == "dataset":
        _, dtype = channels_and_dtype(dataset)
        if config.IMAGE_CHANNEL_COUNT != 3 or dtype != np.uint8:
            normalize = "data"
    if normalize != "data":
        return config
    mean, deviation = pixel_scale(
        band_statistics(dataset, config.IMAGE_CHANNEL_COUNT, progress=progress)
    )
    return config.replaced(MEAN_PIXEL=mean, STD_PIXEL=deviation)
