"""Rasters of a map -> small pictures for the page, as data URIs.

Scenes of any size: scene and probability are read from their own overviews, the error map in
bands of rows. All pictures show the whole map, at most `MAX_SIDE` pixels a side.

Shape letters: h, w pixels of a picture; H, W pixels of the map. Colours: [h, w, RGBA] uint8.
"""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import shapely
from affine import Affine
from PIL import Image
from rasterio.windows import Window

from landslide_rcnn.evaluation.error_map import CORRECT, FALSE, MISSED
from landslide_rcnn.geo.probability import ProbabilityMap, decode_percent
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.resampled import Resampled
from landslide_rcnn.geo.source import overview_size
from landslide_rcnn.geo.writing import Grid
from landslide_rcnn.inference.outlines import rings_of
from landslide_rcnn.palette import (
    CORRECT_COLOR,
    FALSE_COLOR,
    MISSED_COLOR,
    PREDICTION_COLOR,
    TRUTH_COLOR,
    rgb_of,
)
from landslide_rcnn.visualize.bands import colour_bands
from landslide_rcnn.visualize.canvas import PROBABILITY_COLORS

MAX_SIDE = 2048  # pixels of a picture on the page
MAX_PRINTED_SIDE = 1400  # of a picture on paper: 200 dots an inch, 18 cm wide
BAND_ROWS = 256
FAINT = 0.03  # probabilities below it are not painted
STRETCH = 2.0, 98.0  # percentiles that become black and white where values are no colours

Tick = Callable[[int], object]


def scene_picture(paths: list[Path], grid: Grid, max_side: int = MAX_SIDE) -> np.ndarray:
    """Return the scene on the map's grid, [h, w, RGBA]; unusable pixels are transparent.

    True colours where the bands' names tell them (`colour_bands`), else the first three, else
    grey. Values that are no bytes are stretched.

    Args:
        paths: Of the scene; on the map's grid or any other.
        grid: Of the map.
        max_side: Pixels.

    Raises:
        RasterError: A file cannot be read.
        GeoReferenceError: There is no way from its CRS to the map's.
    """
    with Scene(list(paths), allow_no_crs=True) as scene:
        if scene.grid == grid:
            image, valid, _ = scene.overview(max_side)
        else:
            image, valid, _ = Resampled(scene, _overview_grid(grid, max_side)).overview(max_side)
        image = colour_bands(image, scene.band_names)
    rgb = image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, axis=-1)
    if rgb.dtype != np.uint8:
        rgb = _stretched(rgb.astype(np.float32), valid)
    return np.dstack([rgb, np.where(valid, 255, 0).astype(np.uint8)])


def _overview_grid(grid: Grid, max_side: int) -> Grid:
    height, width, _ = overview_size(grid.height, grid.width, max_side)
    scale = Affine.scale(grid.width / width, grid.height / height)
    return Grid(height, width, grid.crs, grid.transform * scale)


def _stretched(rgb: np.ndarray, valid: np.ndarray) -> np.ndarray:
    known = rgb[valid & np.isfinite(rgb).all(axis=-1)]
    if not len(known):
        return np.zeros(rgb.shape, np.uint8)
    low, high = np.percentile(known, STRETCH, axis=0)
    scaled = (np.nan_to_num(rgb) - low) / np.maximum(high - low, 1e-9)
    return (255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def probability_picture(path: Path, max_side: int = MAX_SIDE) -> np.ndarray:
    """Return the mean probability, [h, w, RGBA]: the fainter, the more transparent.

    Raises:
        RasterError: The file is no probability raster.
    """
    with ProbabilityMap(path) as probability:
        values, valid, _ = probability.scene.overview(max_side)
        values = values[..., 0]
        known = values if probability.steps is None else decode_percent(values)
    known = np.where(valid, np.nan_to_num(known), 0)
    picture = (255 * PROBABILITY_COLORS(known)).astype(np.uint8)
    picture[..., 3] = np.where(known < FAINT, 0, 255 * (0.25 + 0.65 * known))
    return picture


class Verdicts(NamedTuple):
    """How much of each pixel of a picture is correct, missed and false.

    Attributes:
        shares: [h, w, (correct, missed, false)] float32 in [0, 1].
    """

    shares: np.ndarray

    def error_picture(self) -> np.ndarray:
        """Return [h, w, RGBA] in the paper's colours; transparent where nothing is landslide."""
        return _mixed(self.shares, (CORRECT_COLOR, MISSED_COLOR, FALSE_COLOR))

    def truth_picture(self) -> np.ndarray:
        """Return [h, w, RGBA] of what is truly landslide, where it was judged."""
        return _mixed(self.shares[..., :2].sum(axis=-1, keepdims=True), (TRUTH_COLOR,))


def _mixed(shares: np.ndarray, colors: tuple[str, ...]) -> np.ndarray:
    """Mix colours by their shares [h, w, n]; a pixel is as opaque as they cover it."""
    covered = shares.sum(axis=-1)
    mixed = shares @ np.array([rgb_of(each) for each in colors], np.float32)
    rgb = mixed / np.maximum(covered, 1e-6)[..., None]
    # What covers a tenth of a pixel of the picture shall still be seen.
    alpha = np.where(covered > 0, np.clip(0.15 + 0.85 * covered, 0, 1), 0)
    return np.dstack([rgb, 255 * alpha]).round().astype(np.uint8)


def verdicts(error_map: Path, max_side: int = MAX_SIDE, tick: Tick = lambda rows: None) -> Verdicts:
    """Return what all pixels of an error map say, at the size of a picture.

    Args:
        error_map: `error_map.tif` of an evaluation.
        max_side: Pixels.
        tick: Called with the number of rows of the map that are done.

    Raises:
        RasterError: The file cannot be read.
    """
    with Scene(error_map, allow_no_crs=True) as scene:
        height, width, _ = overview_size(scene.height, scene.width, max_side)
        shares = np.zeros((height, width, 3), np.float32)
        rows, columns = _targets(scene.height, height), _targets(scene.width, width)
        for top in range(0, scene.height, BAND_ROWS):
            band = Window(0, top, scene.width, min(BAND_ROWS, scene.height - top))
            kinds = scene.read(band)[..., 0]
            down = rows[top : top + band.height]
            for index, kind in enumerate((CORRECT, MISSED, FALSE)):
                found = kinds == kind
                if found.any():
                    counts = np.add.reduceat(found, _starts(columns), axis=1, dtype=np.float32)
                    counts = np.add.reduceat(counts, _starts(down), axis=0)
                    shares[down[0] : down[-1] + 1, :, index] += counts
            tick(band.height)
        area = np.outer(np.bincount(rows), np.bincount(columns))
    return Verdicts(shares / area[..., None].astype(np.float32))


def _targets(size: int, small: int) -> np.ndarray:
    """Return for each of `size` pixels the one of `small` that it falls into."""
    return np.minimum(np.arange(size) * small // size, small - 1)


def _starts(targets: np.ndarray) -> np.ndarray:
    """Return where each new target begins."""
    return np.flatnonzero(np.diff(targets, prepend=-1))


def printed_map(
    background: np.ndarray | None, shapes: np.ndarray, grid: Grid, max_side: int = MAX_PRINTED_SIDE
) -> np.ndarray:
    """Paint the map for paper and for browsers without scripts, [h, w, RGB].

    Args:
        background: [h, w, RGBA], or None.
        shapes: Polygons in the grid's CRS.
        grid: Of the map.
        max_side: Pixels.
    """
    height, width, factor = overview_size(grid.height, grid.width, max_side)
    picture = np.full((height, width, 3), 255, np.uint8)
    if background is not None:
        small = cv2.resize(background, (width, height), interpolation=cv2.INTER_AREA)
        alpha = small[..., 3:] / np.float32(255)
        picture = (alpha * small[..., :3] + (1 - alpha) * 255).astype(np.uint8)
    inverse = ~grid.transform
    rings, _, _ = rings_of(np.asarray(shapes, object))
    lines = []
    for ring in rings:
        x, y = shapely.get_coordinates(ring).T
        column, row = inverse * (x, y)
        lines.append(np.rint(np.column_stack([column, row]) / factor * 8).astype(np.int32))
    color = rgb_of(PREDICTION_COLOR)
    thin = len(lines) > 2000  # many small ones would run into each other
    for line_color, thickness in (((16, 24, 32), 3), (color, 1)) if not thin else ((color, 1),):
        cv2.polylines(picture, lines, True, line_color, thickness, cv2.LINE_AA, shift=3)
    return picture


def printed_errors(background: np.ndarray | None, errors: np.ndarray) -> np.ndarray:
    """Paint the error map over a pale grey scene for paper, [h, w, RGB]."""
    height, width, _ = overview_size(*errors.shape[:2], MAX_PRINTED_SIDE)
    errors = cv2.resize(errors, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    under = np.full((height, width, 1), 235, np.float32)
    if background is not None:
        small = cv2.resize(background, (width, height), interpolation=cv2.INTER_AREA)
        grey = small[..., :3].mean(axis=-1, keepdims=True)
        under = np.where(small[..., 3:] > 0, 110 + 0.5 * grey, 255)
    alpha = errors[..., 3:] / 255
    return (alpha * errors[..., :3] + (1 - alpha) * under).astype(np.uint8)


# How a picture is kept -> Pillow's format and options.
ENCODINGS = {
    "photograph": ("WEBP", {"quality": 82, "method": 4}),
    "classes": ("WEBP", {"lossless": True, "quality": 60, "method": 3}),
    "printed": ("JPEG", {"quality": 86, "optimize": True}),
}


def data_uri(picture: np.ndarray, encoding: str) -> str:
    """Return a picture [h, w, RGB or RGBA] as a data URI; see `ENCODINGS`."""
    kind, options = ENCODINGS[encoding]
    target = io.BytesIO()
    Image.fromarray(picture).save(target, kind, **options)
    text = base64.b64encode(target.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{text}"
