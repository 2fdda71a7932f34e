"""The losses in loops over boxes and pixels."""

import numpy as np

SOBEL_Y = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], float)
SOBEL_X = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], float)


def sobel(mask):
    """[h, w] -> [h - 2, w - 2, (y, x)], correlation without padding."""
    h, w = mask.shape
    out = np.zeros((h - 2, w - 2, 2))
    for i in range(h - 2):
        for j in range(w - 2):
            part = mask[i : i + 3, j : j + 3]
            out[i, j] = (part * SOBEL_Y).sum(), (part * SOBEL_X).sum()
    return out


def edge_loss(targets, probabilities, positive):
    """[M, h, w] twice and [M] bool -> float."""
    errors = [
        np.mean((sobel(p) - sobel(t)) ** 2)
        for t, p, used in zip(targets, probabilities, positive)
        if used
    ]
    return float(np.mean(errors)) if errors else 0.0


def cross_entropy(class_id, logits):
    """One softmax cross entropy."""
    shifted = np.asarray(logits, float) - np.max(logits)
    return float(np.log(np.exp(shifted).sum()) - shifted[class_id])


def smooth_l1(target, output):
    """Mean over the elements of one box."""
    d = np.abs(np.asarray(target) - np.asarray(output))
    return float(np.mean(np.where(d < 1, 0.5 * d**2, d - 0.5)))


def focal(target, logit, alpha, gamma):
    """One pixel; target 0 or 1."""
    p = 1 / (1 + np.exp(-logit))
    if target == 1:
        return -alpha * (1 - p) ** gamma * np.log(p)
    return -(1 - alpha) * p**gamma * np.log(1 - p)


def dice(target, logits):
    """One map [h, w] of 0 and 1, and its logits."""
    common = sizes = 0.0
    for t, logit in zip(target.ravel(), logits.ravel()):
        p = 1 / (1 + np.exp(-float(logit)))
        common += t * p
        sizes += t + p
    return 1 - (2 * common + 1) / (sizes + 1)
