"""What every network must do."""

import keras
import numpy as np
import tensorflow as tf

from landslide_rcnn.nn.losses import COMPONENTS


def toy_batch(size=64, channels=3, classes=2, batch=2, slots=3, seed=0):
    """A training batch: the first image has two instances, the others none."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((batch, slots, size, size), np.uint8)
    boxes = np.zeros((batch, slots, 4), np.float32)
    ids = np.zeros((batch, slots), np.int32)
    for i, (y1, x1, y2, x2) in enumerate(((8, 8, 40, 36), (36, 40, 60, 62))):
        boxes[0, i], ids[0, i] = (y1, x1, y2, x2), 1 + i % (classes - 1)
        masks[0, i, y1 + 2 : y2 - 2, x1 + 2 : x2 - 2] = 1
    image = rng.normal(0, 0.5, (batch, size, size, channels)).astype(np.float32)
    image += masks.max(axis=1)[..., None]  # instances are brighter
    return {
        "image": image,
        "gt_class_ids": ids,
        "gt_boxes": boxes,
        "gt_masks": masks,
        "active_class_ids": np.ones((batch, classes), np.int32),
    }


def gradients_of(network: keras.Model, batch: dict, weights: dict[str, float]) -> dict:
    """Gradient norm of every trainable weight, by its path; None where there is no gradient."""
    with tf.GradientTape() as tape:
        outputs = network.training_pass(batch)
        loss = sum(w * COMPONENTS[name](outputs) for name, w in weights.items() if w)
    variables = network.trainable_variables
    found = tape.gradient(loss, [v.value for v in variables])
    return {
        v.path: None if g is None else float(tf.norm(tf.cast(g, tf.float32)))
        for v, g in zip(variables, found, strict=True)
    }
