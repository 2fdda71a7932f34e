"""Slow, obvious box arithmetic in plain loops."""

import numpy as np


def iou(boxes1, boxes2):
    """[A, 4], [N, 4] -> [A, N]."""
    out = np.zeros((len(boxes1), len(boxes2)))
    for i, a in enumerate(boxes1):
        for j, b in enumerate(boxes2):
            h = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
            w = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
            area_a = max(a[2] - a[0], 0) * max(a[3] - a[1], 0)
            area_b = max(b[2] - b[0], 0) * max(b[3] - b[1], 0)
            union = area_a + area_b - h * w
            out[i, j] = h * w / union if union > 0 else 0.0
    return out


def encode(box, target, std_dev):
    """One box and one target, [4] each -> [4]."""
    h, w = box[2] - box[0], box[3] - box[1]
    th, tw = target[2] - target[0], target[3] - target[1]
    dy = ((target[0] + target[2]) / 2 - (box[0] + box[2]) / 2) / h
    dx = ((target[1] + target[3]) / 2 - (box[1] + box[3]) / 2) / w
    return np.array([dy, dx, np.log(th / h), np.log(tw / w)]) / np.asarray(std_dev)


def nms(boxes, scores, threshold, max_output):
    """Kept indices, best first."""
    order = list(np.argsort(-np.asarray(scores), kind="stable"))
    kept = []
    while order and len(kept) < max_output:
        best = order.pop(0)
        kept.append(best)
        order = [i for i in order if iou([boxes[best]], [boxes[i]])[0, 0] <= threshold]
    return kept


def fast_nms(boxes, threshold, max_output):
    """`nms` of boxes [R, 4] that come best first, for thousands of them."""
    boxes = np.asarray(boxes, float)
    left = np.arange(len(boxes))
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while len(left) and len(kept) < max_output:
        best, left = left[0], left[1:]
        kept.append(int(best))
        corner1 = np.maximum(boxes[best, :2], boxes[left, :2])
        corner2 = np.minimum(boxes[best, 2:], boxes[left, 2:])
        common = np.prod(np.maximum(corner2 - corner1, 0), axis=1)
        union = areas[best] + areas[left] - common
        left = left[common <= threshold * union]
    return kept


def match_anchors(anchors, gt_boxes, positive_iou=0.7, negative_iou=0.3):
    """[A] of 1 positive, -1 negative, 0 neither, for instances that are no crowds."""
    match = np.zeros(len(anchors), int)
    if len(gt_boxes) == 0:
        return match - 1
    overlaps = iou(anchors, gt_boxes)
    for i in range(len(anchors)):
        if overlaps[i].max() >= positive_iou:
            match[i] = 1
        elif overlaps[i].max() < negative_iou:
            match[i] = -1
    for j in range(len(gt_boxes)):
        best = overlaps[:, j].max()
        for i in range(len(anchors)):
            if best > 0 and overlaps[i, j] == best:
                match[i] = 1
    return match
