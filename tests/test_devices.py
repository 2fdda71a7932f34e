"""Training on two virtual devices of the processor: the same step as on one."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from landslide_rcnn.devices import replicas
from landslide_rcnn.errors import ConfigError

SCRIPT = """
import json, sys, tempfile
import keras, numpy as np, tensorflow as tf
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.model import MaskRCNN
from tests.nn.test_network import small_config

class Twins(Dataset):
    def load_image(self, image_id):
        return np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)

    def load_mask(self, image_id):
        mask = np.zeros((64, 64, 1), bool)
        mask[20:44, 16:40] = True
        return mask, np.ones(1, np.int32)

twins = Twins()
twins.add_class("toy", 1, "square")
for i in range(2):
    twins.add_image("toy", i, path=None)
twins.prepare()
keras.utils.set_random_seed(0)
config = small_config(
    BACKBONE="resnet26", GPU_COUNT=int(sys.argv[1]), BATCH_SIZE=2, STEPS_PER_EPOCH=2,
    OPTIMIZER="sgd", WEIGHT_DECAY=3000.0, GRADIENT_CLIP_NORM=5.0, WARMUP_STEPS=0,
    TRAIN_BN=False, TRAIN_ROIS_PER_IMAGE=60, ROI_POSITIVE_RATIO=1.0, MAX_GT_INSTANCES=3,
)
model = MaskRCNN("training", config, tempfile.mkdtemp())
history = model.train(twins, None, 0.05, 1, "all", checkpoints=False, verbose=0)
found = model.detect([twins.load_image(0)])[0]
print(json.dumps({
    "losses": {name: values[0] for name, values in history.history.items()},
    "weights": [float(np.abs(w.numpy()).mean()) for w in model.keras_model.trainable_weights],
    "detections": len(found["scores"]),
}))
"""


def train_on(count: int) -> dict:
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", SCRIPT, str(count)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
def test_two_devices_take_the_same_steps_as_one():
    one, two = train_on(1), train_on(2)
    for name, loss in one["losses"].items():
        assert two["losses"][name] == pytest.approx(loss, rel=2e-3), name
    np.testing.assert_allclose(two["weights"], one["weights"], rtol=2e-3)
    assert two["detections"] == one["detections"]


def test_more_devices_than_there_are_is_an_error():
    with pytest.raises(ConfigError, match="Received: GPU_COUNT=64, and .* found"):
        replicas(64)
