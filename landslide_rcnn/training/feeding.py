"""Batches as Keras wants them: a fixed number of steps an epoch, made in threads."""

import copy
from collections.abc import Mapping
from typing import Any, Protocol

import keras


class Batches(Protocol):
    """What trains a network: `data.batches.TrainingBatches`, or anything like it.

    A batch is a dict of arrays, [B, ...] each, that the trainer's `forward` understands. A batch
    depends on the epoch and its index only, whichever thread makes it.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, Any]: ...

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch, from 0. A `copy.copy` keeps its own."""


class KerasBatches(keras.utils.PyDataset):
    """A fixed number of steps an epoch, whatever number of batches the data make.

    Args:
        batches: An endless supply is made of it: data epochs follow one another.
        steps: Steps of a training epoch; None for one pass over the data.
    """

    def __init__(self, batches: Batches, steps: int | None = None):
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=4)
        self.batches, self.steps = batches, steps or len(batches)
        self.first_step = 0
        self._by_epoch: dict[int, Batches] = {}

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int):
        epoch, step = divmod(self.first_step + index, len(self.batches))
        if epoch not in self._by_epoch:
            of_epoch = copy.copy(self.batches)
            of_epoch.set_epoch(epoch)
            self._by_epoch = {**self._by_epoch, epoch: of_epoch}
        return (self._by_epoch[epoch][step],)

    def start_epoch(self, epoch: int) -> None:
        """Go to a training epoch, from 0."""
        self.first_step = epoch * self.steps
        self._by_epoch = {}


class EpochOrder(keras.callbacks.Callback):
    """Tells the batches which epoch comes, before its first batch is made."""

    def __init__(self, batches: KerasBatches):
        super().__init__()
        self.batches = batches

    def on_epoch_end(self, epoch, logs=None):
        self.batches.start_epoch(epoch + 1)
