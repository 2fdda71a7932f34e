"""How far to trust a number: bootstrap intervals, and tests of a difference between two maps.

Behind `maps.evaluate_map` and `comparison.compare_maps`. What is drawn, with replacement, are
whole blocks of the scene (or whole landslides): single pixels err together with their
neighbours, and drawing them one by one would give intervals that are far too narrow.

Shape letters: N blocks or landslides; B draws.
Source: Efron and Tibshirani 1993, chapters 6 and 13 (the percentile interval).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import stats

from landslide_rcnn.evaluation.metrics import METRICS, Counts, known

DRAWS = 2000
SEED = 0
CONFIDENCE = 0.95
MIN_DEFINED_SHARE = 0.95  # of the draws; what is undefined in more of them has no interval
FEW_BLOCKS = 20  # below that, percentiles of resampled blocks are too narrow to be relied on
MAX_EXACT_DISCORDANT = 25  # below that many, chi-squared is no good approximation

Interval = dict[str, float] | None


def block_intervals(counts: Counts, names: Sequence[str] = tuple(METRICS)) -> dict[str, Interval]:
    """Return confidence intervals of the metrics of a scene.

    Args:
        counts: [N] each, of the scene's blocks.
        names: Of `metrics.METRICS`.

    Returns:
        {low, high} for each name; None with fewer than two blocks, and where more than a
        twentieth of the draws leave the metric undefined.
    """
    drawn = _drawn_sums(np.stack(counts, axis=1))  # [B, 4]
    drawn_counts = Counts(*drawn.T)
    return {name: interval(METRICS[name](drawn_counts)) for name in names}


def difference_intervals(
    first: Counts, second: Counts, names: Sequence[str] = tuple(METRICS)
) -> dict[str, Interval]:
    """Return confidence intervals of the second's metrics minus the first's, on the same blocks.

    Paired: every draw takes the same blocks of both.

    Args:
        first: [N] each, of the scene's blocks.
        second: Likewise, of the same blocks.
        names: Of `metrics.METRICS`.

    Returns:
        As `block_intervals`.
    """
    drawn = _drawn_sums(np.stack([*first, *second], axis=1))  # [B, 8]
    one, other = Counts(*drawn[:, :4].T), Counts(*drawn[:, 4:].T)
    return {name: interval(METRICS[name](other) - METRICS[name](one)) for name in names}


def share_interval(hits: np.ndarray) -> Interval:
    """Return the confidence interval of a share of landslides, such as the detection rate.

    Args:
        hits: [N] bool, one a landslide.

    Returns:
        {low, high}; None where all landslides or none are hits, or there are fewer than two:
        draws that are all the same show no uncertainty, which is not to say that there is none.
    """
    hits = np.asarray(hits, bool)
    if len(hits) < 2 or hits.all() or not hits.any():
        return None
    # The hits among N draws of N landslides are binomial: no need to draw them one by one.
    drawn = np.random.default_rng(SEED).binomial(len(hits), hits.mean(), DRAWS)
    return interval(drawn / len(hits))


def share_difference_interval(first: np.ndarray, second: np.ndarray) -> Interval:
    """Return the confidence interval of the second's share minus the first's, same landslides.

    Args:
        first: [N] bool, one a landslide.
        second: [N] bool, of the same landslides.

    Returns:
        {low, high}; None with fewer than two landslides, and where all draws would be the same.
    """
    gains = np.asarray(second, float) - np.asarray(first, float)
    if len(gains) < 2 or np.all(gains == gains[0]):
        return None
    shares = [(gains == change).mean() for change in (1, -1, 0)]
    drawn = np.random.default_rng(SEED).multinomial(len(gains), shares, DRAWS)
    return interval((drawn[:, 0] - drawn[:, 1]) / len(gains))


def interval(values: np.ndarray) -> Interval:
    """Return the percentile interval of a statistic's draws [B], NaN = undefined."""
    defined = values[~np.isnan(values)]
    if len(defined) < max(MIN_DEFINED_SHARE * len(values), 1):
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return {"low": float(low), "high": float(high)}


def describe_method(blocks: int, block_px: int) -> str:
    """Return how the intervals of pixel metrics were made, in words."""
    return (
        f"{CONFIDENCE:.0%} percentile bootstrap, {DRAWS} draws of {blocks} blocks of {block_px} x "
        f"{block_px} pixels with replacement, seed {SEED}; of landslides, draws of landslides"
    )


def few_blocks_note(blocks: int) -> list[str]:
    """Return a note where there are too few blocks for intervals, or for good ones."""
    if blocks < 2:
        return ["Intervals of pixel metrics need two blocks with valid pixels; there are fewer."]
    if blocks < FEW_BLOCKS:
        return [
            f"The intervals of pixel metrics rest on {blocks} blocks only, and may be too narrow."
        ]
    return []


def mcnemar(only_first_right: int, only_second_right: int) -> dict[str, Any]:
    """Test whether two maps err equally often, on the pixels where only one of them errs.

    Args:
        only_first_right: Pixels.
        only_second_right: Pixels.

    Returns:
        only_first_right, only_second_right; statistic: chi-squared with continuity correction,
        None with few such pixels; p_value, None without any; method, in words.

    Source: McNemar 1947; Edwards 1948 (the correction).
    """
    discordant = only_first_right + only_second_right
    result: dict[str, Any] = {
        "only_first_right": only_first_right,
        "only_second_right": only_second_right,
        "statistic": None,
        "p_value": None,
        "method": "undefined: the maps are right and wrong at the same pixels",
    }
    if 0 < discordant < MAX_EXACT_DISCORDANT:
        result["method"] = "exact binomial test of the discordant pixels"
        result["p_value"] = float(stats.binomtest(only_first_right, discordant, 0.5).pvalue)
    elif discordant:
        statistic = max(abs(only_first_right - only_second_right) - 1, 0) ** 2 / discordant
        result["method"] = "chi-squared with continuity correction, 1 degree of freedom"
        result["statistic"] = float(statistic)
        result["p_value"] = known(stats.chi2.sf(statistic, 1))
    return result


def _drawn_sums(rows: np.ndarray) -> np.ndarray:
    """Return [B, K] sums of N rows drawn from [N, K] counts; [0, K] where N is below 2."""
    if len(rows) < 2:
        return np.zeros((0, rows.shape[1]))
    rows = rows.astype(np.float64)  # whole numbers, exact
    return np.stack(
        [
            np.bincount(indices, minlength=len(rows)).astype(np.float64) @ rows
            for indices in _draws(len(rows), DRAWS)
        ]
    )


def _draws(count: int, draws: int) -> Iterator[np.ndarray]:
    """Yield B times the indices [N] of what is drawn."""
    rng = np.random.default_rng(SEED)
    for _ in range(draws):
        yield rng.integers(0, count, count)
