"""Candidates of all tiles -> one landslide each, while the tiles stream by.

Second half of `predict_scene`. Tiles arrive in row-major order with their candidates:

1. `add_tile` unites candidates (`candidates.agree`) within the tile and with those of every
   earlier tile that it overlaps, transitively, and lets each candidate claim its pixels.
2. `close_band` gets the finished mask of some rows and deals its pixels out: a pixel belongs to
   the candidate whose claim is strongest; mask pixels that no candidate claims (all of them, for
   a model without instances) form 4-connected regions. Landslides that lie wholly above are
   returned and forgotten.

So the landslides never overlap, and together they are the mask: polygons and mask raster tell
one story. Only masks of tiles in reach, one strip of claims, and the packed pixels of landslides
still open are held.

Shape letters: H, W pixels of a tile; X the scene's width; h, w pixels of a bounding box.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from rasterio.windows import Window
from scipy import ndimage

from landslide_rcnn.inference.candidates import Candidate, PackedMask, agree, intersection
from landslide_rcnn.inference.mosaic import Strip
from landslide_rcnn.prediction import label_regions

# Class of the regions that no instance claims, of a model that knows one class of landslides.
REGION_CLASS = 1


@dataclass(frozen=True)
class MergedInstance:
    """One landslide of the scene.

    Its pixels stay in the parts in which the bands dealt them out: a bounding box as large as
    the scene is never painted.

    Attributes:
        parts: Masks that have no pixel in common, none taller than a band.
        score: Area-weighted mean of its candidates' scores; for a region that no candidate
            claims, the mean probability of its pixels.
        class_id: 1..K-1; for a region that no candidate claims, that of most of its pixels, the
            lowest of equals.
        tile_count: Tiles that saw it: those of its candidates, or, for a region that no
            candidate claims, those with a pixel of it.
    """

    parts: tuple[PackedMask, ...]
    score: float
    class_id: int
    tile_count: int = 1

    @property
    def pixel_count(self) -> int:
        """All pixels of the landslide."""
        return sum(part.area for part in self.parts)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Its bounding box (y1, x1, y2, x2), scene pixels, half-open."""
        boxes = np.array([part.box for part in self.parts])
        return (*map(int, boxes[:, :2].min(axis=0)), *map(int, boxes[:, 2:].max(axis=0)))


@dataclass
class _Group:
    """Candidates that are one landslide, as far as is known.

    `class_pixels` counts the pixels of each class: a region may have several, candidates agree.
    `bottom` is the first scene row below all of their masks; `tiles` are the numbers of the
    tiles that saw it; `parts` are the pixels dealt out.
    """

    members: list[int]
    class_pixels: dict[int, int]
    score_sum: float
    area: int
    bottom: int
    tiles: set[int]
    parts: list[PackedMask] = field(default_factory=list)

    def absorb(self, other: "_Group") -> None:
        self.members += other.members
        for class_id, pixels in other.class_pixels.items():
            self.class_pixels[class_id] = self.class_pixels.get(class_id, 0) + pixels
        self.score_sum += other.score_sum
        self.area += other.area
        self.bottom = max(self.bottom, other.bottom)
        self.tiles |= other.tiles
        self.parts += other.parts

    def assemble(self) -> MergedInstance:
        """Return the landslide."""
        class_id = min(self.class_pixels, key=lambda each: (-self.class_pixels[each], each))
        return MergedInstance(
            tuple(self.parts), self.score_sum / self.area, class_id, len(self.tiles)
        )


class _Groups:
    """Union-find over candidate ids, counted from 1, that can forget closed groups."""

    def __init__(self) -> None:
        self._parents: dict[int, int] = {}
        self._groups: dict[int, _Group] = {}
        self._last_id = 0

    def new(
        self, class_pixels: dict[int, int], score: float, area: int, bottom: int, tiles: set[int]
    ) -> int:
        """Open a group of one candidate and return the candidate's id."""
        self._last_id += 1
        self._parents[self._last_id] = self._last_id
        self._groups[self._last_id] = _Group(
            [self._last_id], class_pixels, score * area, area, bottom, tiles
        )
        return self._last_id

    def root(self, member: int) -> int:
        """Return the id that stands for the member's group."""
        root = member
        while self._parents[root] != root:
            root = self._parents[root]
        while self._parents[member] != root:
            self._parents[member], member = root, self._parents[member]
        return root

    def of(self, member: int) -> _Group:
        return self._groups[self.root(member)]

    def unite(self, first: int, second: int) -> None:
        first, second = self.root(first), self.root(second)
        if first == second:
            return
        if len(self._groups[first].members) < len(self._groups[second].members):
            first, second = second, first
        self._parents[second] = first
        self._groups[first].absorb(self._groups.pop(second))

    def close(self, row: int | None) -> list[_Group]:
        """Forget and return the groups that end above scene row `row`; all of them for None."""
        closed = [root for root, group in self._groups.items() if row is None or group.bottom < row]
        groups = [self._groups.pop(root) for root in closed]
        for group in groups:
            for member in group.members:
                del self._parents[member]
        return groups


@dataclass
class _OpenTile:
    """What is kept of a tile until no later tile can reach it.

    `mask_boxes` [N, (y1, x1, y2, x2)] and `class_ids` [N] find the few masks worth comparing.
    """

    box: tuple[int, int, int, int]
    ids: list[int]
    masks: list[PackedMask]
    mask_boxes: np.ndarray
    class_ids: np.ndarray

    def near(self, box: tuple[int, int, int, int], class_id: int) -> np.ndarray:
        """Return the indexes of the masks of a class whose boxes overlap `box`.

        A closed candidate, whose id is forgotten, lies above every later tile and never here.
        """
        below = (self.mask_boxes[:, 2:] > box[:2]).all(axis=1)
        above = (self.mask_boxes[:, :2] < box[2:]).all(axis=1)
        return np.flatnonzero(below & above & (self.class_ids == class_id))


class InstanceMerger:
    """Unites the candidates of overlapping tiles; see the module's head for the two steps.

    Attributes:
        dissolved_count: Landslides of which no pixel was left: neighbouring tiles outvoted them
            in the blended probability, or stronger claims took every pixel.

    Args:
        rows: Strip height: a tile and the rows that may wait to be closed.
        width: Scene width, pixels.
    """

    def __init__(self, rows: int, width: int) -> None:
        self.dissolved_count = 0
        self._rows, self._width = rows, width
        self._groups = _Groups()
        self._tiles: list[_OpenTile] = []
        # (number, box) of the tiles that reach below the closed rows, with candidates or not.
        self._seen: list[tuple[int, tuple[int, int, int, int]]] = []
        self._tile_count = 0
        # Made at the first candidate: a model without instances needs neither.
        self._owner: Strip | None = None
        self._claim: Strip | None = None
        self._closed_rows = 0
        self._regions_above = np.zeros(width, np.int32)

    def add_tile(self, window: Window, candidates: list[Candidate]) -> None:
        """Unite a tile's candidates with each other and with those of earlier tiles.

        Args:
            window: The tile's place. Windows come in row-major order.
            candidates: Of this tile, in scene pixels.
        """
        box = _box(window)
        self._tile_count += 1
        self._seen.append((self._tile_count, box))
        self._tiles = [tile for tile in self._tiles if tile.box[2] > window.row_off]
        ids = [
            self._groups.new(
                {each.class_id: each.mask.area},
                each.score,
                each.mask.area,
                each.mask.box[2],
                {self._tile_count},
            )
            for each in candidates
        ]
        if not ids:
            return
        tile = _OpenTile(
            box,
            ids,
            [each.mask for each in candidates],
            np.array([each.mask.box for each in candidates]),
            np.array([each.class_id for each in candidates]),
        )
        self._tiles.append(tile)  # with itself: duplicates in one tile, a part beside its whole
        for other in self._tiles:
            shared = intersection(box, other.box)
            if shared is not None:
                for candidate, own_id in zip(candidates, ids, strict=True):
                    self._unite(candidate, own_id, other, shared)
        for candidate, own_id in zip(candidates, ids, strict=True):
            self._claim_pixels(candidate, own_id)

    def _unite(
        self,
        candidate: Candidate,
        own_id: int,
        other: "_OpenTile",
        shared: tuple[int, int, int, int],
    ) -> None:
        """Unite a candidate with those of a tile that agree in the shared part of both tiles."""
        seen = intersection(candidate.mask.box, shared)
        if seen is None:
            return
        for index in other.near(seen, candidate.class_id):
            if self._groups.root(other.ids[index]) != self._groups.root(own_id) and agree(
                candidate.mask, other.masks[index], shared
            ):
                self._groups.unite(own_id, other.ids[index])

    def _claim_pixels(self, candidate: Candidate, own_id: int) -> None:
        """Give the candidate the pixels where its evidence is the strongest so far."""
        if self._owner is None:
            self._owner = Strip(self._rows, self._width, np.int32)
            self._claim = Strip(self._rows, self._width, np.float32)
            self._owner.row_off = self._claim.row_off = self._closed_rows
        y1, x1, y2, x2 = candidate.mask.box
        window = Window(x1, y1, x2 - x1, y2 - y1)
        claim, owner = self._claim.view(window), self._owner.view(window)
        stronger = candidate.mask.cut(candidate.mask.box) & (candidate.evidence > claim)
        claim[stronger] = candidate.evidence[stronger]
        owner[stronger] = own_id

    def close_band(
        self, mask: np.ndarray, probability: np.ndarray, classes: np.ndarray | None = None
    ) -> list[MergedInstance]:
        """Deal out the pixels of the next finished rows.

        Args:
            mask: [rows, X] bool: the final mask of the rows below those closed before.
            probability: [rows, X]: the final probability there, for the regions' scores.
            classes: [rows, X] uint16: the class there, for the regions'; `REGION_CLASS` if None.

        Returns:
            The landslides that end above the band's last row: nothing can join them any more.
        """
        top, bottom = self._closed_rows, self._closed_rows + len(mask)
        if self._owner is None:
            owner = np.zeros(mask.shape, np.int32)
        else:
            owner = self._owner.pop(bottom)
            self._claim.pop(bottom)
            owner[~mask] = 0
        self._add_regions(mask & (owner == 0), probability, classes, owner, top)
        for root, label_mask, row_off, col_off in self._split(owner):
            self._groups.of(root).parts.append(PackedMask.pack(label_mask, top + row_off, col_off))
        self._closed_rows = bottom
        self._seen = [(number, box) for number, box in self._seen if box[2] > bottom]
        return self._emit(self._groups.close(bottom))

    def finish(self) -> list[MergedInstance]:
        """Return the landslides that are still open after the scene's last row."""
        return self._emit(self._groups.close(None))

    def _add_regions(
        self,
        unclaimed: np.ndarray,
        probability: np.ndarray,
        classes: np.ndarray | None,
        owner: np.ndarray,
        top: int,
    ) -> None:
        """Write the ids of the 4-connected regions of unclaimed mask pixels into `owner`.

        Regions that continue one of the band above become one with it.
        """
        labels, count = label_regions(unclaimed)
        ids = np.zeros(count + 1, np.int32)
        areas = np.bincount(labels.ravel(), minlength=count + 1)
        sums = np.bincount(labels[unclaimed], probability[unclaimed], minlength=count + 1)
        tiles = self._tiles_of(labels, count, top)
        for label, place in enumerate(ndimage.find_objects(labels), start=1):
            area, bottom = int(areas[label]), top + place[0].stop
            class_pixels = {REGION_CLASS: area}
            if classes is not None:
                class_pixels = _class_pixels(classes[place][labels[place] == label])
            ids[label] = self._groups.new(
                class_pixels, float(sums[label]) / area, area, bottom, tiles[label]
            )
        regions = ids[labels]
        above = self._regions_above
        touching = (above > 0) & (regions[0] > 0)
        for upper, lower in np.unique(np.stack([above, regions[0]])[:, touching], axis=1).T:
            self._groups.unite(int(upper), int(lower))
        self._regions_above = regions[-1]
        np.copyto(owner, regions, where=unclaimed)

    def _tiles_of(self, labels: np.ndarray, count: int, top: int) -> list[set[int]]:
        """Return the numbers of the tiles that hold a pixel of each label 0..count of a band."""
        tiles: list[set[int]] = [set() for _ in range(count + 1)]
        if count:
            for number, (y1, x1, y2, x2) in self._seen:
                seen = labels[max(y1 - top, 0) : max(y2 - top, 0), x1:x2]
                for label in np.flatnonzero(np.bincount(seen.ravel(), minlength=1)):
                    tiles[label].add(number)
        return tiles

    def _split(self, owner: np.ndarray) -> Iterator[tuple[int, np.ndarray, int, int]]:
        """Yield (root id, [h, w] bool, row_off, col_off) of each group's pixels in the band."""
        owned = owner > 0
        if not owned.any():
            return
        first = int(owner[owned].min())
        present = np.bincount(owner[owned] - first) > 0
        # Table from id - first to a label 1, 2, ... per group: no sorting of the whole band.
        labels: dict[int, int] = {}
        table = np.zeros(len(present), np.int32)
        for offset in np.flatnonzero(present):
            root = self._groups.root(first + int(offset))
            table[offset] = labels.setdefault(root, len(labels) + 1)
        labelled = np.zeros(owner.shape, np.int32)
        labelled[owned] = table[owner[owned] - first]
        for root, place in zip(labels, ndimage.find_objects(labelled), strict=True):
            yield root, labelled[place] == labels[root], place[0].start, place[1].start

    def _emit(self, groups: list[_Group]) -> list[MergedInstance]:
        self.dissolved_count += sum(not group.parts for group in groups)
        return [group.assemble() for group in groups if group.parts]


def _class_pixels(classes: np.ndarray) -> dict[int, int]:
    """Count the pixels of each class in [N] classes; one that no tile named is `REGION_CLASS`."""
    counts = np.bincount(np.maximum(classes, REGION_CLASS))
    return {int(class_id): int(counts[class_id]) for class_id in np.flatnonzero(counts)}


def _box(window: Window) -> tuple[int, int, int, int]:
    """Return a window as a box (y1, x1, y2, x2), scene pixels, half-open."""
    return (
        window.row_off,
        window.col_off,
        window.row_off + window.height,
        window.col_off + window.width,
    )
