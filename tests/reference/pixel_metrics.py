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


def metrics(predicted, truth) -> dict[str, float | None]:
    """Return all metrics of two arrays [H, W], one class after the other, None = undefined."""
    predicted, truth = np.ravel(predicted).astype(bool), np.ravel(truth).astype(bool)
    of_class = {}
    for name, said, true in (("", predicted, truth), ("background_", ~predicted, ~truth)):
        both, either = sum(said & true), sum(said | true)
        exists = sum(true) > 0
        of_class |= {
            f"{name}precision": both / sum(said) if exists and sum(said) else None,
            f"{name}recall": both / sum(true) if exists else None,
            f"{name}f1": 2 * both / (sum(said) + sum(true)) if exists else None,
            f"{name}iou": both / either if exists else None,
        }

    def mean(name):
        pair = of_class[name], of_class[f"background_{name}"]
        return None if None in pair else sum(pair) / 2

    observed = sum(predicted == truth) / len(truth)
    chance = predicted.mean() * truth.mean() + (1 - predicted.mean()) * (1 - truth.mean())
    return {
        **of_class,
        "miou": mean("iou"),
        "macro_precision": mean("precision"),
        "macro_recall": mean("recall"),
        "macro_f1": mean("f1"),
        "overall_accuracy": observed,
        "kappa": (observed - chance) / (1 - chance) if 0 < sum(truth) < len(truth) else None,
    }


def average_precision(probability, truth) -> float | None:
    """Return the area under the steps of the precision-recall curve, one threshold at a time."""
    probability, truth = np.ravel(probability), np.ravel(truth).astype(bool)
    if not truth.any():
        return None
    area = recall_before = 0.0
    for threshold in sorted(set(probability.tolist()), reverse=True):
        counts = count_pixels(probability >= threshold, truth)
        precision = counts["tp"] / (counts["tp"] + counts["fp"])
        recall = counts["tp"] / (counts["tp"] + counts["fn"])
        area += (recall - recall_before) * precision
        recall_before = recall
    return area


def calibration_error(probability, truth, bins) -> float:
    """Return the expected calibration error, one bin after the other."""
    error = 0.0
    for index in range(bins):
        low, high = index / bins, (index + 1) / bins
        inside = (probability >= low) & ((probability < high) | (index == bins - 1))
        if inside.any():
            error += inside.mean() * abs(probability[inside].mean() - truth[inside].mean())
    return error
