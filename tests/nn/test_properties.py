"""What holds for boxes of every kind and number: empty, outside the image, one pixel, none."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from landslide_rcnn.nn.losses import mrcnn_mask_edge_loss, mrcnn_mask_loss
from landslide_rcnn.nn.ops.boxes import decode_boxes, encode_boxes, iou
from landslide_rcnn.nn.ops.matching import best_first, is_best_of_an_instance, match_boxes, sample
from landslide_rcnn.nn.ops.nms import greedy_nms, nms
from landslide_rcnn.nn.ops.roi_align import roi_align
from landslide_rcnn.nn.targets import MaskTargets, crop_masks
from tests.reference import boxes as slow_boxes
from tests.reference import losses as slow_losses
from tests.reference import masks as slow_masks
from tests.reference import roi_align as slow_roi_align

STD = (0.1, 0.1, 0.2, 0.2)
seeds = st.integers(0, 2**31)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def odd_boxes(rng, count):
    """[count, 4]: good ones, points, lines, zeros, boxes partly or wholly outside, equal ones."""
    corner = rng.uniform(-0.5, 1.2, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0, 0.6, (count, 2))], axis=1)
    kind = rng.integers(0, 6, count)
    boxes[kind == 0, 2:] = boxes[kind == 0, :2]
    boxes[kind == 1, 3] = boxes[kind == 1, 1]
    boxes[kind == 2] = 0
    boxes[kind == 3] = boxes[0] if count else 0
    return boxes.astype(np.float32)


@settings(max_examples=20)
@given(seeds, st.integers(0, 9), st.integers(0, 9))
def test_iou_of_odd_boxes(seed, a, n):
    rng = np.random.default_rng(seed)
    first, second = odd_boxes(rng, a), odd_boxes(rng, n)
    found = numpy(iou(first, second))
    assert found.shape == (a, n)
    np.testing.assert_allclose(found, slow_boxes.iou(first, second), atol=1e-5)


@settings(max_examples=20)
@given(seeds, st.sampled_from([1, 30]), st.sampled_from([0.3, 0.7]), st.booleans())
def test_nms_of_odd_boxes_and_equal_scores(seed, count, threshold, grouped):
    rng = np.random.default_rng(seed)
    boxes = odd_boxes(rng, 2 * count).reshape(2, count, 4)
    scores = (rng.integers(0, 8, (2, count)) / 8).astype(np.float32)
    groups = rng.integers(0, 3 if grouped else 1, (2, count)).astype(np.int32)
    # Apart by whole groups, which no overlap of the loop can bridge.
    apart = boxes + 10 * groups[..., None]
    given_groups = groups if grouped else None
    spec = dict(iou_threshold=threshold, max_output=12, min_score=-1.0, groups=given_groups)
    for run in (nms, greedy_nms):
        indices, kept = map(numpy, run(boxes, scores, **spec))
        for image in range(2):
            expected = slow_boxes.nms(apart[image], scores[image], threshold, 12)
            assert list(indices[image][kept[image]]) == expected


def test_nms_goes_through_many_blocks_as_through_one():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 0.9, (1, 700, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.02, 0.2, (1, 700, 2))], axis=2)
    boxes, scores = boxes.astype(np.float32), rng.uniform(size=(1, 700)).astype(np.float32)
    expected = slow_boxes.nms(boxes[0], scores[0], 0.4, 250)
    assert len(expected) > 150
    for run in (nms, greedy_nms):
        indices, kept = map(
            numpy, run(boxes, scores, iou_threshold=0.4, max_output=250, min_score=-1.0)
        )
        assert list(indices[0][kept[0]]) == expected


@settings(max_examples=20)
@given(seeds, st.integers(1, 20), st.integers(1, 5))
def test_matching_of_odd_boxes(seed, a, n):
    rng = np.random.default_rng(seed)
    boxes, truth = odd_boxes(rng, a), odd_boxes(rng, n)[None]
    real = rng.uniform(size=(1, n)) < 0.7
    overlaps, best_iou, best, _ = match_boxes(boxes, truth, real, np.zeros((1, n), bool))
    expected = np.where(real, slow_boxes.iou(boxes, truth[0]), -1.0)
    np.testing.assert_allclose(numpy(overlaps)[0], expected, atol=1e-5)
    np.testing.assert_allclose(numpy(best_iou)[0], expected.max(axis=1), atol=1e-5)
    chosen = expected[np.arange(a), numpy(best)[0]]
    np.testing.assert_allclose(chosen, expected.max(axis=1), atol=1e-5)
    marked = numpy(is_best_of_an_instance(overlaps))[0]
    for j in np.flatnonzero(real[0]):
        assert expected[:, j].max() <= 1e-5 or marked[expected[:, j].argmax()]
    assert not marked[expected.max(axis=1) <= 0].any()


@settings(max_examples=20)
@given(seeds, st.integers(1, 40), st.integers(1, 50))
def test_a_draw_is_of_candidates_each_once_and_as_many_as_there_are(seed, a, count):
    rng = np.random.default_rng(seed)
    candidates = rng.uniform(size=(3, a)) < rng.uniform()
    indices, drawn = map(numpy, sample(candidates, count, keras.random.SeedGenerator(seed % 99)))
    assert indices.shape == drawn.shape == (3, count)
    for row in range(3):
        chosen = indices[row][drawn[row]]
        assert len(chosen) == min(count, candidates[row].sum()) == len(set(chosen))
        assert candidates[row][chosen].all()


def test_best_first_keeps_the_order_of_equal_scores():
    scores = np.array([[0.5, 1.0, 0.5, 1.0, 0.0]], np.float32)
    values, indices = map(numpy, best_first(ops.convert_to_tensor(scores), 4))
    assert list(indices[0]) == [1, 3, 0, 2] and list(values[0]) == [1, 1, 0.5, 0.5]


@settings(max_examples=20)
@given(seeds, st.integers(0, 12))
def test_coding_of_odd_boxes_is_finite_and_of_good_ones_is_undone(seed, count):
    rng = np.random.default_rng(seed)
    boxes, targets = odd_boxes(rng, count), odd_boxes(rng, count)
    deltas = numpy(encode_boxes(boxes, targets, STD))
    assert deltas.shape == (count, 4) and np.isfinite(deltas).all()
    sides = np.minimum(boxes[:, 2:] - boxes[:, :2], targets[:, 2:] - targets[:, :2])
    good = sides.min(axis=1, initial=1) > 0.05
    decoded = numpy(decode_boxes(boxes, deltas, STD))
    np.testing.assert_allclose(decoded[good], targets[good], atol=1e-4)
    expected = [
        slow_boxes.encode(b, t, STD) for b, t in zip(boxes[good].astype(float), targets[good])
    ]
    np.testing.assert_allclose(deltas[good], np.reshape(expected, (-1, 4)), rtol=1e-3, atol=1e-3)


@settings(max_examples=15)
@given(seeds, st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2]))
def test_roi_align_of_odd_boxes_on_maps_of_any_size(seed, h, w, samples):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(1, h, w, 2)).astype(np.float32)
    boxes = odd_boxes(rng, 5) * np.array([h, w, h, w], np.float32)
    found = roi_align(
        features,
        boxes,
        np.zeros(5, np.int32),
        bins=3,
        samples=samples,
        pooling="average",
        grid="cell bins",
    )
    for box, cut in zip(boxes, numpy(found)):
        expected = slow_roi_align.roi_align_pixels(features[0], box, 3, samples, "average")
        np.testing.assert_allclose(cut, expected, atol=1e-4)


@settings(max_examples=15)
@given(seeds, st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 4, 7]))
def test_masks_cut_inside_odd_boxes(seed, h, w, size):
    rng = np.random.default_rng(seed)
    masks = (rng.uniform(size=(4, h, w)) < 0.5).astype(np.uint8)
    boxes = odd_boxes(rng, 4) * np.array([h, w, h, w], np.float32)
    found = numpy(crop_masks(masks, boxes, size))
    for mask, box, cut in zip(masks, boxes.astype(float), found):
        np.testing.assert_allclose(cut, slow_masks.crop(mask, box, size), atol=1e-4)


@pytest.mark.parametrize("positives", [0, 1, 5])
def test_mask_losses_equal_the_loops(positives):
    rng = np.random.default_rng(positives)
    used = np.arange(5) < positives
    masks = (rng.uniform(size=(5, 8, 6)) < 0.5).astype(np.float32)
    logits = rng.normal(0, 2, (5, 8, 6, 3)).astype(np.float32)
    ids = rng.integers(1, 3, 5).astype(np.int32)
    targets = MaskTargets(np.zeros((5, 4)), np.zeros(5, np.int32), used, ids, masks)
    outputs = {"mask_targets": targets, "mrcnn_mask_logits": logits}
    chances = 1 / (1 + np.exp(-logits[np.arange(5), ..., ids].astype(float)))
    expected = slow_losses.edge_loss(masks, chances, used)
    np.testing.assert_allclose(float(mrcnn_mask_edge_loss(outputs)), expected, rtol=1e-5)
    entropy = -(masks * np.log(chances) + (1 - masks) * np.log(1 - chances))
    expected = entropy[used].mean() if positives else 0.0
    np.testing.assert_allclose(float(mrcnn_mask_loss(outputs)), expected, rtol=1e-5)


def test_gradients_of_odd_boxes_are_finite():
    import tensorflow as tf

    rng = np.random.default_rng(0)
    boxes = tf.constant(odd_boxes(rng, 24))
    features = tf.constant(rng.normal(size=(1, 5, 4, 3)).astype(np.float32))
    deltas = tf.constant(rng.normal(0, 50, (24, 4)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch([boxes, features, deltas])
        moved = decode_boxes(boxes, deltas, STD)
        cuts = roi_align(
            features,
            tf.clip_by_value(moved, -9, 9),
            np.zeros(24, np.int32),
            bins=3,
            samples=2,
            pooling="max",
            grid="unaligned cell bins",
        )
        coded = encode_boxes(boxes, boxes[::-1], STD)
        total = tf.reduce_sum(cuts) + tf.reduce_sum(coded) + tf.reduce_sum(iou(boxes, boxes))
    for gradient in tape.gradient(total, [boxes, features, deltas]):
        assert np.isfinite(gradient).all()
