"""How trainings went: the curves of one history.csv, or of several runs in one figure.

Source: Liu et al. 2021, Figure 11, draws the losses of five experiments together.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from landslide_rcnn.errors import DatasetError
from landslide_rcnn.palette import INK_COLOR, PAPER_COLOR, QUIET_COLOR, SERIES_COLORS
from landslide_rcnn.visualize.canvas import new_figure, start_chart

LOG_FROM = 10.0  # a panel whose values span more than this factor has a log axis
VALIDATION_NAMES = {
    "val_f1": "F1",
    "val_iou": "IoU",
    "val_miou": "mIoU",
    "val_precision": "precision",
    "val_recall": "recall",
    "val_overall_accuracy": "overall accuracy",
}
# What a history has beside losses and their parts, such as "mrcnn_mask_loss" or "dice".
NO_LOSSES = ("epoch", "stage", "learning_rate", "seconds")

Columns = dict[str, np.ndarray]
# A panel's lines: (label, x, y, colour, line style).
Lines = list[tuple[str, np.ndarray, np.ndarray, str, str]]


def training_curves(
    runs: str | Path | Mapping[str, str | Path], *, best_by: str = "val_f1", title: str = ""
) -> Figure:
    """Draw losses, validation metrics and learning rate over the epochs.

    Args:
        runs: The history.csv of a training, with each loss and each metric; or several by name,
            compared by their total loss and one metric.
        best_by: The column that chose the best epoch, which is marked; with several runs it is
            drawn beside the loss (F1 where it is a loss itself).
        title: Above all.

    Returns:
        A figure outside pyplot: `figure.savefig(path)`.

    Raises:
        DatasetError: A file holds no epoch.
    """
    figure = new_figure(13.2, 4.4, layout="constrained")
    panels = figure.subplots(1, 3, gridspec_kw={"width_ratios": (5, 5, 3)})
    if isinstance(runs, Mapping):
        histories = {name: read_history(path) for name, path in runs.items()}
        _draw_several(panels, histories, best_by)
    else:
        _draw_one(panels, read_history(runs), best_by)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=15, weight="bold", color=INK_COLOR)
    return figure


def read_history(path: str | Path) -> Columns:
    """Return the columns of a history.csv, [epochs] float64 each; NaN in empty cells.

    Raises:
        DatasetError: The file holds no epoch.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise DatasetError(
            f"Curves need at least one epoch. Received: {path}, which has none. Train first."
        )
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}


def _draw_one(panels: Sequence[Axes], history: Columns, best_by: str) -> None:
    epochs = history["epoch"]
    training = [name for name in history if not name.startswith("val_")]
    parts = [name for name in training if name not in ("loss", *NO_LOSSES)]
    # One component is the loss itself.
    shown = ["loss", *(parts if len(parts) > 1 else [])]
    lines: Lines = []
    for color, name in zip(_colors(len(shown)), shown):
        lines.append((_loss_label(name), epochs, history[name], color, "-"))
        if f"val_{name}" in history:
            label = f"validation: {_loss_label(name)}"
            lines.append((label, epochs, history[f"val_{name}"], color, "--"))
    _draw_lines(panels[0], "Loss", lines)
    metrics = [name for name in VALIDATION_NAMES if name in history]
    lines = [
        (VALIDATION_NAMES[name], epochs, history[name], color, "-")
        for color, name in zip(_colors(len(metrics)), metrics)
    ]
    _draw_lines(panels[1], "Validation, at the best threshold of each epoch", lines, share=True)
    _draw_lines(
        panels[2],
        "Learning rate",
        [("learning rate", epochs, history["learning_rate"], INK_COLOR, "-")],
        legend=False,
    )
    best = _best_epoch(history, best_by)
    for panel in panels:
        _mark_stages(panel, history)
    if best is not None:
        name = VALIDATION_NAMES.get(best_by, best_by)
        panels[1].axvline(best, color=INK_COLOR, lw=1, ls=":")
        panels[1].annotate(
            f"best {name}: epoch {best:g}", (best, 1.0), (0, 3), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="right", fontsize=8.5, color=QUIET_COLOR,
        )  # fmt: skip


def _draw_several(panels: Sequence[Axes], histories: Mapping[str, Columns], best_by: str) -> None:
    metric = best_by if best_by in VALIDATION_NAMES else "val_f1"
    columns = {"loss": "Loss", metric: f"Validation {VALIDATION_NAMES[metric]}"}
    columns["learning_rate"] = "Learning rate"
    for panel, (column, heading) in zip(panels, columns.items()):
        lines: Lines = []
        for color, (name, history) in zip(_colors(len(histories)), histories.items()):
            if column in history:
                lines.append((name, history["epoch"], history[column], color, "-"))
            if f"val_{column}" in history:
                lines.append(
                    (f"{name}, validation", history["epoch"], history[f"val_{column}"], color, "--")
                )
        _draw_lines(panel, heading, lines, share=column == metric, legend=column != "learning_rate")
    for color, history in zip(_colors(len(histories)), histories.values()):
        best = _best_epoch(history, metric)
        if best is not None:
            value = history[metric][history["epoch"] == best][0]
            panels[1].plot([best], [value], "o", ms=6, color=color, mec=PAPER_COLOR, mew=1.2)


def _draw_lines(
    axes: Axes, heading: str, lines: Lines, *, share: bool = False, legend: bool = True
) -> None:
    """Draw a panel; `share`: its values are shares, from 0 to 1."""
    start_chart(axes, "", "epoch", "")
    # Higher than elsewhere: stages and the best epoch are named below it.
    axes.set_title(heading, fontsize=11, color=INK_COLOR, loc="left", pad=16)
    for label, x, y, color, style in lines:
        marker = "o" if len(x) == 1 else None  # a line needs two points
        axes.plot(x, y, style, color=color, lw=1.8, label=label, marker=marker, ms=4)
    values = np.concatenate([np.zeros(0), *(y[np.isfinite(y)] for _, _, y, _, _ in lines)])
    if share:
        axes.set_ylim(-0.02, 1.02)
    elif len(values) and values.min() > 0 and values.max() > LOG_FROM * values.min():
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if legend and lines:
        axes.legend(
            fontsize=8.5, labelcolor=INK_COLOR, frameon=True, framealpha=0.8, edgecolor="none",
            ncols=1 if len(lines) < 6 else 2,
        )  # fmt: skip


def _mark_stages(axes: Axes, history: Columns) -> None:
    """Draw a line between the last epoch of a stage and the first of the next."""
    stages = history.get("stage", np.ones(1))
    for change in np.flatnonzero(np.diff(stages)):
        begins = history["epoch"][change] + 0.5
        axes.axvline(begins, color=QUIET_COLOR, lw=1)
        axes.annotate(
            f"stage {stages[change + 1]:g}", (begins, 1.0), (0, 3), textcoords="offset points",
            xycoords=("data", "axes fraction"), ha="left", fontsize=8.5, color=QUIET_COLOR,
        )  # fmt: skip


def _best_epoch(history: Columns, column: str) -> float | None:
    """Return the epoch with the highest value, or the lowest of a loss; the first of equals."""
    values = history.get(column)
    if values is None or not np.isfinite(values).any():
        return None
    best = np.nanargmax(values) if column in VALIDATION_NAMES else np.nanargmin(values)
    return float(history["epoch"][best])


def _loss_label(name: str) -> str:
    return "total" if name == "loss" else name.removesuffix("_loss").replace("_", " ")


def _colors(count: int) -> list[str]:
    """Return a colour a line; after the last one they begin again."""
    return [SERIES_COLORS[index % len(SERIES_COLORS)] for index in range(count)]
