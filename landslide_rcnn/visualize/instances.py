"""Images and instances: matterport's drawing functions, and what all figures share.

Shape letters: H, W pixels; C channels; N instances.
"""

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb as color_of
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from skimage.measure import find_contours

from landslide_rcnn.errors import ShapeError
from landslide_rcnn.visualize.canvas import new_figure, on_axes, size_for


def display_images(
    images: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    cols: int = 4,
    cmap: Any = None,
    norm: Any = None,
    interpolation: str | None = None,
) -> Figure:
    """Draw images in a grid.

    Args:
        images: Each [H, W] or [H, W, C]; of more than 3 channels the first 3 are drawn.
        titles: One an image.
        cols: Images in a row.
        cmap: matplotlib's, for images without channels.
        norm: As `cmap`.
        interpolation: matplotlib's.
    """
    titles = titles if titles is not None else [""] * len(images)
    rows = max(1, -(-len(images) // cols))
    cell = min(14 / cols, 3.5)  # inches
    tallest = max((np.shape(image)[0] / np.shape(image)[1] for image in images), default=1.0)
    figure = new_figure(cell * cols, (cell * tallest + 0.3) * rows, layout="constrained")
    grid = figure.subplots(rows, cols, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, title in zip(grid.flat, images, titles, strict=False):
        axes.set_title(title, fontsize=9)
        drawn = image if np.ndim(image) == 2 else to_rgb(image)
        axes.imshow(drawn, cmap=cmap, norm=norm, interpolation=interpolation)
    return figure


def random_colors(N: int, bright: bool = True) -> list[tuple[float, float, float]]:  # noqa: N803
    """Return N clearly different colours (red, green, blue) in [0, 1], the same every time."""
    # Steps of the golden ratio spread hues evenly for every N.
    value = 1.0 if bright else 0.7
    return [colorsys.hsv_to_rgb(0.61803399 * index % 1, 1, value) for index in range(N)]


def apply_mask(
    image: np.ndarray, mask: np.ndarray, color: Sequence[float], alpha: float = 0.5
) -> np.ndarray:
    """Tint the pixels of a mask, in place.

    Args:
        image: [H, W, C], values 0..255; changed in its first 3 channels.
        mask: [H, W], bool or 0/1.
        color: (red, green, blue) in [0, 1].
        alpha: Share of the colour, 0..1.

    Returns:
        `image`.
    """
    inside = np.asarray(mask) == 1
    tint = np.asarray(color[:3]) * 255 * alpha
    image[inside, :3] = (image[inside, :3] * (1 - alpha) + tint).astype(image.dtype)
    return image


def display_instances(
    image: np.ndarray,
    boxes: np.ndarray,
    masks: np.ndarray,
    class_ids: np.ndarray,
    class_names: Sequence[str],
    scores: np.ndarray | None = None,
    title: str = "",
    figsize: tuple[float, float] = (16, 16),
    ax: Axes | None = None,
    show_mask: bool = True,
    show_bbox: bool = True,
    colors: Sequence[Sequence[float]] | None = None,
    captions: Sequence[str] | None = None,
) -> Figure:
    """Draw instances on their image: boxes, masks, outlines and captions.

    Args:
        image: [H, W, C].
        boxes: [N, (y1, x1, y2, x2)], pixels, half-open. A box of zeros is left out.
        masks: [H, W, N].
        class_ids: [N].
        class_names: Indexed by class id.
        scores: [N], shown after the name.
        title: Above the image.
        figsize: Inches, for a new figure.
        ax: Draw here instead of on a new figure.
        show_mask: Tint the masks.
        show_bbox: Draw the boxes.
        colors: One (red, green, blue) in [0, 1] an instance.
        captions: One an instance, instead of name and score.

    Returns:
        The figure, new or that of `ax`.

    Raises:
        ShapeError: There are not as many boxes, masks and class ids.
    """
    count = len(boxes)
    if not count == np.shape(masks)[-1] == len(class_ids):
        raise ShapeError(
            "Every instance needs a box, a mask and a class id. Received: boxes "
            f"{np.shape(boxes)}, masks {np.shape(masks)}, class_ids {np.shape(class_ids)}. "
            "Give masks as [H, W, N]."
        )
    figure, ax = on_axes(ax, figsize)
    colors = colors if colors is not None else random_colors(count)
    picture = to_rgb(image).copy()
    for index in range(count):
        if not np.any(boxes[index]):
            continue
        y1, x1 = (float(value) for value in boxes[index][:2])
        color, mask = colors[index], masks[..., index]
        if show_bbox:
            _draw_rectangle(ax, boxes[index], color, "dashed", 0.7)
        caption = captions[index] if captions is not None else class_names[class_ids[index]]
        if captions is None and scores is not None:
            caption = f"{caption} {scores[index]:.3f}"
        casing = [patheffects.withStroke(linewidth=2.5, foreground="#000000b0")]
        ax.text(x1, y1 + 8, caption, color="w", size=11, path_effects=casing)
        if show_mask:
            picture = apply_mask(picture, mask, color)
        draw_outlines(ax, mask, color, width=1.5)
    ax.set_title(title)
    ax.axis("off")
    ax.imshow(picture)
    return figure


def display_top_masks(
    image: np.ndarray,
    mask: np.ndarray,
    class_ids: np.ndarray,
    class_names: Sequence[str],
    limit: int = 4,
) -> Figure:
    """Draw an image and beside it the masks of its largest classes.

    Args:
        image: [H, W, C].
        mask: [H, W, N].
        class_ids: [N].
        class_names: Indexed by class id.
        limit: Classes drawn; where there are fewer, the rest stays empty.
    """
    class_ids = np.asarray(class_ids)
    areas = {i: int(np.sum(mask[..., class_ids == i])) for i in np.unique(class_ids)}
    top = sorted((i for i in areas if areas[i]), key=lambda i: -areas[i])[:limit]
    pictures = [image] + [mask[..., class_ids == i].any(axis=-1).astype(np.uint8) for i in top]
    pictures += [np.zeros(image.shape[:2], np.uint8)] * (limit - len(top))
    titles = [f"H x W={image.shape[0]}x{image.shape[1]}"] + [class_names[i] for i in top]
    titles += ["-"] * (limit - len(top))
    return display_images(pictures, titles, cols=limit + 1, cmap="Blues_r")


def draw_box(image: np.ndarray, box: Sequence[int], color: Any) -> np.ndarray:
    """Draw a box of two pixels' width into an image, in place.

    Args:
        image: [H, W, C]; changed.
        box: (y1, x1, y2, x2), pixels, half-open; what is outside the image is cut off.
        color: A value, or one a channel, in the image's own units.

    Returns:
        `image`.
    """
    y1, x1, y2, x2 = np.clip(np.asarray(box, int), 0, np.tile(image.shape[:2], 2))
    for rows, columns in (
        (slice(y1, min(y1 + 2, y2)), slice(x1, x2)),
        (slice(max(y2 - 2, y1), y2), slice(x1, x2)),
        (slice(y1, y2), slice(x1, min(x1 + 2, x2))),
        (slice(y1, y2), slice(max(x2 - 2, x1), x2)),
    ):
        image[rows, columns] = color
    return image


# How visible a box of `draw_boxes` is: its colour (None: its own), line and opacity.
_VISIBILITIES = {0: ("lightgray", "dotted", 0.8), 1: (None, "dotted", 1.0), 2: (None, "solid", 1.0)}


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray | None = None,
    refined_boxes: np.ndarray | None = None,
    masks: np.ndarray | None = None,
    captions: Sequence[str] | None = None,
    visibilities: Sequence[int] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Draw boxes before and after refinement.

    Args:
        image: [H, W, C].
        boxes: [N, (y1, x1, y2, x2)], pixels: dashed where `refined_boxes` are given too.
        refined_boxes: [N, 4], drawn solid; a line joins the corners of the two.
        masks: [H, W, N], tinted.
        captions: One a box, at the refined corner.
        visibilities: One a box: 0 grey and dotted, 1 dotted, 2 (the default) solid.
        title: Above the image.
        ax: Draw here instead of on a new figure.

    Returns:
        The figure, new or that of `ax`.

    Raises:
        ShapeError: There are neither boxes nor refined ones.
    """
    if boxes is None and refined_boxes is None:
        raise ShapeError(
            "draw_boxes needs boxes. Received: boxes=None, refined_boxes=None. Give one of them."
        )
    count = len(boxes if boxes is not None else refined_boxes)
    figure, ax = on_axes(ax, size_for(image, 12))
    picture = to_rgb(image).copy()
    for i, own_color in enumerate(random_colors(count)):
        color, line, alpha = _VISIBILITIES[2 if visibilities is None else int(visibilities[i])]
        color = color or own_color
        if boxes is not None and np.any(boxes[i]):
            dashed = "dashed" if refined_boxes is not None and line == "solid" else line
            _draw_rectangle(ax, boxes[i], color, dashed, alpha)
        if refined_boxes is not None and np.any(refined_boxes[i]):
            _draw_rectangle(ax, refined_boxes[i], color, "solid", alpha)
            if boxes is not None:
                ends = np.asarray([boxes[i][:2], refined_boxes[i][:2]], float) - 0.5
                ax.add_line(Line2D(ends[:, 1], ends[:, 0], color=color, alpha=alpha))
        if captions is not None:
            y1, x1 = (refined_boxes if refined_boxes is not None else boxes)[i][:2]
            ax.text(
                x1, y1, captions[i], size=11, va="top", color="w",
                bbox={"facecolor": color, "alpha": 0.5, "pad": 2, "edgecolor": "none"},
            )  # fmt: skip
        if masks is not None:
            picture = apply_mask(picture, masks[..., i], color_of(color))
            draw_outlines(ax, masks[..., i], color)
    ax.set_title(title)
    ax.axis("off")
    ax.imshow(picture)
    return figure


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Return [H, W, 3] uint8 of an image of any channels and dtype, for looking at.

    One or two channels become grey, of more than three the first three are taken; anything but
    uint8 is stretched from its 2nd to its 98th percentile.
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    image = image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, axis=-1)
    if image.dtype == np.uint8 or image.size == 0:
        return image.astype(np.uint8)
    finite = np.nan_to_num(image.astype(np.float64))
    low, high = np.percentile(finite, (2, 98))
    stretched = (finite - low) / max(high - low, 1e-9)
    return np.rint(np.clip(stretched, 0, 1) * 255).astype(np.uint8)


def _draw_rectangle(
    axes: Axes, box: Sequence[float], color: Any, linestyle: str, alpha: float
) -> None:
    y1, x1, y2, x2 = (float(value) for value in box)
    # Pixel centres are at whole numbers, so a box begins half a pixel before its first.
    axes.add_patch(
        Rectangle(
            (x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1,
            fill=False, edgecolor=color, linewidth=2, alpha=alpha, linestyle=linestyle,
        )
    )  # fmt: skip


def draw_outlines(axes: Axes, mask: np.ndarray, color: Any, width: float = 1.6) -> None:
    """Draw the outlines of a [H, W] mask, those along the image's edge included."""
    # Without a border of zeros, find_contours leaves outlines open where masks touch the edge.
    contours = find_contours(np.pad(np.asarray(mask, np.float32), 1), 0.5)
    limits = np.array(mask.shape) - 0.5
    lines = [np.clip(contour - 1, -0.5, limits)[:, ::-1] for contour in contours]
    casing = [patheffects.withStroke(linewidth=width + 1.4, foreground="#00000090")]
    axes.add_collection(
        LineCollection(lines, colors=[color], linewidths=width, path_effects=casing),
        autolim=False,
    )
