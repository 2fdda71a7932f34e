"""A ResNeXt computes the same where TensorFlow's fast kernels are switched off."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = """
import json
import keras, numpy as np, tensorflow as tf
from landslide_rcnn.building import build_network
from landslide_rcnn.nn.losses import COMPONENTS
from tests.helpers.layers import toy_batch
from tests.nn.test_network import small_config

keras.utils.set_random_seed(0)
network = build_network(small_config(BACKBONE="resnext50", TRAIN_BN=False))
for name, layer in network.leaf_layers().items():
    if name.startswith("bn") and name.endswith("branch2c"):
        layer.gamma.assign(0.2 * layer.gamma)  # keeps the activations of random weights small
batch = toy_batch(batch=1)

@tf.function
def step():
    with tf.GradientTape() as tape:
        levels = network.pyramid(batch["image"])
        loss = sum(tf.reduce_mean(level ** 2) for level in levels)
    kernels = [w.value for w in network.backbone.trainable_weights if w.name == "kernel"]
    return loss, [tf.norm(gradient) for gradient in tape.gradient(loss, kernels)]

loss, gradients = step()
losses = {name: float(f(network.training_pass(batch))) for name, f in COMPONENTS.items()}
print(json.dumps({
    "loss": float(loss),
    "gradients": [float(g) for g in gradients],
    "losses": losses,
}))
"""


def compute(onednn: str) -> dict:
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": onednn}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
def test_the_numbers_are_the_same_with_and_without_onednn():
    without, with_it = compute("0"), compute("1")
    assert without["loss"] == pytest.approx(with_it["loss"], rel=1e-4)
    np.testing.assert_allclose(without["gradients"], with_it["gradients"], rtol=1e-3)
    for name, loss in with_it["losses"].items():
        assert without["losses"][name] == pytest.approx(loss, rel=1e-3, abs=1e-6), name
