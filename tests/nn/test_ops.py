"""Boxes, anchors, NMS, RoIAlign and Sobel against slow twins and cases worked by hand."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from landslide_rcnn.nn.ops.anchors import pyramid_anchors
from landslide_rcnn.nn.ops.boxes import (
    clip_boxes,
    decode_boxes,
    denorm_boxes,
    encode_boxes,
    iou,
    norm_boxes,
)
from landslide_rcnn.nn.ops.nms import greedy_nms, nms
from landslide_rcnn.nn.ops.roi_align import pyramid_roi_align, roi_align, roi_levels
from landslide_rcnn.nn.ops.sobel import sobel
from tests.reference import boxes as slow_boxes
from tests.reference import losses as slow_losses
from tests.reference import roi_align as slow_roi_align

STD = (0.1, 0.1, 0.2, 0.2)


def random_boxes(rng, count, smallest=0.0):
    """[count, 4] normalised; some empty where `smallest` is 0."""
    corner = rng.uniform(0, 0.8, (count, 2))
    side = rng.uniform(smallest, 0.4, (count, 2))
    if smallest == 0:
        side[: count // 4] = 0
    return np.concatenate([corner, corner + side], axis=1).astype(np.float32)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


class TestBoxes:
    def test_norm_puts_the_outer_pixels_at_zero_and_one(self):
        boxes = numpy(norm_boxes(np.array([[0, 0, 100, 50], [10, 20, 11, 21]]), 100, 50))
        np.testing.assert_allclose(boxes[0], [0, 0, 1, 1])
        np.testing.assert_allclose(boxes[1], [10 / 99, 20 / 49, 10 / 99, 20 / 49], rtol=1e-6)

    def test_denorm_is_the_inverse_of_norm(self):
        pixels = np.array([[3.0, 4.0, 30.0, 44.0]], np.float32)
        np.testing.assert_allclose(
            numpy(denorm_boxes(norm_boxes(pixels, 64, 128), 64, 128)), pixels, rtol=1e-5
        )

    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 2**31), st.integers(0, 12), st.integers(0, 6))
    def test_iou_equals_the_loops(self, seed, a, n):
        rng = np.random.default_rng(seed)
        first, second = random_boxes(rng, a), random_boxes(rng, n)
        np.testing.assert_allclose(
            numpy(iou(first, second)), slow_boxes.iou(first, second), atol=1e-6
        )

    def test_encode_equals_the_loop_and_decode_undoes_it(self):
        rng = np.random.default_rng(0)
        boxes, targets = random_boxes(rng, 20, 0.05), random_boxes(rng, 20, 0.05)
        deltas = numpy(encode_boxes(boxes, targets, STD))
        expected = [slow_boxes.encode(b, t, STD) for b, t in zip(boxes, targets)]
        np.testing.assert_allclose(deltas, expected, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(numpy(decode_boxes(boxes, deltas, STD)), targets, atol=1e-5)

    def test_padding_encodes_to_finite_numbers(self):
        zeros = np.zeros((3, 4), np.float32)
        assert np.isfinite(numpy(encode_boxes(zeros, zeros, STD))).all()

    def test_a_huge_delta_does_not_overflow(self):
        box = np.array([[0.4, 0.4, 0.5, 0.5]], np.float32)
        decoded = numpy(decode_boxes(box, np.array([[0, 0, 1e6, 1e6]], np.float32), (1, 1, 1, 1)))
        np.testing.assert_allclose(decoded[0, 2] - decoded[0, 0], 0.1 * 1000 / 16, rtol=1e-4)
        np.testing.assert_allclose(numpy(clip_boxes(decoded)), [[0, 0, 1, 1]])


class TestAnchors:
    def test_counts_and_order_are_matterports(self):
        spec = dict(ratios=(0.5, 1, 2), strides=(4, 8, 16, 32, 64))
        anchors = pyramid_anchors(256, 256, scales=(32, 64, 128, 256, 512), **spec)
        assert anchors.shape == (16368, 4)
        h, w = anchors[:, 2] - anchors[:, 0], anchors[:, 3] - anchors[:, 1]
        np.testing.assert_allclose((w / h)[:3], [0.5, 1, 2], rtol=1e-5)
        np.testing.assert_allclose(np.sqrt(h * w)[[0, 12288, -1]], [32, 64, 512], rtol=1e-5)
        centre = (anchors[:, :2] + anchors[:, 2:]) / 2
        np.testing.assert_allclose(centre[[0, 3, 64 * 3]], [[0, 0], [0, 4], [4, 0]], atol=1e-5)

    def test_oblong_image(self):
        anchors = pyramid_anchors(64, 128, scales=[8], ratios=[1], strides=[64])
        np.testing.assert_allclose(anchors, [[-4, -4, 4, 4], [-4, 60, 4, 68]])


class TestNms:
    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 2**31), st.sampled_from([0.0, 0.3, 0.7]))
    def test_both_versions_equal_the_loop(self, seed, threshold):
        rng = np.random.default_rng(seed)
        boxes = np.stack([random_boxes(rng, 30, 0.1) for _ in range(2)])
        scores = rng.permuted(np.linspace(0.1, 0.9, 60)).reshape(2, 30).astype(np.float32)
        for run in (
            lambda: nms(boxes, scores, iou_threshold=threshold, max_output=12),
            lambda: greedy_nms(boxes, scores, threshold, 12, 0.0),
        ):
            indices, kept = map(numpy, run())
            for b in range(2):
                expected = slow_boxes.nms(boxes[b], scores[b], threshold, 12)
                assert list(indices[b][kept[b]]) == expected

    @pytest.mark.parametrize("count", [1, 3])
    def test_fewer_boxes_than_asked_for_are_padded(self, count):
        boxes = np.array([[[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0.1, 0.1]]], np.float32)[:, :count]
        scores = np.array([[0.9, 0.8, 0.7]], np.float32)[:, :count]
        for run in (
            lambda: nms(boxes, scores, iou_threshold=0.5, max_output=5),
            lambda: greedy_nms(boxes, scores, 0.5, 5, 0.0),
        ):
            indices, kept = map(numpy, run())
            assert indices.shape == (1, 5)
            assert list(indices[0][kept[0]]) == ([0] if count == 1 else [0, 2])

    def test_no_box_above_the_smallest_score(self):
        boxes, scores = np.zeros((1, 4, 4), np.float32), np.full((1, 4), -1.0, np.float32)
        _, kept = nms(boxes, scores, iou_threshold=0.5, max_output=3, min_score=-0.5)
        assert not numpy(kept).any()


class TestRoiAlign:
    # Half-open pixel boxes: inside, sub-pixel, over the edge, of no area, the whole map.
    BOXES = np.array(
        [[2, 3, 9, 11], [1.3, 0.2, 4.9, 6.1], [-0.6, 5, 7, 16.5], [4, 4, 4, 4], [0, 0, 16, 16]],
        np.float32,
    )

    @pytest.mark.parametrize("samples", [1, 2])
    @pytest.mark.parametrize("pooling", ["max", "average"])
    def test_bins_equal_the_loops(self, samples, pooling):
        features = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
        images = np.array([0, 1, 1, 0, 1], np.int32)
        cuts = roi_align(
            features,
            norm_boxes(self.BOXES, 16, 16),
            images,
            bins=4,
            samples=samples,
            pooling=pooling,
            grid="bins",
        )
        for i, (box, image) in enumerate(zip(self.BOXES, images)):
            expected = slow_roi_align.roi_align_pixels(features[image], box, 4, samples, pooling)
            np.testing.assert_allclose(numpy(cuts)[i], expected, atol=1e-4)

    def test_corners_equal_crop_and_resize(self):
        features = np.random.default_rng(1).normal(size=(1, 16, 12, 2)).astype(np.float32)
        boxes = np.array([[0, 0, 1, 1], [0.2, 0.1, 0.7, 0.9], [-0.2, 0.5, 0.5, 1.3]], np.float32)
        cuts = roi_align(
            features,
            boxes,
            np.zeros(3, np.int32),
            bins=5,
            samples=1,
            pooling="average",
            grid="corners",
        )
        for i, box in enumerate(boxes):
            expected = slow_roi_align.crop_and_resize(features[0], box, 5)
            np.testing.assert_allclose(numpy(cuts)[i], expected, atol=1e-5)

    def test_levels_follow_the_fpn_paper(self):
        # Square rois of 28, 56, 112, 224, 448 px in a 512 px image.
        sides = np.array([28, 56, 112, 224, 448]) / 512
        rois = np.stack([0 * sides, 0 * sides, sides, sides], axis=1).astype(np.float32)
        assert list(numpy(roi_levels(rois, 512, 512, 4))) == [0, 0, 1, 2, 3]

    @pytest.mark.parametrize("samples", [1, 2])
    def test_each_roi_is_cut_from_its_own_level_and_image(self, samples):
        # Every cell of level l of image b holds 10 b + l: the cut tells where it came from.
        levels = [
            np.full((2, 64 // 2**i, 64 // 2**i, 1), 0, np.float32)
            + np.array([0, 10], np.float32).reshape(2, 1, 1, 1)
            + i
            for i in range(4)
        ]
        small, large = [0.1, 0.1, 0.15, 0.15], [0.0, 0.0, 1.0, 1.0]
        rois = np.array([small, large, large, small], np.float32)
        images = np.array([0, 0, 1, 1], np.int32)
        spec = dict(bins=2, samples=samples, pooling="max")
        cuts = pyramid_roi_align(levels, rois, images, 256, 256, **spec)
        assert list(numpy(cuts)[:, 0, 0, 0]) == [0, 2, 12, 10]

    @pytest.mark.parametrize("samples,pooling", [(1, "average"), (2, "max"), (2, "average")])
    def test_compiled_without_gradient_it_gives_the_same_numbers(self, samples, pooling):
        rng = np.random.default_rng(0)
        levels = [rng.normal(size=(2, s, s, 3)).astype(np.float32) for s in (16, 8, 4, 2)]
        rois, images = random_boxes(rng, 12), rng.integers(0, 2, 12).astype(np.int32)
        spec = dict(bins=3, samples=samples, pooling=pooling)

        @tf.function
        def compiled():
            return pyramid_roi_align(levels, rois, images, 512, 512, with_gradient=False, **spec)

        expected = pyramid_roi_align(levels, rois, images, 512, 512, **spec)
        np.testing.assert_allclose(compiled(), expected, rtol=1e-5, atol=1e-5)

    def test_networks_of_several_widths_in_one_process_keep_their_channels(self):
        for channels in (3, 4, 5, 6):
            levels = [np.zeros((1, s, s, channels), np.float32) for s in (16, 8, 4, 2)]
            rois, images = np.zeros((2, 4), np.float32), np.zeros(2, np.int32)

            @tf.function
            def cuts(levels=levels, rois=rois, images=images):
                spec = dict(bins=3, samples=1, pooling="max", with_gradient=False)
                return pyramid_roi_align(levels, rois, images, 512, 512, **spec)

            assert cuts.get_concrete_function().output_shapes[-1] == channels

    def test_a_ramp_is_interpolated_exactly(self):
        ramp = np.tile(np.arange(16, dtype=np.float32)[:, None], (1, 16))[None, ..., None]
        cut = roi_align(
            ramp,
            norm_boxes(np.array([[2.0, 2, 10, 10]]), 16, 16),
            np.zeros(1, np.int32),
            bins=4,
            samples=2,
            pooling="average",
            grid="bins",
        )
        # Rows 2..10 in four bins: bin centres at 3, 5, 7, 9, and row r's centre is at r + 0.5.
        np.testing.assert_allclose(numpy(cut)[0, :, 0, 0], [2.5, 4.5, 6.5, 8.5], atol=1e-5)


class TestSobel:
    def test_equals_the_loops(self):
        masks = np.random.default_rng(0).uniform(size=(3, 9, 7)).astype(np.float32)
        expected = np.stack([slow_losses.sobel(m) for m in masks])
        np.testing.assert_allclose(numpy(sobel(masks)), expected, atol=1e-5)

    def test_a_step_answers_with_four_on_both_sides(self):
        mask = np.zeros((1, 6, 6), np.float32)
        mask[:, :, 3:] = 1
        response = numpy(sobel(mask))[0]
        np.testing.assert_allclose(response[..., 0], 0)
        np.testing.assert_allclose(response[0, :, 1], [0, -4, -4, 0])

    def test_a_full_mask_has_no_edge_at_its_border(self):
        assert not numpy(sobel(np.ones((2, 28, 28), np.float32))).any()
