"""Train on one dataset, choose epoch and threshold on another, leave the best weights.

train, val -> MaskRCNN.train -> after each epoch: val's F1 at its best threshold
           -> output/model.weights.h5 + model.card.json (the best), output/history.csv
"""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from landslide_rcnn.config import Config
from landslide_rcnn.data.bands import band_names_of
from landslide_rcnn.data.checking import check_images
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.leakage import CheckedDataset, find_leaks
from landslide_rcnn.data.problems import name_some
from landslide_rcnn.data.split_files import copy_splits
from landslide_rcnn.errors import DatasetError
from landslide_rcnn.evaluation.datasets import sweep_dataset
from landslide_rcnn.evaluation.pixels import metrics_dict
from landslide_rcnn.files import refuse_to_overwrite
from landslide_rcnn.model import MaskRCNN
from landslide_rcnn.weights import LoadReport, card_path
from landslide_rcnn.workflows.fitting import fit_channels, fit_normalization
from landslide_rcnn.workflows.progress import ProgressBar

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """What a training left.

    Attributes:
        weights: The best epoch's weights; their card lies beside them.
        epoch: That epoch, from 1.
        threshold: The probability that maximised F1 on the validation data.
        metrics: `evaluation.pixels.metrics_dict` of the validation data at that threshold.
        load_report: What the initial weights gave; None for random ones.
    """

    weights: Path
    epoch: int
    threshold: float
    metrics: dict
    load_report: LoadReport | None


class KeepBest(keras.callbacks.Callback):
    """Judges the validation data after each epoch and saves the weights when they are best.

    Args:
        model: What trains.
        dataset: Validation data.
        path: Of the weights.
        split: `Card.split`.
    """

    def __init__(
        self, model: MaskRCNN, dataset: Dataset, path: Path, split: dict[str, Any] | None = None
    ):
        super().__init__()
        self.split = split or {}
        self.owner, self.dataset, self.path = model, dataset, path
        self.best: tuple[float, int, float, dict] | None = None  # F1, epoch, threshold, metrics

    def on_epoch_end(self, epoch, logs=None):
        sweep = sweep_dataset(self.owner, self.dataset, progress=False)
        threshold = sweep.best_threshold()
        metrics = metrics_dict(sweep.confusion_at(threshold))
        f1 = metrics["f1"] or 0.0
        if logs is not None:
            logs["val_f1"] = f1
            logs["val_threshold"] = threshold
        if self.best is None or f1 > self.best[0]:
            self.best = (f1, epoch + 1, threshold, metrics)
            self.owner.save_weights(
                self.path,
                threshold=threshold,
                metrics={"epoch": epoch + 1, **metrics},
                split=self.split,
            )


def train_model(
    config: Config,
    train: Dataset,
    val: Dataset,
    output_dir: str | Path,
    *,
    weights: str = "none",
    layers: str = "all",
    epochs: int = 20,
    minutes: float | None = None,
    augment: bool = True,
    augmentation=None,
    normalize: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> TrainResult:
    """Train a Mask R-CNN and keep the epoch that is best on the validation data.

    Args:
        config: What to train, and how. Its IMAGE_CHANNEL_COUNT becomes that of the images.
        train: Prepared; must hold landslides.
        val: Prepared; must hold landslides.
        output_dir: Gets model.weights.h5, model.card.json and history.csv, and a copy of the split
            file where the data are parts of one.
        weights: "none", "imagenet", "coco", "last" (what lies in `output_dir`, which needs
            `overwrite`) or a file.
        layers: See `MaskRCNN.train`.
        epochs: Of training.
        minutes: Stop after this time, whatever `epochs` says.
        augment: Flip and turn at random, the eight ways of a square equally often.
        augmentation: An imgaug augmenter, such as one of `data.recipes`.
        normalize: Where MEAN_PIXEL and STD_PIXEL come from: "data", "config", or None for the
            data where nobody set them and the images are not RGB in bytes.
        seed: Of initial weights, order, augmentation and drawing.
        overwrite: Replace results that are there.
        progress: Show progress bars on stderr.

    Raises:
        OutputExistsError: Results are there and `overwrite` is not set.
        DatasetError: A file of either dataset is unusable; before the first epoch.
    """
    output_dir = Path(output_dir)
    path = output_dir / "model.weights.h5"
    refuse_to_overwrite(path, card_path(path), output_dir / "history.csv", overwrite=overwrite)
    config = fit_channels(config, train)
    for name, dataset in (("Training", train), ("Validation", val)):
        counts = dataset.verify(progress=progress, channel_count=config.IMAGE_CHANNEL_COUNT)
        if not counts["instances"]:
            raise DatasetError(
                f"{name} data must hold at least one landslide. Received: {counts['images']} "
                "images without any. Check masks or polygons, and the part."
            )
    _check_same_classes(train, val)
    _warn_of_leaks(train, val)
    config = fit_normalization(config, train, normalize, progress=progress)
    keras.utils.set_random_seed(seed)
    model = MaskRCNN("training", config, output_dir / "logs")
    model.class_names = list(train.class_names)
    model.pixel_size_m = train.pixel_size_m
    model.bands = _band_names(train, config)
    report = None
    if weights != "none":
        # What this command leaves under the folder is its last training.
        initial = path if weights == "last" and path.is_file() else weights
        report = model.load_weights(initial, by_name=True)
        model.epoch = 0  # these weights are where this training starts
        print(report)
    output_dir.mkdir(parents=True, exist_ok=True)
    split = copy_splits({"train": train.split, "val": val.split}, output_dir / "model")
    keep_best = KeepBest(model, val, path, split)
    callbacks = [keep_best, keras.callbacks.CSVLogger(str(output_dir / "history.csv"))]
    if progress:
        callbacks.append(ProgressBar())
    try:
        model.train(
            train,
            None,
            learning_rate=config.LEARNING_RATE,
            epochs=epochs,
            layers=layers,
            augmentation=augmentation,
            augment=augment,
            seed=seed,
            minutes=minutes,
            checkpoints=False,
            custom_callbacks=callbacks,
            verbose=0,
        )
    except KeyboardInterrupt:
        if keep_best.best:
            print(
                f"Interrupted. The best weights so far: {path}; --weights takes them.",
                file=sys.stderr,
            )
        raise
    _, epoch, threshold, metrics = keep_best.best
    return TrainResult(path, epoch, threshold, metrics, report)


def _band_names(train: Dataset, config: Config) -> list[str]:
    names = band_names_of(train)
    # Grey that stands for three bands has one name.
    return names if len(names) == config.IMAGE_CHANNEL_COUNT else names * 3


def _check_same_classes(train: Dataset, val: Dataset) -> None:
    if list(train.class_names) != list(val.class_names):
        raise DatasetError(
            "Training and validation data must have the same classes in the same order. Received: "
            f"{', '.join(train.class_names[1:])} and {', '.join(val.class_names[1:])}. Name them, "
            f"e.g. LABELS.json?classes={','.join(train.class_names[1:])}."
        )


def _warn_of_leaks(train: Dataset, val: Dataset) -> None:
    """Say how many images (tiles of a scene) are in both datasets, or overlap."""
    checked = [
        CheckedDataset(name, dataset, dataset.facts or check_images(dataset, progress=False))
        for name, dataset in (("training", train), ("validation", val))
    ]
    leaks = find_leaks(checked)
    if leaks:
        logger.warning(
            "%d of %d validation images are training images too, or overlap them: epoch, "
            "threshold and scores chosen on them are optimistic. Name different parts, such as "
            "FOLDER#train and FOLDER#val. %s",
            len(leaks),
            val.num_images,
            name_some(leaks, sep="; "),
        )
