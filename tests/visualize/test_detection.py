"""What figures of detections say: by the numbers that are drawn."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb as color_of

from landslide_rcnn import palette, visualize
from landslide_rcnn.data.masks import extract_bboxes
from tests.helpers.weights import Layer, Weight

NAMES = ["BG", "slide", "flow"]
IMAGE = np.full((20, 20, 3), 100, np.uint8)


def squares(*corners, side=4):
    masks = np.zeros((20, 20, len(corners)), bool)
    for i, (y, x) in enumerate(corners):
        masks[y : y + side, x : x + side, i] = True
    return masks


def test_differences_are_captioned_by_score_and_overlap():
    gt, found = squares((0, 0), (10, 10)), squares((5, 15), (0, 1))
    figure = visualize.display_differences(
        IMAGE, extract_bboxes(gt), np.array([1, 2]), gt,
        extract_bboxes(found), np.array([1, 1]), np.array([0.7, 0.9]), found, NAMES,
    )  # fmt: skip
    (axes,) = figure.axes
    # Truth has no caption; detections follow, the best first.
    assert [t.get_text() for t in axes.texts] == ["", "", "0.90 / 0.60", "0.70 / 0.00"]
    colors = [patch.get_edgecolor()[:3] for patch in axes.patches]
    yellow, cyan = color_of(palette.TRUTH_COLOR), color_of(palette.PREDICTION_COLOR)
    assert colors == [yellow] * 2 + [cyan] * 2
    assert axes.patches[2].get_bbox().bounds == (0.5, -0.5, 4, 4)
    assert "score / IoU" in axes.get_title()


def test_differences_without_detections_and_without_truth():
    gt, none = squares((0, 0)), squares()
    truth = extract_bboxes(gt), np.array([1]), gt
    nothing = np.zeros((0, 4)), np.zeros(0), none
    for first, second, count in ((truth, nothing, 1), (nothing, truth, 1), (nothing, nothing, 0)):
        scores = np.full(len(second[0]), 0.5)
        figure = visualize.display_differences(
            IMAGE, *first, *second[:2], scores, second[2], NAMES, title="mine"
        )
        assert len(figure.axes[0].patches) == count and figure.axes[0].get_title() == "mine"


def test_rois_show_what_is_positive():
    rois = np.array([[0, 0, 10, 10], [5, 5, 15, 15]])
    refined = np.array([[1, 1, 9, 9], [6, 6, 14, 14]])
    masks = np.ones((2, 28, 28))
    figure = visualize.draw_rois(IMAGE, rois, refined, masks, np.array([0, 2]), NAMES)
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.texts] == ["", "flow"]
    assert [p.get_linestyle() for p in axes.patches] == ["dotted", "dashed", "solid"]
    assert axes.get_title() == "2 of 2 rois; of all, 50% are positive"
    picture = axes.images[0].get_array()
    assert picture[10, 10].tolist() != [100] * 3 and picture[2, 2].tolist() == [100] * 3
    many = np.tile(rois, (20, 1))
    limited = visualize.draw_rois(
        IMAGE, many, many, np.ones((40, 28, 28)), np.zeros(40, int), NAMES
    )
    assert len(limited.axes[0].patches) == 10
    assert limited.axes[0].get_title().startswith("10 of 40 rois; of all, 0%")


def test_precision_recall_curve():
    figure = visualize.plot_precision_recall(0.75, [1, 1, 0.5, 0], [0, 0.5, 1, 1])
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "Precision-recall curve. AP@50 = 0.750"
    assert axes.lines[0].get_xydata().tolist() == [[0, 1], [0.5, 1], [1, 0.5], [1, 0]]


def test_overlaps_say_match_and_wrong():
    overlaps = np.array([[0.8, 0.1, 0], [0.6, 0.3, 0]])
    figure = visualize.plot_overlaps(
        np.array([1, 2, 0]), np.array([1, 2]), np.array([0.9, 0.5]), overlaps, NAMES
    )
    (axes,) = figure.axes
    cells = [t.get_text() for t in axes.texts]
    assert cells == ["0.800\nmatch", "0.100\n", "0.600\nwrong", "0.300\n"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["slide (0.90)", "flow (0.50)"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["slide", "flow"]
    assert axes.images[0].get_array().tolist() == overlaps[:, :2].tolist()


def test_tables_print_and_show_and_escape():
    table = visualize.display_table([["name", "n"], ["<b>", 12]])
    assert str(table) == "name  n\n<b>   12"
    assert table._repr_html_() == (
        "<table><tr><td>name</td><td>n</td></tr><tr><td>&lt;b&gt;</td><td>12</td></tr></table>"
    )


@pytest.mark.parametrize(
    "weight, name",
    [
        (Weight("kernel", [[1.0, 3.0]]), "conv/kernel"),
        (Weight("kernel", [[2.0, 2.0]]), "conv/kernel*"),
        (Weight("bias", [0.0, 0.0]), "conv/bias"),
        (Weight("bias", [0.0, 1e4]), "conv/bias*"),
        (Weight("bias", [0.0, np.nan]), "conv/bias*"),
    ],
)
def test_weight_stats_mark_dead_and_blown_up_weights(weight, name):
    class Model:
        def get_trainable_layers(self):
            return [Layer("conv", weight)]

    heading, row = visualize.display_weight_stats(Model()).rows
    assert heading == ("WEIGHT NAME", "SHAPE", "MIN", "MAX", "STD")
    assert row[0] == name and row[1] == str(weight.values.shape)
    if name == "conv/kernel":
        assert [float(cell) for cell in row[2:]] == [1, 3, 1]
