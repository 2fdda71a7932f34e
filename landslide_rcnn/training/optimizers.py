"""Optimizers by the names of `Config.OPTIMIZER`."""

import math
from collections.abc import Callable

import keras

from landslide_rcnn.config import Config
from landslide_rcnn.devices import replica_share


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


OPTIMIZERS: dict[str, Callable[[Config, float], keras.optimizers.Optimizer]] = {
    "sgd": lambda config, rate: PenalisedSGD(
        rate,
        momentum=config.LEARNING_MOMENTUM,
        global_clipnorm=config.GRADIENT_CLIP_NORM * replica_share(),
        l2=config.WEIGHT_DECAY,
    ),
    "adam": lambda config, rate: keras.optimizers.Adam(
        rate, global_clipnorm=config.GRADIENT_CLIP_NORM * replica_share()
    ),
    "adamw": lambda config, rate: keras.optimizers.AdamW(
        rate,
        weight_decay=config.WEIGHT_DECAY,
        global_clipnorm=config.GRADIENT_CLIP_NORM * replica_share(),
    ),
}


def make_optimizer(config: Config, learning_rate: float) -> keras.optimizers.Optimizer:
    """Make the optimizer that a Config names, for one training."""
    optimizer = OPTIMIZERS[config.OPTIMIZER](config, learning_rate)
    if config.OPTIMIZER == "adamw":
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
