"""What every figure is drawn on, and what figures share: panels, legends, colour bars, colours.

Figures are made outside pyplot: nothing keeps them alive, nothing shows them by itself, and the
global state of pyplot stays the user's. Shape letters: H, W pixels; C channels.
"""

import io
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from landslide_rcnn.palette import INK_COLOR, PAPER_COLOR, PROBABILITY_RAMP, QUIET_COLOR

PROBABILITY_COLORS = LinearSegmentedColormap.from_list("probability", PROBABILITY_RAMP)
PIXELS_PER_INCH, LEAST_INCHES = 40, 5.5  # of one image with boxes and captions
MAX_PANEL_PIXELS = 1400  # larger maps are thinned out for drawing


class NotebookFigure(Figure):
    """A matplotlib figure that a notebook shows once, as the last value of its cell.

    Without this, notebooks show a figure outside pyplot only after `%matplotlib inline`, and one
    of pyplot twice.
    """

    def _repr_png_(self) -> bytes:
        """What notebooks ask for."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", bbox_inches="tight")
        return buffer.getvalue()


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """Return an empty figure of `width` x `height` inches."""
    return NotebookFigure(figsize=(width, height), facecolor=PAPER_COLOR, **options)


def on_axes(ax: Axes | None, figsize: tuple[float, float]) -> tuple[Figure, Axes]:
    """Return the axes that were handed in and their figure, or new ones of `figsize` inches."""
    if ax is None:
        ax = new_figure(*figsize, layout="constrained").add_subplot()
    return ax.figure, ax


def size_for(image: np.ndarray, most: float) -> tuple[float, float]:
    """Return the width and height, inches, of a figure of one image; at most `most`."""
    height, width = image.shape[:2]
    longer = np.clip(max(height, width) / PIXELS_PER_INCH, LEAST_INCHES, most)
    return float(longer * width / max(height, width)), float(longer * height / max(height, width))


def start_panel(axes: Axes, title: str, picture: np.ndarray | None = None) -> None:
    """Prepare axes for a picture: no ticks, a thin frame, a title at the left."""
    if picture is not None:
        axes.imshow(picture)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=INK_COLOR, linewidth=0.6)
    axes.set_title(title, fontsize=11, color=INK_COLOR, loc="left", pad=6)


def start_chart(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    """Prepare axes for curves: names, a light grid, no frame at the top and right."""
    axes.set_title(title, fontsize=11, color=INK_COLOR, loc="left", pad=8)
    axes.set_xlabel(xlabel, color=INK_COLOR)
    axes.set_ylabel(ylabel, color=INK_COLOR)
    axes.grid(color=QUIET_COLOR, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK_COLOR, labelsize=9, which="both")
    axes.spines[["top", "right"]].set_visible(False)


def draw_legend(axes: Axes, handles: Sequence[Any]) -> None:
    """Draw a legend without a frame below a panel, at its left."""
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(-0.01, -0.005), frameon=False,
        ncols=len(handles), fontsize=9.5, labelcolor=INK_COLOR, handlelength=1.4,
        columnspacing=1.2, borderaxespad=0.3,
    )  # fmt: skip


def quiet(rgb: np.ndarray, saturation: float) -> np.ndarray:
    """Return a paler picture, so that colours laid over it stand out."""
    grey = rgb.mean(axis=-1, keepdims=True)
    mixed = grey + saturation * (rgb - grey)
    return np.clip(40 + 0.75 * mixed, 0, 255).astype(np.uint8)


def thinning(shape: Sequence[int], limit: int) -> int:
    """Return the step that leaves at most `limit` of the longer side's pixels."""
    return max(-(-max(shape[:2]) // limit), 1)


def thin(array: np.ndarray, step: int) -> np.ndarray:
    """Return every `step`-th pixel; of pictures and probabilities the mean around it."""
    if step == 1:
        return array
    if array.dtype == np.uint8 and array.ndim == 2:
        return array[::step, ::step]
    height, width = -(-array.shape[0] // step), -(-array.shape[1] // step)
    return cv2.resize(array, (width, height), interpolation=cv2.INTER_AREA)
