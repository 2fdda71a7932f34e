"""Train on one dataset, choose epoch and threshold on another, leave the best weights.

train, val -> the stages of a training -> after each epoch: val's metrics at its best threshold
           -> output/model.weights.h5 + model.card.json (the best epoch's)
           -> output/history.csv, history.png, logs/ (TensorBoard)

While it trains, output/training_state/ holds what is needed to go on after an interruption:
`training_run.py`. `epochs.py` is what happens after each epoch.
"""

import logging
import sys
import time
from collections.abc import Callable, Sequence
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
from landslide_rcnn.errors import ConfigError, DatasetError
from landslide_rcnn.loading import make_model
from landslide_rcnn.training import Monitor, Stage, set_trainable
from landslide_rcnn.weights import LoadReport
from landslide_rcnn.workflows.epochs import AfterEpoch
from landslide_rcnn.workflows.fitting import fit_channels, fit_normalization
from landslide_rcnn.workflows.progress import ProgressBar
from landslide_rcnn.workflows.training_run import (
    WEIGHTS,
    check_output,
    fingerprint_of,
    open_training,
)

logger = logging.getLogger(__name__)

# What one stage is made of where nobody says otherwise.
LAYERS, EPOCHS = "all", 20


@dataclass(frozen=True)
class TrainResult:
    """What a training left.

    Attributes:
        weights: The best epoch's weights; their card lies beside them.
        epoch: That epoch, from 1.
        threshold: The probability that maximised F1 on the validation data.
        metrics: `evaluation.pixels.metrics_dict` of the validation data at that threshold.
        load_report: What the initial weights gave; None for random ones, or when resumed.
    """

    weights: Path
    epoch: int
    threshold: float
    metrics: dict
    load_report: LoadReport | None


def train_model(
    config: Config,
    train: Dataset,
    val: Dataset,
    output_dir: str | Path,
    *,
    weights: str = "none",
    layers: str | None = None,
    epochs: int | None = None,
    stages: Sequence[Stage] = (),
    minutes: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    monitor: str = "val_f1",
    patience: int | None = None,
    augment: bool = True,
    augmentation: Any = None,
    normalize: str | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> TrainResult:
    """Train a model and keep the epoch that is best on the validation data.

    Args:
        config: What to train, and how. Its IMAGE_CHANNEL_COUNT becomes that of the images.
        train: Prepared; must hold landslides.
        val: Prepared; must hold landslides.
        output_dir: Gets model.weights.h5, model.card.json, history.csv and history.png, logs/ for
            TensorBoard, and a copy of the split file where the data are parts of one.
        weights: "none", "imagenet", "coco", "last" (what lies in `output_dir`, which needs
            `overwrite`) or a file.
        layers: See `set_trainable`; None: "all".
        epochs: Of training; None: 20.
        stages: Instead of `layers` and `epochs`, and of LEARNING_RATE and BATCH_SIZE: one after
            another, each with a new optimizer and a schedule and warm-up of its own.
        minutes: Stop after this time, whatever `epochs` says. Stages share it by their epochs.
        clock: Seconds, by which `minutes` is measured.
        monitor: The metric that chooses the epoch: val_f1, val_iou, val_miou, val_precision,
            val_recall, val_overall_accuracy (at the threshold with the best F1), val_loss (which
            costs another pass over the validation data), or any other loss, such as val_dice.
        patience: End a stage after so many epochs without a better one; None: never.
        augment: Flip and turn at random, the eight ways of a square equally often.
        augmentation: An imgaug augmenter, such as one of `data.recipes`.
        normalize: Where MEAN_PIXEL and STD_PIXEL come from: "data", "config", or None for the
            data where nobody set them and the images are not RGB in bytes.
        seed: Of initial weights, order, augmentation and drawing.
        resume: Go on with an interrupted training after its last whole epoch, to the result that
            it would have had; begin one where there is none.
        overwrite: Replace results that are there, or an interrupted training.
        progress: Show progress bars on stderr.

    Raises:
        OutputExistsError: Results are there and `overwrite` is not set.
        UnfinishedRunError: An interrupted training is there and neither `resume` nor `overwrite`
            is set; or it began with other data or settings; or another process is at work on it.
        DatasetError: A file of either dataset is unusable; before the first epoch.
    """
    output_dir, best_by = Path(output_dir), Monitor(monitor, patience)
    stages = _stages_of(config, stages, layers, epochs)
    check_output(output_dir, resume=resume, overwrite=overwrite)
    config = _verify(config, train, val, normalize, progress=progress)
    decisive = dict(
        weights=weights, minutes=minutes, monitor=monitor, patience=patience,
        augment=augment, augmentation=augmentation, seed=seed,
    )  # fmt: skip
    fingerprint = fingerprint_of(config, stages, train, val, **decisive)
    with open_training(output_dir, fingerprint, resume=resume) as run:
        keras.utils.set_random_seed(seed)
        model = make_model(config, output_dir / "logs")
        best_by.expect(model.make_trainer().loss_weights)
        for stage in stages:  # a word that names no layer shall not end a later stage after days
            set_trainable(model.keras_model, stage.layers)
        model.class_names, model.bands = list(train.class_names), _band_names(train, config)
        model.pixel_size_m = train.pixel_size_m
        report = None
        if run.stored is None:
            report = _load_initial(model, weights, output_dir)
        split = copy_splits({"train": train.split, "val": val.split}, output_dir / "model")
        after = AfterEpoch(model, val, run, stages, best_by, split=split, clock=clock)
        try:
            _train_stages(
                model, after, train, val if best_by.needs_validation_loss else None,
                minutes=minutes, augment=augment, augmentation=augmentation, seed=seed,
                progress=progress,
            )  # fmt: skip
        except KeyboardInterrupt:
            if best_by.best:
                print(
                    f"Interrupted after {len(after.rows)} epochs. --resume goes on; the best "
                    f"weights so far: {output_dir / WEIGHTS}, which --weights takes.",
                    file=sys.stderr,
                )
            raise
    best = best_by.best
    return TrainResult(
        output_dir / WEIGHTS, best["epoch"], best["threshold"], best["metrics"], report
    )


def _stages_of(
    config: Config, stages: Sequence[Stage], layers: str | None, epochs: int | None
) -> tuple[Stage, ...]:
    if not stages:
        return (
            Stage(layers or LAYERS, EPOCHS if epochs is None else epochs, config.LEARNING_RATE),
        )
    if layers is not None or epochs is not None:
        raise ConfigError(
            "Stages say which layers train, and for how long. Received: stages, and "
            f"layers={layers!r}, epochs={epochs!r}. Leave out either."
        )
    return tuple(stages)


def _train_stages(
    model: Any,
    after: AfterEpoch,
    train: Dataset,
    val_of_losses: Dataset | None,
    *,
    minutes: float | None,
    augment: bool,
    augmentation: Any,
    seed: int,
    progress: bool,
) -> None:
    """Train from where `after` stands through the last stage."""
    if after.rows:
        logger.info("Going on after epoch %d", after.position.epoch)
    while after.position.stage < len(after.stages):
        position, stage = after.position, after.stages[after.position.stage]
        model.epoch = position.epoch
        model.train(
            train,
            val_of_losses,
            learning_rate=stage.learning_rate,
            epochs=position.first_epoch + stage.epochs,
            layers=stage.layers,
            augmentation=augmentation,
            custom_callbacks=[after, *([ProgressBar()] if progress else [])],
            augment=augment,
            batch_size=stage.batch_size,
            minutes=position.minutes_of_stage(after.stages, minutes),
            clock=after.clock,
            first_epoch=position.first_epoch,
            seconds_done=position.seconds,
            seed=seed,
            checkpoints=False,
            verbose=0,
        )


def _verify(
    config: Config, train: Dataset, val: Dataset, normalize: str | None, *, progress: bool
) -> Config:
    """Check both datasets; return the configuration for their bands and values."""
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
    return fit_normalization(config, train, normalize, progress=progress)


def _load_initial(model: Any, weights: str, output_dir: Path) -> LoadReport | None:
    """Load the weights to start from, and say what they gave."""
    if weights == "none":
        return None
    # What this command leaves under the folder is its last training.
    last = output_dir / WEIGHTS
    report = model.load_weights(
        last if weights == "last" and last.is_file() else weights, by_name=True
    )
    print(report)
    return report


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
