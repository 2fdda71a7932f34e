"""MASK_LOSS and CLASS_WEIGHTS reach the losses that a training adds up."""

import numpy as np
import pytest

from landslide_rcnn import training
from landslide_rcnn.config import Config


class Stop(Exception):
    """Ends a training before it begins."""


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({}, {"class_weights": None, "mask_loss": "bce"}),
        (
            {"MASK_LOSS": "dice", "CLASS_WEIGHTS": [1, 2]},
            {"class_weights": [1, 2], "mask_loss": "dice"},
        ),
    ],
)
def test_the_settings_reach_the_trainer(monkeypatch, settings, expected):
    made, given = {"a loss": lambda outputs: np.float32(3)}, {}
    monkeypatch.setattr(training, "build_components", lambda **kwargs: given.update(kwargs) or made)

    def trainer(network, loss_weights, components):
        assert components is made
        raise Stop

    monkeypatch.setattr(training, "DetectorTrainer", trainer)
    config = Config(NUM_CLASSES=2, **settings)
    with pytest.raises(Stop):
        training.fit(None, config, None, None, learning_rate=0.1, epochs=1)
    assert given == expected
