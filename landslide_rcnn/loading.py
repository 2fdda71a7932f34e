"""From a configuration, or weights of ours and their card, to the model that they are of."""

from pathlib import Path
from typing import Any

from landslide_rcnn.config import Config
from landslide_rcnn.ensemble import Ensemble
from landslide_rcnn.face import Face
from landslide_rcnn.model import MaskRCNN
from landslide_rcnn.segmenter import Segmenter
from landslide_rcnn.weights import Card, ensemble_path, read_card, read_ensemble


def make_model(config: Config, model_dir: str | Path = "logs") -> MaskRCNN | Segmenter:
    """Make the model that a configuration describes, ready to train."""
    if config.ARCHITECTURE == "mask_rcnn":
        return MaskRCNN("training", config, model_dir)
    return Segmenter(config=config, model_dir=model_dir)


def load_model(
    weights: str | Path, model_dir: str | Path = "logs", **settings: Any
) -> tuple[MaskRCNN | Segmenter | Ensemble, Card]:
    """Make a model for detection from weights of ours, of whichever architecture.

    Args:
        weights: A `.weights.h5` with its card beside it; or the folder of an ensemble, each
            member of which is loaded once.
        model_dir: Folder for logs.
        **settings: Config attributes to change, such as BATCH_SIZE.

    Raises:
        WeightsError: Files or cards are missing or do not fit together.
    """
    path = ensemble_path(weights)
    if path is not None:
        card = read_ensemble(path)
        members = [load_model(each.path, model_dir, **settings)[0] for each in card.members]
        min_pixels = members[0].config.DETECTION_MIN_PIXELS
        return Ensemble(members, card.class_names, card.threshold, min_pixels), card
    kind: type[Face] = MaskRCNN if read_card(weights).architecture == "mask_rcnn" else Segmenter
    return kind.from_weights(weights, model_dir, **settings)
