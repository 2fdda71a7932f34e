"""One small network on one Keras backend, from fixed weights: `python -m ... FOLDER`.

Reads `start.weights.h5` from the folder, or makes it; writes what the network answers, what one
training step loses and changes to `<backend>.npz`. `tests/test_backends.py` compares the files.
"""

import sys
from pathlib import Path

import keras
import numpy as np
from keras import ops

from landslide_rcnn.config import LandslideConfig
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.model import MaskRCNN
from landslide_rcnn.nn.compiled import compile_forward

SIDE = 64
STAGES = ("pyramid", "rpn_logits", "rpn_deltas", "box_logits", "box_deltas", "mask_logits")


class Squares(Dataset):
    """Bright squares on noise; the second image has two, the third none."""

    def load(self) -> "Squares":
        for i in (1, 2, 3):
            self.add_class("squares", i, f"square {i}")
        for i in range(3):
            self.add_image("squares", i, path=None)
        self.prepare()
        return self

    def load_image(self, image_id):
        image = np.random.default_rng(image_id).integers(0, 90, (SIDE, SIDE, 3)).astype(np.uint8)
        image[self.load_mask(image_id)[0].any(axis=2)] += 120
        return image

    def load_mask(self, image_id):
        masks = np.zeros((SIDE, SIDE, (1, 2, 0)[image_id]), bool)
        for i in range(masks.shape[2]):
            masks[8 + 20 * i : 28 + 20 * i, 10 + 15 * i : 34 + 15 * i, i] = True
        return masks, np.arange(1, masks.shape[2] + 1, dtype=np.int32)


class Stages(keras.Model):
    """The answers of every stage, on given rois."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.built = True

    def call(self, images, rois):
        network = self.network
        levels = network.pyramid(images)
        rpn_logits, rpn_deltas = network.rpn_answers(levels)
        box_logits, box_deltas = network.box_answers(images, levels, rois)
        of_image = np.zeros(rois.shape[1], np.int32)
        masks = network.mask_answers(images, levels, rois[0], of_image)
        flat = ops.concatenate([ops.reshape(level, (-1,)) for level in levels], axis=0)
        answers = (flat, rpn_logits, rpn_deltas, box_logits, box_deltas, masks)
        return dict(zip(STAGES, answers, strict=True))


def small_model(folder: Path) -> MaskRCNN:
    """A network in which training draws nothing: all anchors and all rois are taken."""
    config = LandslideConfig(
        BACKBONE="resnet26",
        IMAGE_MIN_DIM=SIDE,
        IMAGE_MAX_DIM=SIDE,
        PRECISION="float32",
        BATCH_SIZE=3,
        NUM_CLASSES=4,
        STEPS_PER_EPOCH=1,
        TOP_DOWN_PYRAMID_SIZE=32,
        FPN_CLASSIF_FC_LAYERS_SIZE=64,
        RPN_ANCHOR_SCALES=(8, 16, 24, 32, 48),
        RPN_TRAIN_ANCHORS_PER_IMAGE=2048,
        TRAIN_ROIS_PER_IMAGE=160,
        ROI_POSITIVE_RATIO=0.5,
        POST_NMS_ROIS_TRAINING=60,
        POST_NMS_ROIS_INFERENCE=40,
        DETECTION_MAX_INSTANCES=20,
        DETECTION_MIN_CONFIDENCE=0.0,
        MAX_GT_INSTANCES=4,
        TRAIN_BN=False,
        OPTIMIZER="sgd",
        LEARNING_RATE_SCHEDULE="constant",
        WARMUP_STEPS=0,
    )
    return MaskRCNN("training", config, folder / keras.backend.backend())


def run(folder: Path) -> dict[str, np.ndarray]:
    keras.utils.set_random_seed(0)
    model, start = small_model(folder), folder / "start.weights.h5"
    if not start.exists():
        # Random answers of which many are a detection, and none are equal.
        foreground = model.keras_model.get_layer("rpn_class_raw")
        foreground.kernel.assign(ops.multiply(foreground.kernel, 0.1))
        classes = model.keras_model.get_layer("mrcnn_class_logits")
        classes.bias.assign([-2.0, 1.0, 0.5, 0.0])
        model.save_weights(start)
    model.load_weights(start)
    data = Squares().load()

    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 0.6, (1, 12, 2))
    rois = np.concatenate([corner, corner + rng.uniform(0, 0.4, (1, 12, 2))], axis=2)
    image = rng.normal(size=(1, SIDE, SIDE, 3)).astype(np.float32)
    found = compile_forward(Stages(model.keras_model))(image, rois.astype(np.float32))

    detected = model.detect([data.load_image(1)])[0]
    found |= {f"detect_{name}": value for name, value in detected.items()}
    before = {v.path: ops.convert_to_numpy(v) for v in model.keras_model.trainable_variables}
    history = model.train(data, data, 0.02, epochs=1, layers="all", verbose=0)
    found |= {f"history_{name}": np.array(values) for name, values in history.history.items()}
    for variable in model.keras_model.trainable_variables:
        found[f"step_{variable.path}"] = ops.convert_to_numpy(variable) - before[variable.path]

    again = small_model(folder)
    again.load_weights(model.find_last())
    for new, old in zip(again.keras_model.weights, model.keras_model.weights, strict=True):
        if "seed_generator" not in new.path:
            np.testing.assert_array_equal(*map(ops.convert_to_numpy, (new, old)), new.path)
    return found


if __name__ == "__main__":
    target = Path(sys.argv[1])
    np.savez(target / f"{keras.backend.backend()}.npz", **run(target))
