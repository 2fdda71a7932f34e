"""Samples that are in a dataset twice, or in two datasets that should have nothing in common.

Scores on data that a model has seen say nothing about new places. Five ways to share a sample are
found: the same file (or tile of a scene), the same pixels, the same pixels turned or mirrored
(augmented copies written before splitting), images that look the same (`data/looks.py`: resized,
compressed, brightened), and tiles that overlap on the ground. Tiles that overlap without saying
where they are, and copies both turned and resized, are not found.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely

from landslide_rcnn.data.augment import dihedral
from landslide_rcnn.data.checking import ImageFacts
from landslide_rcnn.data.looks import most_alike
from landslide_rcnn.data.places import Place
from landslide_rcnn.data.problems import Problem

# Of the smaller tile: neighbours that only touch share less after a reprojection.
MIN_SHARED_AREA = 0.001


@dataclass(frozen=True)
class CheckedDataset:
    """A dataset with what was found in its images.

    Attributes:
        name: What messages call it.
        dataset: A prepared `Dataset`.
        facts: One an image; `place` is read where it is missing.
    """

    name: str
    dataset: Any
    facts: Sequence[ImageFacts]


def find_duplicates(dataset: Any, facts: Sequence[ImageFacts]) -> list[Problem]:
    """Return the images of one dataset that repeat an earlier one."""
    here = CheckedDataset("", dataset, facts)
    problems = []
    for group in _by_values(facts).values():
        seen: dict[str, ImageFacts] = {}
        for one in group:
            same = seen.get(one.digest)
            how = "the same pixels as"
            if same is None:
                same = next((s for s in seen.values() if _is_turned(here, s, here, one)), None)
                how = "the same pixels, turned or mirrored, as"
            if same is not None:
                problems.append(Problem("duplicate", one.name, f"{how} {same.name}. Remove one"))
            seen.setdefault(one.digest, one)
    said = {problem.name for problem in problems}
    looks = [one.look for one in facts]
    for position, other in most_alike(looks, looks, earlier_only=True).items():
        if facts[position].name not in said:
            text = f"looks like {facts[other].name}. Remove one, if they are of one place"
            problems.append(Problem("duplicate", facts[position].name, text))
    return problems


def find_leaks(datasets: Sequence[CheckedDataset]) -> list[Problem]:
    """Return the samples of each later dataset that an earlier one has too, with the reason."""
    problems = []
    for earlier, later in combinations(datasets, 2):
        shared = _same_files(earlier, later)
        for find in (_same_pixels, _turned_pixels, _overlaps, _alike):
            shared = {**find(earlier, later), **shared}  # the first reason is the plainest
        problems += [
            Problem("leak", fact.name, f"({later.name}) {shared[fact.image_id]} ({earlier.name})")
            for fact in later.facts
            if fact.image_id in shared
        ]
    return problems


def _same_files(earlier: CheckedDataset, later: CheckedDataset) -> dict[int, str]:
    def key(checked: CheckedDataset, image_id: int) -> tuple[str, str] | None:
        info = checked.dataset.image_info[image_id]
        if info["path"] is None:
            return None
        return str(Path(info["path"]).resolve()), str(info.get("tile"))

    known = {key(earlier, fact.image_id) for fact in earlier.facts} - {None}
    return {
        fact.image_id: "is the same file"
        for fact in later.facts
        if key(later, fact.image_id) in known
    }


def _same_pixels(earlier: CheckedDataset, later: CheckedDataset) -> dict[int, str]:
    first = {fact.digest: fact for fact in reversed(earlier.facts) if fact.digest}
    return {
        fact.image_id: f"has the same pixels as {first[fact.digest].name}"
        for fact in later.facts
        if fact.digest in first
    }


def _turned_pixels(earlier: CheckedDataset, later: CheckedDataset) -> dict[int, str]:
    candidates = _by_values(earlier.facts)
    found = {}
    for fact in later.facts:
        for other in candidates.get(fact.turned_digest, ()):
            same = other.digest == fact.digest
            if not same and _is_turned(earlier, other, later, fact):
                text = f"has the same pixels, turned or mirrored, as {other.name}"
                found[fact.image_id] = text
                break
    return found


def _alike(earlier: CheckedDataset, later: CheckedDataset) -> dict[int, str]:
    found = most_alike([f.look for f in later.facts], [f.look for f in earlier.facts])
    return {
        later.facts[position].image_id: f"looks like {earlier.facts[other].name}"
        for position, other in found.items()
    }


def _by_values(facts: Iterable[ImageFacts]) -> dict[str, list[ImageFacts]]:
    """Return the readable images that have the same values, in whatever order."""
    groups: dict[str, list[ImageFacts]] = defaultdict(list)
    for one in facts:
        if one.digest:
            groups[one.turned_digest].append(one)
    return groups


def _is_turned(
    first: CheckedDataset, one: ImageFacts, second: CheckedDataset, other: ImageFacts
) -> bool:
    """Whether two images with the same values are one image, turned or mirrored."""
    image = np.asarray(first.dataset.load_image(one.image_id))
    twin = np.asarray(second.dataset.load_image(other.image_id))
    return any(np.array_equal(dihedral(image, turn), twin) for turn in range(8))


def _overlaps(earlier: CheckedDataset, later: CheckedDataset) -> dict[int, str]:
    known, new = _places(earlier), _places(later)
    found: dict[int, str] = {}
    for scene in known.keys() & new.keys():
        found |= _overlaps_of(known[scene], new[scene])
    return found


def _places(checked: CheckedDataset) -> Mapping[str, list[tuple[ImageFacts, Place]]]:
    """Return the images with a place, by the scene that their pixel coordinates refer to."""
    places: dict[str, list[tuple[ImageFacts, Place]]] = defaultdict(list)
    for fact in checked.facts:
        place = fact.place
        if place is None and fact.digest:
            place = checked.dataset.load_place(fact.image_id)
        if place is not None:
            places[place.scene].append((fact, place))
    return places


def _overlaps_of(known: list, new: list) -> dict[int, str]:
    crs = known[0][1].crs
    outlines, tiles = _outlines(known, crs), _outlines(new, crs)
    found: dict[int, str] = {}
    for row, candidates in _pairs(shapely.STRtree(outlines), tiles).items():
        shared = shapely.area(shapely.intersection(outlines[candidates], tiles[row]))
        smaller = np.minimum(shapely.area(outlines[candidates]), shapely.area(tiles[row]))
        shares = shared / np.maximum(smaller, 1e-12)
        real = int((shares > MIN_SHARED_AREA).sum())
        if real:
            most = known[candidates[int(shares.argmax())]][0].name
            others = f" and {real - 1} more" if real > 1 else ""
            found[new[row][0].image_id] = f"overlaps {shares.max():.0%} with {most}{others}"
    return found


def _pairs(tree: shapely.STRtree, tiles: np.ndarray) -> dict[int, np.ndarray]:
    rows, candidates = tree.query(tiles, predicate="intersects")
    return {int(row): candidates[rows == row] for row in np.unique(rows)}


def _outlines(placed: list, crs: Any) -> np.ndarray:
    """Return the outlines [n] in one CRS."""
    outlines = np.array([place.outline for _, place in placed], object)
    if crs is None:
        return outlines
    for other in {place.crs.to_wkt() for _, place in placed} - {crs.to_wkt()}:
        of_other = [place.crs.to_wkt() == other for _, place in placed]
        moved = gpd.GeoSeries(outlines[of_other], crs=other).to_crs(crs.to_wkt())
        outlines[of_other] = np.asarray(moved.array, object)
    return outlines
