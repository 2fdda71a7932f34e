"""matterport's detection behind the RPN, box by box, from the facts about its behaviour.

RPN answers -> proposals -> level and cut of each roi -> class and box of each roi -> detections.
Boxes are normalised (y1, x1, y2, x2).
"""

import math

import numpy as np

from tests.reference import boxes as slow_boxes
from tests.reference.roi_align import crop_and_resize


def decode(box, delta, std_dev):
    """One box moved by one delta, [4] each."""
    dy, dx, dh, dw = (float(d) * s for d, s in zip(delta, std_dev))
    h, w = float(box[2]) - float(box[0]), float(box[3]) - float(box[1])
    cy, cx = float(box[0]) + h / 2 + dy * h, float(box[1]) + w / 2 + dx * w
    limit = math.log(1000 / 16)
    h, w = h * math.exp(min(dh, limit)), w * math.exp(min(dw, limit))
    return [cy - h / 2, cx - w / 2, cy + h / 2, cx + w / 2]


def clip(box, window):
    y1, x1, y2, x2 = window
    return [
        min(max(box[0], y1), y2),
        min(max(box[1], x1), x2),
        min(max(box[2], y1), y2),
        min(max(box[3], x1), x2),
    ]


def propose(anchors, foreground, deltas, *, limit, count, threshold, std_dev):
    """[A, 4], [A], [A, 4] -> at most `count` proposals, best first."""
    best = np.argsort(-np.asarray(foreground), kind="stable")[:limit]
    boxes = np.array([clip(decode(anchors[i], deltas[i], std_dev), (0, 0, 1, 1)) for i in best])
    kept = slow_boxes.fast_nms(boxes, threshold, count)
    return boxes[kept]


def level_of(roi, height, width):
    """2 to 5: the pyramid level that fits a roi."""
    side = math.sqrt((roi[2] - roi[0]) * (roi[3] - roi[1]))
    if side <= 0:
        return 2
    level = round(4 + math.log2(side / (224 / math.sqrt(height * width))))
    return min(max(level, 2), 5)


def cut(levels, roi, bins, height, width):
    """[bins, bins, C] of the level P2..P5, each [h, w, C], that fits the roi."""
    return crop_and_resize(levels[level_of(roi, height, width) - 2], roi, bins)


def detect(rois, probabilities, deltas, window, *, min_confidence, threshold, count, std_dev):
    """[R, 4], [R, K], [R, K, 4] -> rows of (y1, x1, y2, x2, class, score), best first."""
    candidates = []
    for roi, chances, moves in zip(rois, probabilities, deltas):
        best = int(np.argmax(chances))
        if best > 0 and chances[best] >= min_confidence:
            box = clip(decode(roi, moves[best], std_dev), window)
            candidates.append([*box, best, float(chances[best])])
    kept = []
    for class_id in {row[4] for row in candidates}:
        own = sorted((row for row in candidates if row[4] == class_id), key=lambda row: -row[5])
        chosen = slow_boxes.fast_nms(np.array([row[:4] for row in own]), threshold, count)
        kept += [own[i] for i in chosen]
    return np.array(sorted(kept, key=lambda row: -row[5])[:count]).reshape(-1, 6)
