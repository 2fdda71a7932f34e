"""Charts of metrics.json show its numbers, of one result or several."""

import json

import numpy as np
import pytest

from landslide_rcnn import visualize
from landslide_rcnn.errors import ConfigError, RasterError

METRICS = {
    "curve": {
        "threshold": [0.25, 0.5, 0.75],
        "precision": [0.5, 0.8, None],
        "recall": [1.0, 0.6, 0.0],
        "average_precision": 0.71234,
    },
    "at_map_threshold": {"threshold": 0.5, "precision": 0.8, "recall": 0.6},
    "at_best_threshold": {"threshold": 0.25, "precision": 0.5, "recall": 1.0},
    "calibration": {
        "bins": [
            {"from": 0, "to": 0.5, "count": 90, "mean_probability": 0.1, "share_landslide": 0.05},
            {"from": 0.5, "to": 0.8, "count": 0, "mean_probability": None, "share_landslide": None},
            {"from": 0.8, "to": 1, "count": 10, "mean_probability": 0.9, "share_landslide": 0.7},
        ],
        "expected_calibration_error": 0.065,
    },
}


def lines_of(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def test_precision_over_recall_with_both_thresholds(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(METRICS))
    figure = visualize.plot_threshold_curves({"old": path, "new": METRICS})
    (axes,) = figure.axes
    old, new = lines_of(axes, "old (AP 0.712)"), lines_of(axes, "new (AP 0.712)")
    np.testing.assert_array_equal(old.get_xydata(), [[1, 0.5], [0.6, 0.8], [0, np.nan]])
    assert old.get_color() != new.get_color() and old.get_linestyle() != new.get_linestyle()
    dots = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert [(d.get_xydata().tolist(), d.get_markerfacecolor() == "none") for d in dots] == [
        ([[0.6, 0.8]], False),
        ([[1.0, 0.5]], True),
    ]
    # The line of F1 = 0.8: 2 p r / (p + r) everywhere.
    recall, precision = axes.lines[3].get_xydata().T
    np.testing.assert_allclose(2 * precision * recall / (precision + recall), 0.8)
    assert (precision <= 1 + 1e-9).all()


def test_reliability_leaves_empty_bins_out():
    figure = visualize.plot_reliability({"map": METRICS})
    upper, lower = figure.axes
    points = lines_of(upper, "map (error 0.065)").get_xydata()
    assert points.tolist() == [[0.1, 0.05], [0.9, 0.7]]
    assert lines_of(upper, "as predicted").get_xydata().tolist() == [[0, 0], [1, 1]]
    steps = lower.patches[0].get_data()
    assert steps.values.tolist() == [90, 0, 10] and steps.edges.tolist() == [0, 0.5, 0.8, 1]
    assert lower.get_yscale() == "log"


def test_results_without_what_is_drawn(tmp_path):
    (tmp_path / "metrics.json").write_text("half of it {")
    with pytest.raises(RasterError, match="metrics.json cannot be read"):
        visualize.plot_reliability({"x": tmp_path / "metrics.json"})
    with pytest.raises(ConfigError, match="section 'curve'. Received: 'x' with pixels"):
        visualize.plot_threshold_curves({"x": {"pixels": {}, "curve": None}})
    with pytest.raises(ConfigError, match="Received: 'x' with nothing"):
        visualize.plot_reliability({"x": {}})
    with pytest.raises(ConfigError, match="Received: none"):
        visualize.plot_reliability({})
