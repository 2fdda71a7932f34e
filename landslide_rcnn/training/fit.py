"""One training, from a network with losses to Keras' history; the same for every family."""

import time
from collections.abc import Callable, Sequence

import keras

from landslide_rcnn.config import Config
from landslide_rcnn.training.callbacks import StopOnNaN
from landslide_rcnn.training.feeding import Batches, EpochOrder, KerasBatches
from landslide_rcnn.training.optimizers import make_optimizer
from landslide_rcnn.training.schedules import SCHEDULES, Progress
from landslide_rcnn.training.trainer import Trainer


def fit(
    trainer: Trainer,
    config: Config,
    train: Batches,
    val: Batches | None,
    *,
    learning_rate: float,
    epochs: int,
    initial_epoch: int = 0,
    first_epoch: int | None = None,
    minutes: float | None = None,
    seconds_done: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int | str = "auto",
) -> keras.callbacks.History:
    """Train those layers of a network that are trainable.

    Args:
        trainer: The network, changed in place, with its losses.
        config: Optimizer, schedule, steps.
        train: Training batches.
        val: Validation batches, or None.
        learning_rate: At the top of the schedule.
        epochs: The epoch to stop after, counted from the first training on.
        initial_epoch: Epochs that are already done.
        first_epoch: The epoch that schedule and warm-up count from, where this continues an
            interrupted training; None: `initial_epoch`.
        minutes: Stop after this time, in the middle of an epoch if need be; the schedule fits
            itself to it.
        seconds_done: Seconds that an interrupted training used of it.
        clock: Seconds, by which `minutes` is measured; `time.process_time` counts those of the
            processor.
        callbacks: Further Keras callbacks.
        verbose: Keras' progress bar.

    Returns:
        Keras' history: "loss" and each component, and "val_..." of them.
    """
    # XLA does not help convolutions on TensorFlow's CPU; JAX without it runs step by step.
    trainer.compile(
        optimizer=make_optimizer(config, learning_rate),
        jit_compile=keras.backend.backend() == "jax",
    )
    batches = KerasBatches(train, config.STEPS_PER_EPOCH)
    batches.start_epoch(initial_epoch)
    first_epoch = initial_epoch if first_epoch is None else first_epoch
    progress = Progress(
        SCHEDULES[config.LEARNING_RATE_SCHEDULE](config, learning_rate),
        (epochs - first_epoch) * len(batches),
        config.WARMUP_STEPS,
        minutes,
        clock=clock,
        first_epoch=first_epoch,
        steps_done=(initial_epoch - first_epoch) * len(batches),
        seconds_done=seconds_done,
    )
    validation = None
    if val is not None:
        wanted = config.VALIDATION_STEPS or len(val)
        validation = KerasBatches(val, min(wanted, len(val)))
    return trainer.fit(
        batches,
        validation_data=validation,
        epochs=epochs,
        initial_epoch=initial_epoch,
        callbacks=[EpochOrder(batches), progress, StopOnNaN(), *callbacks],
        verbose=verbose,
        shuffle=False,
    )
