"""Slow, obvious twin of `evaluation/boundaries.py`: every pixel against every other one."""

import math


def _pixels(mask, valid):
    """Valid landslide pixels and valid background pixels, as sets of (row, column)."""
    inside, outside = set(), set()
    for y, row in enumerate(mask):
        for x, value in enumerate(row):
            if valid[y][x]:
                (inside if value else outside).add((y, x))
    return inside, outside


def _nearest(pixel, others):
    return min(math.dist(pixel, other) for other in others)


def boundary(mask, valid):
    """The landslide pixels that have a valid background pixel beside them."""
    inside, outside = _pixels(mask, valid)
    steps = ((-1, 0), (1, 0), (0, -1), (0, 1))
    return {(y, x) for y, x in inside if any((y + i, x + j) in outside for i, j in steps)}


def band(mask, valid, distance):
    """The landslide pixels within a distance of a background pixel."""
    inside, outside = _pixels(mask, valid)
    return {pixel for pixel in inside if outside and _nearest(pixel, outside) <= distance}


def measures(predicted, true, valid, tolerances, iou_distance, largest):
    """F-scores, boundary IoU, mean and 95th percentile of the distances."""
    first, second = boundary(predicted, valid), boundary(true, valid)
    to_true = [_nearest(pixel, second) if second else math.inf for pixel in first]
    to_predicted = [_nearest(pixel, first) if first else math.inf for pixel in second]
    scores = []
    for tolerance in tolerances:
        if not second:
            scores.append(None)
            continue
        near = sum(d <= tolerance for d in to_true)
        precision = near / len(first) if first else 0
        recall = sum(d <= tolerance for d in to_predicted) / len(second)
        both = precision + recall
        scores.append(2 * precision * recall / both if both else 0)
    bands = [band(mask, valid, iou_distance) for mask in (predicted, true)]
    iou = len(bands[0] & bands[1]) / len(bands[0] | bands[1]) if second else None
    if not (first and second):
        return scores, iou, None, None
    all_of_them = sorted(min(d, largest) for d in to_true + to_predicted)
    place = math.ceil(len(all_of_them) * 95 / 100) - 1
    return scores, iou, sum(all_of_them) / len(all_of_them), all_of_them[place]
