"""Which boxes are positive, and what they must answer, against slow twins."""

import keras
import numpy as np
import pytest
from keras import ops

from landslide_rcnn.nn.ops.boxes import norm_boxes
from landslide_rcnn.nn.ops.matching import sample
from landslide_rcnn.nn.targets import (
    GroundTruth,
    crop_masks,
    mask_targets,
    roi_targets,
    rpn_targets,
)
from tests.reference import boxes as slow_boxes

SIDE = 64
STD = (0.1, 0.1, 0.2, 0.2)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def truth_of(boxes_px, class_ids, slots=4):
    """One image's ground truth with full-size masks that fill their boxes."""
    boxes = np.zeros((1, slots, 4), np.float32)
    ids = np.zeros((1, slots), np.int32)
    masks = np.zeros((1, slots, SIDE, SIDE), np.uint8)
    for i, (y1, x1, y2, x2) in enumerate(boxes_px):
        boxes[0, i], ids[0, i] = (y1, x1, y2, x2), class_ids[i]
        masks[0, i, y1:y2, x1:x2] = 1
    return GroundTruth(ids, norm_boxes(boxes, SIDE, SIDE), masks)


def some_anchors(rng, count=60):
    corner = rng.uniform(0, 44, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(6, 24, (count, 2))], axis=1)
    boxes[:3] = [[10, 10, 30, 30], [11, 10, 31, 30], [40, 40, 60, 56]]
    return norm_boxes(boxes, SIDE, SIDE)


def masks_of(targets, truth, masks_in_boxes=False):
    """The target masks of the positive rois, [P, 28, 28], without padding."""
    found = mask_targets(
        targets,
        truth,
        limit=8,
        mask_size=28,
        masks_in_boxes=masks_in_boxes,
        image_height=SIDE,
        image_width=SIDE,
    )
    assert not numpy(found.masks)[~numpy(found.used)].any()
    return numpy(found.masks)[numpy(found.used)]


def rois_of(proposals, truth, count=16, are_proposals=True, **kwargs):
    proposals = numpy(proposals)[None]
    return roi_targets(
        proposals,
        np.full(proposals.shape[:2], are_proposals),
        truth,
        **{
            **dict(
                count=count,
                positive_ratio=0.5,
                std_dev=STD,
                seed=keras.random.SeedGenerator(0),
            ),
            **kwargs,
        },
    )


class TestSample:
    def test_draws_only_candidates_each_once(self):
        candidates = np.random.default_rng(0).uniform(size=(3, 40)) < 0.4
        indices, drawn = map(numpy, sample(candidates, 10, keras.random.SeedGenerator(1)))
        for row in range(3):
            chosen = indices[row][drawn[row]]
            assert len(set(chosen)) == len(chosen) == 10
            assert candidates[row][chosen].all()

    @pytest.mark.parametrize("available", [0, 2])
    def test_too_few_candidates_are_padded(self, available):
        candidates = np.zeros((1, 5), bool)
        candidates[0, :available] = True
        indices, drawn = map(numpy, sample(candidates, 8, keras.random.SeedGenerator(1)))
        assert indices.shape == (1, 8) and drawn.sum() == available
        assert set(indices[0][drawn[0]]) == set(range(available))

    def test_every_candidate_is_drawn_sometimes(self):
        seed = keras.random.SeedGenerator(3)
        seen = set()
        for _ in range(60):
            indices, _ = sample(np.ones((1, 6), bool), 2, seed)
            seen |= set(numpy(indices)[0])
        assert seen == set(range(6))


class TestRpnTargets:
    def test_labels_equal_the_loops(self):
        anchors = some_anchors(np.random.default_rng(0))
        truth = truth_of([(10, 10, 30, 30), (38, 38, 60, 58)], [1, 1])
        expected = slow_boxes.match_anchors(numpy(anchors), numpy(truth.boxes)[0, :2])
        # As many as there are anchors: everything that may be drawn is drawn.
        targets = rpn_targets(
            anchors, truth, count=2 * len(expected), std_dev=STD, seed=keras.random.SeedGenerator(0)
        )
        indices, used, positive = (
            numpy(x)[0] for x in (targets.indices, targets.used, targets.positive)
        )
        assert set(indices[used & positive]) == set(np.flatnonzero(expected == 1))
        assert set(indices[used & ~positive]) == set(np.flatnonzero(expected == -1))

    def test_deltas_lead_to_the_instance(self):
        anchors = some_anchors(np.random.default_rng(0))
        truth = truth_of([(10, 10, 30, 30)], [1])
        targets = rpn_targets(
            anchors, truth, count=20, std_dev=STD, seed=keras.random.SeedGenerator(0)
        )
        positive = numpy(targets.positive)[0]
        assert positive.sum() >= 2
        for index, delta in zip(
            numpy(targets.indices)[0][positive], numpy(targets.deltas)[0][positive]
        ):
            expected = slow_boxes.encode(numpy(anchors)[index], numpy(truth.boxes)[0, 0], STD)
            np.testing.assert_allclose(delta, expected, atol=1e-4)

    def test_without_instances_all_are_negative(self):
        anchors = some_anchors(np.random.default_rng(0))
        targets = rpn_targets(
            anchors, truth_of([], []), count=20, std_dev=STD, seed=keras.random.SeedGenerator(0)
        )
        assert numpy(targets.used).sum() == 20 and not numpy(targets.positive).any()

    def test_half_may_be_positive_and_negatives_fill_up(self):
        anchors = ops.concatenate([some_anchors(np.random.default_rng(0))] * 4, axis=0)
        truth = truth_of([(10, 10, 30, 30)], [1])
        targets = rpn_targets(
            anchors, truth, count=8, std_dev=STD, seed=keras.random.SeedGenerator(0)
        )
        assert numpy(targets.positive).sum() == 4 and numpy(targets.used).sum() == 8

    def test_an_anchor_in_a_crowd_is_neither(self):
        anchors = some_anchors(np.random.default_rng(0))
        truth = truth_of([(0, 0, 64, 64)], [-1])
        targets = rpn_targets(
            anchors, truth, count=20, std_dev=STD, seed=keras.random.SeedGenerator(0)
        )
        assert not numpy(targets.used).any()


class TestRoiTargets:
    def test_classes_boxes_and_masks_of_the_positive_rois(self):
        truth = truth_of([(10, 10, 30, 30), (40, 40, 60, 56)], [1, 2])
        targets = rois_of(some_anchors(np.random.default_rng(0)), truth)
        rois, ids = numpy(targets.rois)[0], numpy(targets.class_ids)[0]
        positive = numpy(targets.positive)[0]
        assert {1, 2} <= set(ids[positive]) and not ids[~positive].any()
        assert not positive[8:].any() and positive[0]
        overlaps = slow_boxes.iou(rois, numpy(truth.boxes)[0, :2])
        for i in np.flatnonzero(numpy(targets.used)[0]):
            assert positive[i] == (overlaps[i].max() >= 0.5)
        for i in np.flatnonzero(positive):
            instance = overlaps[i].argmax()
            assert ids[i] == instance + 1
            expected = slow_boxes.encode(rois[i], numpy(truth.boxes)[0, instance], STD)
            np.testing.assert_allclose(numpy(targets.deltas)[0, i], expected, atol=1e-3)

    def test_an_instances_own_box_has_a_full_mask(self):
        truth = truth_of([(10, 10, 30, 30)], [1])
        targets = rois_of(np.zeros((5, 4), np.float32), truth)
        assert numpy(targets.positive).sum() == 1
        masks = masks_of(targets, truth)
        assert len(masks) == 1 and masks.all()

    def test_mini_masks_give_the_same_masks(self):
        truth = truth_of([(8, 8, 40, 40)], [1])
        shape = np.zeros((SIDE, SIDE), np.uint8)
        shape[8:24, 8:40] = 1  # the upper half of the box
        full = GroundTruth(truth.class_ids, truth.boxes, truth.masks * shape)
        mini = GroundTruth(truth.class_ids, truth.boxes, full.masks[:, :, 8:40, 8:40])
        proposals = norm_boxes(np.array([[8.0, 8, 40, 40], [4.3, 4.3, 36.7, 36.1]]), SIDE, SIDE)
        of_full = masks_of(rois_of(proposals, full), full)
        of_mini = masks_of(rois_of(proposals, mini), mini, masks_in_boxes=True)
        np.testing.assert_array_equal(of_full, of_mini)
        assert len(of_full) == 3 and of_full[0].mean() == pytest.approx(0.5, abs=0.1)

    def test_masks_are_those_of_the_own_image(self):
        """Two images, each with one instance in another half of its box."""
        upper, lower = truth_of([(8, 8, 40, 40)], [1]), truth_of([(24, 24, 56, 56)], [2])
        masks = [numpy(part.masks).copy() for part in (upper, lower)]
        masks[0][0, 0, 24:], masks[1][0, 0, :40] = 0, 0
        truth = GroundTruth(
            *(np.concatenate([numpy(a), numpy(b)]) for a, b in zip(upper[:2], lower[:2])),
            np.concatenate(masks),
        )
        proposals = np.zeros((2, 3, 4), np.float32)
        targets = roi_targets(
            proposals,
            np.zeros((2, 3), bool),
            truth,
            count=16,
            positive_ratio=0.5,
            std_dev=STD,
            seed=keras.random.SeedGenerator(0),
        )
        found = masks_of(targets, truth)
        assert found[:, :14].mean(axis=(1, 2)).tolist() == [1, 0]
        assert found[:, 14:].mean(axis=(1, 2)).tolist() == [0, 1]

    def test_an_image_without_positives_still_has_negatives(self):
        targets = rois_of(some_anchors(np.random.default_rng(0)), truth_of([], []))
        assert numpy(targets.used).sum() == 16
        for part in (targets.positive, targets.class_ids, targets.deltas):
            assert not numpy(part).any()
        assert len(masks_of(targets, truth_of([], []))) == 0

    def test_padding_is_not_used(self):
        anchors = some_anchors(np.random.default_rng(0))
        targets = rois_of(anchors, truth_of([], []), are_proposals=False)
        assert not numpy(targets.used).any()


class TestCropMasks:
    def test_at_its_own_size_a_mask_is_itself(self):
        mask = np.random.default_rng(0).uniform(size=(1, 6, 6)).astype(np.float32)
        box = np.array([[0.0, 0, 6, 6]], np.float32)
        np.testing.assert_allclose(numpy(crop_masks(mask, box, 6)), mask, atol=1e-6)

    def test_outside_the_mask_is_zero(self):
        cut = numpy(crop_masks(np.ones((1, 4, 4)), np.array([[-4.0, 0, 4, 4]], np.float32), 8))
        np.testing.assert_allclose(cut[0, :, 0], [0, 0, 0, 0, 1, 1, 1, 1])

    def test_whole_pixel_cuts_are_exact(self):
        mask = np.arange(64, dtype=np.float32).reshape(1, 8, 8)
        cut = numpy(crop_masks(mask, np.array([[2.0, 3, 6, 7]], np.float32), 4))
        np.testing.assert_allclose(cut[0], mask[0, 2:6, 3:7])
