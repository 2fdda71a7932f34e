"""FCN-FL and what it is compared with, on tiles of 256 px; five folds of it are FCN-FLK.

Source: the FCN-FL paper (Bijie and Shuicheng): VGG16 under every network, scores at all five
sizes and focal loss against the imbalance of landslide and other pixels, stratified 5-fold
cross-validation. See README.md for the data that it takes and the commands.
"""

from functools import partial

from landslide_rcnn.config import Config
from landslide_rcnn.data.readers import MaskFolderDataset
from landslide_rcnn.data.recipes import recipe
from landslide_rcnn.experiments import FCNConfig, FCNFLConfig
from samples.commands import Variant

EPOCHS = 100


class FCNFocalConfig(FCNConfig):
    """The plain FCN-8s with focal loss: what the loss alone gives."""

    SEMANTIC_LOSS = FCNFLConfig.SEMANTIC_LOSS


class FCNFLEntropyConfig(FCNFLConfig):
    """FCN-FL's network with cross entropy: what the two finer scores alone give."""

    SEMANTIC_LOSS = FCNConfig.SEMANTIC_LOSS


class UNetConfig(FCNConfig):
    """U-Net with VGG16, trained as the FCN."""

    ARCHITECTURE = "unet"
    BACKBONE = "vgg16"


class SegNetConfig(FCNConfig):
    """SegNet with VGG16, trained as the FCN."""

    ARCHITECTURE = "segnet"
    BACKBONE = "vgg16"


CONFIGS = {
    "fcn": FCNConfig,
    "fcn-focal": FCNFocalConfig,
    "fcn-fl-entropy": FCNFLEntropyConfig,
    "fcn-fl": FCNFLConfig,
    "unet": UNetConfig,
    "segnet": SegNetConfig,
}

# The paper's flips with changes of colours replace the random flips and turns.
VARIANTS = {
    name: Variant(
        type(f"Shuicheng{config.__name__}", (config,), {"NAME": "shuicheng"}),
        augment=False,
        augmentation=partial(recipe, "fcn_fl"),
    )
    for name, config in CONFIGS.items()
}


def open_part(root: str, part: str, _config: Config | None = None) -> MaskFolderDataset:
    """Open "train", "val", "test", or several such as "train+val", of a folder of tiles."""
    return MaskFolderDataset.from_folder(root, part)
