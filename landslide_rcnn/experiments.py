"""The papers' systems by name, as configurations: what `landslide-rcnn train --experiment` takes.

Beside `config.py`, which has `Config` and its defaults. A class says what a paper does; where it
is silent, the family's default stays. How many epochs, and in which stages, is said to the
training. Shape letters: K classes with background 0.
"""

from typing import Any

from landslide_rcnn.config import Config, LandslideConfig
from landslide_rcnn.errors import RegistryError


class _WithoutImprovements(LandslideConfig):
    """The plain FPN and losses that the first three experiments share."""

    BOTTOM_UP_PATH = False
    LOSS_WEIGHTS = {"mrcnn_mask_edge_loss": 0.0}


class ResNet101Config(_WithoutImprovements):
    """Liu et al. 2021, experiment 1."""

    BACKBONE = "resnet101"


class ResNeXt50Config(_WithoutImprovements):
    """Liu et al. 2021, experiment 2."""

    BACKBONE = "resnext50"


class ResNeXt101Config(_WithoutImprovements):
    """Liu et al. 2021, experiment 3."""

    BACKBONE = "resnext101"


class ResNeXt50BottomUpConfig(_WithoutImprovements):
    """Liu et al. 2021, experiment 4: ResNeXt-50 with the improved FPN."""

    BOTTOM_UP_PATH = True


class SemanticConfig(Config):
    """A plain U-Net on tiles of 256 px: what all the semantic experiments start from.

    Another architecture by `ARCHITECTURE`, another backbone by `BACKBONE`. Adam at 1e-3 without
    decay and cross entropy are what most of the papers have.
    """

    NAME = "semantic"
    ARCHITECTURE = "unet"
    BACKBONE = None
    BACKBONE_STYLE = "torchvision"
    IMAGES_PER_GPU = 8
    NUM_CLASSES = 2
    IMAGE_MIN_DIM = 256
    IMAGE_MAX_DIM = 256
    STD_PIXEL = LandslideConfig.STD_PIXEL
    USE_MINI_MASK = False
    OPTIMIZER = "adam"
    WEIGHT_DECAY = 0.0
    LEARNING_RATE = 1e-3
    STEPS_PER_EPOCH = None
    VALIDATION_STEPS = None
    TRAIN_BN = None


class ThreeRiversConfig(SemanticConfig):
    """Chen et al. 2022: U-Net; DRs-UNet and SegNet alike. 80 epochs.

    InSAR tiles of 128 px, each normalised by itself; Adam, its rate halved every 10 epochs.
    """

    IMAGES_PER_GPU = 16
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    NORMALIZATION = "tile"
    LEARNING_RATE_SCHEDULE = "step"


class DRsUNetConfig(ThreeRiversConfig):
    """Chen et al. 2022: DRs-UNet."""

    ARCHITECTURE = "drs_unet"


class SegNetConfig(ThreeRiversConfig):
    """Chen et al. 2022: SegNet."""

    ARCHITECTURE = "segnet"


class FCNConfig(SemanticConfig):
    """The FCN-FL paper's baseline: FCN-8s on VGG16, with cross entropy."""

    ARCHITECTURE = "fcn"
    LEARNING_RATE = 1e-4  # ours; VGG16 has no batch normalisation


class FCNFLConfig(FCNConfig):
    """FCN-FL: scores at all five sizes, and focal loss of alpha 0.25 and gamma 1.75."""

    ARCHITECTURE = "fcn_fl"
    SEMANTIC_LOSS = {"focal": 1.0}


class BijieConfig(SemanticConfig):
    """Yang et al. 2022 (Bijie): U-Net with VGG16, focal and dice loss, classes weighing 1 and 2.

    Rate and batch are those of the first 50 epochs, whose backbone is frozen; the other 100 have
    1e-5 and 4 (`--stage heads:50:1e-4:8 --stage all:100:1e-5:4`).
    """

    BACKBONE = "vgg16"
    IMAGE_MIN_DIM = 473
    IMAGE_MAX_DIM = 473
    LEARNING_RATE = 1e-4
    SEMANTIC_LOSS = {"focal": 1.0, "dice": 1.0}
    CLASS_WEIGHTS = [1.0, 2.0]


class BijieUNetResNet50Config(BijieConfig):
    """Yang et al. 2022 (Bijie): U-Net with ResNet-50."""

    BACKBONE = "resnet50"


class PSPNetConfig(BijieConfig):
    """Yang et al. 2022 (Bijie): PSPNet with ResNet-50."""

    ARCHITECTURE = "pspnet"
    BACKBONE = "resnet50"


class PSPNetMobileNetConfig(PSPNetConfig):
    """Yang et al. 2022 (Bijie): PSPNet with MobileNet."""

    BACKBONE = "mobilenet"


class DeepLabConfig(BijieConfig):
    """Yang et al. 2022 (Bijie): DeepLabv3+ with Xception."""

    ARCHITECTURE = "deeplab"
    BACKBONE = "xception"


class DeepLabMobileNetConfig(DeepLabConfig):
    """Yang et al. 2022 (Bijie): DeepLabv3+ with MobileNet."""

    BACKBONE = "mobilenet"


# The five experiments of Liu et al. 2021, in the paper's order.
PAPER_EXPERIMENTS: dict[str, type[LandslideConfig]] = {
    "resnet101": ResNet101Config,
    "resnext50": ResNeXt50Config,
    "resnext101": ResNeXt101Config,
    "resnext50-n": ResNeXt50BottomUpConfig,
    "resnext50-n-edge": LandslideConfig,
}

# The semantic networks, each as the paper that it is of trains it.
SEMANTIC_EXPERIMENTS: dict[str, type[SemanticConfig]] = {
    "unet": ThreeRiversConfig,
    "segnet": SegNetConfig,
    "drs-unet": DRsUNetConfig,
    "fcn": FCNConfig,
    "fcn-fl": FCNFLConfig,
    "unet-vgg16": BijieConfig,
    "unet-resnet50": BijieUNetResNet50Config,
    "pspnet": PSPNetConfig,
    "pspnet-mobilenet": PSPNetMobileNetConfig,
    "deeplab": DeepLabConfig,
    "deeplab-mobilenet": DeepLabMobileNetConfig,
}

EXPERIMENTS: dict[str, type[Config]] = {**PAPER_EXPERIMENTS, **SEMANTIC_EXPERIMENTS}


def experiment_config(name: str, **settings: Any) -> Config:
    """Make the configuration of one of `EXPERIMENTS`, with settings on top.

    Raises:
        RegistryError: There is no such experiment.
        ConfigError: The settings do not fit.
    """
    if name not in EXPERIMENTS:
        raise RegistryError(
            f"An experiment must be known. Received: {name!r}. "
            f"Use one of: {', '.join(EXPERIMENTS)}."
        )
    return EXPERIMENTS[name](**settings)
