"""What happens after each epoch of a training, in the order that lets it be killed at any moment.

judge the validation data -> state of the training -> best weights
    -> history.csv and .png, TensorBoard's logs

The state comes first: weights and history can be made again from it, and are when a training is
resumed.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import keras

from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.errors import DatasetError
from landslide_rcnn.evaluation.datasets import sweep_dataset
from landslide_rcnn.evaluation.pixels import metrics_dict
from landslide_rcnn.files import atomic_path
from landslide_rcnn.training import (
    VALIDATION_METRICS,
    Monitor,
    Position,
    Stage,
    TensorBoardLogs,
    write_history,
)
from landslide_rcnn.visualize.curves import training_curves
from landslide_rcnn.workflows.training_run import HISTORY, PICTURE, WEIGHTS, TrainingRun

logger = logging.getLogger(__name__)


class AfterEpoch(keras.callbacks.Callback):
    """Judges, stores, keeps the best weights, draws the curves, and stops early.

    Args:
        model: What trains; `train` gets this callback.
        val: Validation data.
        run: The open training. If it has a stored state, the model is brought to it.
        stages: All of them.
        monitor: Chooses the best epoch.
        split: `Card.split`.
        clock: As `train` has it.

    Attributes:
        position: How far the training has come.
        rows: Of the history, one an epoch.
    """

    def __init__(
        self,
        model: Any,
        val: Dataset,
        run: TrainingRun,
        stages: Sequence[Stage],
        monitor: Monitor,
        *,
        split: dict[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__()
        self.owner, self.val, self.run, self.stages = model, val, run, stages
        self.monitor, self.split, self.clock = monitor, split or {}, clock
        self.position, self.rows = Position(), []
        self._logs = TensorBoardLogs(run.output_dir / "logs")
        if run.stored:
            self._resume()

    def on_train_begin(self, logs=None):
        stored, self.run.stored = self.run.stored, None
        if stored and self.position.epoch > self.position.first_epoch:
            stored.restore_optimizer(self.model.optimizer, self.model.trainable_variables)
        self._stage_began = self.clock() - self.position.seconds

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        logs = {} if logs is None else logs
        metrics, threshold = self._judge()
        figures = {f"val_{name}": metrics[name] for name in VALIDATION_METRICS}
        logs.update({name: value for name, value in figures.items() if value is not None})
        logs["val_threshold"] = threshold
        is_best = self.monitor.update(epoch + 1, logs, threshold=threshold, metrics=metrics)
        self.rows.append(
            {
                "epoch": epoch + 1,
                "stage": self.position.stage + 1,
                **{name: float(value) for name, value in logs.items()},
                "learning_rate": float(self.model.optimizer.learning_rate),
                "seconds": round(time.monotonic() - self._epoch_began, 3),
            }
        )
        self._move_on(epoch + 1)
        notes = dict(
            position=asdict(self.position), monitor=self.monitor.state(), history=self.rows
        )
        self.run.store(self.owner.keras_model, self.model.optimizer, notes)
        if is_best:
            self._save_best()
        self._write_history()

    def _judge(self) -> tuple[dict, float]:
        """Return the metrics of the validation data at the threshold with the best F1, and it."""
        sweep = sweep_dataset(self.owner, self.val, progress=False)
        threshold = sweep.best_threshold()
        if threshold is None:
            raise DatasetError(
                "Validation data must hold a landslide in usable pixels. Received: none. "
                "Check the masks, or name another part."
            )
        return metrics_dict(sweep.confusion_at(threshold)), threshold

    def _move_on(self, epochs: int) -> None:
        """Count the epoch, and end the stage if it was its last."""
        self.position = self.position.after_epoch(epochs, self.clock() - self._stage_began)
        if self.monitor.is_exhausted:
            logger.info("%s was not better for %d epochs", self.monitor.name, self.monitor.waited)
            self.model.stop_training = True
        done = epochs - self.position.first_epoch >= self.stages[self.position.stage].epochs
        if done or self.model.stop_training:
            self.position = self.position.next_stage()
            self.monitor.restart()

    def _save_best(self) -> None:
        best = self.monitor.best
        self.owner.save_weights(
            self.run.output_dir / WEIGHTS,
            threshold=best["threshold"],
            metrics={"epoch": best["epoch"], "chosen_by": self.monitor.name, **best["metrics"]},
            split=self.split,
        )

    def _write_history(self) -> None:
        self._logs.write(self.rows)
        history = self.run.output_dir / HISTORY
        write_history(history, self.rows)
        figure = training_curves(history, best_by=self.monitor.name)
        with atomic_path(self.run.output_dir / PICTURE) as partial:
            figure.savefig(partial, dpi=110)

    def _resume(self) -> None:
        """Bring the model to the stored state, and make again what may be missing after it."""
        stored = self.run.stored
        stored.restore_network(self.owner.keras_model)
        self.position = Position(**stored.notes["position"])
        self.monitor.restore(stored.notes["monitor"])
        self.rows = stored.notes["history"]
        if self.monitor.best["epoch"] == self.position.epoch:
            self._save_best()
        self._write_history()
