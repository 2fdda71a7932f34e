"""What `model.MaskRCNN` and `segmenter.Segmenter` have in common: weights, logs, train, detect.

The door between `Config`, datasets and images on one side and a network (`nn/`) on the other. A
family adds its batches, its losses and how it reads its network's answers; how it is trained is
`training.TrainingMethods`. Shape letters: `landslide_rcnn.nn`.
"""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from keras import ops

from landslide_rcnn import weights as weight_files
from landslide_rcnn.building import build_network
from landslide_rcnn.config import Config, warn_of_stand_ins
from landslide_rcnn.devices import replicas
from landslide_rcnn.errors import ConfigError, WeightsError, WeightsNotFoundError
from landslide_rcnn.matterport.logs import log_folder
from landslide_rcnn.nn.compiled import compile_forward
from landslide_rcnn.nn.conv_norm import leaf_layers
from landslide_rcnn.prediction import Instances, detections_of
from landslide_rcnn.training import TrainingMethods


class Face(TrainingMethods):
    """A network with what is needed to train it, keep it, and ask it.

    Args:
        mode: "training" or "inference"; both detect, only the first trains.
        config: What to build.
        model_dir: Folder for logs and checkpoints; made when training starts.

    Attributes:
        keras_model: The network.
        epoch: Epochs trained so far, those of loaded checkpoints included.
        log_dir: Where this training writes.
        class_names: Set by training; background first.
        bands: Names of the image bands.
        pixel_size_m: Ground resolution of the training images in metres; None if unknown.

    Raises:
        ConfigError: `mode` is neither, or there are fewer devices than GPU_COUNT to train on.
    """

    def __init__(self, mode: str, config: Config, model_dir: str | Path):
        if mode not in ("training", "inference"):
            raise ConfigError(
                f'mode must be "training" or "inference". Received: {mode!r}. Use one of these.'
            )
        self.mode, self.config, self.model_dir = mode, config, Path(model_dir)
        warn_of_stand_ins(config, stacklevel=4)
        self._scope = replicas(config.GPU_COUNT if mode == "training" else 1)
        with self._scope():
            self.keras_model = build_network(config)
        self.class_names = ["BG"] + [f"class {i}" for i in range(1, config.NUM_CLASSES)]
        self.bands = default_band_names(config.IMAGE_CHANNEL_COUNT)
        self.pixel_size_m: float | None = None
        self._compiled: dict[str, Any] = {}
        self.set_log_dir()

    # --- What a family adds -----------------------------------------------------------------

    @classmethod
    @abstractmethod
    def _for_detection(cls, config: Config, model_dir: str | Path) -> Self:
        """Make a model that will not train."""

    @abstractmethod
    def detect_instances(
        self, images: Sequence[np.ndarray], valid_masks: Sequence[np.ndarray] | None = None
    ) -> list[Instances]:
        """Find the objects in images, with mask probabilities instead of masks."""

    # --- Weights ----------------------------------------------------------------------------

    @classmethod
    def from_weights(
        cls, path: str | Path, model_dir: str | Path = "logs", **settings: Any
    ) -> tuple[Self, weight_files.Card]:
        """Make a model for detection from one of our weight files and its card.

        `loading.load_model` takes either family's.

        Args:
            path: A `.weights.h5` with its card beside it.
            model_dir: As in the constructor.
            **settings: Config attributes to change, such as BATCH_SIZE.

        Raises:
            WeightsError: File or card are missing or do not fit together.
            ConfigError: The weights are the other family's.
        """
        card = weight_files.read_card(path)
        model = cls._for_detection(Config(**{**card.config, **settings}), model_dir)
        model.load_weights(path)
        model.class_names, model.bands = list(card.class_names), list(card.bands)
        model.pixel_size_m = card.pixel_size_m
        return model, card

    def load_weights(
        self,
        filepath: str | Path,
        by_name: bool = False,
        exclude: Collection[str] | None = None,
    ) -> weight_files.LoadReport:
        """Load weights made here or elsewhere; layers are always found by name.

        Files of ours, of matterport and of keras.applications (.h5, .npz), and torchvision's
        state dicts (.safetensors, .pth). A checkpoint of ours also continues its epoch count and
        its log folder. After an error the network is as it was.

        Args:
            filepath: A file; or "coco" or "imagenet", fetched once, which imply `by_name`; or
                "last", what `find_last` finds.
            by_name: Accept a file that has only some of the layers. Otherwise every layer must
                be in the file.
            exclude: Names of layers to leave as they are; implies `by_name`.

        Returns:
            What became of each layer; print it.

        Raises:
            WeightsError: The file cannot be read, or follows another convention than
                BACKBONE_STYLE; a name in `exclude` is nowhere; no layer fits; or, without
                `by_name`, a layer is missing or differs in shape.
        """
        by_name = by_name or bool(exclude) or filepath in ("coco", "imagenet")
        path = self.find_last() if filepath == "last" else filepath
        path = weight_files.find_weights(str(path), self.config)
        if path is None:
            raise WeightsError(
                "load_weights needs weights. Received: 'none'. Leave the call out for random ones."
            )
        with weight_files.read_weights(path) as named:
            report = weight_files.assign(
                leaf_layers(self.keras_model), named, exclude or (), partial=by_name
            )
            note = weight_files.pixel_scale_note(named, self.config)
        if note and "conv1" not in report.left():
            report.notes.append(note)
        self.set_log_dir(path)
        return report

    def save_weights(self, filepath: str | Path, **card_fields: Any) -> weight_files.Card:
        """Write the weights and their card.

        Args:
            filepath: Ends in `.weights.h5`.
            **card_fields: `threshold`, `metrics`, ...; see `weights.Card`.

        Returns:
            The card.
        """
        fields = dict(
            architecture=self.config.ARCHITECTURE,
            config=self.config.to_dict(),
            bands=list(self.bands),
            class_names=list(self.class_names),
            pixel_size_m=self.pixel_size_m,
        )
        card = weight_files.Card(**{**fields, **card_fields})
        weight_files.save_weights(self.keras_model, filepath, card)
        return card

    def get_imagenet_weights(self) -> str:
        """Return the path of ImageNet weights for the backbone, fetched if need be."""
        return str(weight_files.find_weights("imagenet", self.config))

    # --- Log folders ------------------------------------------------------------------------

    def set_log_dir(self, model_path: str | Path | None = None) -> None:
        """Choose the log folder and the epoch to continue from.

        Args:
            model_path: A checkpoint of ours continues in its own folder; anything else starts a
                new one.
        """
        self.epoch, self.log_dir, self.checkpoint_path = log_folder(
            self.model_dir, self.config.NAME or "model", self.config.ARCHITECTURE, model_path
        )

    def find_last(self) -> str:
        """Return the newest checkpoint in `model_dir`.

        Raises:
            WeightsNotFoundError: (a FileNotFoundError) There is no log folder, or no checkpoint
                in the newest one.
        """
        key = (self.config.NAME or "model").lower()
        folders = sorted(p for p in self.model_dir.glob(f"{key}*") if p.is_dir())
        if not folders:
            raise WeightsNotFoundError(
                f"The last checkpoint is looked for in the log folders of a training. Received: "
                f"{self.model_dir} without a log folder of {key!r}. Train first, or name the file."
            )
        checkpoints = sorted(folders[-1].glob(f"{self.config.ARCHITECTURE}*.h5"))
        if not checkpoints:
            raise WeightsNotFoundError(
                "The last checkpoint is looked for in the newest log folder. Received: "
                f"{folders[-1]} without weight files of {self.config.ARCHITECTURE}. Train first, "
                "or name the file."
            )
        return str(checkpoints[-1])

    # --- Detection --------------------------------------------------------------------------

    def detect(self, images: Sequence[np.ndarray], verbose: int = 0) -> list[dict[str, np.ndarray]]:
        """Find the objects in images.

        Args:
            images: Any number of [H, W, C] arrays of any size, in the files' own values.
            verbose: 1 prints one line an image.

        Returns:
            For each image {"rois": [N, (y1, x1, y2, x2)] int32 pixels, "class_ids": [N] int32,
            "scores": [N] float32, "masks": [H, W, N] bool}.
        """
        return detections_of(images, self.detect_instances(images), verbose)

    def identity(self) -> dict[str, str]:
        """Return digests of configuration and weights: what tells this model from others."""
        weights = hashlib.sha256()
        for variable in self.keras_model.weights:
            weights.update(np.ascontiguousarray(ops.convert_to_numpy(variable.value)))
        config = json.dumps(self.config.to_dict(), sort_keys=True)
        return {
            "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
            "weights_sha256": weights.hexdigest(),
        }

    def _forward(self, *inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Run the network on arrays."""
        if "detect" not in self._compiled:
            self._compiled["detect"] = compile_forward(self.keras_model)
        return self._compiled["detect"](*inputs)


def default_band_names(count: int) -> list[str]:
    """["red", "green", "blue"] for three bands, ["band 1", ...] for others."""
    return ["red", "green", "blue"] if count == 3 else [f"band {i + 1}" for i in range(count)]
