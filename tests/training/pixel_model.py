"""A model that trains in seconds: two 1 x 1 convolutions that tell landslide pixels.

Run as a script it trains in a process of its own, which kills itself after so many epochs' states:
`python -m tests.training.pixel_model FOLDER EPOCHS`.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np
from keras import ops

from landslide_rcnn import weights as weight_files
from landslide_rcnn.config import Config
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.nn.losses import sigmoid_cross_entropy
from landslide_rcnn.prediction import TilePrediction
from landslide_rcnn.training import Trainer, TrainingMethods
from landslide_rcnn.workflows import train as workflow
from landslide_rcnn.workflows.training_run import TrainingRun


class PixelConfig(Config):
    NAME = "pixels"
    NUM_CLASSES = 2
    BATCH_SIZE = 2
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64
    STD_PIXEL = np.array([60.0])
    USE_MINI_MASK = False
    MAX_GT_INSTANCES = 3
    OPTIMIZER = "adamw"
    LEARNING_RATE = 0.02
    LEARNING_RATE_SCHEDULE = "cosine"
    WARMUP_STEPS = 3
    STEPS_PER_EPOCH = None


class Bright(Dataset):
    """Tiles with a square that is a little brighter than the noise around it."""

    def __init__(self, count: int, seed: int):
        super().__init__()
        self.seed = seed
        self.add_class("drawn", 1, "landslide")
        for index in range(count):
            self.add_image("drawn", index, None)
        self.prepare()

    def _draw(self, image_id):
        rng = np.random.default_rng((self.seed, image_id))
        mask = np.zeros((64, 64, 1), bool)
        top, left = rng.integers(0, 40, 2)
        mask[top : top + 24, left : left + 24] = True
        noise = rng.normal(110, 40, (64, 64, 3)) + 60 * mask
        return np.clip(noise, 0, 255).astype(np.uint8), mask

    def load_image(self, image_id):
        return self._draw(image_id)[0]

    def load_mask(self, image_id):
        return self._draw(image_id)[1], np.ones(1, np.int32)


def cross_entropy(outputs):
    return ops.mean(sigmoid_cross_entropy(outputs["truth"], outputs["logits"]))


def forward(network, batch, training):
    truth = ops.cast(ops.max(batch["gt_masks"], axis=1), "float32")
    return {"logits": network(batch["image"], training=training)[..., 0], "truth": truth}


class PixelModel(TrainingMethods):
    """With the face that a training needs."""

    def __init__(self, mode, config, model_dir):
        self.mode, self.config, self.epoch = mode, config, 0
        self._scope = contextlib.nullcontext
        image = inner = keras.Input((None, None, 3))
        inner = keras.layers.Conv2D(4, 1, activation="tanh", name="conv1")(inner)
        features = keras.Model(image, inner, name="backbone")
        image = keras.Input((None, None, 3))
        x = keras.layers.Dropout(0.3, seed=1)(features(image))
        score = keras.layers.Conv2D(1, 1, name="score")(x)
        self.keras_model = keras.Model(image, score, name="pixel_model")

    def make_trainer(self):
        return Trainer(self.keras_model, forward, {"pixel_loss": cross_entropy}, {"pixel_loss": 1})

    def save_weights(self, path, **card_fields):
        card = weight_files.Card(
            config=self.config.to_dict(), bands=self.bands, class_names=self.class_names,
            **card_fields,
        )  # fmt: skip
        weight_files.save_weights(self.keras_model, path, card)

    def predict_tiles(self, tiles, valid_masks=None):
        images = (np.stack(tiles) - self.config.MEAN_PIXEL) / self.config.STD_PIXEL
        logits = ops.convert_to_numpy(self.keras_model(images.astype(np.float32)))[..., 0]
        return [TilePrediction(1 / (1 + np.exp(-one)), None) for one in logits]


def make_pixel_model(config, model_dir):
    return PixelModel("training", config, model_dir)


def train(output: Path, *, config: Config | None = None, **options):
    """Train on six tiles, judge on two: three steps an epoch."""
    train_set = options.pop("train_set", None) or Bright(6, seed=1)
    return workflow.train_model(
        config or PixelConfig(), train_set, Bright(2, seed=2), output,
        **{"epochs": 4, "progress": False, **options},
    )  # fmt: skip


def kill_after(states: int) -> None:
    """End this process as kill -9 does, in the middle of the step that follows a state."""
    store, count = TrainingRun.store, [0]

    def store_and_count(self, *args):
        if count[0] == states:
            os.kill(os.getpid(), signal.SIGKILL)
        store(self, *args)
        count[0] += 1

    TrainingRun.store = store_and_count


if __name__ == "__main__":
    workflow.make_model = make_pixel_model
    kill_after(int(sys.argv[2]))
    train(Path(sys.argv[1]))
