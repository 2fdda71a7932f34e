"""Our own files: weights and card are a pair, also through a crash."""

import json

import keras
import pytest

from landslide_rcnn import files
from landslide_rcnn.errors import WeightsError
from landslide_rcnn.weights import Card, card_path, read_card, save_weights


class Model:
    """A network of one layer, saved as `MaskRCNN` saves its own."""

    def __init__(self):
        self.network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])

    def save_weights(self, path, **fields):
        card = Card(config={}, bands=["red"], class_names=["BG", "landslide"], **fields)
        save_weights(self.network, path, card)


@pytest.fixture
def model():
    return Model()


def test_a_card_must_be_there_and_fit(model, tmp_path):
    path = tmp_path / "w.weights.h5"
    model.save_weights(path, threshold=0.4, metrics={"f1": 0.5})
    assert card_path(path).name == "w.card.json"
    assert read_card(path).threshold == 0.4
    card = json.loads(card_path(path).read_text())
    card_path(path).write_text(json.dumps({**card, "sha256": "0"}))
    with pytest.raises(WeightsError, match="sha256 is another"):
        read_card(path)
    card_path(path).write_text("{")
    with pytest.raises(WeightsError, match="must be JSON"):
        read_card(path)
    card_path(path).unlink()
    with pytest.raises(WeightsError, match="needs its card"):
        read_card(path)
    with pytest.raises(WeightsError, match="end in .weights.h5"):
        model.save_weights(tmp_path / "w.h5")


def test_a_crash_between_weights_and_card_leaves_the_former_pair(model, tmp_path, monkeypatch):
    path = tmp_path / "w.weights.h5"
    model.save_weights(path, threshold=0.4)
    before = path.read_bytes()
    replace = files.os.replace

    def cut_off(source, target):
        if str(target).endswith(".h5"):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", cut_off)
    with pytest.raises(KeyboardInterrupt):
        model.save_weights(path, threshold=0.7)
    monkeypatch.undo()
    assert path.read_bytes() == before and read_card(path).threshold == 0.4
    model.save_weights(path, threshold=0.7)
    card = read_card(path)
    assert card.threshold == 0.7 and card.former is None
