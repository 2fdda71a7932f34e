"""Which architecture is better on Bijie? Each with the same data, input size and processor time.

    python -m samples.bijie compare --data BIJIE --cpu-minutes 12 [--row NAME ...]
    python -m samples.bijie kfold --data BIJIE --cpu-minutes 60 --row NAME

Rows are trained one after another and kept in files, so that a run that was stopped goes on where
it was. Epoch and threshold come from the val county, the numbers from the test county. All start
from random weights: ImageNet's are not at hand for every backbone.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from landslide_rcnn.config import Config
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.errors import RegistryError
from landslide_rcnn.experiments import SemanticConfig
from landslide_rcnn.files import write_json
from samples.bijie.bijie import BijieConfig, open_part, photometric_augmentation

TILE_SIZE = 128  # pixels: what all inputs are resized to
SPEED_BATCH, SPEED_RUNS = 8, 7


class ComparedMaskRCNN(BijieConfig):
    """ResNeXt-50 + N + edge; anchors and samples for half the side of `BijieConfig`."""

    IMAGE_MIN_DIM = TILE_SIZE
    IMAGE_MAX_DIM = TILE_SIZE
    RPN_ANCHOR_SCALES = (12, 24, 48, 80, 120)


class ComparedSemantic(SemanticConfig):
    """What the semantic rows share; architecture, loss and rate are the row's."""

    IMAGE_MIN_DIM = TILE_SIZE
    IMAGE_MAX_DIM = TILE_SIZE
    IMAGES_PER_GPU = 8
    LEARNING_RATE_SCHEDULE = "cosine"
    WARMUP_STEPS = 50


@dataclass(frozen=True)
class Row:
    """One line of the table: a configuration with settings on top.

    Attributes:
        title: As printed.
        config: Class of the configuration.
        settings: What differs from it.
    """

    title: str
    config: type[Config]
    settings: dict[str, Any]

    def make_config(self) -> Config:
        return self.config(**self.settings)


def _semantic(title: str, architecture: str, backbone: str | None, **settings: Any) -> Row:
    named = {"ARCHITECTURE": architecture, "BACKBONE": backbone}
    return Row(title, ComparedSemantic, {**named, **settings})


# Losses are the papers': FCN-FL's is focal, Yang et al.'s focal and dice, classes weighing 1 and 2.
_WITHOUT_NORMALISATION = {"LEARNING_RATE": 1e-4}  # FCN on VGG16 diverges at 1e-3
_FOCAL = {"SEMANTIC_LOSS": {"focal": 1.0}}
_YANG = {"SEMANTIC_LOSS": {"focal": 1.0, "dice": 1.0}, "CLASS_WEIGHTS": [1.0, 2.0]}

ROWS: dict[str, Row] = {
    "mask_rcnn": Row("Mask R-CNN (ResNeXt-50 + N + edge)", ComparedMaskRCNN, {}),
    "unet": _semantic("U-Net", "unet", "plain"),
    "fcn": _semantic("FCN", "fcn", "vgg16", **_WITHOUT_NORMALISATION),
    "fcn_focal": _semantic("FCN, focal loss", "fcn", "vgg16", **_WITHOUT_NORMALISATION, **_FOCAL),
    "fcn_fl_bce": _semantic("FCN-FL, cross entropy", "fcn_fl", "vgg16", **_WITHOUT_NORMALISATION),
    "fcn_fl": _semantic("FCN-FL", "fcn_fl", "vgg16", **_WITHOUT_NORMALISATION, **_FOCAL),
    "pspnet": _semantic("PSPNet (ResNet-50)", "pspnet", "resnet50", **_YANG),
    "deeplab": _semantic("DeepLabv3+ (MobileNet)", "deeplab", "mobilenet", **_YANG),
    "drs_unet": _semantic("DRs-UNet", "drs_unet", "plain"),
}


def compare_rows(
    data: str, folder: Path, names: Sequence[str] = (), cpu_minutes: float = 12, seed: int = 0
) -> str:
    """Train what is not trained yet, measure all, and return the table in Markdown.

    Raises:
        RegistryError: A name is not of `ROWS`.
    """
    names = list(names) or list(ROWS)
    _check_names(names)
    rows = {}
    for name in names:
        rows[name] = train_row(name, data, folder, cpu_minutes, seed=seed)
        keras.backend.clear_session()
    for name, cost in measure_costs(names, folder, data).items():
        rows[name] |= cost
    return format_rows(rows)


def train_row(
    name: str, data: str, folder: Path, cpu_minutes: float, *, seed: int = 0
) -> dict[str, Any]:
    """Train one row for `cpu_minutes` of this process and judge it on the test county.

    Args:
        name: Of `ROWS`.
        data: Folder of the dataset.
        folder: Gets a folder of that name with the weights, and `row.json` in it, which is
            returned without training if it is there.
        cpu_minutes: Processor time of all threads, validation after each epoch included.
        seed: Decides everything random.

    Returns:
        Metrics of the test county at the card's threshold, and the epoch.
    """
    from landslide_rcnn.workflows.train import train_model

    path = folder / name / "row.json"
    asked = {"cpu_minutes": cpu_minutes, "seed": seed}
    if path.is_file():
        row = json.loads(path.read_text(encoding="utf-8"))
        if {key: row[key] for key in asked} == asked:
            return row
    started = time.process_time()
    result = train_model(
        ROWS[name].make_config(),
        open_part(data, "train"),
        open_part(data, "val"),
        folder / name,
        minutes=cpu_minutes,
        seed=seed,
        overwrite=True,
        **_training(),
    )
    used = (time.process_time() - started) / 60
    threshold, metrics = judge_on_test(result.weights, data)
    row = {
        **asked,
        "title": ROWS[name].title,
        "cpu_minutes_used": used,
        "best_epoch": result.epoch,
        "threshold": threshold,
        "val_f1": result.metrics["f1"],
        "test": metrics,
    }
    write_json(path, row)
    return row


def fold_row(
    name: str, data: str, folder: Path, cpu_minutes: float, *, folds: int = 5, seed: int = 0
) -> str:
    """Cross-validate one row on train and val, and judge the ensemble on the test county.

    Args:
        name: Of `ROWS`.
        data: Folder of the dataset.
        folder: Gets a folder of that name; folds that a stopped run has left there are kept.
        cpu_minutes: Processor time of all folds together.
        folds: How many.
        seed: Of the folds, and of every training.

    Returns:
        The folds' table, and the ensemble's metrics on the test county, as text.

    Raises:
        RegistryError: The name is not of `ROWS`.
    """
    from landslide_rcnn.workflows.kfold import format_folds, train_folds

    _check_names([name])
    result = train_folds(
        ROWS[name].make_config(),
        open_part(data, "train+val"),
        folder / name,
        folds,
        minutes=cpu_minutes,
        seed=seed,
        resume=True,
        **_training(),
    )
    threshold, metrics = judge_on_test(folder / name, data)
    found = ", ".join(f"{key} {_number(metrics[key])}" for key in TEST_METRICS)
    return f"{format_folds(result.summary)}\nensemble, test county: {found} at {threshold:.3f}"


def judge_on_test(weights: Path, data: str) -> tuple[float, dict[str, Any]]:
    """Return the card's threshold, and the metrics of the test county at it."""
    from landslide_rcnn.evaluation.datasets import evaluate_dataset
    from landslide_rcnn.loading import load_model

    model, card = load_model(weights)
    dataset = open_part(data, "test")
    return card.threshold, evaluate_dataset(model, dataset, card.threshold, batch_size=8)


def measure_costs(names: list[str], folder: Path, data: str) -> dict[str, dict[str, float]]:
    """Return parameters, multiply-adds and milliseconds a tile of each row's weights.

    Batches of `SPEED_BATCH` tiles are predicted by the networks in turns; the median counts.
    """
    from landslide_rcnn.loading import load_model
    from landslide_rcnn.workflows.models import count_network

    tiles = _tiles(open_part(data, "test"))
    models, costs = {}, {}
    for name in names:
        model = load_model(folder / name / "model.weights.h5", BATCH_SIZE=SPEED_BATCH)[0]
        parameters, multiply_adds = count_network(model.keras_model, model.config)
        costs[name] = {"parameters": parameters, "multiply_adds": multiply_adds}
        model.predict_tiles(tiles)  # traces the graph
        models[name] = model
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(SPEED_RUNS):
        for name, model in models.items():
            started = time.perf_counter()
            model.predict_tiles(tiles)
            seconds[name].append(time.perf_counter() - started)
    for name, taken in seconds.items():
        costs[name]["ms_per_tile"] = 1000 * statistics.median(taken) / len(tiles)
    return costs


def format_rows(rows: dict[str, dict[str, Any]]) -> str:
    """Return the table in Markdown."""
    lines = ["| row | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, row in rows.items():
        cells = " | ".join(column(row) for column in COLUMNS.values())
        lines.append(f"| `{name}`: {row['title']} | {cells} |")
    return "\n".join(lines)


def _check_names(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        raise RegistryError(
            f"Rows must be known. Received: {', '.join(unknown)}. Use: {', '.join(ROWS)}."
        )


def _training() -> dict[str, Any]:
    """Return what every training here is given; its end is the processor time."""
    return {
        "epochs": 10_000,
        "clock": time.process_time,
        "augment": True,
        "augmentation": photometric_augmentation(),
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


TEST_METRICS = ("precision", "recall", "overall_accuracy", "f1", "iou", "miou")

COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "P": lambda row: _number(row["test"]["precision"]),
    "R": lambda row: _number(row["test"]["recall"]),
    "OA": lambda row: _number(row["test"]["overall_accuracy"]),
    "F1": lambda row: _number(row["test"]["f1"]),
    "IoU": lambda row: _number(row["test"]["iou"]),
    "mIoU": lambda row: _number(row["test"]["miou"]),
    "val F1": lambda row: _number(row["val_f1"]),
    "epoch": lambda row: str(row["best_epoch"]),
    "parameters": lambda row: f"{row['parameters'] / 1e6:.2f} M",
    "multiply-adds": lambda row: f"{row['multiply_adds'] / 1e9:.2f} G",
    "ms a tile": lambda row: f"{row['ms_per_tile']:.1f}",
}


def _tiles(dataset: Dataset) -> np.ndarray:
    """[SPEED_BATCH, TILE_SIZE, TILE_SIZE, 3] of a dataset's own pixels."""
    images = (dataset.load_image(i) for i in dataset.image_ids)
    fitting = [i[:TILE_SIZE, :TILE_SIZE] for i in images if min(i.shape[:2]) >= TILE_SIZE]
    return np.stack(fitting[:SPEED_BATCH])
