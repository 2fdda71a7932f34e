"""matterport's face: `MaskRCNN(mode, config, model_dir)` with train, detect and load_weights.

Beside `segmenter.Segmenter`; `face.py` has what both share. Better than matterport's: `detect`
takes any number of images of any size, and works after training without a second model. Shape
letters: `landslide_rcnn.nn`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from landslide_rcnn.building import build_network  # noqa: F401  matterport's `build` goes here
from landslide_rcnn.config import Config
from landslide_rcnn.errors import ConfigError
from landslide_rcnn.face import Face
from landslide_rcnn.matterport.functions import *  # noqa: F403  matterport's own names
from landslide_rcnn.matterport.methods import MatterportMethods
from landslide_rcnn.matterport.replaced import missing
from landslide_rcnn.molding import run_in_batches, unmold
from landslide_rcnn.nn.losses import build_components
from landslide_rcnn.nn.mask_rcnn import MaskRCNNNetwork
from landslide_rcnn.prediction import Instances, TilePrediction, probability_of
from landslide_rcnn.training import DetectorTrainer


class MaskRCNN(Face, MatterportMethods):
    """The improved Mask R-CNN.

    Args:
        mode: "training" or "inference", as in matterport's. Both detect; only the first trains.
        config: What to build.
        model_dir: Folder for logs and checkpoints; made when training starts.

    Attributes: those of `face.Face`.

    Raises:
        ConfigError: `mode` is neither, or there are fewer devices than GPU_COUNT to train on, or
            the configuration is a semantic network's.
    """

    keras_model: MaskRCNNNetwork

    def __init__(self, mode: str, config: Config, model_dir: str | Path):
        if config.ARCHITECTURE != "mask_rcnn":
            raise ConfigError(
                "MaskRCNN is built from ARCHITECTURE='mask_rcnn'. Received: "
                f"ARCHITECTURE={config.ARCHITECTURE!r}. Use segmenter.Segmenter, or "
                "loading.load_model, which takes weights of any architecture."
            )
        super().__init__(mode, config, model_dir)

    @classmethod
    def _for_detection(cls, config: Config, model_dir: str | Path) -> "MaskRCNN":
        return cls("inference", config, model_dir)

    # --- Training ---------------------------------------------------------------------------

    def make_trainer(self) -> DetectorTrainer:
        """Put the losses that the configuration names on the network; `train` does."""
        config = self.config
        components = build_components(
            class_weights=config.CLASS_WEIGHTS, mask_loss=config.MASK_LOSS
        )
        return DetectorTrainer(self.keras_model, config.LOSS_WEIGHTS, components)

    # --- Detection --------------------------------------------------------------------------

    def detect_instances(
        self, images: Sequence[np.ndarray], valid_masks: Sequence[np.ndarray] | None = None
    ) -> list[Instances]:
        """Find the objects in images, with mask probabilities instead of masks.

        Images of one size after resizing go through the network in batches of BATCH_SIZE.
        """
        answers = run_in_batches(images, valid_masks, self.config, self._run)
        return [
            unmold(
                answer.outputs["detections"],
                answer.outputs["masks"],
                answer.window,
                answer.molded_shape,
                image.shape[:2],
            )
            for image, answer in zip(images, answers)
        ]

    def predict_tiles(
        self, tiles: np.ndarray, valid_masks: np.ndarray | None = None
    ) -> list[TilePrediction]:
        """Predict tiles; see `prediction.Predictor`. A list may mix sizes."""
        predictions = []
        for i, instances in enumerate(self.detect_instances(tiles, valid_masks)):
            probability = probability_of(instances, *tiles[i].shape[:2])
            if valid_masks is not None:
                probability[~valid_masks[i]] = 0
            predictions.append(TilePrediction(probability, instances))
        return predictions

    def _run(self, images: np.ndarray, windows_px: np.ndarray) -> dict[str, np.ndarray]:
        """Run the network on [B, H, W, C] and windows [B, 4] in pixels."""
        height, width = images.shape[1:3]
        windows = (windows_px - [0, 0, 1, 1]) / [height - 1, width - 1, height - 1, width - 1]
        return self._forward(images, windows.astype(np.float32))


def __getattr__(name: str) -> Any:
    """Say what to use instead of a name of matterport's that is not here."""
    raise missing("model", name)
