"""DRs-UNet, and the U-Net and SegNet that it was compared with, on tiles of InSAR maps.

Source: Chen et al. 2022, DRs-UNet: tiles of 128 px with 50 % overlap, each normalised by itself;
binary cross entropy; Adam at 1e-3, halved every 10 epochs; batches of 16; 80 epochs; threshold
0.5. See README.md for the data that it takes and the commands.
"""

from landslide_rcnn.config import Config
from landslide_rcnn.data.readers import MaskFolderDataset
from landslide_rcnn.experiments import DRsUNetConfig, SegNetConfig, ThreeRiversConfig
from samples.commands import Variant

EPOCHS = 80

# The paper names no augmentation; the random flips and turns of every training here are kept.
VARIANTS = {
    name: Variant(type(f"ThreeRivers{config.__name__}", (config,), {"NAME": "three_rivers"}))
    for name, config in {
        "drs-unet": DRsUNetConfig,
        "unet": ThreeRiversConfig,
        "segnet": SegNetConfig,
    }.items()
}


def open_part(root: str, part: str, _config: Config | None = None) -> MaskFolderDataset:
    """Open "train", "val", "test", or several such as "train+val", of a folder of tiles."""
    return MaskFolderDataset.from_folder(root, part)
