"""The map of a result: truth, prediction and errors side by side.

Shape letters: H, W pixels.
"""

from collections.abc import Mapping

import cv2
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from landslide_rcnn.errors import ShapeError
from landslide_rcnn.evaluation.error_map import CORRECT_COLOR, FALSE_COLOR, MISSED_COLOR
from landslide_rcnn.visualize.instances import apply_mask, draw_outlines

# Colours of the map: outlines that stay visible on rock, soil and forest.
TRUTH_COLOR = "#ffd83d"
PREDICTION_COLOR = "#3fe0ff"
PAPER_COLOR, INK_COLOR, QUIET_COLOR = "#fbfaf7", "#22262b", "#6c737c"

MAX_PANEL_PIXELS = 1400  # larger maps are thinned out for drawing
PANEL_INCHES = 5.2  # the longer side of a panel of a map
MIN_PANEL_WIDTH_INCHES = 3.6  # three of them leave room for the heading
PROBABILITY_COLORS = LinearSegmentedColormap.from_list(
    "probability", ["#3b0f6f", "#b5367a", "#fb8861", "#fcfdbf"]
)


def map_figure(
    rgb: np.ndarray,
    truth: np.ndarray,
    probability: np.ndarray,
    predicted: np.ndarray,
    *,
    pixel_size_m: float | None = None,
    metrics: Mapping[str, float | int | str | None] | None = None,
    title: str = "",
    subtitle: str = "",
) -> Figure:
    """Draw a mapped area in three panels: the landslides, the prediction, and where it errs.

    Args:
        rgb: [H, W, 3] uint8.
        truth: [H, W] bool: the landslides as mapped by people.
        probability: [H, W] float in [0, 1].
        predicted: [H, W] bool: the landslides as predicted.
        pixel_size_m: Metres a pixel, for the scale bar; None: the bar is in pixels.
        metrics: Shown in the given order; None is written as a dash.
        title: In bold, above.
        subtitle: Below the title.

    Returns:
        A figure outside pyplot: `figure.savefig(path)`.

    Raises:
        ShapeError: The arrays are not of one height and width.
    """
    shapes = [np.shape(array)[:2] for array in (rgb, truth, probability, predicted)]
    if len(set(shapes)) > 1:
        raise ShapeError(
            "The layers of a map must have one height and width. Received: rgb, truth, "
            f"probability, predicted of {shapes}. Cut them by one window."
        )
    step = -(-max(shapes[0]) // MAX_PANEL_PIXELS)
    rgb, probability = _thin(rgb, step), _thin(np.asarray(probability, np.float32), step)
    truth, predicted = (_thin(np.asarray(m, np.uint8), step) > 0 for m in (truth, predicted))

    height, width = rgb.shape[:2]
    panel_width = max(PANEL_INCHES * min(1.0, width / height), MIN_PANEL_WIDTH_INCHES)
    panel = panel_width, panel_width * height / width  # inches
    size = 3 * panel[0] + 0.9, panel[1] + 0.5 + 1.1  # with the margins, foot and heading
    figure = Figure(figsize=size, facecolor=PAPER_COLOR)
    axes = [
        figure.add_axes(
            (
                (0.25 + index * (panel[0] + 0.2)) / size[0],
                0.5 / size[1],
                panel[0] / size[0],
                panel[1] / size[1],
            )
        )
        for index in range(3)
    ]
    _draw_truth_panel(axes[0], rgb, truth)
    _draw_scale_bar(axes[0], None if pixel_size_m is None else pixel_size_m * step, step)
    _draw_prediction_panel(axes[1], rgb, probability, predicted)
    _draw_error_panel(axes[2], rgb, truth, predicted)
    _draw_heading(figure, title, subtitle, metrics or {})
    return figure


def _draw_truth_panel(axes: Axes, rgb: np.ndarray, truth: np.ndarray) -> None:
    _start_panel(axes, "Scene and mapped landslides", rgb)
    draw_outlines(axes, truth, TRUTH_COLOR)
    _draw_legend(axes, [Line2D([], [], color=TRUTH_COLOR, lw=2.5, label="landslide (truth)")])


def _draw_prediction_panel(
    axes: Axes, rgb: np.ndarray, probability: np.ndarray, predicted: np.ndarray
) -> None:
    _start_panel(axes, "Predicted probability and outlines", _quiet(rgb, 0.75))
    overlay = PROBABILITY_COLORS(probability)
    overlay[..., 3] = 0.8 * np.clip(probability, 0, 1) ** 0.5
    axes.imshow(overlay, interpolation="nearest")
    draw_outlines(axes, predicted, PREDICTION_COLOR)
    _draw_legend(axes, [Line2D([], [], color=PREDICTION_COLOR, lw=2.5, label="predicted")])
    # In the margin below the panel's right half, in line with the legend.
    figure = axes.figure
    inch_x, inch_y = 1 / figure.get_size_inches()
    panel = axes.get_position()
    bar = figure.add_axes((panel.x1 - 1.35 * inch_x, 0.25 * inch_y, 1.2 * inch_x, 0.11 * inch_y))
    bar.imshow(np.linspace(0, 1, 256)[None], cmap=PROBABILITY_COLORS, aspect="auto")
    bar.axis("off")
    for x, label, side in ((-0.05, "probability 0", "right"), (1.05, "1", "left")):
        bar.text(
            x, 0.45, label, transform=bar.transAxes, ha=side, va="center",
            fontsize=9.5, color=INK_COLOR,
        )  # fmt: skip


def _draw_error_panel(
    axes: Axes, rgb: np.ndarray, truth: np.ndarray, predicted: np.ndarray
) -> None:
    picture = _quiet(rgb, 0.0)
    verdicts = (
        (truth & predicted, CORRECT_COLOR, "correct"),
        (truth & ~predicted, MISSED_COLOR, "missed"),
        (~truth & predicted, FALSE_COLOR, "false"),
    )
    for mask, color, _ in verdicts:
        rgb_color = tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
        picture = apply_mask(picture, mask, rgb_color, alpha=0.72)
    _start_panel(axes, "Where it is right and where it errs", picture)
    _draw_legend(axes, [Patch(facecolor=color, label=label) for _, color, label in verdicts])


def _draw_heading(
    figure: Figure, title: str, subtitle: str, metrics: Mapping[str, float | int | str | None]
) -> None:
    width, height = figure.get_size_inches()
    left, right = 0.25 / width, 1 - 0.25 / width
    figure.text(
        left, 1 - 0.22 / height, title, fontsize=17, weight="bold", color=INK_COLOR, va="top"
    )
    figure.text(left, 1 - 0.56 / height, subtitle, fontsize=10.5, color=QUIET_COLOR, va="top")
    # Right to left, each a number over its name.
    for index, (name, value) in enumerate(reversed(list(metrics.items()))):
        x = right - index * 0.85 / width
        text = f"{value:.3f}" if isinstance(value, float) else "–" if value is None else str(value)
        figure.text(
            x, 1 - 0.2 / height, text, fontsize=15, weight="bold", color=INK_COLOR,
            ha="right", va="top",
        )  # fmt: skip
        figure.text(
            x, 1 - 0.52 / height, name, fontsize=9.5, color=QUIET_COLOR, ha="right", va="top"
        )


def _start_panel(axes: Axes, title: str, picture: np.ndarray) -> None:
    axes.imshow(picture)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=INK_COLOR, linewidth=0.6)
    axes.set_title(title, fontsize=11, color=INK_COLOR, loc="left", pad=6)


def _draw_legend(axes: Axes, handles: list) -> None:
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(-0.01, -0.005), frameon=False,
        ncols=len(handles), fontsize=9.5, labelcolor=INK_COLOR, handlelength=1.4,
        columnspacing=1.2, borderaxespad=0.3,
    )  # fmt: skip


def _draw_scale_bar(axes: Axes, pixel_size_m: float | None, step: int) -> None:
    """Draw a bar of a round length, at most a quarter of the panel.

    `pixel_size_m` is the metres of a drawn pixel; without it the bar is in pixels of the scene,
    of which a drawn one has `step`.
    """
    width = axes.get_xlim()[1] - axes.get_xlim()[0]
    height = abs(axes.get_ylim()[1] - axes.get_ylim()[0])
    unit = pixel_size_m if pixel_size_m is not None else float(step)
    length = _round_down(width * unit / 4)
    label = f"{length:g} px"
    if pixel_size_m is not None:
        label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    x, y = axes.get_xlim()[0] + 0.04 * width, axes.get_ylim()[0] - 0.045 * height
    axes.plot(
        [x, x + length / unit], [y, y], color="white", lw=3, solid_capstyle="butt",
        path_effects=[patheffects.withStroke(linewidth=5.5, foreground="#000000b0")],
    )  # fmt: skip
    axes.annotate(
        label, (x, y), (0, 5), textcoords="offset points", color="white", fontsize=10,
        weight="bold", path_effects=[patheffects.withStroke(linewidth=3, foreground="#000000b0")],
    )  # fmt: skip


def _quiet(rgb: np.ndarray, saturation: float) -> np.ndarray:
    """Return a paler picture, so that colours laid over it stand out."""
    grey = rgb.mean(axis=-1, keepdims=True)
    mixed = grey + saturation * (rgb - grey)
    return np.clip(40 + 0.75 * mixed, 0, 255).astype(np.uint8)


def _thin(array: np.ndarray, step: int) -> np.ndarray:
    """Return every `step`-th pixel; of pictures and probabilities the mean around it."""
    if step == 1:
        return array
    if array.dtype == np.uint8 and array.ndim == 2:
        return array[::step, ::step]
    height, width = -(-array.shape[0] // step), -(-array.shape[1] // step)
    return cv2.resize(array, (width, height), interpolation=cv2.INTER_AREA)


def _round_down(length: float) -> float:
    """Return the largest of 1, 2, 5 x 10^n that is at most `length`."""
    power = 10.0 ** np.floor(np.log10(max(length, 1e-9)))
    return float(
        max(factor for factor in (1, 2, 5) if factor * power <= length * (1 + 1e-9)) * power
    )
