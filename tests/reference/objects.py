"""Slow, obvious twins of `evaluation/{objects,matching,average_precision}.py`: sets of pixels."""


def regions(mask):
    """A 2-D mask -> its 4-connected regions as sets of (row, column), in reading order."""
    left = {(y, x) for y, row in enumerate(mask) for x, value in enumerate(row) if value}
    found = []
    while left:
        region, waiting = set(), [min(left)]
        while waiting:
            y, x = waiting.pop()
            if (y, x) in left:
                left.remove((y, x))
                region.add((y, x))
                waiting += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        found.append(region)
    return found


def pixel_sets(masks):
    """[H, W, N] -> N sets of (row, column)."""
    return [
        {(y, x) for y in range(masks.shape[0]) for x in range(masks.shape[1]) if masks[y, x, n]}
        for n in range(masks.shape[2])
    ]


def iou(first, second):
    return len(first & second) / len(first | second)


def matches(predicted, true, threshold):
    """Sets of pixels -> pairs of indices, the highest IoU first."""
    pairs = [
        (-iou(a, b), i, j)
        for i, a in enumerate(predicted)
        for j, b in enumerate(true)
        if a & b and iou(a, b) >= threshold
    ]
    chosen = []
    for _, i, j in sorted(pairs):
        if all(i != a and j != b for a, b in chosen):
            chosen.append((i, j))
    return chosen


def coco_ap(images, thresholds, low=0, high=1e10, most=None):
    """COCO's average precision of one class; None without a true object that counts.

    images: (predicted sets, scores, true sets, crowd flags) of each.
    """
    values = []
    for threshold in thresholds:
        answers, true_count = [], 0
        for predicted, scores, true, crowd in images:
            counts = [low <= len(t) <= high and not c for t, c in zip(true, crowd, strict=True)]
            true_count += sum(counts)
            answers += _answers(predicted, scores, true, crowd, counts, threshold, low, high, most)
        if not true_count:
            return None
        answers.sort(key=lambda answer: -answer[0])  # stable
        rights = [right for _, right in answers]
        points = [
            (sum(rights[: n + 1]) / true_count, sum(rights[: n + 1]) / (n + 1))
            for n in range(len(rights))
        ]
        for percent in range(101):
            reached = [precision for recall, precision in points if recall >= percent / 100 - 1e-12]
            values.append(max(reached, default=0.0))
    return sum(values) / len(values)


def _answers(predicted, scores, true, crowd, counts, threshold, low, high, most):
    """(score, right) of the predictions of an image that count."""
    taken, answers = set(), []
    for index in sorted(range(len(scores)), key=lambda i: -scores[i])[:most]:
        choices = []
        for j, other in enumerate(true):
            shared = len(predicted[index] & other)
            overlap = shared / len(predicted[index]) if crowd[j] else iou(predicted[index], other)
            if j not in taken and overlap >= threshold:
                choices.append((counts[j], overlap, j))
        if choices:
            good, _, best = max(choices)
            if not crowd[best]:
                taken.add(best)
            if good:
                answers.append((scores[index], True))
        elif low <= len(predicted[index]) <= high:
            answers.append((scores[index], False))
    return answers
