"""matterport's face: `MaskRCNN(mode, config, model_dir)` with train, detect and load_weights.

The door between `Config`, datasets and images on one side and the network (`nn/`) on the other.
Better than matterport's: `detect` takes any number of images of any size, and works after
training without a second model. Shape letters: `landslide_rcnn.nn`.
"""

import errno
import hashlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from landslide_rcnn import weights as weight_files
from landslide_rcnn.building import build_network
from landslide_rcnn.config import Config, warn_of_stand_ins
from landslide_rcnn.devices import replicas
from landslide_rcnn.errors import ConfigError, WeightsError, WeightsNotFoundError
from landslide_rcnn.matterport.functions import *  # noqa: F403  matterport's own names
from landslide_rcnn.matterport.logs import log_folder
from landslide_rcnn.matterport.methods import MatterportMethods
from landslide_rcnn.matterport.replaced import missing
from landslide_rcnn.molding import mold, unmold
from landslide_rcnn.nn.compiled import compile_forward
from landslide_rcnn.nn.losses import build_components
from landslide_rcnn.prediction import Instances, TilePrediction, masks_of, probability_of
from landslide_rcnn.training import DetectorTrainer, TrainingMethods


class MaskRCNN(TrainingMethods, MatterportMethods):
    """The improved Mask R-CNN.

    Args:
        mode: "training" or "inference", as in matterport's. Both detect; only the first trains.
        config: What to build.
        model_dir: Folder for logs and checkpoints; made when training starts.

    Attributes:
        keras_model: The network.
        epoch: Epochs trained so far, those of loaded checkpoints included.
        log_dir: Where this training writes.
        class_names: Set by training; background first.
        bands: Names of the image bands.

    Raises:
        ConfigError: `mode` is neither, or there are fewer devices than GPU_COUNT to train on.
    """

    def __init__(self, mode: str, config: Config, model_dir: str | Path):
        if mode not in ("training", "inference"):
            raise ConfigError(
                f'mode must be "training" or "inference". Received: {mode!r}. Use one of these.'
            )
        self.mode, self.config, self.model_dir = mode, config, Path(model_dir)
        warn_of_stand_ins(config)
        self._scope = replicas(config.GPU_COUNT if mode == "training" else 1)
        with self._scope():
            self.keras_model = build_network(config)
        self.class_names = ["BG"] + [f"class {i}" for i in range(1, config.NUM_CLASSES)]
        self.bands = default_band_names(config.IMAGE_CHANNEL_COUNT)
        self.pixel_size_m: float | None = None
        self._compiled: dict[str, Any] = {}
        self.set_log_dir()

    @classmethod
    def from_weights(
        cls, path: str | Path, model_dir: str | Path = "logs", **settings: Any
    ) -> "tuple[MaskRCNN, weight_files.Card]":
        """Make a model for detection from one of our weight files and its card.

        Args:
            path: A `.weights.h5` with its card beside it.
            model_dir: As in the constructor.
            **settings: Config attributes to change, such as BATCH_SIZE.

        Raises:
            WeightsError: File or card are missing or do not fit together.
        """
        card = weight_files.read_card(path)
        model = cls("inference", Config(**{**card.config, **settings}), model_dir)
        model.load_weights(path)
        model.class_names, model.bands = list(card.class_names), list(card.bands)
        model.pixel_size_m = card.pixel_size_m
        return model, card

    # --- Weights ----------------------------------------------------------------------------

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
                self.keras_model.leaf_layers(), named, exclude or (), partial=by_name
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
            self.model_dir, self.config.NAME or "model", model_path
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
                errno.ENOENT, f"Could not find a log folder of {key!r} under", str(self.model_dir)
            )
        checkpoints = sorted(folders[-1].glob("mask_rcnn*.h5"))
        if not checkpoints:
            raise WeightsNotFoundError(
                errno.ENOENT, "Could not find weight files in", str(folders[-1])
            )
        return str(checkpoints[-1])

    # --- Training ---------------------------------------------------------------------------

    def make_trainer(self) -> DetectorTrainer:
        """Put the losses that the configuration names on the network; `train` does."""
        config = self.config
        components = build_components(
            class_weights=config.CLASS_WEIGHTS, mask_loss=config.MASK_LOSS
        )
        return DetectorTrainer(self.keras_model, config.LOSS_WEIGHTS, components)

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
        results = []
        for image, instances in zip(images, self.detect_instances(images)):
            height, width = image.shape[:2]
            results.append(
                {
                    "rois": instances.boxes,
                    "class_ids": instances.class_ids,
                    "scores": instances.scores,
                    "masks": masks_of(instances, height, width),
                }
            )
            if verbose:
                print(f"{height} x {width} px: {len(instances)} found")
        return results

    def detect_instances(
        self, images: Sequence[np.ndarray], valid_masks: Sequence[np.ndarray] | None = None
    ) -> list[Instances]:
        """Find the objects in images, with mask probabilities instead of masks.

        Images of one size after resizing go through the network in batches of BATCH_SIZE.
        """
        molded = [
            mold(image, None if valid_masks is None else valid_masks[i], self.config)
            for i, image in enumerate(images)
        ]
        found: list[Instances | None] = [None] * len(molded)
        by_shape: dict[tuple, list[int]] = {}
        for i, (tensor, _) in enumerate(molded):
            by_shape.setdefault(tensor.shape, []).append(i)
        size = self.config.BATCH_SIZE
        for members in by_shape.values():
            for start in range(0, len(members), size):
                part = members[start : start + size]
                # The last batch is filled up, so that one graph serves all.
                filled = part + [part[-1]] * (size - len(part))
                outputs = self._run(
                    np.stack([molded[i][0] for i in filled]),
                    np.stack([molded[i][1] for i in filled]),
                )
                for k, i in enumerate(part):
                    found[i] = unmold(
                        outputs["detections"][k],
                        outputs["masks"][k],
                        molded[i][1],
                        molded[i][0].shape[:2],
                        images[i].shape[:2],
                    )
        return found

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

    def _run(self, images: np.ndarray, windows_px: np.ndarray) -> dict[str, np.ndarray]:
        """Run the network on [B, H, W, C] and windows [B, 4] in pixels."""
        height, width = images.shape[1:3]
        windows = (windows_px - [0, 0, 1, 1]) / [height - 1, width - 1, height - 1, width - 1]
        if "detect" not in self._compiled:
            self._compiled["detect"] = compile_forward(self.keras_model)
        return self._compiled["detect"](images, windows.astype(np.float32))


def default_band_names(count: int) -> list[str]:
    """["red", "green", "blue"] for three bands, ["band 1", ...] for others."""
    return ["red", "green", "blue"] if count == 3 else [f"band {i + 1}" for i in range(count)]


def __getattr__(name: str) -> Any:
    """Say what to use instead of a name of matterport's that is not here."""
    raise missing("model", name)
