"""Histograms of weights hold the weights that were asked for."""

import pytest

from landslide_rcnn import visualize
from landslide_rcnn.errors import ConfigError
from tests.helpers.weights import Layer, Weight


class Model:
    def get_trainable_layers(self):
        kernel, bias = Weight("kernel", [[-1.0, 3.0], [3.0, 3.0]]), Weight("bias", [0.0])
        return [Layer("fpn_p2", kernel, bias), Layer("rpn", kernel)]


def test_each_chosen_weight_has_a_chart():
    figure = visualize.display_weight_histograms(Model(), title="All")
    charts = [axes for axes in figure.axes if axes.patches]
    assert [axes.get_title(loc="left") for axes in charts] == ["fpn_p2/kernel", "rpn/kernel"]
    heights = [bar.get_height() for bar in charts[0].patches]
    assert heights[0] == 1 and heights[-1] == 3 and sum(heights) == 4
    assert charts[0].patches[0].get_x() == -1
    one = visualize.display_weight_histograms(Model(), "fpn_.*/bias")
    assert [a.get_title(loc="left") for a in one.axes if a.patches] == ["fpn_p2/bias"]
    with pytest.raises(ConfigError, match="'nothing'. Use .* fpn_p2/kernel, fpn_p2/bias, rpn"):
        visualize.display_weight_histograms(Model(), "nothing")
