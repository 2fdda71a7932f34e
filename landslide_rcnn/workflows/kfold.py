"""Cross-validation: `landslide-rcnn train --kfold 5`, the K of FCN-FLK.

    data -> folds.csv: stratified folds, of whole blocks of ground where the places are known
         -> fold-1/ ... fold-5/: trained on the others, epoch and threshold chosen on this one
         -> every image, predicted by the one model that has not seen it -> pooled counts
         -> kfold.json (each fold, mean and deviation, pooled) and ensemble.json (all five models)

Any fold can be repeated by `train --train DATA#2+3+4+5@folds.csv --val DATA#1@folds.csv` with the
same options. A fold's own metrics are somewhat optimistic, since its epoch and threshold were
chosen on the images that they judge; the pooled ones share one threshold. Nothing here judges the
ensemble, four fifths of which have seen any image: that takes other data.

Source: FCN-FLK, "stratified 5-fold cross-validation".
"""

import gc
import json
import logging
import statistics
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landslide_rcnn.config import Config
from landslide_rcnn.data.background import BackgroundEnhanced
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.split_files import PartOfSplit, copy_splits, keys_of, read_split
from landslide_rcnn.data.wrapper import Subset
from landslide_rcnn.errors import DatasetError, LandslideError, WeightsError
from landslide_rcnn.evaluation.datasets import sweep_dataset
from landslide_rcnn.evaluation.pixels import DEFINITIONS, ThresholdSweep, metrics_dict
from landslide_rcnn.files import as_json, refuse_to_overwrite, sha256_of, write_json
from landslide_rcnn.inference.run_folder import ADVICE, UnfinishedRunError, differences
from landslide_rcnn.weights import ENSEMBLE_NAME, Card, read_card, write_ensemble
from landslide_rcnn.workflows.detect import load_predictor
from landslide_rcnn.workflows.split import split_dataset
from landslide_rcnn.workflows.train import train_model
from landslide_rcnn.workflows.training_run import WEIGHTS, data_identity, said

logger = logging.getLogger(__name__)

SPLIT_NAME, SUMMARY_NAME = "folds.csv", "kfold.json"


@dataclass(frozen=True)
class KFoldResult:
    """What a cross-validation left.

    Attributes:
        ensemble: The `ensemble.json`; its folder stands in the place of weights.
        threshold: Of the ensemble: the one that maximised F1 over all held-out images.
        summary: What `kfold.json` holds.
    """

    ensemble: Path
    threshold: float
    summary: dict[str, Any]


def train_folds(
    config: Config,
    dataset: Dataset,
    output_dir: str | Path,
    folds: int = 5,
    *,
    seed: int = 0,
    minutes: float | None = None,
    enhancement: Mapping[str, int] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    **training: Any,
) -> KFoldResult:
    """Train a model for each fold on the other folds, and make an ensemble of them.

    Args:
        config: What to train, and how.
        dataset: Prepared; all of the data. Images that overlap another fold's are left out.
        output_dir: Gets fold-1, fold-2, ..., each as `train_model` leaves it, folds.csv,
            kfold.json and, at the end, ensemble.json.
        folds: How many; at least 2.
        seed: Of the folds, and of every training.
        minutes: For all folds together; each has an equal share.
        enhancement: "splice" and "cutmix" -> samples that are added to each fold's training data
            (`data.background.BackgroundEnhanced`).
        overwrite: Replace results, or unfinished ones, that are there.
        resume: Keep the folds that an earlier, stopped run has finished, and go on with the next.
        progress: Show progress on stderr.
        **training: More of `train_model`: weights, layers, epochs, ...

    Raises:
        OutputExistsError: Results are there and `overwrite` is not set.
        UnfinishedRunError: Unfinished ones are there and neither `overwrite` nor `resume` is set;
            or they are of other data or settings.
        ConfigError, DatasetError: The data cannot be divided so; or see `train_model`.
    """
    run = _Run(Path(output_dir), config, dataset, folds, seed, enhancement or {}, progress)
    made = not run.folder.exists()
    try:
        run.begin({**training, "minutes": minutes}, resume=resume, overwrite=overwrite)
        run.train_rest(training, minutes, resume=resume, overwrite=overwrite)
    except LandslideError:
        if made:
            run.forget_nothing_done()
        raise
    return run.finish()


class _Run:
    """One cross-validation; `kfold.json` is its memory while it goes on."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        dataset: Dataset,
        folds: int,
        seed: int,
        enhancement: Mapping[str, int],
        progress: bool,
    ) -> None:
        self.folder, self.config, self.dataset = folder, config, dataset
        self.names = [str(number + 1) for number in range(folds)]
        self.seed, self.enhancement, self.progress = seed, dict(enhancement), progress
        self.finished: dict[str, str] = {}  # fold -> sha256 of its weights

    def begin(self, training: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
        """Divide the data, or go on with the folds that are there."""
        split, summary = self.folder / SPLIT_NAME, self.folder / SUMMARY_NAME
        goes_on = resume and summary.exists()
        if not goes_on:
            self._refuse_to_replace(overwrite)
            self._divide(split, overwrite or resume)
        self.fold_of = read_split(split)
        self.asked = as_json(self._asked(training))
        if goes_on:
            self._go_on(json.loads(summary.read_text(encoding="utf-8")))
        else:
            (self.folder / ENSEMBLE_NAME).unlink(missing_ok=True)
            self._remember()

    def forget_nothing_done(self) -> None:
        """Remove what `begin` wrote into a new folder, if no fold has begun: a word was wrong."""
        if not any(self._weights(fold).parent.exists() for fold in self.names):
            for name in (SPLIT_NAME, SUMMARY_NAME):
                (self.folder / name).unlink(missing_ok=True)
            if self.folder.exists() and not any(self.folder.iterdir()):
                self.folder.rmdir()

    def train_rest(
        self, training: dict[str, Any], minutes: float | None, *, resume: bool, overwrite: bool
    ) -> None:
        """Train the folds that are not finished."""
        share = None if minutes is None else minutes / len(self.names)
        # What a fold has left that is not finished is gone on with, or else replaced.
        goes_on = dict(resume=resume, overwrite=overwrite or resume)
        for fold in self.names:
            if not self.is_finished(fold):
                self.train(fold, {**training, "minutes": share, **goes_on})

    def is_finished(self, fold: str) -> bool:
        """Return whether a fold's weights are there, and those that its training left."""
        if fold not in self.finished:
            return False
        try:
            return read_card(self._weights(fold)).sha256 == self.finished[fold]
        except WeightsError as error:
            logger.warning("Fold %s is trained again: %s", fold, error)
            return False

    def train(self, fold: str, training: dict[str, Any]) -> None:
        """Train on all folds but one, and choose on that one."""
        others = tuple(name for name in self.names if name != fold)
        train, held_out = self.part(*others), self.part(fold)
        if any(self.enhancement.values()):
            train = BackgroundEnhanced(train, **self.enhancement, seed=self.seed)
        if self.progress:
            counts = f"{train.num_images} images train, {held_out.num_images} are held out"
            print(f"Fold {fold} of {len(self.names)}: {counts}", file=sys.stderr)
        try:
            train_model(
                self.config, train, held_out, self._weights(fold).parent,
                seed=self.seed, progress=self.progress, **training,
            )  # fmt: skip
        except (KeyboardInterrupt, OSError) as error:  # Ctrl-C, a full disk
            if not isinstance(error, FileExistsError):  # refused: nothing was done
                logger.warning(
                    "Stopped. %d of %d folds are finished in %s; the same command with --resume "
                    "(resume=True) goes on from there.",
                    len(self.finished),
                    len(self.names),
                    self.folder,
                )
            raise
        self.finished[fold] = read_card(self._weights(fold)).sha256
        self._remember()
        gc.collect()  # a network and its graphs are cycles: room for the next ones

    def part(self, *folds: str) -> Subset:
        """Return the images of some folds."""
        keys = keys_of(self.dataset)
        chosen = [i for i, key in enumerate(keys) if self.fold_of[key] in folds]
        part = Subset(self.dataset, chosen)
        part.split = PartOfSplit(self.folder / SPLIT_NAME, folds)
        return part

    def finish(self) -> KFoldResult:
        """Judge every image by the model that has not seen it; write what was found."""
        cards = {fold: read_card(self._weights(fold)) for fold in self.names}
        sweep = ThresholdSweep()
        for fold in self.names:
            model = load_predictor(self._weights(fold), {})
            sweep_dataset(model, self.part(fold), sweep=sweep, progress=self.progress)
            del model
            gc.collect()  # the next one shall not lie beside it
        threshold = sweep.best_threshold()
        pooled = metrics_dict(sweep.confusion_at(threshold))
        del pooled["definition"]
        spread = spread_of([card.metrics for card in cards.values()])
        card = write_ensemble(
            self.folder,
            [self._weights(fold) for fold in self.names],
            threshold=threshold,
            metrics={**pooled, **spread},
            split=self._split_record(),
        )
        results = [self._result_of(fold, card) for fold, card in cards.items()]
        found = {
            "folds": results,
            **spread,
            "pooled": {"threshold": threshold, **pooled},
            "definition": dict(DEFINITIONS),
        }
        self._remember(found)
        return KFoldResult(self.folder / ENSEMBLE_NAME, card.threshold, found)

    def _weights(self, fold: str) -> Path:
        return self.folder / f"fold-{fold}" / WEIGHTS

    def _refuse_to_replace(self, overwrite: bool) -> None:
        refuse_to_overwrite(self.folder / ENSEMBLE_NAME, overwrite=overwrite)
        if (self.folder / SUMMARY_NAME).exists() and not overwrite:
            raise UnfinishedRunError(
                "An unfinished cross-validation is not replaced unless asked. Received: "
                f"{self.folder}. {ADVICE}"
            )

    def _divide(self, path: Path, overwrite: bool) -> None:
        by = f"kfold={len(self.names)}"
        _, counts = split_dataset(
            self.dataset, path, by, seed=self.seed, overwrite=overwrite, progress=self.progress
        )
        landslides = {part.part: part.with_landslides for part in counts}
        without = [fold for fold in self.names if not landslides[fold]]
        if without:
            path.unlink()
            raise DatasetError(
                "Every fold must hold landslides, which judge its model. Received: none in fold "
                f"{', '.join(without)}; images with landslides are "
                f"{sum(landslides.values())} of {self.dataset.num_images}. Use fewer folds."
            )

    def _asked(self, training: dict[str, Any]) -> dict[str, Any]:
        """Return what decides the results, of JSON's types."""
        return {
            "config": self.config.to_dict(),
            "data": data_identity(self.dataset, progress=self.progress),
            "folds_sha256": sha256_of(self.folder / SPLIT_NAME),
            "folds": len(self.names),
            "seed": self.seed,
            "enhancement": self.enhancement,
            "training": said(training),
        }

    def _go_on(self, memory: dict[str, Any]) -> None:
        """Take over what a stopped run has finished.

        Raises:
            UnfinishedRunError: It was another one.
        """
        now = sorted(keys_of(self.dataset))
        differing = differences(
            {"images": sorted(self.fold_of), **memory["asked"]}, {"images": now, **self.asked}
        )
        if differing:
            raise UnfinishedRunError(
                "A cross-validation goes on with the data and settings that it began with. "
                f"Received: {'; '.join(differing)}, for {self.folder}. Use the former ones, or "
                "--overwrite (overwrite=True) without --resume to start anew."
            )
        self.finished = dict(memory["finished"])

    def _remember(self, found: Mapping[str, Any] | None = None) -> None:
        content = {**(found or {}), "asked": self.asked, "finished": self.finished}
        write_json(self.folder / SUMMARY_NAME, content)

    def _split_record(self) -> dict[str, Any]:
        """Copy the split of which the data are a part, if any, and say what is what."""
        every = PartOfSplit(self.folder / SPLIT_NAME, tuple(self.names))
        record = copy_splits({"data": self.dataset.split}, self.folder / "data")
        return {**record, "folds": {**every.record(), "file": SPLIT_NAME}}

    def _result_of(self, fold: str, card: Card) -> dict[str, Any]:
        metrics = {name: value for name, value in card.metrics.items() if name != "definition"}
        return {
            "fold": fold,
            "weights": self._weights(fold).relative_to(self.folder).as_posix(),
            "sha256": card.sha256,
            "images": self.part(fold).num_images,
            "threshold": card.threshold,
            **metrics,
        }


def spread_of(metrics: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Return mean and standard deviation of each metric over folds.

    A fold where a metric is undefined (None) does not count.

    Args:
        metrics: `evaluation.pixels.metrics_dict` of each fold.

    Returns:
        "mean" and "std" -> metric -> value; None where there is no fold, or for "std" one. The
        deviation is the sample's: divided by the number of folds less 1.
    """
    metrics = list(metrics)
    known = {
        name: [fold[name] for fold in metrics if fold.get(name) is not None] for name in DEFINITIONS
    }
    return {
        "mean": {name: statistics.fmean(v) if v else None for name, v in known.items()},
        "std": {name: statistics.stdev(v) if len(v) > 1 else None for name, v in known.items()},
    }


def format_folds(summary: Mapping[str, Any]) -> str:
    """Return `kfold.json` as a table: a line for each fold, mean, deviation and pooled."""
    names = list(summary["mean"])
    rows = [(f"fold {each['fold']}", each) for each in summary["folds"]]
    rows += [(name, summary[name]) for name in ("mean", "std", "pooled")]
    widths = {name: max(len(name), 6) for name in (*names, "threshold")}
    lines = ["".ljust(8) + "".join(f"  {name:>{width}}" for name, width in widths.items())]
    for label, values in rows:
        cells = ("-" if values.get(name) is None else f"{values[name]:.4f}" for name in widths)
        columns = zip(cells, widths.values(), strict=True)
        lines.append(label.ljust(8) + "".join(f"  {cell:>{width}}" for cell, width in columns))
    return "\n".join(lines)
