"""Several models side by side: where each is right and where it errs.

Rows are tiles or scenes; columns are the image, the truth, and each model's verdicts with its F1,
as in Liu et al. 2021, Figures 13 to 15. Shape letters: H, W pixels; C channels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from landslide_rcnn.errors import ShapeError
from landslide_rcnn.evaluation.pixels import ConfusionMatrix
from landslide_rcnn.palette import INK_COLOR, NODATA_COLOR, QUIET_COLOR, TRUTH_COLOR
from landslide_rcnn.visualize.bands import colour_bands
from landslide_rcnn.visualize.canvas import new_figure, quiet, start_panel, thin, thinning
from landslide_rcnn.visualize.instances import draw_outlines, to_rgb
from landslide_rcnn.visualize.maps import draw_scale_bar, verdict_handles, verdict_picture

CELL_INCHES = 2.5  # width of a column
MAX_CELL_PIXELS = 600


@dataclass(frozen=True)
class ComparedArea:
    """One row: a tile or a scene, what is true there, and what each model says.

    Attributes:
        name: Left of the row.
        image: [H, W, C].
        truth: [H, W] bool.
        predictions: Model name -> [H, W] bool.
        valid_mask: [H, W] bool, True = judged. None: all of it.
        pixel_size_m: Metres a pixel, for a scale bar; None: without.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray
    predictions: Mapping[str, np.ndarray]
    valid_mask: np.ndarray | None = None
    pixel_size_m: float | None = None

    def f1(self, model: str) -> float | None:
        """Return the F1 of one model; None without a true landslide pixel."""
        return _f1([self], model)


def display_comparison(
    areas: Sequence[ComparedArea], *, band_names: Sequence[str] | None = None, title: str = ""
) -> Figure:
    """Draw models side by side, errors coloured: green correct, red missed, blue false.

    The best F1 of a row is bold. Below each model's name stands its F1 over all rows' pixels
    together. Pixels that are not valid are grey and not counted.

    Args:
        areas: At least one; all with the same models, which are drawn in the first one's order.
        band_names: Of the images; chooses the bands shown. Else the first three, or grey.
        title: Above.

    Returns:
        A figure outside pyplot: `figure.savefig(path)`.

    Raises:
        ShapeError: There is no area, an area lacks a model, or its arrays are not of one height
            and width.
    """
    models = list(areas[0].predictions) if areas else []
    for area in areas:
        _check(area, models)
    if not models:
        raise ShapeError(
            "A comparison needs an area and a model. Received: "
            f"{len(areas)} areas, {len(models)} models. Give predictions by model name."
        )
    heights = [CELL_INCHES * area.truth.shape[0] / area.truth.shape[1] for area in areas]
    gap, left, foot = 0.34, 0.45, 0.36  # inches
    head = (0.55 if len(areas) > 1 else 0.35) + (0.32 if title else 0.0)
    columns = 2 + len(models)
    width = left + columns * (CELL_INCHES + 0.1) + 0.1
    height = head + sum(heights) + gap * len(areas) + foot
    figure = new_figure(width, height)
    figure.text(0.15 / width, 1 - 0.2 / height, title, va="top", fontsize=13, weight="bold",
                color=INK_COLOR)  # fmt: skip
    top = height - head
    for area, cell_height in zip(areas, heights):
        cells = [
            figure.add_axes(
                (
                    (left + column * (CELL_INCHES + 0.1)) / width,
                    (top - cell_height) / height,
                    CELL_INCHES / width,
                    cell_height / height,
                )
            )
            for column in range(columns)
        ]
        _draw_row(cells, area, models, band_names)
        top -= cell_height + gap
    # The first row's axes carry the headings of the columns.
    headings = {"Image": "", "Truth": "", **dict.fromkeys(models, "")}
    if len(areas) > 1:
        headings |= {model: f"F1 {_number(_f1(areas, model))} over all" for model in models}
    for axes, (name, note) in zip(figure.axes, headings.items()):
        _draw_heading(axes, name, note)
    _draw_foot(figure, any(area.valid_mask is not None for area in areas))
    return figure


def _check(area: ComparedArea, models: Sequence[str]) -> None:
    if set(area.predictions) != set(models):
        raise ShapeError(
            f"Every area needs the same models. Received: {list(area.predictions)} of "
            f"{area.name!r}, {list(models)} of the first. Predict it with all of them."
        )
    layers = [area.image, area.truth, *area.predictions.values()]
    layers += [] if area.valid_mask is None else [area.valid_mask]
    shapes = [np.shape(layer)[:2] for layer in layers]
    if len(set(shapes)) > 1:
        raise ShapeError(
            "The layers of an area must have one height and width. Received: image, truth, "
            f"predictions of {shapes} of {area.name!r}. Cut them by one window."
        )


def _draw_row(
    cells: Sequence[Axes],
    area: ComparedArea,
    models: Sequence[str],
    band_names: Sequence[str] | None,
) -> None:
    step = thinning(area.truth.shape, MAX_CELL_PIXELS)
    rgb = thin(to_rgb(colour_bands(area.image, band_names)), step)

    def drawn(mask: np.ndarray | None) -> np.ndarray | None:
        return None if mask is None else thin(np.asarray(mask, np.uint8), step) > 0

    truth, valid = drawn(area.truth), drawn(area.valid_mask)
    start_panel(cells[0], "", rgb)
    if area.pixel_size_m is not None:
        draw_scale_bar(cells[0], area.pixel_size_m * step, step)
    cells[0].set_ylabel(area.name, fontsize=9.5, color=INK_COLOR)
    start_panel(cells[1], "", quiet(rgb, 0.75))
    draw_outlines(cells[1], truth, TRUTH_COLOR)
    scores = {model: area.f1(model) for model in models}
    best = max((f1 for f1 in scores.values() if f1 is not None), default=None)
    for axes, model in zip(cells[2:], models):
        picture = verdict_picture(rgb, truth, drawn(area.predictions[model]), valid)
        start_panel(axes, "", picture)
        is_best = best is not None and scores[model] == best and len(models) > 1
        axes.set_xlabel(
            f"F1 {_number(scores[model])}", fontsize=10, color=INK_COLOR, labelpad=3,
            weight="bold" if is_best else "normal",
        )  # fmt: skip


def _draw_heading(axes: Axes, name: str, note: str) -> None:
    place = dict(xycoords="axes fraction", textcoords="offset points", color=INK_COLOR)
    axes.annotate(name, (0, 1), (0, 18 if note else 6), fontsize=11, **place)
    axes.annotate(note, (0, 1), (0, 6), fontsize=9, **{**place, "color": QUIET_COLOR})


def _draw_foot(figure: Figure, has_invalid: bool) -> None:
    handles = [Line2D([], [], color=TRUTH_COLOR, lw=2.5, label="landslide (truth)")]
    handles += verdict_handles()
    if has_invalid:
        handles.append(Patch(facecolor=NODATA_COLOR, label="not judged"))
    width, height = figure.get_size_inches()
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.4 / width, 0.05 / height),
        frameon=False, ncols=len(handles), fontsize=9.5, labelcolor=INK_COLOR, handlelength=1.4,
        columnspacing=1.4, borderaxespad=0,
    )  # fmt: skip


def _f1(areas: Iterable[ComparedArea], model: str) -> float | None:
    """Return a model's F1 over the valid pixels of all areas together."""
    counts = ConfusionMatrix()
    for area in areas:
        counts.add(area.predictions[model], area.truth, area.valid_mask)
    return counts.f1


def _number(f1: float | None) -> str:
    return "–" if f1 is None else f"{f1:.3f}"
