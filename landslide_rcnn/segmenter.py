"""The semantic models' face: `Segmenter(architecture, backbone, config)`, as `model.MaskRCNN`.

A network of `nn/semantic/` answers every pixel. Its probability is the map; its landslides are
the connected regions of it. `face.py` has what both faces share.
Shape letters: `landslide_rcnn.nn`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from landslide_rcnn import weights as weight_files
from landslide_rcnn.config import Config
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.semantic_batches import SemanticBatches
from landslide_rcnn.errors import ConfigError
from landslide_rcnn.experiments import SemanticConfig
from landslide_rcnn.face import Face
from landslide_rcnn.molding import run_in_batches, unmold_map
from landslide_rcnn.nn.semantic_losses import build_semantic_components
from landslide_rcnn.prediction import Instances, TilePrediction, regions_of
from landslide_rcnn.training import Trainer


class Segmenter(Face):
    """A semantic network: U-Net, SegNet, FCN, FCN-FL, PSPNet, DeepLabv3+ or DRs-UNet.

    Args:
        architecture: A key of `nn.semantic.registry.ARCHITECTURES`; None for the configuration's.
        backbone: One of the architecture's; None for the configuration's, if the architecture is
            its own, else for the architecture's first.
        config: What else to build; `SemanticConfig()` if None.
        model_dir: Folder for logs and checkpoints; made when training starts.
        mode: As in `MaskRCNN`; "inference" leaves all but one device alone.

    Attributes: those of `face.Face`, and
        threshold: Probability from which `detect` takes a pixel for landslide; after
            `from_weights` the card's, which was chosen on validation data.

    Raises:
        ConfigError: Architecture, backbone and configuration do not fit together, or there are
            fewer devices than GPU_COUNT.
    """

    def __init__(
        self,
        architecture: str | None = None,
        backbone: str | None = None,
        config: Config | None = None,
        model_dir: str | Path = "logs",
        mode: str = "training",
    ):
        config = SemanticConfig() if config is None else config
        if (architecture or config.ARCHITECTURE) == "mask_rcnn":
            raise ConfigError(
                "Segmenter needs a semantic architecture. Received: ARCHITECTURE='mask_rcnn'. Use "
                "model.MaskRCNN, or Segmenter('unet', ...)."
            )
        if architecture not in (None, config.ARCHITECTURE):
            config = config.replaced(ARCHITECTURE=architecture, BACKBONE=backbone)
        elif backbone not in (None, config.BACKBONE):
            config = config.replaced(BACKBONE=backbone)
        self.threshold = 0.5
        super().__init__(mode, config, model_dir)

    @classmethod
    def from_weights(
        cls, path: str | Path, model_dir: str | Path = "logs", **settings: Any
    ) -> "tuple[Segmenter, weight_files.Card]":
        """Make a model from one of our weight files and its card; see `face.Face`."""
        model, card = super().from_weights(path, model_dir, **settings)
        model.threshold = card.threshold
        return model, card

    @classmethod
    def _for_detection(cls, config: Config, model_dir: str | Path) -> "Segmenter":
        return cls(config=config, model_dir=model_dir, mode="inference")

    # --- Training ---------------------------------------------------------------------------

    def make_batches(self, dataset: Dataset, **options: Any) -> SemanticBatches:
        """Make the batches of a dataset; `options` are those of `TrainingBatches`."""
        return SemanticBatches(dataset, self.config, **options)

    def make_trainer(self) -> Trainer:
        """Put the losses that the configuration names on the network; `train` does."""
        components = build_semantic_components(class_weights=self.config.CLASS_WEIGHTS)
        return Trainer(self.keras_model, _training_pass, components, self.config.SEMANTIC_LOSS)

    # --- Detection --------------------------------------------------------------------------

    def predict_tiles(
        self, tiles: np.ndarray, valid_masks: np.ndarray | None = None
    ) -> list[TilePrediction]:
        """Predict tiles; see `prediction.Predictor`. A list may mix sizes."""
        return [
            TilePrediction(
                np.minimum(probabilities.sum(axis=-1), np.float32(1)),
                class_probabilities=probabilities if probabilities.shape[-1] > 1 else None,
            )
            for probabilities in self.class_probabilities(tiles, valid_masks)
        ]

    def detect_instances(
        self, images: Sequence[np.ndarray], valid_masks: Sequence[np.ndarray] | None = None
    ) -> list[Instances]:
        """Find the landslides in images: the connected regions where `threshold` is reached."""
        return [
            regions_of(probabilities, self.threshold, self.config.DETECTION_MIN_PIXELS)
            for probabilities in self.class_probabilities(images, valid_masks)
        ]

    def class_probabilities(
        self, images: Sequence[np.ndarray], valid_masks: Sequence[np.ndarray] | None = None
    ) -> list[np.ndarray]:
        """Return for each image [H, W, K - 1] float32: of every class but the background.

        Images of one size after resizing go through the network in batches of BATCH_SIZE.

        Args:
            images: Any number of [H, W, C] arrays of any size, in the files' own values.
            valid_masks: [H, W] each, True = usable; the rest gets 0. None for all.
        """
        answers = run_in_batches(images, valid_masks, self.config, self._run)
        results = []
        for i, (image, answer) in enumerate(zip(images, answers)):
            probabilities = _probabilities(answer.outputs["output"])
            probabilities = unmold_map(probabilities, answer.window, image.shape[:2])
            if valid_masks is not None:
                probabilities = np.where(valid_masks[i][..., None], probabilities, np.float32(0))
            results.append(probabilities)
        return results

    def _run(self, images: np.ndarray, windows_px: np.ndarray) -> dict[str, np.ndarray]:
        """Run the network on [B, H, W, C]; what is padding in them does not matter to it."""
        return self._forward(images)


def _probabilities(logits: np.ndarray) -> np.ndarray:
    """[h, w, 1] or [h, w, K] logits -> [h, w, K - 1], the classes but the background."""
    if logits.shape[-1] == 1:
        return expit(logits)
    return softmax(logits, axis=-1)[..., 1:]


def _training_pass(network: Any, batch: dict, training: bool) -> dict:
    labels = {name: batch[name] for name in ("class_map", "valid_mask")}
    return {"logits": network(batch["image"], training=training), **labels}
