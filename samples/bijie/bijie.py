"""The Bijie landslide dataset (Ji et al. 2020) with the improved Mask R-CNN of Liu et al. 2021.

577 landslide and 150 non-landslide RGB images of 0.8 m pixels; `split.csv` separates train, val
and test by county. See README.md for the commands and what they reach.
"""

import numpy as np

from landslide_rcnn.config import Config, LandslideConfig
from landslide_rcnn.data.readers import MaskFolderDataset
from samples.commands import Variant

PIXEL_SIZE_M = 0.8


class BijieConfig(LandslideConfig):
    """ResNeXt-50, bottom-up path and edge loss, from random weights.

    The pyramid has half the usual channels: with 580 training images and minutes of CPU time,
    twice the epochs are worth more than wider heads. The edge loss, whose responses to a missed
    edge are 16 (`nn.losses`), weighs a tenth, so that it is of the mask loss's size.
    """

    NAME = "bijie"
    TOP_DOWN_PYRAMID_SIZE = 128
    TRAIN_ROIS_PER_IMAGE = 64
    ROI_POSITIVE_RATIO = 0.25
    RPN_ANCHOR_SCALES = (24, 48, 96, 160, 240)
    POST_NMS_ROIS_TRAINING = 500
    POST_NMS_ROIS_INFERENCE = 200
    MAX_GT_INSTANCES = 20
    LOSS_WEIGHTS = {"mrcnn_mask_edge_loss": 0.1}
    LEARNING_RATE = 5e-4


class BijieResNet50Config(BijieConfig):
    """ResNet-50 from ImageNet weights of keras.applications, stages 1 and 2 frozen."""

    BACKBONE = "resnet50"
    BACKBONE_STYLE = "keras"
    STD_PIXEL = np.array([1.0, 1.0, 1.0])
    MEAN_PIXEL = np.array([123.68, 116.779, 103.939])
    LEARNING_RATE = 2e-4


def photometric_augmentation():
    """Brightness and contrast, partly by channel: the test county has other light and soil."""
    import imgaug.augmenters as iaa  # slow to import

    return iaa.Sequential(
        [iaa.Multiply((0.75, 1.25), per_channel=0.3), iaa.LinearContrast((0.8, 1.25))]
    )


VARIANTS = {
    "resnext50": Variant(BijieConfig, augmentation=photometric_augmentation),
    "resnet50": Variant(BijieResNet50Config, "3+", augmentation=photometric_augmentation),
}


def open_part(root: str, part: str, _config: Config | None = None) -> MaskFolderDataset:
    """Open "train", "val" or "test" of the dataset's folder."""
    dataset = MaskFolderDataset.from_folder(root, part)
    dataset.pixel_size_m = PIXEL_SIZE_M
    return dataset
