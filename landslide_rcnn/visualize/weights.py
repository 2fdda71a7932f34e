"""The weights of a network as histograms: what is dead, blown up, or has not moved.

Beside `tables.display_weight_stats`, which has the numbers.
"""

import math
import re
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.palette import INK_COLOR, QUIET_COLOR, SERIES_COLORS
from landslide_rcnn.visualize.canvas import new_figure, start_chart

COLUMNS = 4
BINS = 50


def display_weight_histograms(model: Any, pattern: str = ".*/kernel", title: str = "") -> Figure:
    """Draw the values of weights, each in a chart of its own; zero is marked.

    Args:
        model: A `MaskRCNN` or another model with `get_trainable_layers()`.
        pattern: Which weights: a regular expression for "layer/weight", such as "fpn_.*/kernel".
        title: Above.

    Raises:
        ConfigError: No weight has such a name.
    """
    weights = {
        f"{layer.name}/{weight.name}": np.asarray(weight.numpy(), np.float32).ravel()
        for layer in model.get_trainable_layers()
        for weight in layer.weights
    }
    chosen = {name: v for name, v in weights.items() if re.fullmatch(pattern, name)}
    if not chosen:
        raise ConfigError(
            f"The expression must match a weight. Received: {pattern!r}. Use '.*/kernel', or names "
            f"such as {', '.join(list(weights)[:3])}."
        )
    rows = math.ceil(len(chosen) / COLUMNS)
    figure = new_figure(3.1 * COLUMNS, 1.9 * rows + (0.4 if title else 0), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in grid.flat[len(chosen) :]:
        axes.axis("off")
    for axes, (name, values) in zip(grid.flat, chosen.items()):
        start_chart(axes, "", "", "")
        axes.set_title(name, fontsize=9, color=INK_COLOR, loc="left")
        axes.hist(values, BINS, color=SERIES_COLORS[0])
        axes.axvline(0, color=QUIET_COLOR, lw=0.8)
        axes.set_yticks([])
        axes.tick_params(labelsize=8)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, weight="bold", color=INK_COLOR)
    return figure
