"""Blocks, bootstrap intervals and McNemar's test: by hand, and against what must come out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.evaluation.blocks import BlockCounts
from landslide_rcnn.evaluation.metrics import METRICS, Counts
from landslide_rcnn.evaluation.uncertainty import (
    block_intervals,
    difference_intervals,
    few_blocks_note,
    mcnemar,
    share_interval,
)
from tests.reference import pixel_metrics


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    start=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    block_px=st.integers(1, 6),
    band_rows=st.integers(1, 7),
)
def test_blocks_hold_the_counts_of_their_pixels(seed, size, start, block_px, band_rows):
    rng = np.random.default_rng(seed)
    predicted, truth, valid = rng.random((3, *size)) < 0.6
    region = Window(start[1], start[0], size[1], size[0])
    blocks = BlockCounts(region, block_px)
    for top in range(0, size[0], band_rows):
        part = np.s_[top : top + band_rows]
        height = len(predicted[part])
        window = Window(region.col_off, region.row_off + top, region.width, height)
        blocks.add(window, predicted[part], truth[part], valid[part])
    expected = []
    for top in range(0, size[0], block_px):
        for left in range(0, size[1], block_px):
            part = np.s_[top : top + block_px, left : left + block_px]
            if valid[part].any():
                expected.append(
                    list(
                        pixel_metrics.count_pixels(
                            predicted[part], truth[part], valid[part]
                        ).values()
                    )
                )
    assert np.stack(blocks.counts, axis=1).tolist() == expected
    total = pixel_metrics.count_pixels(predicted, truth, valid)
    assert {name: getattr(blocks.total(), name) for name in total} == total


def test_blocks_need_a_size():
    with pytest.raises(ConfigError, match="block_px=0"):
        BlockCounts(Window(0, 0, 4, 4), 0)


def counts_of(rng, blocks, pixels=100, share=0.3, error=0.2):
    """Blocks with landslides in different shares, and errors in different shares."""
    true = rng.binomial(pixels, rng.uniform(0, 2 * share, blocks))
    rate = rng.uniform(0, 2 * error, blocks)
    fn = rng.binomial(true, rate)
    fp = rng.binomial(pixels - true, rate)
    return Counts(true - fn, fp, fn, pixels - true - fp)


def test_the_interval_of_a_mean_is_that_of_statistics():
    """Overall accuracy of equal blocks is their mean: its standard error is known."""
    counts = counts_of(np.random.default_rng(0), 400)
    accuracy = METRICS["overall_accuracy"](counts)
    half = 1.96 * accuracy.std() / np.sqrt(len(accuracy))
    found = block_intervals(counts, ["overall_accuracy"])["overall_accuracy"]
    assert found["low"] == pytest.approx(accuracy.mean() - half, abs=0.1 * half)
    assert found["high"] == pytest.approx(accuracy.mean() + half, abs=0.1 * half)


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Sixty samples of a world whose F1 is known: about 95 % of the intervals must hold it."""
    rng = np.random.default_rng(7)
    world = Counts(*(each.sum() for each in counts_of(rng, 200_000)))
    true_f1 = float(METRICS["f1"](world))
    hits = 0
    for _ in range(60):
        found = block_intervals(counts_of(rng, 80), ["f1"])["f1"]
        hits += found["low"] <= true_f1 <= found["high"]
    assert 52 <= hits <= 60


def test_intervals_are_repeatable_and_hold_the_number_itself():
    counts = counts_of(np.random.default_rng(1), 50)
    intervals = block_intervals(counts)
    assert intervals == block_intervals(counts) and set(intervals) == set(METRICS)
    whole = Counts(*(each.sum() for each in counts))
    for name, found in intervals.items():
        assert found["low"] < METRICS[name](whole) < found["high"]


def test_what_most_draws_leave_undefined_has_no_interval():
    # One block of ten has landslides: a third of the draws has none.
    one = np.eye(1, 10, dtype=int)[0]
    counts = Counts(tp=2 * one, fp=one, fn=one, tn=np.full(10, 90))
    intervals = block_intervals(counts)
    assert intervals["f1"] is None and intervals["miou"] is None
    assert intervals["overall_accuracy"]["high"] == 1
    few = Counts(*(each[:1] for each in counts))
    assert set(block_intervals(few).values()) == {None}
    none = Counts(*(each[:0] for each in counts))
    assert set(block_intervals(none).values()) == {None}


def test_differences_are_paired():
    """Two maps with the same errors but for a small steady gain: found although blocks differ."""
    rng = np.random.default_rng(2)
    first = counts_of(rng, 60, pixels=1000, error=0.25)
    gain = first.fn // 4
    second = Counts(first.tp + gain, first.fp, first.fn - gain, first.tn)
    names = ["recall", "overall_accuracy"]
    paired = difference_intervals(first, second, names)
    one, other = block_intervals(first, names), block_intervals(second, names)
    for name in names:
        assert paired[name]["low"] > 0
        assert one[name]["high"] > other[name]["low"]  # unpaired, the intervals overlap
    same = difference_intervals(first, first, names)
    assert same["recall"] == {"low": 0, "high": 0}


def test_the_interval_of_a_share():
    hits = np.arange(100) < 80
    found = share_interval(hits)
    half = 1.96 * np.sqrt(0.8 * 0.2 / 100)
    assert found["low"] == pytest.approx(0.8 - half, abs=0.015)
    assert found["high"] == pytest.approx(0.8 + half, abs=0.015)
    # Draws of hits alone are all hits: that is no certainty.
    for no_interval in ([], [True], [True] * 5, [False] * 5):
        assert share_interval(np.array(no_interval, bool)) is None


def test_few_blocks_are_said():
    assert "need two blocks" in few_blocks_note(1)[0]
    assert "rest on 5 blocks only" in few_blocks_note(5)[0]
    assert few_blocks_note(20) == []


def test_mcnemar_by_hand():
    many = mcnemar(30, 10)
    assert many["statistic"] == 19**2 / 40
    assert many["p_value"] == pytest.approx(0.00266, abs=1e-5)  # chi-squared, 1 degree of freedom
    assert "continuity" in many["method"]
    few = mcnemar(1, 5)
    # Both tails of six tosses: (1 + 6) * 2 / 64.
    assert few["p_value"] == pytest.approx(14 / 64) and few["statistic"] is None
    assert "exact" in few["method"]
    assert mcnemar(0, 1)["p_value"] == 1
    assert mcnemar(20, 20)["statistic"] == 0 and mcnemar(20, 20)["p_value"] == 1
    nothing = mcnemar(0, 0)
    assert nothing["p_value"] is None and "same pixels" in nothing["method"]
    assert mcnemar(10**9, 2 * 10**9)["p_value"] == 0.0
