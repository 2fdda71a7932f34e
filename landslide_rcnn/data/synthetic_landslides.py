"""Landslides of a generated scene: where they start, how they run, what they look like.

Second step of `synthetic.py`. A landslide starts on a steep slope, follows the ground's steepest
descent, is wide at its source and at its toe, and ends where the slope does.

Shape letters: H, W pixels of the scene; h, w pixels of a landslide's own window; n steps of its
path. Lengths are in pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from landslide_rcnn.data.synthetic_terrain import Terrain

CELL = 172  # one landslide is tried in each square of this side, so that both halves have some
TRIES_PER_CELL = 8
MIN_SOURCE_SLOPE_DEG = 24.0
MIN_RUNOUT_SLOPE_DEG = 11.0
MIN_LENGTH, MIN_AREA = 40, 500
GAP = 5  # between two landslides, so that each polygon stands alone
STEP = 2.0  # between two points of a path


@dataclass(frozen=True)
class Landslide:
    """One landslide, in its own window.

    Attributes:
        window: Rows and columns of the scene.
        mask: [h, w] bool.
        along: [h, w] float32, place along the path: 0 at the source, 1 at the toe.
        across: [h, w] float32, signed distance from the path, in half widths.
        half_width: [h, w] float32, pixels, of the nearest point of the path.
    """

    window: tuple[slice, slice]
    mask: np.ndarray
    along: np.ndarray
    across: np.ndarray
    half_width: np.ndarray


def make_landslides(
    rng: np.random.Generator, terrain: Terrain, forbidden: np.ndarray, ragged: np.ndarray
) -> tuple[list[Landslide], np.ndarray]:
    """Place landslides evenly over the steep slopes.

    Args:
        rng: Source of randomness.
        terrain: The ground.
        forbidden: [H, W] bool, where no landslide may be (the river).
        ragged: [H, W] float32, noise that frays the outlines.

    Returns:
        landslides: In the order of their numbers.
        labels: [H, W] int32, 0 = none, i + 1 = landslide i.
    """
    labels = np.zeros(terrain.elevation.shape, np.int32)
    landslides: list[Landslide] = []
    taken = forbidden.copy()
    for rows, columns in _cells(*labels.shape):
        for _ in range(TRIES_PER_CELL):
            landslide = _try_landslide(rng, terrain, rows, columns, ragged)
            if landslide is None or (landslide.mask & taken[landslide.window]).any():
                continue
            landslides.append(landslide)
            labels[landslide.window][landslide.mask] = len(landslides)
            _take(taken, landslide)
            break
    return landslides, labels


def _take(taken: np.ndarray, landslide: Landslide) -> None:
    """Mark a landslide's pixels, and a margin around them, as taken."""
    rows, columns = landslide.window
    top, left = max(rows.start - GAP, 0), max(columns.start - GAP, 0)
    around = taken[top : rows.stop + GAP, left : columns.stop + GAP]
    own = np.zeros(around.shape, np.uint8)
    height, width = landslide.mask.shape
    own[rows.start - top :, columns.start - left :][:height, :width] = landslide.mask
    around |= cv2.dilate(own, np.ones((2 * GAP + 1, 2 * GAP + 1), np.uint8)).view(bool)


def _cells(height: int, width: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield (row range, column range) of cells that cover the scene."""
    row_edges = np.linspace(0, height, max(round(height / CELL), 1) + 1).astype(int)
    column_edges = np.linspace(0, width, max(round(width / CELL), 1) + 1).astype(int)
    for rows in zip(row_edges, row_edges[1:]):
        for columns in zip(column_edges, column_edges[1:]):
            yield rows, columns


def _try_landslide(
    rng: np.random.Generator,
    terrain: Terrain,
    rows: tuple[int, int],
    columns: tuple[int, int],
    ragged: np.ndarray,
) -> Landslide | None:
    """Return a landslide that starts in a cell, or None where its start is not suitable."""
    # The steepest of a few places: sources are not random, and neither are the tries wasted.
    places = np.stack([rng.integers(*rows, 6), rng.integers(*columns, 6)], axis=1)
    slopes = terrain.slope_deg[places[:, 0], places[:, 1]]
    source = places[slopes.argmax()]
    if slopes.max() < MIN_SOURCE_SLOPE_DEG:
        return None
    length = rng.triangular(55, 110, 205)
    path = _path(terrain, source, length)
    if (len(path) - 1) * STEP < MIN_LENGTH:
        return None
    width = np.clip(length * rng.uniform(0.24, 0.42), 20, 60)
    return _shape(path, width / 2, rng, ragged)


def _path(terrain: Terrain, source: np.ndarray, length: float) -> np.ndarray:
    """Follow the steepest descent from a source; returns points [n, (y, x)]."""
    height, width = terrain.elevation.shape
    point, heading = source.astype(float), np.zeros(2)
    points = [point]
    while (len(points) - 1) * STEP < length:
        row, column = int(point[0]), int(point[1])
        if terrain.slope_deg[row, column] < MIN_RUNOUT_SLOPE_DEG:
            break
        descent = terrain.downhill[row, column]
        # Momentum keeps the path smooth where the ground is rough.
        heading = 0.75 * heading + 0.25 * descent / np.hypot(*descent)
        heading /= np.hypot(*heading)
        point = point + STEP * heading
        if not (0 <= point[0] < height and 0 <= point[1] < width):
            break
        points.append(point)
    return np.array(points)


def _shape(
    path: np.ndarray, half_width: float, rng: np.random.Generator, ragged: np.ndarray
) -> Landslide | None:
    """Give a path a width that changes along it, and a frayed edge."""
    margin = int(1.7 * half_width) + 2
    limits = np.array(ragged.shape)
    low = np.maximum(np.floor(path.min(axis=0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(path.max(axis=0)).astype(int) + margin + 1, limits)
    window = (slice(low[0], high[0]), slice(low[1], high[1]))

    steps = np.linspace(0, 1, len(path))
    waist = rng.uniform(0.5, 0.75)
    profile = np.interp(steps, [0, 0.18, 0.55, 0.85, 1], [0.62, 1.0, waist, waist * 1.15, 0.45])
    # The distance to the path, and which of its points is nearest, at every pixel.
    rows, columns = np.mgrid[window].astype(np.float32)
    pixels = np.stack([rows, columns], axis=-1)[:, :, None]
    offsets = pixels - path[::2].astype(np.float32)  # [h, w, n / 2, 2]
    squared = (offsets**2).sum(axis=-1)
    nearest = squared.argmin(axis=-1)
    distance = np.sqrt(np.take_along_axis(squared, nearest[..., None], -1)[..., 0])
    radius = (half_width * profile[::2])[nearest].astype(np.float32)
    inside = distance < radius * (1 + 0.2 * np.clip(ragged[window], -2, 2))

    count, parts, stats, _ = cv2.connectedComponentsWithStats(inside.view(np.uint8), connectivity=4)
    if count < 2:
        return None
    mask = parts == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    mask = ndimage.binary_fill_holes(mask)
    if mask.sum() < MIN_AREA:
        return None
    tangent = np.gradient(path, STEP, axis=0)[::2][nearest]
    offset = np.take_along_axis(offsets, nearest[..., None, None], axis=2)[:, :, 0]
    across = tangent[..., 0] * offset[..., 1] - tangent[..., 1] * offset[..., 0]
    return Landslide(
        window,
        mask,
        steps[::2][nearest].astype(np.float32),
        (across / half_width).astype(np.float32),
        radius,
    )
