"""Landslides matched one to one: by hand, against sets of pixels, and where nothing is defined."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.evaluation.matching import (
    LANDSLIDE_DEFINITIONS,
    landslide_metrics,
    match_objects,
)
from landslide_rcnn.evaluation.objects import Overlaps, overlaps_of_masks
from tests.reference import objects as slow


def overlaps_of(predicted, true, pairs, pixel_m2=100.0):
    """From pixel counts and {(predicted, true): shared}."""
    predicted, true = np.array(predicted, np.int64), np.array(true, np.int64)
    places = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    shared = np.array([pairs[tuple(place)] for place in places.tolist()], np.int64)
    areas = (None, None) if pixel_m2 is None else (predicted * pixel_m2, true * pixel_m2)
    return Overlaps(predicted, true, places, shared, *areas)


@pytest.fixture
def by_hand():
    """True landslide 0 is found; three predictions share 1, and one of them touches 2 as well."""
    return overlaps_of(
        [8, 50, 10, 5, 3], [10, 40, 5], {(0, 0): 8, (1, 1): 18, (2, 1): 10, (3, 1): 5, (1, 2): 5}
    )


def test_matching_by_hand(by_hand):
    assert by_hand.iou().tolist() == [8 / 10, 18 / 72, 5 / 50, 10 / 40, 5 / 40]
    matching = match_objects(by_hand)
    assert matching.true_of.tolist() == [0, -1, -1, -1, -1]
    assert matching.predicted_of.tolist() == [0, -1, -1]
    assert matching.iou[0] == 0.8 and np.isnan(matching.iou[1:]).all()
    # At 0.1 the pairs (1, 1) and (2, 1) are equal: the first has it, and landslide 2 has no one.
    low = match_objects(by_hand, 0.1)
    assert low.true_of.tolist() == [0, 1, -1, -1, -1]
    assert low.predicted_of.tolist() == [0, 1, -1]


def test_metrics_by_hand(by_hand):
    metrics = landslide_metrics(by_hand)
    by_size = metrics.pop("by_size")
    by_iou = metrics.pop("by_iou")
    assert metrics == {
        "predicted": 5,
        "true": 3,
        "matched": 1,
        "detection_rate": 1 / 3,
        "false_alarms": 4,
        "false_alarm_rate": 4 / 5,
        "mean_matched_iou": 0.8,
        "area_true_m2": 5500.0,
        "area_predicted_m2": 7600.0,
        "area_error": 21 / 55,
        "matched_area_error": pytest.approx(0.2),
    }
    assert [row["iou"] for row in by_iou] == [0.1, 0.3, 0.5]
    assert [row["matched"] for row in by_iou] == [2, 1, 1]
    assert by_iou[0]["detection_rate"] == 2 / 3 and by_iou[0]["false_alarm_rate"] == 3 / 5
    # True: 1000, 4000 and 500 m2; predicted: 800, 5000, 1000, 500 and 300 m2.
    assert by_size[1] == {
        "name": "small", "from_m2": 100.0, "to_m2": 1000.0, "true": 1, "found": 0,
        "detection_rate": 0.0, "predicted": 3, "false_alarms": 2,
    }  # fmt: skip
    assert by_size[2]["true"] == 2 and by_size[2]["found"] == 1
    assert by_size[2]["detection_rate"] == 0.5
    assert by_size[2]["predicted"] == by_size[2]["false_alarms"] == 2
    assert by_size[4]["true"] == 0 and by_size[4]["detection_rate"] is None


def test_without_metres_there_are_no_areas_but_their_error():
    metrics = landslide_metrics(overlaps_of([8, 4], [10], {(0, 0): 8}, pixel_m2=None))
    assert metrics["area_true_m2"] is metrics["area_predicted_m2"] is metrics["by_size"] is None
    assert metrics["area_error"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("predicted", "true", "pairs", "expected"),
    [
        ([], [], {}, {"detection_rate": None, "false_alarm_rate": None, "area_error": None}),
        ([3], [], {}, {"detection_rate": None, "false_alarm_rate": None, "false_alarms": 1}),
        ([], [3], {}, {"detection_rate": 0.0, "false_alarm_rate": None, "area_error": -1.0}),
        ([1], [1], {(0, 0): 1}, {"detection_rate": 1.0, "false_alarm_rate": 0.0, "area_error": 0}),
        ([2], [3], {}, {"detection_rate": 0.0, "false_alarm_rate": 1.0}),
    ],
    ids=["nothing", "no truth", "no prediction", "one pixel", "apart"],
)
def test_what_cannot_be_said_is_none(predicted, true, pairs, expected):
    metrics = landslide_metrics(overlaps_of(predicted, true, pairs))
    assert {name: metrics[name] for name in expected} == expected
    if not pairs:
        assert metrics["mean_matched_iou"] is metrics["matched_area_error"] is None
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    threshold=st.sampled_from([0.05, 0.3, 0.5]),
)
def test_matches_are_those_of_sets_of_pixels(seed, counts, threshold):
    rng = np.random.default_rng(seed)
    masks = [rng.random((3, 4, count)) < 0.5 for count in counts]
    for each in masks:
        each[0, 0] = True  # none is empty
    matching = match_objects(overlaps_of_masks(*masks), threshold)
    pairs = {(i, j) for i, j in enumerate(matching.true_of.tolist()) if j >= 0}
    assert pairs == set(slow.matches(*map(slow.pixel_sets, masks), threshold))
    assert {(i, j) for j, i in enumerate(matching.predicted_of.tolist()) if i >= 0} == pairs


def test_an_iou_that_matches_everything_is_refused():
    with pytest.raises(ConfigError, match="above 0, at most at 1. Received: 0"):
        match_objects(overlaps_of([1], [1], {}), 0)


def test_every_rate_has_a_definition(by_hand):
    told = {"predicted", "true", "area_true_m2", "area_predicted_m2"}
    assert set(landslide_metrics(by_hand)) - told <= set(LANDSLIDE_DEFINITIONS)
