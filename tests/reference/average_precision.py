"""Average precision of one image in plain loops."""


def mask_iou(first, second):
    """Two [H][W] masks of 0 and 1 -> their intersection over union."""
    intersection = union = 0
    for row1, row2 in zip(first, second):
        for a, b in zip(row1, row2):
            intersection += bool(a and b)
            union += bool(a or b)
    return intersection / union if union else 0.0


def average_precision(gt_masks, gt_ids, masks, ids, scores, threshold):
    """Lists of masks, class ids and scores -> the area under the falling precision curve."""
    free = list(range(len(gt_masks)))
    hits = []
    for _, i in sorted((-score, i) for i, score in enumerate(scores)):
        candidates = [(mask_iou(masks[i], gt_masks[j]), j) for j in free if gt_ids[j] == ids[i]]
        best = max(candidates, default=(0.0, None), key=lambda pair: pair[0])
        hit = best[0] >= threshold
        if hit:
            free.remove(best[1])
        hits.append(hit)
    area = 0.0
    for k, hit in enumerate(hits):
        if hit:  # recall rises by one instance here, at the best precision from here on
            precisions = [sum(hits[: n + 1]) / (n + 1) for n in range(k, len(hits))]
            area += max(precisions) / len(gt_masks)
    return area
