"""The semantic networks' losses: values worked by hand, and nothing of what is not valid."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from landslide_rcnn.nn.semantic_losses import SEMANTIC_LOSSES, build_semantic_components
from tests.reference import losses as slow

# Logits of the probabilities 0.8, 0.4, 0.1 and 0.5; the last pixel is not valid.
PROBABILITIES = np.array([0.8, 0.4, 0.1, 0.5])
TRUTH = np.array([1, 1, 0, 1])
VALID = np.array([1, 1, 1, 0], bool)


def outputs_of(logits, class_map, valid_mask):
    """One tile of 2 x 2 pixels from lists of four."""
    logits = np.asarray(logits, np.float32).reshape(1, 2, 2, -1)
    shape = (1, 2, 2)
    return {
        "logits": logits,
        "class_map": np.asarray(class_map, np.int32).reshape(shape),
        "valid_mask": np.asarray(valid_mask).reshape(shape),
    }


def binary(valid=VALID):
    return outputs_of(np.log(PROBABILITIES / (1 - PROBABILITIES)), TRUTH, valid)


def value(name, outputs, class_weights=None):
    loss = build_semantic_components(class_weights=class_weights)[name](outputs)
    assert ops.convert_to_numpy(loss).dtype == np.float32
    return float(loss)


# -ln 0.8 = 0.223144, -ln 0.4 = 0.916291, -ln 0.9 = 0.105361.
def test_cross_entropy_by_hand():
    assert value("bce", binary()) == pytest.approx((0.223144 + 0.916291 + 0.105361) / 3, rel=1e-5)


def test_class_weights_by_hand():
    # Landslide pixels weigh 2: (2 x 0.223144 + 2 x 0.916291 + 0.105361) / 5.
    assert value("bce", binary(), [1, 2]) == pytest.approx(0.476846, rel=1e-5)
    assert value("bce", binary(), [1, 0]) == pytest.approx(0.105361, rel=1e-5)


def test_focal_by_hand():
    # 0.25 x 0.2^1.75 x 0.223144, 0.25 x 0.6^1.75 x 0.916291, 0.75 x 0.1^1.75 x 0.105361.
    parts = np.array([0.0033368, 0.0936990, 0.0014052])
    assert value("focal", binary()) == pytest.approx(parts.mean(), rel=1e-4)


def test_gradients_of_a_logit_of_exactly_0():
    """Where a pixel has no features; sigmoid(0) is a half."""
    logits = tf.zeros((1, 2, 2, 1))
    # bce: p - t. focal: 0.25 x 0.5^1.75 (1.75 x 0.5 ln 0.5 - 0.5) and -3 times as much.
    focal = 0.25 * 0.5**1.75 * (1.75 * 0.5 * np.log(0.5) - 0.5)
    for name, (landslide, other) in {"bce": (-0.5, 0.5), "focal": (focal, -3 * focal)}.items():
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = SEMANTIC_LOSSES[name]({**binary(), "logits": logits})
        expected = np.array([landslide, landslide, other, 0]) / 3
        np.testing.assert_allclose(np.ravel(tape.gradient(loss, logits)), expected, rtol=1e-5)


def test_dice_by_hand():
    # Common 0.8 + 0.4 = 1.2; sizes 2 + (0.8 + 0.4 + 0.1) = 3.3; one pixel on both sides.
    assert value("dice", binary()) == pytest.approx(1 - 3.4 / 4.3, rel=1e-5)
    assert value("dice", binary(), [1, 2]) == pytest.approx(1 - 3.4 / 4.3, rel=1e-5)


def test_dice_is_of_the_batch_not_of_each_tile():
    outputs = {k: np.concatenate([v, v]) for k, v in binary().items()}
    outputs["class_map"][1] = 0  # no landslide, but 1.3 pixels of false alarms
    assert value("dice", outputs) == pytest.approx(1 - (2 * 1.2 + 1) / (2 + 2.6 + 1), rel=1e-5)


@pytest.mark.parametrize("name", SEMANTIC_LOSSES)
def test_two_logits_are_one_logit_in_other_words(name, rng):
    logit = rng.normal(0, 2, 4)
    one = outputs_of(logit, TRUTH, VALID)
    shift = rng.normal(0, 2, 4)
    two = outputs_of(np.stack([shift, shift + logit], -1), TRUTH, VALID)
    for weights in (None, [1.0, 3.0]):
        assert value(name, one, weights) == pytest.approx(value(name, two, weights), rel=1e-5)


def test_three_classes_against_loops(rng):
    logits = rng.normal(0, 2, (4, 3))
    classes, valid, weights = np.array([0, 2, 1, 2]), np.array([1, 1, 1, 0], bool), [1.0, 2.0, 4.0]
    outputs = outputs_of(logits, classes, valid)
    entropies = np.array([slow.cross_entropy(c, x) for c, x in zip(classes, logits)])
    balance = np.where(classes > 0, 0.25, 0.75)
    focal = balance * (1 - np.exp(-entropies)) ** 1.75 * entropies
    used = np.array(weights)[classes] * valid
    assert value("bce", outputs) == pytest.approx(entropies[valid].mean(), rel=1e-5)
    assert value("bce", outputs, weights) == pytest.approx(
        (used * entropies).sum() / used.sum(), rel=1e-5
    )
    assert value("focal", outputs, weights) == pytest.approx(
        (used * focal).sum() / used.sum(), rel=1e-4
    )
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    dices = []
    for k in (1, 2):
        t, q = (classes == k)[valid], p[valid, k]
        dices.append(1 - (2 * (t * q).sum() + 1) / (t.sum() + q.sum() + 1))
    assert value("dice", outputs) == pytest.approx(np.mean(dices), rel=1e-5)
    assert value("dice", outputs, weights) == pytest.approx(
        (2 * dices[0] + 4 * dices[1]) / 6, rel=1e-5
    )


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("name", SEMANTIC_LOSSES)
class TestWhatIsNotValid:
    def gradient(self, name, outputs, dtype="float32"):
        logits = tf.constant(outputs["logits"], dtype)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = SEMANTIC_LOSSES[name]({**outputs, "logits": logits})
        return float(loss), tf.cast(tape.gradient(loss, logits), tf.float32).numpy()

    def test_it_has_no_part(self, name, classes, rng):
        outputs = outputs_of(rng.normal(size=(4, classes)), [1, 0, 1, 0], [1, 1, 0, 1])
        loss, gradient = self.gradient(name, outputs)
        per_pixel = np.abs(gradient).reshape(4, -1).max(axis=1)
        assert per_pixel[2] == 0 and (per_pixel[[0, 1, 3]] > 0).all()
        outputs["logits"][0, 1, 0] = 50
        outputs["class_map"][0, 1, 0] = 0
        assert self.gradient(name, outputs)[0] == loss

    def test_a_tile_of_nothing_valid_costs_nothing(self, name, classes, rng):
        outputs = outputs_of(rng.normal(size=(4, classes)), [1, 0, 1, 0], np.zeros(4, bool))
        loss, gradient = self.gradient(name, outputs)
        assert loss == 0 and (gradient == 0).all()

    def test_certain_answers_in_bfloat16_are_finite(self, name, classes):
        logits = np.where(np.arange(4 * classes).reshape(4, classes) % 2, 80, -80)
        outputs = outputs_of(logits, [1, 0, 1, 0], np.ones(4, bool))
        loss, gradient = self.gradient(name, outputs, "bfloat16")
        assert np.isfinite(loss) and np.isfinite(gradient).all()
