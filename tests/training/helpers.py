"""A network of two layers on batches of random numbers: what the training loop needs."""

import keras
import numpy as np

from landslide_rcnn.config import Config
from landslide_rcnn.training import Trainer


class RandomBatches:
    """Four batches an epoch of points and the sums that a network shall learn."""

    def __init__(self, count: int = 4):
        self.count, self.epoch = count, 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        rng = np.random.default_rng((self.epoch, index))
        x = rng.normal(size=(8, 3)).astype(np.float32)
        return {"x": x, "y": x.sum(axis=1, keepdims=True)}

    def set_epoch(self, epoch):
        self.epoch = epoch


def squared_error(outputs):
    return keras.ops.mean((outputs["answer"] - outputs["y"]) ** 2)


def absolute_error(outputs):
    return keras.ops.mean(keras.ops.abs(outputs["answer"] - outputs["y"]))


def make_network(seed: int = 0) -> keras.Model:
    """A dropout between two layers, so that what is random in a training matters."""
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((3,))
    x = keras.layers.Dense(4, activation="tanh", name="inner")(x)
    x = keras.layers.Dropout(0.2, seed=seed)(x)
    return keras.Model(inputs, keras.layers.Dense(1, name="outer")(x), name="two_layers")


def forward(network, batch, training):
    return {"answer": network(batch["x"], training=training), "y": batch["y"]}


def make_trainer(network: keras.Model, **loss_weights: float) -> Trainer:
    components = {"squared_loss": squared_error, "absolute_loss": absolute_error}
    return Trainer(network, forward, components, loss_weights or {"squared_loss": 1.0})


def make_config(**settings) -> Config:
    return Config(**{"OPTIMIZER": "adam", "STEPS_PER_EPOCH": None, **settings})


def weights_of(network: keras.Model) -> list[np.ndarray]:
    return [np.array(w) for w in network.get_weights()]


class Seen(keras.callbacks.Callback):
    """Notes the learning rate of every step, and the epoch and logs of every epoch."""

    def __init__(self):
        super().__init__()
        self.rates, self.epochs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((epoch, dict(logs)))
