"""Training: choose layers, put optimizer and losses on a network, run Keras' loop, stop in time.

    TrainingBatches -> KerasBatches -> DetectorTrainer (network + losses) -> callbacks -> History

The network itself is never compiled: the losses live in a wrapper that is made for one training
and thrown away, so that a second training starts from a clean sheet.
"""

import copy
import math
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from landslide_rcnn.config import Config
from landslide_rcnn.data.batches import TrainingBatches
from landslide_rcnn.devices import replica_share
from landslide_rcnn.errors import ConfigError, LandslideError
from landslide_rcnn.nn.conv_norm import leaf_layers
from landslide_rcnn.nn.losses import COMPONENTS, build_components
from landslide_rcnn.nn.mask_rcnn import MaskRCNNNetwork
from landslide_rcnn.weights import card_path

# Keys of `layers`: the first stage of the backbone that trains. Everything behind the backbone
# trains with every key, whatever its name.
LAYER_KEYS = {"heads": 6, "5+": 5, "4+": 4, "3+": 3, "all": 1}


class TrainingDiverged(LandslideError, ArithmeticError):
    """The loss is no longer a number."""


class DetectorTrainer(keras.Model):
    """A network with its losses, for `keras.Model.fit`.

    Args:
        network: What is trained.
        loss_weights: Weight of each of `components`; one of 0 is not computed.
        components: Losses by name; `nn.losses.build_components` makes others.
    """

    def __init__(
        self,
        network: MaskRCNNNetwork,
        loss_weights: dict[str, float],
        components: dict[str, Callable] = COMPONENTS,
    ):
        super().__init__(name="trainer", dtype="float32")
        self.network, self.components = network, components
        self.loss_weights = {name: w for name, w in loss_weights.items() if w}
        self.trackers = {name: keras.metrics.Mean(name) for name in self.loss_weights}
        self.built = True

    def call(self, batch, training=False):
        return self.network.training_pass(batch, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        total = 0.0
        for name, weight in self.loss_weights.items():
            loss = self.components[name](y_pred)
            self.trackers[name].update_state(loss)
            total = total + weight * loss
        return total * replica_share()


class KerasBatches(keras.utils.PyDataset):
    """`TrainingBatches` as Keras wants them: a fixed number of steps an epoch, made in threads.

    Args:
        batches: An endless supply is made of it: data epochs follow one another.
        steps: Steps of a training epoch; None for one pass over the data.
    """

    def __init__(self, batches: TrainingBatches, steps: int | None = None):
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=4)
        self.batches, self.steps = batches, steps or len(batches)
        self.first_step = 0
        self._by_epoch: dict[int, TrainingBatches] = {}

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


class Progress(keras.callbacks.Callback):
    """Sets the learning rate by how much of the training is done, and stops when time is up.

    Args:
        schedule: From progress in [0, 1] to a learning rate.
        steps: Steps of the whole training.
        warmup_steps: Steps of linear rise at its start.
        minutes: Time limit from the first step on, or None.
    """

    def __init__(
        self,
        schedule: Callable[[float], float],
        steps: int,
        warmup_steps: int = 0,
        minutes: float | None = None,
    ):
        super().__init__()
        self.schedule, self.steps, self.warmup_steps = schedule, max(steps, 1), warmup_steps
        self.seconds = None if minutes is None else 60.0 * minutes
        self.step = 0
        self.started: float | None = None

    @property
    def progress(self) -> float:
        """The larger of the share of the steps and of the time that has passed."""
        share = self.step / self.steps
        if self.seconds is not None and self.started is not None:
            share = max(share, (time.monotonic() - self.started) / self.seconds)
        return min(share, 1.0)

    def on_train_begin(self, logs=None):
        self.started = time.monotonic()

    def on_train_batch_begin(self, batch, logs=None):
        rate = self.schedule(self.progress)
        if self.step < self.warmup_steps:
            rate *= (self.step + 1) / self.warmup_steps
        self.model.optimizer.learning_rate = rate

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.seconds is not None and self.progress >= 1.0:
            self.model.stop_training = True


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


class PenalisedSGD(keras.optimizers.SGD):
    """SGD with matterport's penalty: l2 x the mean square of every weight is part of the loss.

    Weights of batch normalisations are left out. The penalty enters by its gradient alone: as a
    term of the loss it would cost another pass over all weights, and as many bytes.
    """

    def __init__(self, *args, l2: float = 0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.l2 = l2

    def apply(self, grads, trainable_variables=None):
        variables = (
            self._trainable_variables if trainable_variables is None else trainable_variables
        )
        penalised = []
        for gradient, variable in zip(grads, variables):
            if gradient is not None and variable.name not in ("gamma", "beta"):
                factor = 2 * self.l2 * replica_share() / math.prod(variable.shape)
                gradient = gradient + factor * keras.ops.cast(variable, gradient.dtype)
            penalised.append(gradient)
        super().apply(penalised, trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        slot = self.momentums[self._get_variable_index(variable)] if self.momentum else None
        if slot is None or self.nesterov or keras.backend.backend() != "tensorflow":
            return super().update_step(gradient, variable, learning_rate)
        import tensorflow as tf

        # Keras' formula in one operation: half as many passes over weights and slots.
        return tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=slot.value.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
            momentum=tf.cast(self.momentum, variable.dtype),
        )


SCHEDULES: dict[str, Callable[[float], Callable[[float], float]]] = {
    "constant": lambda rate: lambda progress: rate,
    "cosine": lambda rate: (
        lambda progress: float(
            keras.optimizers.schedules.CosineDecay(rate, decay_steps=10_000, alpha=0.01)(
                round(progress * 10_000)
            )
        )
    ),
}

OPTIMIZERS: dict[str, Callable[[Config, float], keras.optimizers.Optimizer]] = {
    "sgd": lambda config, rate: PenalisedSGD(
        rate,
        momentum=config.LEARNING_MOMENTUM,
        global_clipnorm=config.GRADIENT_CLIP_NORM * replica_share(),
        l2=config.WEIGHT_DECAY,
    ),
    "adamw": lambda config, rate: keras.optimizers.AdamW(
        rate,
        weight_decay=config.WEIGHT_DECAY,
        global_clipnorm=config.GRADIENT_CLIP_NORM * replica_share(),
    ),
}


def fit(
    network: MaskRCNNNetwork,
    config: Config,
    train: TrainingBatches,
    val: TrainingBatches | None,
    *,
    learning_rate: float,
    epochs: int,
    initial_epoch: int = 0,
    minutes: float | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int | str = "auto",
) -> keras.callbacks.History:
    """Train those layers of a network that are trainable.

    Args:
        network: Changed in place.
        config: Optimizer, schedule, loss weights, steps.
        train: Training batches.
        val: Validation batches, or None.
        learning_rate: At the top of the schedule.
        epochs: The epoch to stop after, counted from the first training on.
        initial_epoch: Epochs that are already done.
        minutes: Stop after this time, in the middle of an epoch if need be; the schedule fits
            itself to it.
        callbacks: Further Keras callbacks.
        verbose: Keras' progress bar.

    Returns:
        Keras' history: "loss" and each component, and "val_..." of them.
    """
    components = build_components(class_weights=config.CLASS_WEIGHTS, mask_loss=config.MASK_LOSS)
    trainer = DetectorTrainer(network, config.LOSS_WEIGHTS, components)
    optimizer = OPTIMIZERS[config.OPTIMIZER](config, learning_rate)
    if config.OPTIMIZER == "adamw":
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    # XLA does not help convolutions on TensorFlow's CPU; JAX without it runs step by step.
    trainer.compile(optimizer=optimizer, jit_compile=keras.backend.backend() == "jax")

    batches = KerasBatches(train, config.STEPS_PER_EPOCH)
    batches.start_epoch(initial_epoch)
    steps = (epochs - initial_epoch) * len(batches)
    progress = Progress(
        SCHEDULES[config.LEARNING_RATE_SCHEDULE](learning_rate),
        steps,
        config.WARMUP_STEPS,
        minutes,
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


def set_trainable(network: MaskRCNNNetwork, layers: str) -> list[str]:
    """Let some layers train and freeze the rest.

    Args:
        network: Changed in place.
        layers: "heads" (all that follows the backbone), "5+", "4+", "3+" (and the backbone's
            stages from that one on), "all", or a regular expression for whole layer names.

    Returns:
        The names of the layers that train.

    Raises:
        ConfigError: The expression is none, or names no layer.
    """
    all_layers = network.leaf_layers()
    behind_backbone = set(all_layers) - set(leaf_layers(network.backbone))
    if layers in LAYER_KEYS:
        first = LAYER_KEYS[layers]
        chosen = {n for n in all_layers if n in behind_backbone or _stage(n) >= first}
    else:
        try:
            chosen = {name for name in all_layers if re.fullmatch(layers, name)}
        except re.error as error:
            raise ConfigError(
                f"layers must be one of {', '.join(LAYER_KEYS)} or a regular expression. "
                f"Received: {layers!r} ({error}). Mend the expression."
            ) from error
    if not chosen:
        raise ConfigError(
            f"layers must name at least one layer. Received: {layers!r}. Use one of "
            f"{', '.join(LAYER_KEYS)}, or an expression such as '(mrcnn_.*)|(rpn_.*)'."
        )
    for name, layer in all_layers.items():
        layer.trainable = name in chosen
    return [name for name in all_layers if name in chosen]


def _stage(name: str) -> int:
    """The backbone's stage that a layer belongs to: 1 for conv1, 3 for res3b_branch2a."""
    match = re.match(r"(?:res|bn)(\d)", name)
    return int(match.group(1)) if match else 1
