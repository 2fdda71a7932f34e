"""Pixel metrics: by hand, against a pixel-by-pixel twin, and block by block."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide_rcnn.errors import ConfigError, ShapeError
from landslide_rcnn.evaluation.metrics import DEFINITIONS, METRICS, Counts
from landslide_rcnn.evaluation.pixels import ConfusionMatrix, ThresholdSweep, metrics_dict
from tests.reference import pixel_metrics

SEEDS = st.integers(0, 2**32 - 1)


def counts_of(confusion: ConfusionMatrix) -> dict[str, int]:
    return {name: getattr(confusion, name) for name in ("tp", "fp", "fn", "tn")}


def test_metrics_by_hand():
    confusion = ConfusionMatrix(tp=6, fp=2, fn=4, tn=88)
    assert confusion.precision == 6 / 8
    assert confusion.recall == 6 / 10
    assert confusion.f1 == pytest.approx(2 * 0.75 * 0.6 / 1.35)
    assert confusion.iou == 6 / 12
    assert confusion.background_iou == 88 / 94
    assert confusion.miou == pytest.approx((0.5 + 88 / 94) / 2)
    assert confusion.overall_accuracy == 0.94
    assert confusion.total == 100


def test_a_count_by_hand():
    confusion = ConfusionMatrix()
    predicted = np.array([[1, 1, 0, 0, 255]])
    truth = np.array([[255, 0, 255, 0, 255]])
    confusion.add(predicted, truth, np.array([[1, 1, 1, 1, 0]], bool))
    assert counts_of(confusion) == {"tp": 1, "fp": 1, "fn": 1, "tn": 1}
    confusion.add(predicted, truth)
    assert counts_of(confusion) == {"tp": 3, "fp": 2, "fn": 2, "tn": 2}


# Of the landslides and of the background: precision, recall, f1, iou.
NONE = [None] * 4


@pytest.mark.parametrize(
    "confusion, landslide, background, means",
    [
        (ConfusionMatrix(), NONE, NONE, [None] * 6),
        (ConfusionMatrix(tn=5), NONE, [1.0, 1.0, 1.0, 1.0], [None, 1.0, *[None] * 4]),
        # False alarms alone: nothing can be said about landslides, not even 0.
        (
            ConfusionMatrix(tn=3, fp=1),
            NONE,
            [1.0, 0.75, 6 / 7, 0.75],
            [None, 0.75, None, None, None, None],
        ),
        # All called background: no better than chance, which is a kappa of 0.
        (
            ConfusionMatrix(tn=2, fn=2),
            [None, 0.0, 0.0, 0.0],
            [0.5, 1.0, 2 / 3, 0.5],
            [0.25, 0.5, 0.0, None, 0.5, 1 / 3],
        ),
        # No background in the truth: the mean over both classes has no meaning.
        (
            ConfusionMatrix(tp=3, fn=1),
            [1.0, 0.75, 6 / 7, 0.75],
            NONE,
            [None, 0.75, None, None, None, None],
        ),
        # One pixel, and all landslide.
        (ConfusionMatrix(tp=1), [1.0] * 4, NONE, [None, 1.0, None, None, None, None]),
        (ConfusionMatrix(fn=1), [None, 0.0, 0.0, 0.0], NONE, [None, 0.0, None, None, None, None]),
        (ConfusionMatrix(fp=1), NONE, [None, 0.0, 0.0, 0.0], [None, 0.0, None, None, None, None]),
    ],
)
def test_undefined_metrics_are_none(confusion, landslide, background, means):
    metrics = metrics_dict(confusion)
    names = ("precision", "recall", "f1", "iou")
    assert [metrics[name] for name in names] == landslide
    assert [metrics[f"background_{name}"] for name in names] == background
    means_of = ("miou", "overall_accuracy", "kappa", "macro_precision", "macro_recall", "macro_f1")
    assert [metrics[name] for name in means_of] == means


def test_kappa_by_hand():
    # po = 0.7; pe = (25 * 30 + 25 * 20) / 50^2 = 0.5.
    assert ConfusionMatrix(tp=20, fp=5, fn=10, tn=15).metric("kappa") == pytest.approx(0.4)
    # Errors that cancel in area only: worse than chance.
    assert ConfusionMatrix(tp=0, fp=5, fn=5, tn=10).metric("kappa") == pytest.approx(-1 / 3)


def test_macro_means_by_hand():
    confusion = ConfusionMatrix(tp=6, fp=2, fn=4, tn=88)
    assert confusion.metric("macro_precision") == pytest.approx((6 / 8 + 88 / 92) / 2)
    assert confusion.metric("macro_recall") == pytest.approx((6 / 10 + 88 / 90) / 2)
    assert confusion.metric("macro_f1") == pytest.approx((12 / 18 + 176 / 182) / 2)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_the_metrics_equal_the_slow_ones(seed):
    rng = np.random.default_rng(seed)
    predicted, truth = rng.random((2, 4, 5)) < rng.random((2, 1, 1))
    confusion = ConfusionMatrix()
    confusion.add(predicted, truth)
    expected = pixel_metrics.metrics(predicted, truth)
    assert set(expected) == set(METRICS)
    for name, value in expected.items():
        assert confusion.metric(name) == (value if value is None else pytest.approx(value)), name


def test_many_matrices_at_once_give_what_each_gives():
    rng = np.random.default_rng(3)
    many = Counts(*rng.integers(0, 3, (4, 50)))
    for name, metric in METRICS.items():
        each = [ConfusionMatrix(*row).metric(name) for row in zip(*many, strict=True)]
        np.testing.assert_array_equal(metric(many), np.array(each, float))


def test_counts_of_huge_scenes_do_not_overflow():
    confusion = ConfusionMatrix(tp=2**33, fp=2**32, fn=2**32, tn=2**36)
    scaled = ConfusionMatrix(tp=2, fp=1, fn=1, tn=16)
    assert confusion.metric("kappa") == pytest.approx(scaled.metric("kappa"), rel=1e-12)


def test_metrics_dict_defines_each_metric():
    metrics = metrics_dict(ConfusionMatrix(1, 2, 3, 4))
    assert [metrics[name] for name in ("tp", "fp", "fn", "tn")] == [1, 2, 3, 4]
    numbers = set(metrics) - {"tp", "fp", "fn", "tn", "definition"}
    assert set(metrics["definition"]) == numbers == set(DEFINITIONS)
    papers = {name: text for name, text in DEFINITIONS.items() if "background_" not in name}
    assert all("20" in text or "1960" in text for text in papers.values())


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 9), st.integers(1, 9), st.integers(1, 9))
def test_blocks_of_any_size_count_as_the_whole(seed, height, width, block):
    rng = np.random.default_rng(seed)
    probability = rng.choice(np.linspace(0, 1, 21), (height, width)).astype(np.float32)
    truth, valid = rng.random((2, height, width)) < 0.6
    confusion, sweep = ConfusionMatrix(), ThresholdSweep(bins=20)
    for top in range(0, height, block):
        for left in range(0, width, block):
            part = np.s_[top : top + block, left : left + block]
            confusion.add(probability[part] >= 0.5, truth[part], valid[part])
            sweep.add(probability[part], truth[part], valid[part])
    assert counts_of(confusion) == pixel_metrics.count_pixels(probability >= 0.5, truth, valid)
    assert sweep.confusion_at(0.5) == confusion


@pytest.mark.parametrize("bins", [1, 7, 100, 1000])
def test_the_sweep_counts_exactly_at_its_thresholds(bins):
    """Probabilities on every threshold and just beside it, where a rounded bin would slip."""
    edges = (np.arange(bins + 1) / bins).astype(np.float32)
    below, above = np.nextafter(edges[1:], np.float32(0)), np.nextafter(edges[:-1], np.float32(1))
    probability = np.concatenate([edges, below, above])
    truth = np.arange(len(probability)) % 3 > 0
    sweep = ThresholdSweep(bins)
    sweep.add(probability, truth)
    for threshold in np.arange(bins + 1) / bins:
        confusion = sweep.confusion_at(threshold)
        assert confusion.tp == np.count_nonzero(truth[probability >= float(threshold)])
        assert confusion.fp == np.count_nonzero(~truth[probability >= float(threshold)])
        assert confusion.total == len(probability)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 30))
def test_the_best_threshold_reaches_the_best_f1(seed, count):
    rng = np.random.default_rng(seed)
    probability = rng.random(count, np.float32)
    truth = rng.random(count) < 0.5
    truth[rng.integers(count)] = True
    sweep = ThresholdSweep(bins=50)
    sweep.add(probability, truth)
    best = pixel_metrics.best_f1(probability, truth, np.arange(1, 51) / 50)
    assert sweep.confusion_at(sweep.best_threshold()).f1 == pytest.approx(best)
    assert np.nanmax(sweep.curve()["f1"]) == pytest.approx(best)


def test_of_equally_good_thresholds_the_middle_one_is_taken():
    sweep = ThresholdSweep(bins=10)
    sweep.add(np.array([0.05, 0.15, 0.95]), np.array([0, 0, 1]))
    # 0.2 to 0.9 all separate the two classes.
    assert sweep.best_threshold() == 0.6


def test_a_model_that_says_nothing_gets_no_threshold_of_zero():
    sweep = ThresholdSweep(bins=10)
    sweep.add(np.zeros(4), np.array([1, 1, 1, 0]))
    assert sweep.best_threshold() > 0
    assert sweep.confusion_at(sweep.best_threshold()).f1 == 0


def test_without_positive_pixels_there_is_no_best_threshold():
    sweep = ThresholdSweep()
    assert sweep.best_threshold() is None
    sweep.add(np.array([0.2, 0.9]), np.array([0, 0]))
    assert sweep.best_threshold() is None
    assert np.isnan(sweep.curve()["f1"]).all()
    assert np.isnan(sweep.curve()["precision"]).all()


def test_the_curve_by_hand():
    sweep = ThresholdSweep(bins=4)
    sweep.add(np.array([0.3, 0.5, 0.6, 0.8]), np.array([0, 1, 0, 1]))
    curve = sweep.curve()
    np.testing.assert_allclose(curve["threshold"], [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(curve["precision"], [0.5, 2 / 3, 1, np.nan])
    np.testing.assert_allclose(curve["recall"], [1, 1, 0.5, 0])
    np.testing.assert_allclose(curve["f1"], [2 / 3, 0.8, 2 / 3, 0])
    np.testing.assert_allclose(curve["iou"], [0.5, 2 / 3, 0.5, 0])


def test_shapes_must_fit():
    with pytest.raises(ShapeError, match=r"one shape. Received: \(2, 2\), \(2, 3\)"):
        ConfusionMatrix().add(np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="one shape"):
        ThresholdSweep().add(np.zeros((2, 2)), np.zeros((2, 2)), np.ones(4, bool))


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.5])
def test_probabilities_outside_their_range_are_refused_unless_invalid(value):
    probability, truth = np.array([0.5, value]), np.array([1, 0])
    with pytest.raises(ConfigError, match=r"must lie in \[0, 1\]"):
        ThresholdSweep().add(probability, truth)
    sweep = ThresholdSweep()
    sweep.add(probability, truth, np.array([True, False]))
    assert counts_of(sweep.confusion_at(0.5)) == {"tp": 1, "fp": 0, "fn": 0, "tn": 0}


def test_bad_settings_are_refused():
    with pytest.raises(ConfigError, match="bins=0"):
        ThresholdSweep(0)
    with pytest.raises(ConfigError, match=r"lies in \[0, 1\]. Received: 1.5"):
        ThresholdSweep().confusion_at(1.5)
