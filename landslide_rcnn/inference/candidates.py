"""One tile's prediction -> candidates: the instances it proposes, in scene pixels.

Between `predict_tiles` and `merge.InstanceMerger`. A candidate's mask is kept as the packed bits
of its own bounding box, an eighth of a byte per pixel, because all candidates along a row of
tiles wait for the next row.

Shape letters: H, W pixels of a tile; h, w pixels of a mask's bounding box.
"""

from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window
from scipy import ndimage

from landslide_rcnn.prediction import TilePrediction

# Candidate pixels reach the threshold up to this much. Blending rounds: tiles that all say
# 0.49999997 may average to 0.5, and that mask pixel should still belong to its landslide.
ROUNDING = 1e-6

# Two views of one landslide share at least half of the smaller view, see `agree`.
AGREEMENT = 0.5


@dataclass(frozen=True)
class PackedMask:
    """A boolean mask in its tight bounding box.

    Attributes:
        box: (y1, x1, y2, x2), scene pixels, half-open.
        area: True pixels.
        bits: [h, ceil(w / 8)] uint8, `np.packbits` along the columns.
    """

    box: tuple[int, int, int, int]
    area: int
    bits: np.ndarray

    @classmethod
    def pack(cls, mask: np.ndarray, row_off: int, col_off: int) -> "PackedMask":
        """Pack a mask [H, W] with at least one True pixel; its first pixel is at the offsets."""
        rows = np.flatnonzero(mask.any(axis=1))
        cols = np.flatnonzero(mask.any(axis=0))
        top, bottom, left, right = rows[0], rows[-1] + 1, cols[0], cols[-1] + 1
        tight = mask[top:bottom, left:right]
        box = (row_off + top, col_off + left, row_off + bottom, col_off + right)
        return cls(
            tuple(int(edge) for edge in box),
            int(np.count_nonzero(tight)),
            np.packbits(tight, axis=1),
        )

    def cut(self, box: tuple[int, int, int, int]) -> np.ndarray:
        """Return the mask inside `box`, a part of this mask's own box, as bool."""
        y1, x1, y2, x2 = box
        top, left = self.box[:2]
        rows = np.unpackbits(self.bits[y1 - top : y2 - top], axis=1, count=self.box[3] - left)
        return rows[:, x1 - left : x2 - left].astype(bool)

    def paint(self, canvas: np.ndarray, row_off: int, col_off: int) -> None:
        """Set this mask's pixels in a bool array whose first pixel is at the offsets."""
        y1, x1, y2, x2 = self.box
        canvas[y1 - row_off : y2 - row_off, x1 - col_off : x2 - col_off] |= self.cut(self.box)


@dataclass(frozen=True)
class Candidate:
    """What one tile says about one landslide.

    Attributes:
        mask: Its pixels in the scene.
        evidence: [h, w] float32 in the mask's box: score x mask probability.
        score: In [0, 1].
        class_id: 1..K-1.
    """

    mask: PackedMask
    evidence: np.ndarray
    score: float
    class_id: int


def candidates_of(
    prediction: TilePrediction, valid_mask: np.ndarray, window: Window, threshold: float
) -> list[Candidate]:
    """Cut a tile's instances at the threshold and move them into the scene.

    An instance without a single valid pixel that reaches the threshold is no candidate.

    Args:
        prediction: The tile's.
        valid_mask: [H, W] bool; False beyond the scene.
        window: The tile's place.
        threshold: Of score x mask probability.
    """
    instances = prediction.instances
    candidates = []
    for box, score, class_id, probabilities in zip(
        instances.boxes,
        instances.scores,
        instances.class_ids,
        instances.mask_probabilities,
        strict=True,
    ):
        y1, x1, y2, x2 = (int(edge) for edge in box)
        evidence = np.asarray(score * probabilities, np.float32)
        # A box may reach beyond its tile; negative offsets would wrap around.
        evidence = evidence[max(-y1, 0) :, max(-x1, 0) :]
        y1, x1, y2, x2 = (max(edge, 0) for edge in (y1, x1, y2, x2))
        valid = valid_mask[y1:y2, x1:x2]
        evidence = evidence[: valid.shape[0], : valid.shape[1]]
        hits = (evidence >= threshold - ROUNDING) & valid
        if not hits.any():
            continue
        mask = PackedMask.pack(hits, window.row_off + y1, window.col_off + x1)
        top, left = mask.box[0] - window.row_off - y1, mask.box[1] - window.col_off - x1
        height, width = mask.box[2] - mask.box[0], mask.box[3] - mask.box[1]
        evidence = evidence[top : top + height, left : left + width]
        candidates.append(Candidate(mask, evidence, float(score), int(class_id)))
    return candidates


def intersection(*boxes: tuple[int, int, int, int]) -> tuple[int, int, int, int] | None:
    """Return the part that all boxes (y1, x1, y2, x2) share, or None."""
    y1, x1 = max(box[0] for box in boxes), max(box[1] for box in boxes)
    y2, x2 = min(box[2] for box in boxes), min(box[3] for box in boxes)
    return (y1, x1, y2, x2) if y1 < y2 and x1 < x2 else None


def agree(first: PackedMask, second: PackedMask, shared: tuple[int, int, int, int]) -> bool:
    """Whether two masks, as far as both tiles could see, are one landslide.

    Only the part that lies in both tiles is compared: outside it one of the tiles is blind. There
    the two are one when

    1. their intersection is at least half of the smaller one. Not of their union: near its own
       edge a tile often sees only the stump of a landslide that the other tile sees whole; or
    2. any connected piece of the one and any of the other have an IoU of at least half. A
       landslide like a U enters the shared part twice; each tile may know another arm besides
       the one that both see, and then the intersection is a small share of either.

    With the second rule, tiles that segment alike unite to exactly the 4-connected regions of
    the whole scene. A union, not the smaller one, is right for pieces: a loose speck of one
    landslide on its neighbour must not tie the two together.

    Args:
        first: A candidate's mask.
        second: The other's.
        shared: (y1, x1, y2, x2): the intersection of the two tiles.
    """
    both = intersection(first.box, second.box, shared)
    if both is None:
        return False
    common = np.count_nonzero(first.cut(both) & second.cut(both))
    if common == 0:
        return False
    first_part = intersection(first.box, shared)
    second_part = intersection(second.box, shared)
    first_seen, second_seen = first.cut(first_part), second.cut(second_part)
    smaller = min(np.count_nonzero(first_seen), np.count_nonzero(second_seen))
    if common >= AGREEMENT * smaller:
        return True
    return _pieces_agree(first_seen, first_part, second_seen, second_part, both)


def _pieces_agree(
    first: np.ndarray,
    first_box: tuple[int, int, int, int],
    second: np.ndarray,
    second_box: tuple[int, int, int, int],
    both: tuple[int, int, int, int],
) -> bool:
    """The second rule of `agree`: masks in their boxes, `both` the boxes' intersection."""
    first_labels, first_count = ndimage.label(first)
    second_labels, second_count = ndimage.label(second)
    first_areas = np.bincount(first_labels.ravel(), minlength=first_count + 1)
    second_areas = np.bincount(second_labels.ravel(), minlength=second_count + 1)
    first_labels = _cut(first_labels, first_box, both)
    second_labels = _cut(second_labels, second_box, both)
    touching = (first_labels > 0) & (second_labels > 0)
    pairs, common = np.unique(
        np.stack([first_labels[touching], second_labels[touching]]), axis=1, return_counts=True
    )
    union = first_areas[pairs[0]] + second_areas[pairs[1]] - common
    return bool((common >= AGREEMENT * union).any())


def _cut(
    array: np.ndarray, array_box: tuple[int, int, int, int], box: tuple[int, int, int, int]
) -> np.ndarray:
    """Return the part of `array`, which lies at `array_box`, that lies in `box`."""
    (y1, x1, y2, x2), (top, left) = box, array_box[:2]
    return array[y1 - top : y2 - top, x1 - left : x2 - left]
