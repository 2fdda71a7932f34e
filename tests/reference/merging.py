"""Slow, obvious twins of `inference/merge.py`: whole-scene masks, sets of pixels, flood fill."""

import numpy as np

Pixel = tuple[int, int]


def connected_regions(mask: np.ndarray) -> list[set[Pixel]]:
    """Return the 4-connected regions of a mask [H, W] as sets of (row, column)."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    regions = []
    while left:
        frontier = [left.pop()]
        region = set(frontier)
        while frontier:
            y, x = frontier.pop()
            for pixel in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if pixel in left:
                    left.remove(pixel)
                    region.add(pixel)
                    frontier.append(pixel)
        regions.append(region)
    return regions


def regions_of_pixels(pixels: set[Pixel]) -> list[set[Pixel]]:
    """`connected_regions` of a set of pixels."""
    if not pixels:
        return []
    mask = np.zeros((max(y for y, _ in pixels) + 1, max(x for _, x in pixels) + 1), bool)
    for pixel in pixels:
        mask[pixel] = True
    return connected_regions(mask)


def pixels_of(mask: np.ndarray) -> set[Pixel]:
    return {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}


def agree(first: set[Pixel], second: set[Pixel], shared: set[Pixel]) -> bool:
    """Whether two candidates are one landslide, from the pixels that both tiles see."""
    first, second = first & shared, second & shared
    common = len(first & second)
    if common == 0:
        return False
    if common >= 0.5 * min(len(first), len(second)):
        return True
    return any(
        len(a & b) >= 0.5 * len(a | b)
        for a in regions_of_pixels(first)
        for b in regions_of_pixels(second)
    )


def merge_candidates(
    tiles: list[tuple[set[Pixel], list[dict]]], mask: np.ndarray, probability: np.ndarray
) -> list[tuple[set[Pixel], float, int, int]]:
    """Merge all candidates of a scene at once.

    Args:
        tiles: Per tile, its pixels and its candidates: dicts with `evidence` (pixel -> float),
            `score`, `class_id`.
        mask: [H, W] bool, final.
        probability: [H, W], final.

    Returns:
        (pixels, score, class_id, tiles that saw it) of each landslide that kept a pixel.
    """
    members = [(seen, each) for seen, candidates in tiles for each in candidates]
    tile_of = [number for number, (_, candidates) in enumerate(tiles) for _ in candidates]
    group = list(range(len(members)))
    for i, (seen_i, a) in enumerate(members):
        for j, (seen_j, b) in enumerate(members[:i]):
            same_class = a["class_id"] == b["class_id"]
            if same_class and agree(set(a["evidence"]), set(b["evidence"]), seen_i & seen_j):
                old, new = group[i], group[j]
                group = [new if each == old else each for each in group]
    owner: dict[Pixel, tuple[float, int]] = {}
    for index, (_, candidate) in enumerate(members):
        for pixel, evidence in candidate["evidence"].items():
            if mask[pixel] and evidence > owner.get(pixel, (0.0, -1))[0]:
                owner[pixel] = (evidence, index)
    merged = []
    for root in sorted(set(group)):
        inside = {pixel for pixel, (_, index) in owner.items() if group[index] == root}
        own = [each for (_, each), g in zip(members, group, strict=True) if g == root]
        if inside:
            areas = [len(each["evidence"]) for each in own]
            scores = [each["score"] for each in own]
            saw = {tile for tile, g in zip(tile_of, group, strict=True) if g == root}
            score = float(np.average(scores, weights=areas))
            merged.append((inside, score, own[0]["class_id"], len(saw)))
    unclaimed = pixels_of(mask) - set(owner)
    for region in regions_of_pixels(unclaimed):
        saw = sum(bool(region & seen) for seen, _ in tiles)
        merged.append((region, float(np.mean([probability[pixel] for pixel in region])), 1, saw))
    return merged
