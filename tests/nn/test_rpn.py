"""The RPN at drawn anchors gives what the whole RPN gives there, numbers and gradients."""

import numpy as np
import pytest
import tensorflow as tf

from landslide_rcnn.nn.rpn import build_rpn, rpn_answers_at
from landslide_rcnn.precision import building_in


def pyramid(rng, height, width, channels=4):
    return [
        tf.constant(rng.normal(size=(2, -(-height // s), -(-width // s), channels)), tf.float32)
        for s in (4, 8, 16, 32, 64)
    ]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(64, 64), (64, 192), (320, 128)])
def test_drawn_anchors_answer_as_in_the_whole(size, stride):
    rng = np.random.default_rng(0)
    rpn = build_rpn(4, anchors_per_cell=3, anchor_stride=stride)
    for weight in rpn.weights:
        weight.assign(rng.normal(size=weight.shape))
    levels = pyramid(rng, *size)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(levels)
        logits, deltas = zip(*(rpn(level) for level in levels))
        logits, deltas = tf.concat(logits, 1), tf.concat(deltas, 1)
        count = logits.shape[1]
        # The last anchor of each level among them.
        indices = np.stack([rng.permutation(count)[:40], np.arange(count)[-40:]]).astype(np.int32)
        whole = [tf.gather(part, indices, batch_dims=1) for part in (logits, deltas)]
        drawn = rpn_answers_at(rpn, levels, tf.constant(indices))
        losses = [tf.reduce_sum(part[0] ** 2) + tf.reduce_sum(part[1] ** 2)
                  for part in (whole, drawn)]  # fmt: skip
    for expected, found in zip(whole, drawn):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    variables = [*levels, *(w.value for w in rpn.trainable_weights)]
    for expected, found in zip(*(tape.gradient(loss, variables) for loss in losses)):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-2)


def test_in_bfloat16_the_answers_are_float32():
    with building_in("mixed_bfloat16"):
        rpn = build_rpn(4, anchors_per_cell=3)
    levels = [tf.cast(x, tf.bfloat16) for x in pyramid(np.random.default_rng(0), 64, 64)]
    logits, deltas = rpn_answers_at(rpn, levels, tf.zeros((2, 5), tf.int32))
    whole = rpn(levels[0])
    assert logits.dtype == deltas.dtype == tf.float32
    np.testing.assert_allclose(logits[:, 0], whole[0][:, 0], rtol=0.02, atol=0.02)
