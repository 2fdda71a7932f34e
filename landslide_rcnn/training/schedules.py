"""Learning rates over a training, and the callback that sets them and stops in time."""

import math
import time
from collections.abc import Callable

import keras

from landslide_rcnn.config import Config

# From progress in [0, 1] and the epoch, from 0, to a learning rate.
Schedule = Callable[[float, int], float]


def cosine_decay(rate: float, progress: float) -> float:
    """Return half a cosine: `rate` at first, 1 % of it when all is done."""
    return rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def step_decay(config: Config, rate: float, epoch: int) -> float:
    """Return `rate`, halved every ten epochs (or as the Config's LEARNING_RATE_STEP_... say).

    Source: Chen et al. 2022 (DRs-UNet), section 4.1.
    """
    return rate * config.LEARNING_RATE_STEP_FACTOR ** (epoch // config.LEARNING_RATE_STEP_EPOCHS)


SCHEDULES: dict[str, Callable[[Config, float], Schedule]] = {
    "constant": lambda config, rate: lambda progress, epoch: rate,
    "cosine": lambda config, rate: lambda progress, epoch: cosine_decay(rate, progress),
    "step": lambda config, rate: lambda progress, epoch: step_decay(config, rate, epoch),
}


class Progress(keras.callbacks.Callback):
    """Sets the learning rate by how much of the training is done, and stops when time is up.

    Args:
        schedule: Of `SCHEDULES`, made.
        steps: Steps of the whole training.
        warmup_steps: Steps of linear rise at its start.
        minutes: Time limit from the first step on, or None.
        clock: Seconds that pass, by whatever clock.
        first_epoch: The epoch that the schedule counts from.
        steps_done: Steps of an interrupted training that this one continues.
        seconds_done: Seconds of it.
    """

    def __init__(
        self,
        schedule: Schedule,
        steps: int,
        warmup_steps: int = 0,
        minutes: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        first_epoch: int = 0,
        steps_done: int = 0,
        seconds_done: float = 0.0,
    ):
        super().__init__()
        self.schedule, self.steps, self.warmup_steps = schedule, max(steps, 1), warmup_steps
        self.seconds = None if minutes is None else 60.0 * minutes
        self.clock, self.first_epoch, self.epoch = clock, first_epoch, 0
        self.step, self.seconds_done = steps_done, seconds_done
        self.started: float | None = None

    @property
    def progress(self) -> float:
        """The larger of the share of the steps and of the time that has passed."""
        share = self.step / self.steps
        if self.seconds is not None and self.started is not None:
            passed = self.seconds_done + self.clock() - self.started
            share = max(share, passed / self.seconds)
        return min(share, 1.0)

    def on_train_begin(self, logs=None):
        self.started = self.clock()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch - self.first_epoch

    def on_train_batch_begin(self, batch, logs=None):
        rate = self.schedule(self.progress, self.epoch)
        if self.step < self.warmup_steps:
            rate *= (self.step + 1) / self.warmup_steps
        self.model.optimizer.learning_rate = rate

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.seconds is not None and self.progress >= 1.0:
            self.model.stop_training = True
