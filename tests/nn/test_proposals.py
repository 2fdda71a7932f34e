"""From the RPN's answers to detections, against a slow twin of matterport's way."""

import numpy as np
import pytest
from keras import ops

from landslide_rcnn.nn.ops.anchors import pyramid_anchors
from landslide_rcnn.nn.ops.boxes import norm_boxes
from landslide_rcnn.nn.ops.roi_align import pyramid_roi_align, roi_levels
from landslide_rcnn.nn.proposals import propose, refine_detections
from tests.reference import detection as slow

SIDE = 320
STD = (0.1, 0.1, 0.2, 0.2)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def anchors_of(side):
    anchors = pyramid_anchors(
        side, side, scales=(32, 64, 128, 256, 512), ratios=(0.5, 1, 2), strides=(4, 8, 16, 32, 64)
    )
    return numpy(norm_boxes(anchors, side, side))


def random_rois(rng, count, smallest=0.01):
    corner = rng.uniform(0, 0.9, (count, 2))
    side = rng.uniform(smallest, 0.5, (count, 2))
    return np.minimum(np.concatenate([corner, corner + side], axis=1), 1).astype(np.float32)


class TestPropose:
    def test_equals_the_loop_at_320_px(self):
        rng = np.random.default_rng(0)
        anchors = anchors_of(SIDE)
        foreground = rng.uniform(size=(1, len(anchors))).astype(np.float32)
        deltas = rng.normal(0, 0.5, (1, len(anchors), 4)).astype(np.float32)
        found, real = propose(
            anchors,
            foreground,
            deltas,
            pre_nms_limit=6000,
            max_proposals=1000,
            iou_threshold=0.7,
            std_dev=STD,
        )
        expected = slow.propose(
            anchors,
            foreground[0],
            deltas[0],
            limit=6000,
            count=1000,
            threshold=0.7,
            std_dev=STD,
        )
        assert numpy(real).sum() == len(expected) == 1000
        np.testing.assert_allclose(numpy(found)[0], expected, atol=1e-6)

    @pytest.mark.parametrize("side", [64, 128])
    def test_equal_scores_wild_deltas_and_fewer_boxes_than_asked_for(self, side):
        rng = np.random.default_rng(side)
        anchors = anchors_of(side)
        # Few different scores, boxes that leave the image altogether, boxes that outgrow it.
        foreground = rng.integers(1, 6, (2, len(anchors))).astype(np.float32) / 8
        deltas = rng.normal(0, 12, (2, len(anchors), 4)).astype(np.float32)
        spec = dict(max_proposals=300, iou_threshold=0.5, std_dev=STD)
        found, real = propose(anchors, foreground, deltas, pre_nms_limit=400, **spec)
        found, real = numpy(found), numpy(real)
        assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1
        for image in range(2):
            expected = slow.propose(
                anchors,
                foreground[image],
                deltas[image],
                limit=400,
                count=300,
                threshold=0.5,
                std_dev=STD,
            )
            assert real[image].sum() == len(expected)
            np.testing.assert_allclose(found[image][real[image]], expected, atol=1e-5)
            assert not found[image][~real[image]].any()


class TestRefineDetections:
    @pytest.mark.parametrize("classes", [2, 5, 81])
    def test_equals_the_loop(self, classes):
        rng = np.random.default_rng(classes)
        rois = np.stack([random_rois(rng, 200, smallest=0) for _ in range(2)])
        real = np.arange(200)[None] < np.array([[200], [90]])
        logits = rng.normal(0, 3, (2, 200, classes)).astype(np.float32)
        deltas = rng.normal(0, 1, (2, 200, classes, 4)).astype(np.float32)
        windows = np.array([[0, 0, 1, 1], [0.1, 0.0, 0.8, 1.0]], np.float32)
        found = refine_detections(
            rois,
            real,
            logits,
            deltas,
            windows,
            min_confidence=0.3,
            iou_threshold=0.3,
            max_detections=60,
            std_dev=STD,
        )
        probabilities = numpy(ops.softmax(logits))
        for image in range(2):
            used = real[image]
            expected = slow.detect(
                rois[image][used],
                probabilities[image][used],
                deltas[image][used],
                windows[image],
                min_confidence=0.3,
                threshold=0.3,
                count=60,
                std_dev=STD,
            )
            rows = numpy(found)[image]
            assert len(expected) > 10
            np.testing.assert_allclose(rows[: len(expected)], expected, atol=1e-5)
            assert not rows[len(expected) :].any()

    def test_boxes_of_two_classes_never_drop_each_other(self):
        rois = np.tile(np.array([0.1, 0.1, 0.5, 0.5], np.float32), (1, 3, 1))
        logits = np.array([[[0, 9, 0, 0], [0, 0, 8, 0], [0, 7, 0, 0]]], np.float32)
        found = refine_detections(
            rois,
            np.ones((1, 3), bool),
            logits,
            np.zeros((1, 3, 4, 4), np.float32),
            np.array([[0, 0, 1, 1]], np.float32),
            min_confidence=0.5,
            iou_threshold=0.3,
            max_detections=4,
            std_dev=STD,
        )
        assert list(numpy(found)[0, :, 4]) == [1, 2, 0, 0]

    def test_the_class_number_does_not_cost_the_box_digits(self):
        # Overlap of 0.3 less or more a part in ten thousand, far down the list of classes.
        side = 0.04
        for factor, kept in ((1.0001, 2), (0.9999, 1)):
            shift = side * (1 - 0.6 / 1.3) * factor
            boxes = [[0.9, 0.9, 0.9 + side, 0.9 + side], [0.9 + shift, 0.9, 0.9 + shift + side, 0]]
            boxes[1][3] = 0.9 + side
            logits = np.zeros((1, 2, 81), np.float32)
            logits[0, :, 80] = 9, 8
            found = refine_detections(
                np.array([boxes], np.float32),
                np.ones((1, 2), bool),
                logits,
                np.zeros((1, 2, 81, 4), np.float32),
                np.array([[0, 0, 1, 1]], np.float32),
                min_confidence=0.0,
                iou_threshold=0.3,
                max_detections=2,
                std_dev=STD,
            )
            assert (numpy(found)[0, :, 4] > 0).sum() == kept


class TestCuts:
    @pytest.mark.parametrize("side", [64, SIDE])
    @pytest.mark.parametrize("bins", [7, 14])
    def test_each_roi_is_cut_as_by_the_loop(self, side, bins):
        rng = np.random.default_rng(bins)
        levels = [
            rng.normal(size=(side // stride, side // stride, 3)).astype(np.float32)
            for stride in (4, 8, 16, 32)
        ]
        rois = random_rois(rng, 40, smallest=0)
        rois[0], rois[1], rois[2] = 0, [0, 0, 1, 1], [0.3, 0.3, 0.3, 0.9]
        found = numpy(self.cut(levels, rois, side, bins))
        assert len(set(numpy(roi_levels(rois, side, side, 4)))) >= (1 if side == 64 else 3)
        for roi, crop in zip(rois, found):
            expected = slow.cut(levels, roi, bins, side, side)
            np.testing.assert_allclose(crop, expected, atol=2e-4)

    @staticmethod
    def cut(levels, rois, side, bins):
        return pyramid_roi_align(
            [level[None] for level in levels],
            rois,
            np.zeros(len(rois), np.int32),
            side,
            side,
            bins=bins,
            samples=1,
            pooling="average",
        )
