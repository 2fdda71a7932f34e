"""`train`, as the models that users hold offer it: matterport's arguments, and more by keyword."""

import abc
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras

from landslide_rcnn.config import Config
from landslide_rcnn.data.batches import TrainingBatches
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.errors import ConfigError
from landslide_rcnn.training.callbacks import Checkpoint
from landslide_rcnn.training.feeding import Batches
from landslide_rcnn.training.fit import fit
from landslide_rcnn.training.layers import set_trainable
from landslide_rcnn.training.trainer import Trainer


class TrainingMethods(abc.ABC):
    """What a model needs to be trained; a family says how its batches and its losses are made.

    Attributes:
        mode: "training" or "inference".
        config: Of the model.
        keras_model: The network.
        epoch: Epochs trained so far.
        log_dir: Where TensorBoard's logs go.
        checkpoint_path: Of the checkpoints, with `{epoch:04d}` in it.
        class_names: Set by training; background first.
    """

    mode: str
    config: Config
    keras_model: keras.Model
    epoch: int
    log_dir: str
    checkpoint_path: str
    class_names: list[str]
    save_weights: Callable[..., Any]
    _scope: Callable[[], AbstractContextManager]

    @abc.abstractmethod
    def make_trainer(self) -> Trainer:
        """Put the losses on the network."""

    def make_batches(self, dataset: Dataset, **options: Any) -> Batches:
        """Make the batches of a dataset; `options` are those of `TrainingBatches`."""
        return TrainingBatches(dataset, self.config, **options)

    def train(
        self,
        train_dataset: Dataset,
        val_dataset: Dataset | None,
        learning_rate: float,
        epochs: int,
        layers: str,
        augmentation: Any = None,
        custom_callbacks: Sequence[keras.callbacks.Callback] | None = None,
        no_augmentation_sources: Collection[str] | None = None,
        *,
        augment: bool = False,
        batch_size: int | None = None,
        minutes: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        first_epoch: int | None = None,
        seconds_done: float = 0.0,
        seed: int = 0,
        checkpoints: bool = True,
        verbose: int | str = "auto",
    ) -> keras.callbacks.History | None:
        """Train some layers up to an epoch.

        Args:
            train_dataset: Prepared. Images without instances are trained on.
            val_dataset: Prepared; losses on it are computed after each epoch. None for none.
            learning_rate: The optimizer's.
            epochs: The epoch to stop after, counted over all trainings of these weights.
            layers: "heads", "3+", "4+", "5+", "all", or a regular expression for layer names.
            augmentation: An imgaug augmenter.
            custom_callbacks: Further Keras callbacks.
            no_augmentation_sources: Dataset sources that are never augmented.
            augment: Random flips and quarter turns, exact and free.
            batch_size: Images a step; None: the configuration's.
            minutes: Stop after this time.
            clock: Seconds, by which `minutes` is measured.
            first_epoch: To continue an interrupted training: the epoch that it began at, from
                which the learning rate's schedule counts. None: the model's own `epoch`.
            seconds_done: Likewise: what it used of `minutes`.
            seed: Of order, augmentation and drawing.
            checkpoints: Write TensorBoard logs and a checkpoint after each epoch to `log_dir`;
                the last three checkpoints are kept.
            verbose: Keras' progress bar: "auto", 0, 1 or 2.

        Returns:
            Keras' history; None if the epochs are already done.

        Raises:
            ConfigError: The model is in inference mode, or `layers` names none.
            DatasetError: A file of either dataset is unusable; all are named, before the first
                step.
        """
        batch_size = batch_size or self.config.BATCH_SIZE
        self._check_ready(batch_size)
        if epochs <= self.epoch:
            print(
                f"Nothing to train: epochs={epochs} counts from the first training on, and "
                f"{self.epoch} are done. Use a larger number."
            )
            return None
        options = dict(batch_size=batch_size, seed=seed)
        train_batches = self.make_batches(
            train_dataset,
            augment=augment,
            augmentation=augmentation,
            no_augmentation_sources=no_augmentation_sources,
            **options,
        )
        val_batches = None
        if val_dataset is not None:
            val_batches = self.make_batches(val_dataset, shuffle=False, enrich=False, **options)
        for batches in filter(None, (train_batches, val_batches)):
            batches.verify(progress=bool(verbose))
        self.class_names = list(train_dataset.class_names)
        set_trainable(self.keras_model, layers)
        keras.utils.set_random_seed(seed)
        callbacks = list(custom_callbacks or ())
        if checkpoints:
            callbacks += [
                keras.callbacks.TensorBoard(self.log_dir, write_graph=False),
                Checkpoint(self.save_weights, self.checkpoint_path),
            ]
        with self._scope():
            history = fit(
                self.make_trainer(),
                self.config,
                train_batches,
                val_batches,
                learning_rate=learning_rate,
                epochs=epochs,
                initial_epoch=self.epoch,
                first_epoch=first_epoch,
                minutes=minutes,
                seconds_done=seconds_done,
                clock=clock,
                callbacks=callbacks,
                verbose=verbose,
            )
        self.epoch = history.epoch[-1] + 1
        return history

    def _check_ready(self, batch_size: int) -> None:
        if self.mode != "training":
            raise ConfigError(
                'Training needs a model in mode "training". Received: "inference". '
                f'Use {type(self).__name__}(mode="training", ...).'
            )
        if batch_size % self.config.GPU_COUNT:
            raise ConfigError(
                "BATCH_SIZE must be a multiple of GPU_COUNT, so that every device has a share. "
                f"Received: BATCH_SIZE={batch_size}, GPU_COUNT="
                f"{self.config.GPU_COUNT}. Use IMAGES_PER_GPU instead of BATCH_SIZE."
            )
