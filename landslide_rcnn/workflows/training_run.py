"""The folder of a training while it runs: `training_state/` inside the output folder.

    training_state/state.npz   all that the next epoch depends on; written after each epoch
    training_state/lock        held by the process that trains

A training that stops at any moment, by an error, Ctrl-C or kill -9, leaves it, and `resume` goes
on from it; one that ends well removes it. The rules are those of `inference/run_folder.py`.
"""

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras

from landslide_rcnn.config import Config
from landslide_rcnn.data.checking import check_images
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.files import as_json, refuse_to_overwrite, sha256_of
from landslide_rcnn.inference.run_folder import ADVICE, UnfinishedRunError, differences, locked
from landslide_rcnn.training import Stage, StoredState, write_state
from landslide_rcnn.weights import card_path

FOLDER_NAME = "training_state"
WEIGHTS, HISTORY, PICTURE = "model.weights.h5", "history.csv", "history.png"


class TrainingRun:
    """An open training.

    Attributes:
        output_dir: For the results.
        stored: The state that an interrupted training left; None at a beginning.
    """

    def __init__(self, output_dir: Path, fingerprint: dict[str, Any]) -> None:
        self.output_dir, self._fingerprint = output_dir, fingerprint
        self._path = _state_path(output_dir)
        self.stored = StoredState(self._path) if self._path.exists() else None
        if self.stored:
            _check_same(output_dir, self.stored.notes["training"], fingerprint)

    def store(
        self, network: keras.Model, optimizer: keras.optimizers.Optimizer, notes: dict[str, Any]
    ) -> None:
        """Write the state after an epoch; it replaces the last one's wholly or not at all."""
        write_state(self._path, network, optimizer, {**notes, "training": self._fingerprint})


def check_output(output_dir: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that a training cannot begin in; cheap, before the data are read.

    Raises:
        OutputExistsError: Results are there, and `overwrite` is not set.
        UnfinishedRunError: An unfinished training is there, and neither flag is set.
    """
    if _state_path(output_dir).exists():
        if not (resume or overwrite):
            raise UnfinishedRunError(
                "A training begins in a folder without an unfinished one. Received: "
                f"{output_dir}, where an earlier training was stopped. {ADVICE}"
            )
        return
    weights = output_dir / WEIGHTS
    results = weights, card_path(weights), output_dir / HISTORY, output_dir / PICTURE
    refuse_to_overwrite(*results, overwrite=overwrite)


@contextlib.contextmanager
def open_training(
    output_dir: Path, fingerprint: dict[str, Any], *, resume: bool
) -> Iterator[TrainingRun]:
    """Begin a training, or go on with the one that is there; one process at a time.

    Args:
        output_dir: For the results; `check_output` has allowed it.
        fingerprint: What decides the result, of JSON's types. A resumed training must have the
            same.
        resume: Go on with an unfinished training; begin one where there is none.

    Raises:
        UnfinishedRunError: Another process is at work in it, or it is another training's.
        TrainingStateError: The state is damaged.
    """
    folder = output_dir / FOLDER_NAME
    made = not output_dir.exists()
    folder.mkdir(parents=True, exist_ok=True)
    fingerprint = as_json(fingerprint)
    with locked(folder, "a training"):
        _remove_leftovers(output_dir, anew=not resume)
        try:
            yield TrainingRun(output_dir, fingerprint)
        except BaseException:
            if not _state_path(output_dir).exists():  # nothing worth keeping
                shutil.rmtree(folder)
                if made and not any(output_dir.iterdir()):
                    output_dir.rmdir()
            raise
        shutil.rmtree(folder)


def fingerprint_of(
    config: Config, stages: Sequence[Stage], train: Dataset, val: Dataset, **others: Any
) -> dict[str, Any]:
    """Return what decides a training's result: two with the same fingerprint are the same.

    Args:
        config: The final one: its normalisation is the data's.
        stages: All of them.
        train: Verified.
        val: Verified.
        **others: Further settings.
    """
    return {
        "config": config.to_dict(),
        "stages": [asdict(stage) for stage in stages],
        "train": data_identity(train),
        "val": data_identity(val),
        **said(others),
    }


def said(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in JSON's types: initial weights by the file's bytes, objects as described.

    Args:
        settings: Of a training, by the names of `train_model`'s arguments.
    """
    known = {
        name: value if isinstance(value, str | int | float) else _described(value)
        for name, value in settings.items()
    }
    weights = settings.get("weights")
    if weights and weights != "last" and Path(weights).is_file():
        known["weights"] = {"name": Path(weights).name, "sha256": sha256_of(weights)}
    return known


def data_identity(dataset: Dataset, *, progress: bool = False) -> dict[str, Any]:
    """Return what tells datasets apart: every image's pixels, and how large its instances are.

    Args:
        dataset: Prepared; verified, or its images are looked at here.
        progress: Show a progress bar on stderr, if they are.
    """
    digest = hashlib.sha256()
    for fact in dataset.facts or check_images(dataset, progress=progress):
        areas = sorted(map(int, fact.areas_px))
        known = fact.name, fact.digest, sorted(fact.instances.items()), areas, fact.landslide_px
        digest.update(json.dumps(known).encode())
    return {
        "images": dataset.num_images,
        "classes": list(dataset.class_names),
        "sha256": digest.hexdigest(),
    }


def _described(setting: Any) -> str | None:
    """Return what an object, such as an augmenter, says of itself; not what it has drawn so far."""
    if setting is None:
        return None
    return re.sub(r" at 0x[0-9a-f]+|samples=.*?last_rng_idx=[^,]*, ", "", str(setting))


def _state_path(output_dir: Path) -> Path:
    return output_dir / FOLDER_NAME / "state.npz"


def _check_same(output_dir: Path, stored: dict[str, Any], fingerprint: dict[str, Any]) -> None:
    differing = differences(stored, fingerprint)
    if differing:
        raise UnfinishedRunError(
            "A training is resumed with the data and the settings that it began with. Received: "
            f"{'; '.join(differing)}, for {output_dir}. Use the former ones, or --overwrite "
            "(overwrite=True) without --resume to start anew."
        )


def _remove_leftovers(output_dir: Path, *, anew: bool) -> None:
    """Remove what a killed process was writing; and at a new beginning what an old one left."""
    for folder in (output_dir, output_dir / FOLDER_NAME):
        for leftover in folder.glob(".partial-*"):
            leftover.unlink()
    if anew:
        _state_path(output_dir).unlink(missing_ok=True)
        for part in ("train", "validation"):  # TensorBoard would draw both trainings' curves
            shutil.rmtree(output_dir / "logs" / part, ignore_errors=True)
