"""What watches every training: a loss that is no number, and checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from landslide_rcnn.errors import LandslideError
from landslide_rcnn.weights import card_path


class TrainingDiverged(LandslideError, ArithmeticError):
    """The loss is no longer a number."""


class StopOnNaN(keras.callbacks.Callback):
    """Ends the training with an error when the loss is not finite."""

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss", 0.0)
        if not abs(loss) < float("inf"):
            raise TrainingDiverged(
                f"The loss must stay finite. Received: loss={loss} at step {batch + 1} of the "
                "epoch. Use a smaller LEARNING_RATE, or WARMUP_STEPS; the last checkpoint is good."
            )


class Checkpoint(keras.callbacks.Callback):
    """Saves weights and card after each epoch, and removes all but the last few.

    Args:
        save: Writes weights and card: `save(path, metrics=...)`.
        path: With `{epoch:04d}` in it.
        keep: Checkpoints kept. Those of a long training would fill a disk.
    """

    def __init__(self, save: Callable[..., Any], path: str, keep: int = 3):
        super().__init__()
        self.save, self.path, self.keep = save, path, keep
        self.written: list[Path] = []

    def on_epoch_end(self, epoch, logs=None):
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        path = Path(self.path.format(epoch=epoch + 1))
        self.save(path, metrics=metrics)
        self.written.append(path)
        for old in self.written[: -self.keep]:
            old.unlink(missing_ok=True)
            card_path(old).unlink(missing_ok=True)
        self.written = self.written[-self.keep :]
