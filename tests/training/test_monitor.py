"""Which epoch is the best, and when it is enough."""

import math

import pytest

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.training import Monitor


def test_direction_and_patience():
    higher, lower = Monitor("val_iou", 2), Monitor("val_loss")
    values = [0.2, 0.5, 0.5, 0.1]
    assert [higher.update(i, {"val_iou": v}) for i, v in enumerate(values)] == [1, 1, 0, 0]
    assert higher.is_exhausted and higher.best == {"value": 0.5, "epoch": 1}
    assert [lower.update(i, {"val_loss": v}) for i, v in enumerate(values)] == [1, 0, 0, 1]
    assert not lower.is_exhausted
    assert lower.needs_validation_loss and not higher.needs_validation_loss
    higher.restart()
    assert not higher.is_exhausted and higher.best["epoch"] == 1


def test_an_undefined_metric_is_never_better():
    monitor = Monitor("val_precision", 2)
    found = [monitor.update(i, logs) for i, logs in enumerate(({}, {}, {"val_precision": 0.0}))]
    assert found == [True, False, True]
    assert not monitor.update(3, {}) and monitor.best == {"value": 0.0, "epoch": 2}


def test_mistakes():
    with pytest.raises(ConfigError, match="val_f1, val_iou.*Received: 'val_f2'"):
        Monitor("val_f2")
    with pytest.raises(ConfigError, match="patience.*Received: 0"):
        Monitor(patience=0)
    with pytest.raises(ConfigError, match="Received: 'my_loss'. Use one of loss, val_f1"):
        Monitor("my_loss").update(1, {"loss": 1.0, "val_f1": 0.5})


def test_a_part_of_the_loss_is_a_loss():
    """Its name is refused before the first epoch where the configuration leaves it out."""
    monitor = Monitor("val_dice")
    monitor.expect(["bce", "dice"])
    found = [monitor.update(i, {"val_dice": v}) for i, v in enumerate((0.5, 0.6, 0.4))]
    assert found == [True, False, True]
    assert monitor.needs_validation_loss and not Monitor("dice").needs_validation_loss
    with pytest.raises(ConfigError, match="Received: 'val_dice'. Use one of bce, loss, val_bce"):
        monitor.expect(["bce"])
    Monitor("val_iou").expect([])
    Monitor("val_loss").expect([])


def test_a_metric_that_is_no_number_is_never_better():
    monitor = Monitor("val_loss")
    losses = [{"val_loss": value} for value in (math.nan, 0.5, math.nan, 0.4)]
    found = [monitor.update(i, logs) for i, logs in enumerate(losses)]
    assert found == [True, True, False, True]
