"""From a configuration, or a weight file and its card, to the model of the family that it names."""

from pathlib import Path
from typing import Any

from landslide_rcnn.config import Config
from landslide_rcnn.face import Face
from landslide_rcnn.model import MaskRCNN
from landslide_rcnn.segmenter import Segmenter
from landslide_rcnn.weights import Card, read_card


def make_model(config: Config, model_dir: str | Path = "logs") -> MaskRCNN | Segmenter:
    """Make the model that a configuration describes, ready to train."""
    if config.ARCHITECTURE == "mask_rcnn":
        return MaskRCNN("training", config, model_dir)
    return Segmenter(config=config, model_dir=model_dir)


def load_model(
    weights: str | Path, model_dir: str | Path = "logs", **settings: Any
) -> tuple[MaskRCNN | Segmenter, Card]:
    """Make a model for detection from one of our weight files, of whichever architecture.

    Args:
        weights: A `.weights.h5` with its card beside it.
        model_dir: Folder for logs.
        **settings: Config attributes to change, such as BATCH_SIZE.

    Raises:
        WeightsError: File or card are missing or do not fit together.
    """
    kind: type[Face] = MaskRCNN if read_card(weights).architecture == "mask_rcnn" else Segmenter
    return kind.from_weights(weights, model_dir, **settings)
