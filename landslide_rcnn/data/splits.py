"""Splits: which samples train, which choose, which judge.

Neighbouring tiles look alike, and overlapping ones are the same pixels: a model that has seen one
has half seen the other. So parts are made of whole blocks of ground (or of whole counties), and
samples that would share pixels with another part are left out as its gap. `random` is here to
compare with papers that did it so, and is said to be optimistic.

A split is a CSV file with the columns file, part, group, split; `DATA#PART@SPLIT.csv` opens a part
of it (`split_files.py`), and training copies it beside the weights.

Shape letters: N samples; G groups; P parts.
Source: blocked splits as in Roberts et al. 2017, "Cross-validation strategies for data with
temporal, spatial, hierarchical, or phylogenetic structure"; stratified folds as in FCN-FLK.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from landslide_rcnn.data.checking import ImageFacts
from landslide_rcnn.data.problems import name_some
from landslide_rcnn.errors import ConfigError, DatasetError
from landslide_rcnn.geo.measure import Ruler

logger = logging.getLogger(__name__)

GAP = "gap"  # the part of samples that are left out between parts
PARTS = {"train": 0.7, "val": 0.15, "test": 0.15}
BLOCK_TILES = (4, 2, 1)  # sides of blocks that are tried, in tiles, where none is asked for
BLOCKS_A_PART = 5  # fewer say little about new ground
TOUCHING = 1e-6  # share of a tile; what overlaps less only touches


@dataclass(frozen=True)
class Samples:
    """What a split needs to know of N images.

    Attributes:
        keys: [N] names that are each there once.
        landslide_px: [N] usable pixels of landslides.
        background_px: [N] the other usable pixels.
        outlines: [N] polygons on the ground, in units of the frame; None = unknown.
        frames: [N] what outlines can be compared within: a CRS, or a scene without one.
        metres_per_unit: Frame -> (of x, of y).
        attribute: [N] labels; only where asked for.
    """

    keys: Sequence[str]
    landslide_px: np.ndarray
    background_px: np.ndarray
    outlines: np.ndarray
    frames: Sequence[str]
    metres_per_unit: Mapping[str, tuple[float, float]]
    attribute: Sequence[str] | None = None

    @property
    def are_placed(self) -> bool:
        """Whether it is known of all where they lie."""
        return len(self.outlines) > 0 and all(outline is not None for outline in self.outlines)


@dataclass(frozen=True)
class Split:
    """A part for every sample.

    Attributes:
        kind: How it was made, for people.
        parts: Their names in order; `GAP` is the last, where there is one.
        part_of: Key -> part; `GAP` for those left out.
        group_of: Key -> the block, county or fold that it was dealt with.
    """

    kind: str
    parts: tuple[str, ...]
    part_of: dict[str, str]
    group_of: dict[str, str]


def samples_of(keys: Sequence[str], facts: Sequence[ImageFacts]) -> Samples:
    """Gather what a split needs from what was found in the images (`check_images`, details)."""
    frames, scale = [], {}
    for fact in facts:
        place = fact.place
        frame = "" if place is None else place.crs.to_wkt() if place.crs else place.scene
        frames.append(frame)
        if frame not in scale:
            scale[frame] = (math.nan, math.nan)  # without a CRS, where the unit is a pixel
            if place is not None and place.crs:
                centre = shapely.get_coordinates(place.outline.centroid)
                scale[frame] = tuple(Ruler(place.crs).metres_per_unit(centre)[0])
    outlines = np.empty(len(facts), object)
    outlines[:] = [None if fact.place is None else fact.place.outline for fact in facts]
    return Samples(
        keys,
        np.array([fact.landslide_px for fact in facts], float),
        np.array([fact.background_px for fact in facts], float),
        outlines,
        frames,
        scale,
    )


def make_split(
    samples: Samples, by: str, parts: Mapping[str, float] | None = None, seed: int = 0
) -> Split:
    """Deal samples to parts.

    Args:
        samples: All of them.
        by: "blocks", "blocks=4" (tiles a side), "blocks=500m", "attribute" (of the samples),
            "random", or "kfold=5".
        parts: Part -> share; `PARTS` unless given. Folds are called 1, 2, ... and have equal ones.
        seed: Of what is random.

    Raises:
        ConfigError: `by` or the shares are none of these.
        DatasetError: There are too few samples or blocks, or their places are not known.
    """
    method, _, value = by.partition("=")
    if method not in METHODS:
        raise ConfigError(
            "A split is by blocks, blocks=4, blocks=500m, attribute=NAME, random or kfold=5. "
            f"Received: {by!r}. Use one of these."
        )
    parts = dict(parts or PARTS)
    if min(parts.values(), default=0) <= 0 or GAP in parts:
        raise ConfigError(
            f"Shares of parts must be positive, and none is called {GAP}. Received: {parts}. "
            "Use train=0.7,val=0.15,test=0.15, say."
        )
    rng = np.random.default_rng(seed)
    kind, groups, parts, dealt = METHODS[method](samples, value, parts, rng)
    if method != "attribute":
        kind += f", seed {seed}"
    names = np.array([*parts, GAP])
    dealt[_overlapping(samples, dealt, np.array(list(parts.values())))] = len(parts)
    gap = int((dealt == len(parts)).sum())
    if gap:
        logger.warning(
            "%d of %d samples are left out, since they share pixels with another part",
            gap,
            len(dealt),
        )
    empty = [name for i, name in enumerate(parts) if not (dealt == i).any()]
    if empty:
        raise DatasetError(
            f"Every part needs samples. Received: none for {', '.join(empty)}, of "
            f"{len(samples.keys)} in {len(set(groups))} groups with {gap} left out between parts. "
            "Use smaller blocks, less overlap or fewer parts."
        )
    return Split(
        kind,
        (*parts, GAP) if gap else tuple(parts),
        dict(zip(samples.keys, names[dealt].tolist())),
        dict(zip(samples.keys, map(str, groups))),
    )


def deal(
    groups: Sequence[str],
    has_landslide: np.ndarray,
    landslide_px: np.ndarray,
    shares: Sequence[float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Deal whole groups to parts so that every part has its share of everything.

    Of everything means: of samples with landslides, of samples without, of landslide pixels. The
    groups richest in landslides are dealt first, each to where it does most good.

    Args:
        groups: [N] names.
        has_landslide: [N] bool.
        landslide_px: [N].
        shares: [P]; their sum does not matter.
        rng: Decides between equals.

    Returns:
        [N] int, the part of each sample.
    """
    names, of_sample = np.unique(np.asarray(groups), return_inverse=True)
    features = np.stack([has_landslide, ~has_landslide, landslide_px], axis=1).astype(float)
    features /= np.maximum(features.sum(axis=0), 1e-12)
    amounts = np.zeros((len(names), features.shape[1]))
    np.add.at(amounts, of_sample, features)
    wanted = np.asarray(shares, float)[:, None] / np.sum(shares)
    order = rng.permutation(len(names))
    order = order[np.argsort(-amounts[order].max(axis=1), kind="stable")]
    filled = np.zeros((len(shares), features.shape[1]))
    part_of_group = np.zeros(len(names), int)
    for group in order:
        # How far a part would be filled, against how far it is: least full first.
        before = ((filled / wanted - 1) ** 2 * wanted).sum(axis=1)
        after = (((filled + amounts[group]) / wanted - 1) ** 2 * wanted).sum(axis=1)
        part_of_group[group] = int(np.argmin(after - before))
        filled[part_of_group[group]] += amounts[group]
    return part_of_group[of_sample]


def block_names(samples: Samples, side: float, in_metres: bool) -> list[str]:
    """Return the block of ground of each sample, by the centre of its outline.

    Args:
        samples: All placed.
        side: Of a block: metres, or tiles (of the median size).
        in_metres: Which of the two.
    """
    names = np.empty(len(samples.keys), object)
    frames = np.array(samples.frames, object)
    for number, frame in enumerate(dict.fromkeys(samples.frames)):
        here = np.flatnonzero(frames == frame)
        bounds = shapely.bounds(samples.outlines[here])
        centre = (bounds[:, :2] + bounds[:, 2:]) / 2
        size = np.median(bounds[:, 2:] - bounds[:, :2], axis=0) * side
        if in_metres:
            size = side / np.asarray(samples.metres_per_unit[frame])
            if not np.isfinite(size).all():
                raise DatasetError(
                    "Blocks in metres need tiles with a CRS. Received: tiles in pixels. Use "
                    "blocks=4, in tiles."
                )
        cells = np.floor((centre - bounds[:, :2].min(axis=0)) / size + 1e-9).astype(int)
        prefix = f"{number} " if len(samples.metres_per_unit) > 1 else ""
        for index, (column, row) in zip(here, cells):
            names[index] = f"{prefix}{column} {row}"
    return names.tolist()


def _blocks(samples: Samples, value: str, part_count: int) -> tuple[str, list[str]]:
    """Return what the blocks are and the block of each sample."""
    if not samples.are_placed:
        missing = sum(outline is None for outline in samples.outlines)
        raise DatasetError(
            "Blocks need to know where the tiles lie. Received: "
            f"{missing} of {len(samples.keys)} without a place. Split by attribute=NAME, such as "
            "the county, or, if they have nothing in common, random."
        )
    if value:
        in_metres = value.endswith("m")
        try:
            side = float(value.removesuffix("m"))
        except ValueError:
            side = math.nan
        if not 0 < side < math.inf:
            raise ConfigError(
                f"The side of blocks is tiles (4) or metres (500m). Received: {value!r}. Use one."
            )
        unit = "m" if in_metres else "tiles"
        return f"blocks of {side:g} {unit}", block_names(samples, side, in_metres)
    for side in BLOCK_TILES:
        names = block_names(samples, side, in_metres=False)
        if len(set(names)) >= BLOCKS_A_PART * part_count:
            break
    return f"blocks of {side} tiles", names


def _by_blocks(samples: Samples, value: str, parts: dict, rng: np.random.Generator) -> tuple:
    kind, groups = _blocks(samples, value, len(parts))
    return kind, groups, parts, _dealt(samples, groups, parts, rng)


def _by_attribute(samples: Samples, value: str, parts: dict, rng: np.random.Generator) -> tuple:
    if samples.attribute is None:
        raise DatasetError(
            f"A split by attribute needs it for every sample. Received: attribute={value!r} "
            "without a table. Name one with the columns file and that attribute (--table)."
        )
    groups = list(samples.attribute)
    return f"attribute {value}", groups, parts, _dealt(samples, groups, parts, rng)


def _by_chance(samples: Samples, value: str, parts: dict, rng: np.random.Generator) -> tuple:
    logger.warning(
        "A random split is optimistic: tiles near each other land in different parts. Split by "
        "blocks or by an attribute to know how a model does on new ground."
    )
    count = len(samples.keys)
    ends = np.rint(np.cumsum(list(parts.values())) / sum(parts.values()) * count).astype(int)
    dealt = np.searchsorted(ends, np.arange(count), side="right")[rng.permutation(count)]
    return "random (optimistic)", list(samples.keys), parts, dealt


def _by_folds(samples: Samples, value: str, parts: dict, rng: np.random.Generator) -> tuple:
    if not value.isdecimal() or int(value) < 2:
        raise ConfigError(
            f"Folds are at least 2. Received: kfold={value!r}. Use kfold=5, as FCN-FLK does."
        )
    folds = {str(i + 1): 1.0 for i in range(int(value))}
    kind, groups = "single samples", list(samples.keys)
    if samples.are_placed:
        kind, groups = _blocks(samples, "", len(folds))
    return f"{value} folds of {kind}", groups, folds, _dealt(samples, groups, folds, rng)


def _dealt(samples: Samples, groups: list[str], parts: dict, rng: np.random.Generator):
    count = len(set(groups))
    if count < len(parts):
        raise DatasetError(
            f"Every part needs a group of its own. Received: {count} groups for {len(parts)} "
            f"parts ({name_some(list(parts))}). Use smaller blocks or fewer parts."
        )
    return deal(groups, samples.landslide_px > 0, samples.landslide_px, list(parts.values()), rng)


# How a split may be made: (samples, value, parts, rng) -> (kind, groups [N], parts, part [N]).
METHODS: dict[str, Callable[..., tuple]] = {
    "blocks": _by_blocks,
    "attribute": _by_attribute,
    "random": _by_chance,
    "kfold": _by_folds,
}


def _overlapping(samples: Samples, dealt: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the samples to leave out so that no pixel is in two parts: those of the larger."""
    placed = np.flatnonzero([outline is not None for outline in samples.outlines])
    if not placed.size:
        return placed
    outlines, frames = samples.outlines[placed], np.array(samples.frames, object)[placed]
    one, other = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    part = dealt[placed]
    clash = (one < other) & (part[one] != part[other]) & (frames[one] == frames[other])
    one, other = one[clash], other[clash]
    shared = shapely.area(shapely.intersection(outlines[one], outlines[other]))
    smaller = np.minimum(shapely.area(outlines[one]), shapely.area(outlines[other]))
    real = shared > TOUCHING * smaller
    pairs = list(zip(one[real].tolist(), other[real].tolist()))
    clashes = Counter(index for pair in pairs for index in pair)
    left_out: set[int] = set()
    for first, second in pairs:
        if first not in left_out and second not in left_out:
            left_out.add(max(first, second, key=lambda i: (shares[part[i]], clashes[i], i)))
    return placed[sorted(left_out)]
