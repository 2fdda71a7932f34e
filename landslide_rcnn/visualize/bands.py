"""Each band of a scene or tile with the colours, limits and units that suit it.

    red, green, blue -> one picture        elevation, slope -> from dark to light
    aspect_sin, aspect_cos -> a wheel      curvatures, NDVI -> two colours about zero
    river_level -> six steps               any other band -> grey

`BAND_STYLES` is the table; a new factor is a line there. Shape letters: H, W pixels; C channels.
Units: those of the files; see `geo/factors.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, Colormap, LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure

from landslide_rcnn.errors import ShapeError
from landslide_rcnn.geo.rivers import BEYOND, BUFFERS_M, RIVER_BAND
from landslide_rcnn.palette import INK_COLOR, NODATA_COLOR, QUIET_COLOR
from landslide_rcnn.visualize.canvas import new_figure, start_panel, thinning
from landslide_rcnn.visualize.instances import to_rgb
from landslide_rcnn.visualize.maps import draw_scale_bar

# What bands are called, in small letters, that make a picture in true colours: by name, or as
# Sentinel-2's.
COLOUR_BANDS = (("red", "green", "blue"), ("b4", "b3", "b2"))
ASPECT_BANDS = ("aspect_sin", "aspect_cos")
MAX_PANEL_PIXELS = 700
PANEL_INCHES = 3.0  # width of a panel
BAR_INCHES, GAP_INCHES = 0.1, 0.16
CLIPPED = (2, 98)  # percentiles: a few extreme pixels do not decide the colours

# From valley to summit, ever lighter.
ELEVATION_COLORS = LinearSegmentedColormap.from_list(
    "elevation", ["#12322b", "#2f6146", "#7c8f4b", "#c9a966", "#ecd9b0", "#fffaf0"]
)
# From the river to beyond the farthest zone, ever lighter.
RIVER_COLORS = ListedColormap(
    ["#08306b", "#2171b5", "#4fa3cf", "#9ecae1", "#d3e5f2", "#f6f1e4"], "river_level"
)


@dataclass(frozen=True)
class BandStyle:
    """How a band is drawn.

    Attributes:
        title: Above the panel.
        unit: Below the bar of colours.
        colors: matplotlib's, by name or itself.
        limits: Valid values [n], at least one -> the smallest and the largest colour's value.
        ticks: Value -> label on the bar; None: matplotlib's choice.
    """

    title: str
    unit: str
    colors: str | Colormap
    limits: Callable[[np.ndarray], tuple[float, float]]
    ticks: dict[float, str] | None = None


def _spread(values: np.ndarray) -> tuple[float, float]:
    """Limits without the extremes."""
    low, high = (float(v) for v in np.percentile(values, CLIPPED))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _from_zero(values: np.ndarray) -> tuple[float, float]:
    """From 0 up to the next multiple of 5."""
    return 0.0, max(5.0, 5.0 * np.ceil(np.percentile(values, CLIPPED[1]) / 5))


def _about_zero(values: np.ndarray) -> tuple[float, float]:
    """As far below 0 as above, so that 0 has the colours' middle."""
    reach = float(np.percentile(np.abs(values), CLIPPED[1])) or 1.0
    return -reach, reach


def _fixed(low: float, high: float) -> Callable[[np.ndarray], tuple[float, float]]:
    return lambda _: (low, high)


_ELEVATION = BandStyle("Elevation", "m above sea level", ELEVATION_COLORS, _spread)
_SLOPE = BandStyle("Slope", "degrees", "YlOrBr", _from_zero)
_ASPECT = BandStyle(
    "Aspect", "direction that the ground falls to", "twilight", _fixed(0, 360),
    {0: "N", 90: "E", 180: "S", 270: "W", 360: "N"},
)  # fmt: skip
_RIVER = BandStyle(
    "Distance from river", "m from the river's surface, in levels", RIVER_COLORS,
    _fixed(-0.5, BEYOND + 0.5),
    {0: "on it", **{i + 1: f"≤ {m}" for i, m in enumerate(BUFFERS_M)}, BEYOND: "more"},
)  # fmt: skip

BAND_STYLES: dict[str, BandStyle] = {
    "elevation_m": _ELEVATION,
    "elevation": _ELEVATION,
    "dem": _ELEVATION,
    "slope_deg": _SLOPE,
    "slope": _SLOPE,
    "profile_curvature": BandStyle(
        "Profile curvature", "1 / m: − flattens, + steepens downhill", "PuOr", _about_zero
    ),
    "plan_curvature": BandStyle(
        "Plan curvature", "1 / m: − ground spreads, + converges", "PuOr", _about_zero
    ),
    "ndvi": BandStyle("NDVI", "− bare or water, + green plants", "BrBG", _fixed(-1, 1)),
    RIVER_BAND: _RIVER,
}


def display_bands(
    image: np.ndarray,
    band_names: Sequence[str],
    *,
    valid_mask: np.ndarray | None = None,
    pixel_size_m: float | None = None,
    columns: int = 4,
    title: str = "",
) -> Figure:
    """Draw every band in a panel of its own, with its own colours, limits and units.

    Red, green and blue (or Sentinel-2's B4, B3, B2) make one picture, and the sine and cosine of
    the aspect one wheel of directions, whose north is light and whose south is dark. Colours
    reach from the 2nd to the 98th percentile where the bar's ends are pointed.

    Args:
        image: [H, W, C], the file's own values; NaN where unknown.
        band_names: C names; those of `BAND_STYLES` get their style, others are grey.
        valid_mask: [H, W] bool; pixels that are not valid are grey. None: all but NaN are.
        pixel_size_m: Metres a pixel, for the scale bar of the first panel; None: without.
        columns: Panels in a row.
        title: Above.

    Returns:
        A figure outside pyplot: `figure.savefig(path)`.

    Raises:
        ShapeError: There is not one name a band, or the mask has another size.
    """
    if image.ndim != 3 or len(band_names) != image.shape[2]:
        raise ShapeError(
            "Bands are drawn of [H, W, C] with C names. Received: image "
            f"{image.shape}, {len(band_names)} names. Name each band once."
        )
    if valid_mask is not None and valid_mask.shape != image.shape[:2]:
        raise ShapeError(
            "The valid mask must have the image's height and width. Received: image "
            f"{image.shape}, valid_mask {valid_mask.shape}. Cut them by one window."
        )
    valid = np.ones(image.shape[:2], bool) if valid_mask is None else valid_mask
    step = thinning(image.shape, MAX_PANEL_PIXELS)
    panels = _panels(image, list(band_names), valid)
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    panel_height = PANEL_INCHES * image.shape[0] / image.shape[1]
    below, head = 0.62, 0.32 + (0.35 if title else 0.0)  # inches
    width = 0.2 + columns * (PANEL_INCHES + GAP_INCHES)
    height = head + rows * (panel_height + below) + (rows - 1) * 0.2 + 0.05
    figure = new_figure(width, height)
    figure.text(0.2 / width, 1 - 0.15 / height, title, va="top", fontsize=13, weight="bold",
                color=INK_COLOR)  # fmt: skip
    for index, draw in enumerate(panels):
        left = 0.2 + index % columns * (PANEL_INCHES + GAP_INCHES)
        bottom = height - head - panel_height - index // columns * (panel_height + below + 0.2)
        place = left / width, bottom / height, PANEL_INCHES / width, panel_height / height
        draw(figure.add_axes(place), step)
    if pixel_size_m is not None:
        draw_scale_bar(figure.axes[0], pixel_size_m * step, step)
    return figure


def colour_bands(image: np.ndarray, band_names: Sequence[str] | None) -> np.ndarray:
    """Return [H, W, 3] in true colours where the names tell which bands these are; else `image`."""
    colours = _true_colours(list(band_names or ()))
    if image.ndim == 3 and colours and len(band_names or ()) == image.shape[-1]:
        return image[..., colours]
    return image


def _true_colours(names: list[str]) -> list[int]:
    """Return the indices of red, green and blue; [] where they are not all there."""
    names = [name.lower() for name in names]
    for wanted in COLOUR_BANDS:
        if set(wanted) <= set(names):
            return [names.index(name) for name in wanted]
    return []


def _panels(
    image: np.ndarray, names: list[str], valid: np.ndarray
) -> list[Callable[[Axes, int], None]]:
    """Return what draws each panel, in the order of the bands: (axes, thinning step) -> None."""
    colours = _true_colours(names)
    aspect = [names.index(name) for name in ASPECT_BANDS if name in names]
    panels: list[Callable[[Axes, int], None]] = []
    for index, name in enumerate(names):
        if index in colours:
            if index == min(colours):
                panels.append(_picture_panel(image[..., colours], valid))
        elif len(aspect) == 2 and index in aspect:
            if index == min(aspect):
                sine, cosine = (image[..., i].astype(np.float64) for i in aspect)
                # Where the ground is flat there is no direction.
                degrees = np.where(
                    np.hypot(sine, cosine) > 1e-6,
                    np.degrees(np.arctan2(sine, cosine)) % 360,
                    np.nan,
                )
                panels.append(_band_panel(degrees, valid, _ASPECT))
        else:
            style = BAND_STYLES.get(name.lower())
            style = style or BandStyle(name, "values of the file", "gray", _spread)
            panels.append(_band_panel(image[..., index].astype(np.float64), valid, style))
    return panels


def _picture_panel(colours: np.ndarray, valid: np.ndarray) -> Callable[[Axes, int], None]:
    def draw(axes: Axes, step: int) -> None:
        opacity = np.where(valid[..., None], np.uint8(255), np.uint8(0))
        known = _bytes(np.where(valid[..., None], colours, 0))
        picture = np.concatenate([to_rgb(known), opacity], axis=-1)
        start_panel(axes, "True colours", picture[::step, ::step])
        axes.set_facecolor(NODATA_COLOR)

    return draw


def _bytes(colours: np.ndarray) -> np.ndarray:
    """Return colours as bytes where that is what they are beside bands of another type."""
    whole = colours.dtype != np.uint8 and np.array_equal(colours, np.clip(np.rint(colours), 0, 255))
    return colours.astype(np.uint8) if whole and colours.max() > 1 else colours


def _band_panel(
    values: np.ndarray, valid: np.ndarray, style: BandStyle
) -> Callable[[Axes, int], None]:
    def draw(axes: Axes, step: int) -> None:
        usable = valid & np.isfinite(values)
        start_panel(axes, style.title)
        axes.set_facecolor(NODATA_COLOR)
        shown = np.ma.masked_array(values, ~usable)[::step, ::step]
        if not usable.any():
            axes.imshow(np.ma.masked_all(shown.shape))
            axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", color=QUIET_COLOR)
            return
        known = values[usable]
        low, high = style.limits(known)
        norm: dict[str, Any] = dict(vmin=low, vmax=high)
        if isinstance(style.colors, ListedColormap) and style.ticks:
            norm = dict(norm=BoundaryNorm(np.arange(low, high + 1), style.colors.N))
        drawn = axes.imshow(shown, cmap=style.colors, interpolation="nearest", **norm)
        _draw_bar(axes, drawn, style, below=known.min() < low, above=known.max() > high)

    return draw


def _draw_bar(axes: Axes, drawn: Any, style: BandStyle, *, below: bool, above: bool) -> None:
    """Draw the bar of colours below a panel; pointed where values lie beyond its ends."""
    figure = axes.figure
    panel, inch = axes.get_position(), 1 / figure.get_figheight()
    place = figure.add_axes((panel.x0, panel.y0 - 0.18 * inch, panel.width, BAR_INCHES * inch))
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]
    bar = figure.colorbar(drawn, cax=place, orientation="horizontal", extend=extend)
    if style.ticks:
        bar.set_ticks(list(style.ticks), labels=list(style.ticks.values()))
    else:
        bar.locator.set_params(nbins=5)
        bar.update_ticks()
    bar.ax.minorticks_off()
    bar.outline.set(linewidth=0.5, edgecolor=INK_COLOR)
    bar.ax.tick_params(labelsize=8, length=2, colors=INK_COLOR, pad=1.5)
    bar.set_label(style.unit, fontsize=8.5, color=QUIET_COLOR, labelpad=1)
