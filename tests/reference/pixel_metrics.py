"""Slow, obvious twins of `evaluation/pixels.py`: one pixel after the other."""

import numpy as np


def count_pixels(predicted, truth, valid=None) -> dict[str, int]:
    """Return tp, fp, fn, tn of three arrays [H, W]."""
    counts = {"tp": 0, "fp": 0, "fn": 0, "tn": 0}
    valid = np.ones(np.shape(truth), bool) if valid is None else valid
    for said, true, counted in zip(
        np.ravel(predicted), np.ravel(truth), np.ravel(valid), strict=True
    ):
        if counted:
            counts[("t" if bool(said) == bool(true) else "f") + ("p" if said else "n")] += 1
    return counts


def best_f1(probability, truth, thresholds) -> float:
    """Return the highest F1 over the thresholds, landslide class."""
    scores = []
    for threshold in thresholds:
        counts = count_pixels(np.asarray(probability) >= threshold, truth)
        scores.append(2 * counts["tp"] / (2 * counts["tp"] + counts["fp"] + counts["fn"]))
    return max(scores)
