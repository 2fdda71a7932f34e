"""MASK_LOSS and CLASS_WEIGHTS reach the losses that a training adds up."""

import numpy as np
import pytest

from landslide_rcnn import model as modellib
from landslide_rcnn.config import Config


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
    made, given = {"rpn_class_loss": lambda outputs: np.float32(3)}, {}
    monkeypatch.setattr(modellib, "build_components", lambda **kwargs: given.update(kwargs) or made)
    model = object.__new__(modellib.MaskRCNN)
    model.config = Config(NUM_CLASSES=2, LOSS_WEIGHTS={"rpn_class_loss": 0.5}, **settings)
    model.keras_model = None
    trainer = model.make_trainer()
    assert given == expected
    assert trainer.components == made and trainer.loss_weights["rpn_class_loss"] == 0.5
