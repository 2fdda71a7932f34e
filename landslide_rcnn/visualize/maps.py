"""The map of a result: truth, prediction and errors side by side.

Shape letters: H, W pixels.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb as color_of
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from landslide_rcnn.errors import ShapeError
from landslide_rcnn.palette import (
    CORRECT_COLOR,
    FALSE_COLOR,
    INK_COLOR,
    MISSED_COLOR,
    NODATA_COLOR,
    PREDICTION_COLOR,
    QUIET_COLOR,
    TRUTH_COLOR,
    rgb_of,
)
from landslide_rcnn.visualize.canvas import (
    MAX_PANEL_PIXELS,
    PROBABILITY_COLORS,
    draw_legend,
    new_figure,
    quiet,
    start_panel,
    thin,
    thinning,
)
from landslide_rcnn.visualize.instances import apply_mask, draw_outlines

PANEL_INCHES = 5.2  # the longer side of a panel of a map
MIN_PANEL_WIDTH_INCHES = 3.6  # three of them leave room for the heading
# What a pixel of a prediction is, beside its colour and its name in legends.
VERDICTS = (
    (lambda truth, predicted: truth & predicted, CORRECT_COLOR, "correct"),
    (lambda truth, predicted: truth & ~predicted, MISSED_COLOR, "missed"),
    (lambda truth, predicted: ~truth & predicted, FALSE_COLOR, "false"),
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
    step = thinning(shapes[0], MAX_PANEL_PIXELS)
    rgb, probability = thin(rgb, step), thin(np.asarray(probability, np.float32), step)
    truth, predicted = (thin(np.asarray(m, np.uint8), step) > 0 for m in (truth, predicted))

    height, width = rgb.shape[:2]
    panel_width = max(PANEL_INCHES * min(1.0, width / height), MIN_PANEL_WIDTH_INCHES)
    panel = panel_width, panel_width * height / width  # inches
    size = 3 * panel[0] + 0.9, panel[1] + 0.5 + 1.1  # with the margins, foot and heading
    figure = new_figure(*size)
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
    draw_scale_bar(axes[0], None if pixel_size_m is None else pixel_size_m * step, step)
    _draw_prediction_panel(axes[1], rgb, probability, predicted)
    _draw_error_panel(axes[2], rgb, truth, predicted)
    _draw_heading(figure, title, subtitle, metrics or {})
    return figure


def _draw_truth_panel(axes: Axes, rgb: np.ndarray, truth: np.ndarray) -> None:
    start_panel(axes, "Scene and true landslides", rgb)
    draw_outlines(axes, truth, TRUTH_COLOR)
    draw_legend(axes, [Line2D([], [], color=TRUTH_COLOR, lw=2.5, label="landslide (truth)")])


def _draw_prediction_panel(
    axes: Axes, rgb: np.ndarray, probability: np.ndarray, predicted: np.ndarray
) -> None:
    start_panel(axes, "Predicted probability and outlines", quiet(rgb, 0.75))
    overlay = PROBABILITY_COLORS(probability)
    overlay[..., 3] = 0.8 * np.clip(probability, 0, 1) ** 0.5
    axes.imshow(overlay, interpolation="nearest")
    draw_outlines(axes, predicted, PREDICTION_COLOR)
    draw_legend(axes, [Line2D([], [], color=PREDICTION_COLOR, lw=2.5, label="predicted")])
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
    start_panel(axes, "Where it is right and where it errs", verdict_picture(rgb, truth, predicted))
    draw_legend(axes, verdict_handles())


def verdict_picture(
    rgb: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    valid_mask: np.ndarray | None = None,
) -> np.ndarray:
    """Return a pale picture with each pixel's verdict: green correct, red missed, blue false.

    Args:
        rgb: [H, W, 3] uint8.
        truth: [H, W] bool.
        predicted: [H, W] bool.
        valid_mask: [H, W] bool; pixels that are not valid become plain grey. None: all are.

    Returns:
        [H, W, 3] uint8.
    """
    picture = quiet(rgb, 0.0)
    for is_so, color, _ in VERDICTS:
        picture = apply_mask(picture, is_so(truth, predicted), color_of(color), alpha=0.72)
    if valid_mask is not None:
        picture[~valid_mask] = rgb_of(NODATA_COLOR)
    return picture


def verdict_handles() -> list[Patch]:
    """Return the verdicts' entries of a legend."""
    return [Patch(facecolor=color, label=label) for _, color, label in VERDICTS]


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


def draw_scale_bar(axes: Axes, pixel_size_m: float | None, step: int) -> None:
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


def _round_down(length: float) -> float:
    """Return the largest of 1, 2, 5 x 10^n that is at most `length`."""
    power = 10.0 ** np.floor(np.log10(max(length, 1e-9)))
    return float(
        max(factor for factor in (1, 2, 5) if factor * power <= length * (1 + 1e-9)) * power
    )
