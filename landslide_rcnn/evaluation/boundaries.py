"""Predicted and true landslide pixels -> how well their borders agree, band by band.

What the edge loss is for: a map may be right about the area and vague about the border. A
boundary pixel is a landslide pixel beside a background one (above, below, left or right). Where a
landslide ends at the scene's edge or at pixels without prediction or truth, nobody knows its
border: there is no boundary.

Distances are between centres of pixels, exact up to `MAX_DISTANCE_PX`; all above count as that.
So a false alarm far from everything weighs as much as one nearby, bands need to know only so many
rows around them, and a scene of any size is measured exactly, as one array would be.

Shape letters: h, w pixels of a band; n, m pixels of a block with its surroundings.
Units: pixels; metres are pixels times the mean ground size of a pixel.
"""

from typing import Any

import cv2
import numpy as np

from landslide_rcnn.errors import ConfigError, ShapeError

TOLERANCES_PX = (1, 2, 4)
# The paper's 2 % of an image's diagonal would be hundreds of pixels on a scene.
IOU_DISTANCE_PX = 4
MAX_DISTANCE_PX = 100
# Float32 holds the squares of distances exactly up to 4096; the surroundings of a block should
# not be many times its own size.
LARGEST_MAX_DISTANCE_PX = 1000

# What is measured at once, without its surroundings. Larger blocks have less of those to measure
# twice, and a scene of 36000 columns waits in 44 MB.
BLOCK_ROWS, BLOCK_COLUMNS = 1024, 4096

PREDICTED, TRUE, VALID = 1, 2, 4  # bits of a waiting pixel

_STEPS = np.arange(-IOU_DISTANCE_PX, IOU_DISTANCE_PX + 1)
# [9, 9] uint8: 1 where the centre is no farther than that.
_IOU_DISC = (_STEPS[:, None] ** 2 + _STEPS**2 <= IOU_DISTANCE_PX**2).astype(np.uint8)

# What each number of `BoundaryCounter.finish` is, for the JSON files.
BOUNDARY_DEFINITIONS = {
    "boundary": "landslide pixels with a background pixel above, below, left or right; the "
    "scene's edge and pixels without prediction or truth make no boundary",
    "f_score": "harmonic mean of precision (predicted boundary pixels with a true one within the "
    "tolerance, centre to centre) and recall (the other way round), as of Csurka et al. 2013; "
    "null without a true boundary, 0 without a predicted one; tolerance_m is tolerance_px times "
    "the mean ground size of a pixel",
    "boundary_iou": f"IoU of the landslide pixels within {IOU_DISTANCE_PX} pixels of the "
    "background, predicted and true (Cheng et al. 2021, there 2 % of an image's diagonal); null "
    "without a true boundary",
    "mean_distance_px": "mean over all boundary pixels, predicted and true, of the distance to "
    "the nearest one of the other side; distances above max_distance_px count as that, and "
    "beyond_max_share says how many they are; null unless both sides have a boundary",
    "p95_distance_px": "the distance, of the same, that 95 % of the boundary pixels keep",
}


class BoundaryCounter:
    """Measures how well borders agree, while the bands of a scene stream by.

    Args:
        max_distance_px: What larger distances count as, a whole number. The rows that are held
            are a few times as many.

    Raises:
        ConfigError: `max_distance_px` is below the largest tolerance, or too large.
    """

    def __init__(self, max_distance_px: int = MAX_DISTANCE_PX) -> None:
        least = max(*TOLERANCES_PX, IOU_DISTANCE_PX)
        if not least <= max_distance_px <= LARGEST_MAX_DISTANCE_PX:
            raise ConfigError(
                f"max_distance_px must lie in {least}..{LARGEST_MAX_DISTANCE_PX}. "
                f"Received: {max_distance_px}. Use {MAX_DISTANCE_PX}."
            )
        self._max = max_distance_px
        # A pixel more than the distance: what is a boundary there, its neighbours say.
        self._margin = max_distance_px + 1
        self._waiting: np.ndarray | None = None  # [rows, w + 2 margins] uint8 bits
        # How many boundary pixels lie at each squared distance, the last: beyond the largest.
        self._predicted_at = np.zeros(max_distance_px**2 + 2, np.int64)
        self._true_at = np.zeros(max_distance_px**2 + 2, np.int64)
        self._bands_both = self._bands_either = 0

    def add(self, predicted: np.ndarray, true: np.ndarray, valid_mask: np.ndarray) -> None:
        """Take the next band below.

        Args:
            predicted: [h, w] bool, True = landslide.
            true: [h, w] bool, True = landslide.
            valid_mask: [h, w] bool, True = prediction and truth are known and asked for.

        Raises:
            ShapeError: The shapes differ, or the width is not that of the bands above.
        """
        shapes = {np.shape(predicted), np.shape(true), np.shape(valid_mask)}
        margin, width = self._margin, np.shape(valid_mask)[1]
        if self._waiting is None:  # around the scene nothing is valid
            self._waiting = np.zeros((margin, width + 2 * margin), np.uint8)
        if len(shapes) > 1 or self._waiting.shape[1] != width + 2 * margin:
            raise ShapeError(
                "Prediction, truth and valid_mask of all bands must have one shape and width. "
                f"Received: {', '.join(map(str, sorted(shapes)))}. Cut them to the same window."
            )
        valid = np.asarray(valid_mask, bool)
        bits = valid * np.uint8(VALID)
        bits |= (valid & np.asarray(predicted, bool)) * np.uint8(PREDICTED)
        bits |= (valid & np.asarray(true, bool)) * np.uint8(TRUE)
        self._waiting = np.concatenate([self._waiting, np.pad(bits, ((0, 0), (margin, margin)))])
        while len(self._waiting) >= BLOCK_ROWS + 2 * margin:
            self._measure_rows(BLOCK_ROWS)

    def finish(self, pixel_size_m: float | None = None) -> dict[str, Any]:
        """Return the numbers, at the end; see `BOUNDARY_DEFINITIONS` for each.

        Args:
            pixel_size_m: The mean ground size of a pixel (`ground.pixel_size_m`); without it
                everything in metres is None.

        Returns:
            `f_score` (for each of `TOLERANCES_PX` tolerance_px, tolerance_m, precision, recall,
            value), `boundary_iou`, `boundary_iou_distance_px`, `mean_distance_px`,
            `mean_distance_m`, `p95_distance_px`, `p95_distance_m`, `max_distance_px`,
            `beyond_max_share`, `predicted_boundary_px`, `true_boundary_px`. Undefined numbers are
            None.
        """
        if self._waiting is not None:
            below = np.zeros((self._margin, self._waiting.shape[1]), np.uint8)
            self._waiting = np.concatenate([self._waiting, below])
            while len(self._waiting) > 2 * self._margin:
                self._measure_rows(min(BLOCK_ROWS, len(self._waiting) - 2 * self._margin))
        predicted, true = int(self._predicted_at.sum()), int(self._true_at.sum())
        iou = self._bands_both / self._bands_either if true else None
        distances = self._distances() if predicted and true else {}
        in_metres = {
            name.replace("_px", "_m"): None if pixel_size_m is None else value * pixel_size_m
            for name, value in distances.items()
        }
        names = ("mean_distance_px", "mean_distance_m", "p95_distance_px", "p95_distance_m")
        beyond = int(self._predicted_at[-1] + self._true_at[-1])
        return {
            "f_score": [self._f_score(tolerance, pixel_size_m) for tolerance in TOLERANCES_PX],
            "boundary_iou": iou,
            "boundary_iou_distance_px": IOU_DISTANCE_PX,
            **dict.fromkeys(names),
            **distances,
            **in_metres,
            "max_distance_px": self._max,
            "beyond_max_share": beyond / (predicted + true) if distances else None,
            "predicted_boundary_px": predicted,
            "true_boundary_px": true,
        }

    def _f_score(self, tolerance: int, pixel_size_m: float | None) -> dict[str, float | None]:
        """Return one row of `f_score`."""
        precision, recall = (
            int(at[: tolerance**2 + 1].sum()) / int(at.sum()) if at.any() else None
            for at in (self._predicted_at, self._true_at)
        )
        if recall is None:  # nothing to be measured against
            precision = value = None
        elif not precision or not recall:
            value = 0.0
        else:
            value = 2 * precision * recall / (precision + recall)
        return {
            "tolerance_px": tolerance,
            "tolerance_m": None if pixel_size_m is None else tolerance * pixel_size_m,
            "precision": precision,
            "recall": recall,
            "value": value,
        }

    def _distances(self) -> dict[str, float]:
        """Return the mean and the 95th percentile over both sides, pixels."""
        at = self._predicted_at + self._true_at
        distance = np.sqrt(np.arange(len(at)))
        distance[-1] = self._max
        place = np.searchsorted(np.cumsum(at) * 100, at.sum() * 95)
        return {
            "mean_distance_px": float((at * distance).sum() / at.sum()),
            "p95_distance_px": float(distance[place]),
        }

    def _measure_rows(self, height: int) -> None:
        """Measure the first rows that wait, after the margin, and let them go."""
        margin = self._margin
        rows = self._waiting[: height + 2 * margin]
        width = rows.shape[1] - 2 * margin
        for left in range(0, width, BLOCK_COLUMNS):
            right = min(left + BLOCK_COLUMNS, width)
            self._measure(rows[:, left : right + 2 * margin])
        self._waiting = self._waiting[height:].copy()

    def _measure(self, bits: np.ndarray) -> None:
        """Count the middle of a block [n, m] of bits that has its margins around it."""
        middle = (slice(self._margin, -self._margin),) * 2
        if not (bits[middle] & (PREDICTED | TRUE)).any():
            return
        valid = (bits & VALID) > 0
        masks = [(bits & bit) > 0 for bit in (PREDICTED, TRUE)]
        predicted, true = (_boundary(mask, valid & ~mask) for mask in masks)
        self._predicted_at += self._count_distances(predicted, true)
        self._true_at += self._count_distances(true, predicted)
        # Only so much around the middle matters here.
        cut = self._margin - IOU_DISTANCE_PX
        near = (slice(cut, -cut),) * 2
        inner = (slice(IOU_DISTANCE_PX, -IOU_DISTANCE_PX),) * 2
        bands = []
        for mask in masks:
            background = (valid & ~mask)[near].astype(np.uint8)
            bands.append(mask[middle] & (cv2.dilate(background, _IOU_DISC)[inner] > 0))
        self._bands_both += int(np.count_nonzero(bands[0] & bands[1]))
        self._bands_either += int(np.count_nonzero(bands[0] | bands[1]))

    def _count_distances(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Count the middle's True pixels of `starts` by squared distance to those of `ends`."""
        beyond = self._max**2 + 1
        margin = slice(self._margin, -self._margin)
        starts = starts[margin, margin]
        if not starts.any():
            return np.zeros(beyond + 1, np.int64)
        # The outermost pixels cannot know whether they are a boundary.
        distance = _distance_to(ends[1:-1, 1:-1])[self._max : -self._max, self._max : -self._max]
        squares = np.rint(distance[starts].astype(float) ** 2)
        return np.bincount(np.minimum(squares, beyond).astype(int), minlength=beyond + 1)


def _boundary(mask: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Return the pixels of a mask [n, m] that have a background pixel beside them."""
    beside = np.zeros_like(background)
    beside[1:] |= background[:-1]
    beside[:-1] |= background[1:]
    beside[:, 1:] |= background[:, :-1]
    beside[:, :-1] |= background[:, 1:]
    return mask & beside


def _distance_to(ends: np.ndarray) -> np.ndarray:
    """Return the distance of every pixel [n, m] to the nearest True one, float32, exact."""
    if not ends.any():
        return np.full(ends.shape, np.inf, np.float32)
    return cv2.distanceTransform((~ends).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
