"""Many images at a glance, with the outlines of their instances: of a dataset, of augmentations.

Shape letters: H, W pixels; C channels; N instances.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landslide_rcnn.data.augment import apply_imgaug, dihedral
from landslide_rcnn.data.recipes import recipe
from landslide_rcnn.data.samples import Sample
from landslide_rcnn.palette import CROWD_COLOR, INK_COLOR, MISSED_COLOR, NODATA_COLOR, TRUTH_COLOR
from landslide_rcnn.visualize.bands import colour_bands
from landslide_rcnn.visualize.canvas import new_figure
from landslide_rcnn.visualize.instances import draw_outlines, to_rgb

TILE_INCHES = 1.9
TILE_PIXELS = 320  # the longer side that a thumbnail is drawn with
CAPTION_LETTERS = 28


@dataclass(frozen=True)
class SheetTile:
    """One picture of a sheet.

    Attributes:
        caption: Below it.
        image: [H, W, C]; None: it cannot be read.
        masks: [H, W, N] bool.
        class_ids: [N]; negative for crowds, which are drawn in another colour.
        faulty: Whether something is wrong with it: its caption is red.
    """

    caption: str
    image: np.ndarray | None
    masks: np.ndarray | None = None
    class_ids: np.ndarray | None = None
    faulty: bool = False


def contact_sheet(
    tiles: Sequence[SheetTile], *, title: str = "", band_names: Sequence[str] | None = None
) -> Figure:
    """Draw pictures in rows, each with outlines and caption.

    Args:
        tiles: At least one; of any size.
        title: Above.
        band_names: Of the images; chooses the bands shown. Else the first three, or grey.

    Returns:
        A figure outside pyplot: `figure.savefig(path)`.
    """
    columns = max(math.ceil(math.sqrt(len(tiles))), 1)
    rows = max(math.ceil(len(tiles) / columns), 1)
    heading = 0.45  # inches
    figure = new_figure(columns * TILE_INCHES, rows * (TILE_INCHES + 0.22) + heading)
    height = figure.get_figheight()
    figure.text(0.1 / figure.get_figwidth(), 1 - 0.28 / height, title, color=INK_COLOR,
                fontsize=9, fontweight="bold", va="center")  # fmt: skip
    grid = figure.add_gridspec(
        rows, columns, left=0.01, right=0.99, bottom=0.01, top=1 - heading / height,
        wspace=0.04, hspace=0.14,
    )  # fmt: skip
    for index, tile in enumerate(tiles):
        axes = figure.add_subplot(grid[index // columns, index % columns])
        _draw_tile(axes, tile, band_names)
    return figure


def _draw_tile(axes: Axes, tile: SheetTile, band_names: Sequence[str] | None) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    caption = tile.caption
    if len(caption) > CAPTION_LETTERS:
        caption = "…" + caption[1 - CAPTION_LETTERS :]
    color = MISSED_COLOR if tile.faulty else INK_COLOR
    axes.set_xlabel(caption, fontsize=5.5, color=color, labelpad=2)
    if tile.image is None:
        axes.plot([0, 1, np.nan, 0, 1], [0, 1, np.nan, 1, 0], color=MISSED_COLOR, linewidth=1)
        axes.set_box_aspect(1)
        axes.set_facecolor(NODATA_COLOR)
        return
    height, width = tile.image.shape[:2]
    axes.imshow(
        _thumbnail(to_rgb(colour_bands(tile.image, band_names))),
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="nearest",
    )
    if tile.masks is not None and tile.class_ids is not None:
        for index, class_id in enumerate(tile.class_ids):
            outline = TRUTH_COLOR if class_id > 0 else CROWD_COLOR
            draw_outlines(axes, tile.masks[..., index], outline, width=0.7)


def _thumbnail(rgb: np.ndarray) -> np.ndarray:
    scale = TILE_PIXELS / max(rgb.shape[:2])
    if scale >= 1:
        return rgb
    height, width = (max(round(side * scale), 1) for side in rgb.shape[:2])
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)


def augmentation_sheet(
    sample: Sample,
    augmentation: Any,
    *,
    count: int = 11,
    seed: int = 0,
    band_names: Sequence[str] | None = None,
    imagery_bands: Collection[int] | None = None,
    title: str = "",
) -> Figure:
    """Draw a sample as it is, and then as training would see it under an augmentation.

    Outlines show whether the masks go where the pixels go, and where the image ends.

    Args:
        sample: As `data.samples.read_sample` gives it.
        augmentation: One of `data.recipes.RECIPES` by name; "dihedral", the exact flips and
            quarter turns of `train(augment=True)`, each of the eight once; or any imgaug
            augmenter.
        count: How many random draws; of "dihedral" at most 8.
        seed: Of the draws.
        band_names: See `contact_sheet`.
        imagery_bands: See `data.augment.apply_imgaug`.
        title: Above; by default what is drawn.

    Raises:
        RegistryError: There is no such recipe.
    """
    tiles = [SheetTile("as it is", sample.image, sample.masks, sample.class_ids)]
    if augmentation == "dihedral":
        drawn = [(dihedral(sample.image, k), dihedral(sample.masks, k)) for k in range(count)[:8]]
    else:
        augmenter = recipe(augmentation) if isinstance(augmentation, str) else augmentation
        seeds = np.random.default_rng(seed).integers(2**31, size=count)
        drawn = [
            apply_imgaug(augmenter, sample.image, sample.masks, int(s), imagery_bands)
            for s in seeds
        ]
    for number, (image, masks) in enumerate(drawn, start=1):
        tiles.append(SheetTile(f"draw {number}", image, masks, sample.class_ids))
    name = augmentation if isinstance(augmentation, str) else type(augmentation).__name__
    return contact_sheet(tiles, title=title or f"Augmentation: {name}", band_names=band_names)
