"""The state of a training on disk, with a whole detector."""

import keras
import numpy as np
import pytest

from landslide_rcnn.config import LandslideConfig
from landslide_rcnn.loading import make_model
from landslide_rcnn.training import StoredState, write_state
from tests.training.pixel_model import Bright


class DetectorConfig(LandslideConfig):
    PRECISION = "float32"
    BACKBONE = "resnet26"
    IMAGES_PER_GPU = 2
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64
    TOP_DOWN_PYRAMID_SIZE = 16
    FPN_CLASSIF_FC_LAYERS_SIZE = 32
    RPN_ANCHOR_SCALES = (8, 16, 24, 32, 48)
    TRAIN_ROIS_PER_IMAGE = 8
    POST_NMS_ROIS_TRAINING = 30
    POST_NMS_ROIS_INFERENCE = 20
    DETECTION_MAX_INSTANCES = 5
    WARMUP_STEPS = 2


@pytest.mark.slow
def test_a_detector_goes_on_bit_for_bit(tmp_path):
    """What a Mask R-CNN draws at random is part of its state."""
    model = make_model(DetectorConfig(), tmp_path)
    state, losses = tmp_path / "state.npz", []

    class Store(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            if state.exists():
                stored = StoredState(state)
                stored.restore_network(model.keras_model)
                stored.restore_optimizer(self.model.optimizer, self.model.trainable_variables)

        def on_epoch_end(self, epoch, logs=None):
            losses.append(logs["loss"])
            if epoch == 0:
                write_state(state, model.keras_model, self.model.optimizer, {})

    options = dict(learning_rate=0.01, layers="heads", checkpoints=False, verbose=0)
    options["custom_callbacks"] = [Store()]
    model.train(Bright(4, seed=1), None, epochs=2, **options)
    whole = [np.array(weight) for weight in model.keras_model.get_weights()]
    model.epoch = 1
    model.train(Bright(4, seed=1), None, epochs=2, first_epoch=0, **options)
    assert losses[0] != losses[1] == losses[2]
    for weight, expected in zip(model.keras_model.weights, whole, strict=True):
        np.testing.assert_array_equal(np.array(weight), expected, err_msg=weight.path)
