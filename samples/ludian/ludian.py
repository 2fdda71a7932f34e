"""Background enhancement and landslide-inducing factors, as in Ludian.

Source: Yang et al. 2022, Landslide Extraction Using Mask R-CNN with Background-Enhancement Method.
See README.md for the data that it takes and the commands.
"""

import numpy as np

from landslide_rcnn.config import Config, LandslideConfig
from landslide_rcnn.data.background import PAPER_COUNTS
from landslide_rcnn.data.dataset import RASTER_SUFFIXES, read_valid_file
from landslide_rcnn.data.readers import MaskFolderDataset
from samples.commands import Variant

EPOCHS = 20
BAND_NAMES = ["red", "green", "blue", "elevation_m", "slope_deg", "river_level"]


class LudianConfig(Config):
    """RGB tiles of 1024 px with the paper's hyperparameters; the network is matterport's.

    The paper names no batch size; matterport's default of 2 is kept. For tiles of another size
    use `--set IMAGE_MAX_DIM=512 --set IMAGE_MIN_DIM=512`.
    """

    NAME = "ludian"
    NUM_CLASSES = 2
    BACKBONE = "resnet101"
    IMAGE_MIN_DIM = 1024
    IMAGE_MAX_DIM = 1024
    OPTIMIZER = "sgd"
    LEARNING_RATE = 1e-3
    WEIGHT_DECAY = 0.005
    STEPS_PER_EPOCH = 1000
    GRADIENT_CLIP_NORM = 5.0
    # The threshold of a map is chosen on its probabilities afterwards.
    DETECTION_MIN_CONFIDENCE = 0.05


class LudianFactorsConfig(LudianConfig):
    """RGB with elevation, slope and distance from river (six levels) behind it.

    Their means and deviations are of the size that mountains like Ludian's have, in metres,
    degrees and levels; the data's own are better: `--set MEAN_PIXEL=[...]`.
    """

    IMAGE_CHANNEL_COUNT = 6
    IMAGERY_BANDS = [0, 1, 2]
    MEAN_PIXEL = np.array([123.7, 116.8, 103.9, 1900.0, 25.0, 3.0])
    # matterport's imagery is not divided; the factors are brought to its range of values.
    STD_PIXEL = np.array([1.0, 1.0, 1.0, 10.0, 0.2, 0.03])


class LudianSemanticConfig(LudianConfig):
    """A semantic network on the RGB tiles, with the hyperparameters of Mask R-CNN.

    The paper names neither backbones nor loss: the plain U-Net, PSPNet with ResNet-50, and cross
    entropy.
    """

    BACKBONE = None
    BACKBONE_STYLE = "torchvision"
    STD_PIXEL = LandslideConfig.STD_PIXEL
    TRAIN_BN = None


class LudianUNetConfig(LudianSemanticConfig):
    """U-Net."""

    ARCHITECTURE = "unet"


class LudianPSPNetConfig(LudianSemanticConfig):
    """PSPNet."""

    ARCHITECTURE = "pspnet"


VARIANTS = {
    "original": Variant(LudianConfig),
    "factors": Variant(LudianFactorsConfig),
    "background": Variant(LudianConfig, **PAPER_COUNTS),
    "background-factors": Variant(LudianFactorsConfig, **PAPER_COUNTS),
    "unet": Variant(LudianUNetConfig),
    "unet-background": Variant(LudianUNetConfig, **PAPER_COUNTS),
    "pspnet": Variant(LudianPSPNetConfig),
    "pspnet-background": Variant(LudianPSPNetConfig, **PAPER_COUNTS),
}


class LudianTiles(MaskFolderDataset):
    """Tiles of six bands, `BAND_NAMES`, of which the first `band_count` are used."""

    band_count = len(BAND_NAMES)

    def load_image(self, image_id: int) -> np.ndarray:
        """Return [H, W, band_count]."""
        return super().load_image(image_id)[..., : self.band_count]

    def load_valid_mask(self, image_id: int) -> np.ndarray:
        """Return [H, W] bool, True = usable pixel."""
        path = self._path_of(image_id)
        if path.suffix.lower() in RASTER_SUFFIXES:
            return read_valid_file(path)
        return super().load_valid_mask(image_id)


def open_part(root: str, part: str, config: Config) -> LudianTiles:
    """Open "train", "val" or "test" of a folder of tiles, with the bands that the network takes."""
    dataset = LudianTiles.from_folder(root, part)
    dataset.band_count = int(config.IMAGE_CHANNEL_COUNT)
    dataset.band_names = BAND_NAMES[: dataset.band_count]
    return dataset
