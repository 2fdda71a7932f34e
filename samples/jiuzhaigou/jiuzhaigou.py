"""The five experiments on UAV tiles of Jiuzhaigou, with their augmentation and schedule.

Source: Liu et al. 2021, A Research on Landslides Automatic Extraction Model Based on the Improved
Mask R-CNN. See README.md for the data that it takes and the commands.
"""

from functools import partial

from landslide_rcnn.config import Config
from landslide_rcnn.data.readers import MaskFolderDataset
from landslide_rcnn.data.recipes import recipe
from landslide_rcnn.experiments import PAPER_EXPERIMENTS
from samples.commands import Variant

EPOCHS = 200
STEPS_PER_EPOCH = 2440

# Tiles of 256 px, batch 4 and a learning rate of 1e-4 are in the configurations. The paper's
# rotations and flips replace the random ones.
VARIANTS = {
    name: Variant(
        type(f"Jiuzhaigou{config.__name__}", (config,), {"STEPS_PER_EPOCH": STEPS_PER_EPOCH}),
        augment=False,
        augmentation=partial(recipe, "jiuzhaigou"),
    )
    for name, config in PAPER_EXPERIMENTS.items()
}


def open_part(root: str, part: str, _config: Config | None = None) -> MaskFolderDataset:
    """Open "train", "val" or "test" of a folder of tiles."""
    return MaskFolderDataset.from_folder(root, part)
