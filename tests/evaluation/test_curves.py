"""The precision-recall curve and the calibration: by hand, and against slow twins."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.evaluation.curves import (
    MAX_CURVE_POINTS,
    average_precision,
    calibration,
    precision_recall_curve,
)
from landslide_rcnn.evaluation.pixels import ThresholdSweep
from tests.reference import pixel_metrics

SEEDS = st.integers(0, 2**32 - 1)


def sweep_of(probability, truth, bins=1000):
    sweep = ThresholdSweep(bins)
    sweep.add(np.asarray(probability), np.asarray(truth))
    return sweep


def test_average_precision_by_hand():
    # From above: true, false, true, true of three -> 1/3 * (1/1 + 2/3 + 3/4).
    sweep = sweep_of([0.9, 0.8, 0.6, 0.2], [1, 0, 1, 1])
    assert average_precision(sweep) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_average_precision_of_a_map_without_an_opinion_is_the_share_of_landslides():
    assert average_precision(sweep_of([0.0] * 8, [1, 1] + [0] * 6)) == 0.25
    assert average_precision(sweep_of([1.0] * 8, [1, 1] + [0] * 6)) == 0.25
    assert average_precision(sweep_of([1, 1, 0, 0], [1, 1, 0, 0])) == 1
    assert average_precision(sweep_of([0.3, 0.4], [0, 0])) is None
    assert average_precision(ThresholdSweep()) is None


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 40))
def test_average_precision_equals_the_slow_one(seed, count):
    rng = np.random.default_rng(seed)
    probability = rng.integers(0, 101, count) / 100
    truth = rng.random(count) < 0.4
    sweep = sweep_of(probability, truth, bins=100)
    expected = pixel_metrics.average_precision(probability, truth)
    assert average_precision(sweep) == (None if expected is None else pytest.approx(expected))


def test_the_curve_is_thinned_and_keeps_its_ends_and_the_best_threshold():
    rng = np.random.default_rng(1)
    truth = rng.random(5000) < 0.3
    sweep = sweep_of(np.clip(rng.normal(0.3 + 0.3 * truth, 0.1), 0, 1), truth)
    curve = precision_recall_curve(sweep)
    assert len(curve["threshold"]) <= MAX_CURVE_POINTS
    assert {len(curve[name]) for name in ("precision", "recall", "f1")} == {len(curve["threshold"])}
    assert curve["threshold"][0] == 0.001 and curve["threshold"][-1] == 1
    assert curve["threshold"] == sorted(set(curve["threshold"]))
    best = curve["threshold"].index(sweep.best_threshold())
    assert curve["f1"][best] == max(value for value in curve["f1"] if value is not None)
    assert curve["precision"][-1] is None  # nothing is predicted there
    assert json.loads(json.dumps(curve, allow_nan=False)) == curve


def test_every_point_of_a_short_curve_is_kept():
    curve = precision_recall_curve(sweep_of([0.3, 0.5, 0.6, 0.8], [0, 1, 0, 1], bins=4))
    assert curve["threshold"] == [0.25, 0.5, 0.75, 1]
    assert curve["precision"] == [0.5, pytest.approx(2 / 3), 1, None]
    assert curve["recall"] == [1, 1, 0.5, 0]


def test_calibration_by_hand():
    # 0.1 to 0.2: two pixels of 0.125, half of them true; the last bin: three of 1, one true.
    found = calibration(sweep_of([0.125, 0.125, 1, 1, 1], [1, 0, 0, 0, 1]))
    filled = [each for each in found["bins"] if each["count"]]
    assert len(found["bins"]) == 10 and len(filled) == 2
    assert filled[0] == {
        "from": 0.1, "to": 0.2, "count": 2, "mean_probability": 0.125, "share_landslide": 0.5,
    }  # fmt: skip
    assert filled[1]["to"] == 1 and filled[1]["mean_probability"] == 1
    assert filled[1]["share_landslide"] == pytest.approx(1 / 3)
    error = (2 * 0.375 + 3 * 2 / 3) / 5
    assert found["expected_calibration_error"] == pytest.approx(error)
    assert found["bins"][0]["mean_probability"] is None
    assert "expected_calibration_error_bounds" not in found


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 60), st.integers(1, 7))
def test_calibration_equals_the_slow_one_in_whatever_blocks_it_is_added(seed, count, block):
    rng = np.random.default_rng(seed)
    probability = rng.random(count, np.float32)
    probability[rng.random(count) < 0.2] = rng.choice([0, 0.1, 0.5, 1])
    truth = rng.random(count) < probability
    whole, blocks = sweep_of(probability, truth), ThresholdSweep()
    for start in range(0, count, block):
        part = slice(start, start + block)
        blocks.add(probability[part], truth[part])
    assert calibration(whole) == calibration(blocks)
    expected = pixel_metrics.calibration_error(probability, truth, 10)
    found = calibration(whole)["expected_calibration_error"]
    assert found == pytest.approx(expected, abs=1e-6)


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 60))
def test_the_error_of_what_was_rounded_down_to_percent_is_within_its_bounds(seed, count):
    rng = np.random.default_rng(seed)
    probability = rng.random(count)
    probability[rng.random(count) < 0.2] = rng.integers(2)
    truth = rng.random(count) < 0.5
    exact = calibration(sweep_of(probability, truth))["expected_calibration_error"]
    percent = np.floor(probability * 100) / 100
    found = calibration(sweep_of(percent, truth, bins=100), rounded_down=True)
    bounds = found["expected_calibration_error_bounds"]
    assert bounds["low"] - 1e-6 <= exact <= bounds["high"] + 1e-6
    assert bounds["low"] <= found["expected_calibration_error"] <= bounds["high"]
    assert bounds["high"] - bounds["low"] <= 0.01 + 1e-12


def test_percent_by_hand():
    # 0 % counts as 0, 100 % is 1, and 30 % as 30.5 %.
    found = calibration(sweep_of([0, 0, 1, 0.3], [0, 0, 1, 0], bins=100), rounded_down=True)
    assert [found["bins"][i]["mean_probability"] for i in (0, 3, 9)] == [0, pytest.approx(0.305), 1]
    assert found["expected_calibration_error"] == pytest.approx(0.305 / 4)
    bounds = found["expected_calibration_error_bounds"]
    assert bounds["low"] == pytest.approx(0.3 / 4)
    assert bounds["high"] == pytest.approx((2 * 0.01 + 0.31) / 4)


def test_nothing_to_calibrate():
    assert calibration(ThresholdSweep()) is None
    with pytest.raises(ConfigError, match="multiple of 10 bins. Received: 7"):
        calibration(ThresholdSweep(7))
