"""Curves of evaluations: precision over recall, and whether probabilities can be believed.

They draw what `evaluation` wrote into `metrics.json`; nothing is computed here. Several results,
such as models on one test area, go into one chart.
"""

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.inference.result import read_record
from landslide_rcnn.palette import INK_COLOR, QUIET_COLOR, SERIES_COLORS
from landslide_rcnn.visualize.canvas import new_figure, on_axes, start_chart

# Told apart without colour too.
LINES, MARKERS = ("-", "--", "-.", ":"), ("o", "s", "^", "D", "v")
F1_LEVELS = (0.2, 0.4, 0.6, 0.8)


def plot_threshold_curves(
    results: Mapping[str, Mapping[str, Any] | str | Path],
    *,
    ax: Axes | None = None,
    title: str = "",
) -> Figure:
    """Draw precision over recall for all thresholds, with lines of equal F1.

    A dot is the threshold that the map was made with, a ring the one with the highest F1.

    Args:
        results: Name -> `metrics.json`, its path or what is in it. Names stand in the legend,
            with the average precision where it is known.
        ax: Draw here instead of on a new figure.
        title: Above.

    Raises:
        ConfigError: There is no result, or one has no curve.
        RasterError: A file of metrics cannot be read.
    """
    sections = _sections(results, "curve")
    figure, ax = on_axes(ax, (6.2, 5.6))
    start_chart(ax, title or "Precision and recall at all thresholds", "recall", "precision")
    _draw_f1_lines(ax)
    for (name, (curve, metrics)), color, line, marker in zip(
        sections.items(), cycle(SERIES_COLORS), cycle(LINES), cycle(MARKERS)
    ):
        area = curve.get("average_precision")
        label = name if area is None else f"{name} (AP {area:.3f})"
        recall, precision = (_numbers(curve[key]) for key in ("recall", "precision"))
        ax.plot(recall, precision, color=color, lw=2, ls=line, label=label)
        for section, face in (("at_map_threshold", color), ("at_best_threshold", "none")):
            at = metrics.get(section) or {}
            if at.get("precision") is not None and at.get("recall") is not None:
                ax.plot(
                    at["recall"], at["precision"], marker, ms=9, mfc=face, mec=color, mew=1.6,
                )  # fmt: skip
    for label, face in (
        ("threshold of the map", QUIET_COLOR),
        ("threshold of the best F1", "none"),
    ):
        ax.plot([], [], "o", ms=8, mfc=face, mec=QUIET_COLOR, mew=1.6, label=label)
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    _draw_names(ax, "lower left")
    return figure


def plot_reliability(
    results: Mapping[str, Mapping[str, Any] | str | Path], *, title: str = ""
) -> Figure:
    """Draw how often pixels of a predicted probability are landslides, and how many there are.

    Above the diagonal the model is too careful, below it too sure of landslides. The lower chart
    says how much each point weighs.

    Args:
        results: Name -> `metrics.json`, its path or what is in it. Names stand in the legend,
            with the expected calibration error where it is known.
        title: Above.

    Raises:
        ConfigError: There is no result, or one has no calibration.
        RasterError: A file of metrics cannot be read.
    """
    sections = _sections(results, "calibration")
    figure = new_figure(6.0, 7.2, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    start_chart(upper, title or "Can the probabilities be believed?", "", "share of landslide")
    start_chart(lower, "", "predicted probability", "pixels")
    upper.plot([0, 1], [0, 1], color=QUIET_COLOR, lw=1, label="as predicted")
    for (name, (calibration, _)), color, line, marker in zip(
        sections.items(), cycle(SERIES_COLORS), cycle(LINES), cycle(MARKERS)
    ):
        error = calibration.get("expected_calibration_error")
        label = name if error is None else f"{name} (error {error:.3f})"
        bins = [b for b in calibration["bins"] if b["count"]]
        upper.plot(
            [b["mean_probability"] for b in bins], [b["share_landslide"] for b in bins],
            color=color, lw=2, ls=line, marker=marker, ms=6, label=label,
        )  # fmt: skip
        edges = [b["from"] for b in calibration["bins"]] + [calibration["bins"][-1]["to"]]
        counts = [b["count"] for b in calibration["bins"]]
        lower.stairs(counts, edges, color=color, lw=1.6, ls=line)
    lower.set_yscale("log")  # background with probability near 0 is most of every map
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    _draw_names(upper, "upper left")
    return figure


def _sections(
    results: Mapping[str, Mapping[str, Any] | str | Path], section: str
) -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return name -> (a section of metrics.json, all of it)."""
    found = {}
    for name, result in results.items():
        metrics = result
        if not isinstance(metrics, Mapping):
            metrics = read_record(Path(metrics))
        if not metrics.get(section):
            raise ConfigError(
                f"The metrics must have a section {section!r}. Received: {name!r} with "
                f"{', '.join(metrics) or 'nothing'}. It needs a probability map: evaluate the "
                "folder that detect wrote, on an area with landslides."
            )
        found[name] = metrics[section], metrics
    if not found:
        raise ConfigError(
            "A chart needs a result. Received: none. Give {name: metrics.json}, one or several."
        )
    return found


def _draw_f1_lines(axes: Axes) -> None:
    for f1 in F1_LEVELS:
        recall = np.linspace(f1 / (2 - f1), 1, 100)
        axes.plot(recall, f1 * recall / (2 * recall - f1), color=QUIET_COLOR, lw=0.7, alpha=0.6)
        axes.annotate(
            f"F1 {f1:g}", (1, f1 / (2 - f1)), (4, 0), textcoords="offset points", va="center",
            fontsize=8, color=QUIET_COLOR, annotation_clip=False,
        )  # fmt: skip


def _draw_names(axes: Axes, place: str) -> None:
    axes.legend(
        loc=place, fontsize=9, labelcolor=INK_COLOR, framealpha=0.9, edgecolor="none",
        handlelength=2.6,
    )  # fmt: skip


def _numbers(values: list[float | None]) -> np.ndarray:
    """Return a list of metrics.json as numbers: null becomes NaN, which is not drawn."""
    return np.array([np.nan if value is None else value for value in values], float)
