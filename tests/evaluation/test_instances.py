"""Instance metrics: against loops, and cases worked by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide_rcnn.data.masks import extract_bboxes
from landslide_rcnn.errors import ShapeError
from landslide_rcnn.evaluation.instances import (
    compute_ap,
    compute_ap_range,
    compute_matches,
    compute_overlaps_masks,
    compute_recall,
)
from tests.reference import average_precision as slow


def squares(*corners, side=4, size=20):
    """[size, size, N] masks of squares at (y, x)."""
    masks = np.zeros((size, size, len(corners)), bool)
    for i, (y, x) in enumerate(corners):
        masks[y : y + side, x : x + side, i] = True
    return masks


def arguments(gt, gt_ids, found, ids, scores):
    """As matterport's functions take them."""
    return (
        extract_bboxes(gt), np.array(gt_ids, np.int32), gt,
        extract_bboxes(found), np.array(ids, np.int32), np.array(scores, np.float32), found,
    )  # fmt: skip


# Two instances. Best first: a hit (IoU 0.6), a false one, a second hit, a double of the first.
BY_HAND = arguments(
    squares((0, 0), (10, 10)), [1, 2],
    squares((0, 0), (10, 11), (5, 15), (0, 1)), [1, 2, 1, 1],
    [0.4, 0.7, 0.8, 0.9],
)  # fmt: skip


class TestOverlaps:
    @settings(max_examples=20)
    @given(st.integers(0, 2**31), st.integers(0, 4), st.integers(0, 3), st.integers(1, 9))
    def test_equal_the_loops(self, seed, n, m, height):
        rng = np.random.default_rng(seed)
        share = rng.uniform(0, 1)
        first, second = (rng.uniform(size=(height, 7, count)) < share for count in (n, m))
        expected = [
            [slow.mask_iou(first[..., i], second[..., j]) for j in range(m)] for i in range(n)
        ]
        found = compute_overlaps_masks(first, second)
        np.testing.assert_allclose(found, np.reshape(expected, (n, m)), atol=1e-6)

    def test_empty_masks_overlap_nothing(self):
        masks = np.zeros((5, 6, 2), bool)
        masks[0, 0, 1] = True
        assert compute_overlaps_masks(masks, masks).tolist() == [[0, 0], [0, 1]]

    def test_sizes_must_agree(self):
        with pytest.raises(ShapeError, match=r"\(5, 6, 1\) and \(6, 5, 1\)"):
            compute_overlaps_masks(np.ones((5, 6, 1)), np.ones((6, 5, 1)))


class TestMatches:
    def test_by_hand(self):
        gt_match, pred_match, overlaps = compute_matches(*BY_HAND)
        assert pred_match.tolist() == [0, -1, 1, -1]  # best score first
        assert gt_match.tolist() == [0, 2]  # in that order
        np.testing.assert_allclose(overlaps[:, 0], [12 / 20, 0, 0, 1])
        np.testing.assert_allclose(overlaps[:, 1], [0, 0, 12 / 20, 0])

    def test_the_class_must_agree_and_the_overlap_reach_the_threshold(self):
        other_class = list(BY_HAND)
        other_class[4] = np.array([1, 1, 1, 1])
        assert compute_matches(*other_class)[0].tolist() == [0, -1]
        gt_match, pred_match, _ = compute_matches(*BY_HAND, iou_threshold=0.7)
        assert gt_match.tolist() == [3, -1] and pred_match.tolist() == [-1, -1, -1, 0]
        assert compute_matches(*BY_HAND, score_threshold=0.7)[0].tolist() == [3, -1]

    def test_padding_is_no_instance(self):
        boxes, ids, masks, *found = BY_HAND
        padded = (
            np.pad(boxes, [[0, 3], [0, 0]]), np.pad(ids, [0, 3]),
            np.pad(masks, [[0, 0], [0, 0], [0, 3]]),
        )  # fmt: skip
        gt_match, _, overlaps = compute_matches(*padded, *found)
        assert gt_match.tolist() == [0, 2] and overlaps.shape == (4, 2)


class TestAveragePrecision:
    def test_by_hand(self):
        value, precisions, recalls, overlaps = compute_ap(*BY_HAND)
        # Recall 1/2 at precision 1, recall 1 at precision 2/3.
        assert value == pytest.approx((1 + 2 / 3) / 2)
        np.testing.assert_allclose(precisions, [1, 1, 2 / 3, 2 / 3, 1 / 2, 0])
        np.testing.assert_allclose(recalls, [0, 1 / 2, 1 / 2, 1, 1, 1])
        assert overlaps.shape == (4, 2)

    @settings(max_examples=25)
    @given(st.integers(0, 2**31), st.integers(1, 5), st.integers(0, 6))
    def test_equals_the_loops(self, seed, n, d):
        rng = np.random.default_rng(seed)
        gt = squares(*rng.integers(0, 12, (n, 2)), side=6)
        # Near an instance each, so that some match.
        near = rng.integers(0, n, d)
        corners = extract_bboxes(gt)[near, :2] + rng.integers(0, 3, (d, 2))
        found = squares(*corners, side=6)
        gt_ids, ids = rng.integers(1, 3, n), rng.integers(1, 3, d)
        scores = rng.permutation(np.linspace(0.1, 0.9, d))
        expected = slow.average_precision(
            list(gt.transpose(2, 0, 1)), gt_ids, list(found.transpose(2, 0, 1)), ids, scores, 0.5
        )
        value = compute_ap(*arguments(gt, gt_ids, found, ids, scores))[0]
        assert value == pytest.approx(expected)

    def test_nothing_there_nothing_found_and_the_cases_between(self):
        none, one = squares(), squares((2, 2))
        assert np.isnan(compute_ap(*arguments(none, [], none, [], []))[0])
        assert compute_ap(*arguments(one, [1], none, [], []))[0] == 0
        value, precisions, recalls, _ = compute_ap(*arguments(none, [], one, [1], [0.9]))
        assert value == 0 and np.isfinite(precisions).all() and np.isfinite(recalls).all()
        assert compute_ap(*arguments(one, [1], one, [1], [0.9]))[0] == 1

    def test_range(self, capsys):
        # The first instance is found exactly, but second to a double of IoU 0.6, which is a
        # false one above that: AP 5/6 at 0.5, 0.55 and 0.6, below it 1/4 x 1/2.
        each = [compute_ap(*BY_HAND, iou_threshold=t)[0] for t in (0.5, 0.55, 0.65, 0.95)]
        np.testing.assert_allclose(each, [5 / 6, 5 / 6, 1 / 8, 1 / 8])
        value = compute_ap_range(*BY_HAND)
        assert value == pytest.approx(np.mean([5 / 6] * 3 + [1 / 8] * 7))
        printed = capsys.readouterr().out
        assert "AP @0.50:\t 0.833" in printed and "AP @0.50-0.95:" in printed
        assert compute_ap_range(*BY_HAND, iou_thresholds=[0.65], verbose=0) == 1 / 8
        assert not capsys.readouterr().out


class TestRecall:
    def test_by_hand(self):
        truth = np.array([[0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]])
        found = np.array([[0, 0, 10, 9], [0, 0, 9, 10], [20, 25, 30, 35], [0, 0, 0, 0]])
        recall, positive = compute_recall(found, truth, 0.5)
        assert recall == pytest.approx(1 / 3) and positive.tolist() == [0, 1]
        recall, positive = compute_recall(found, truth, 0.3)
        assert recall == pytest.approx(2 / 3) and positive.tolist() == [0, 1, 2]

    def test_without_boxes(self):
        recall, positive = compute_recall(np.zeros((0, 4)), np.array([[0, 0, 1, 1]]), 0.5)
        assert recall == 0 and not len(positive)
        assert np.isnan(compute_recall(np.ones((2, 4)), np.zeros((0, 4)), 0.5)[0])
