"""The grouped convolution and the batch normalisation against Keras' own and NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from landslide_rcnn.nn import grouped_conv
from landslide_rcnn.nn.batch_norm import BatchNorm
from landslide_rcnn.nn.grouped_conv import STRATEGIES, GroupedConv2D, choose_strategy


def slow_grouped_conv(x, kernel, groups):
    """`groups` dense convolutions side by side, padding "same", stride 1."""
    parts = [
        tf.nn.conv2d(part, weights, 1, "SAME")
        for part, weights in zip(np.split(x, groups, -1), np.split(kernel, groups, -1))
    ]
    return np.concatenate(parts, axis=-1)


class TestGroupedConv:
    @pytest.mark.parametrize("strategy", ["direct", "blocks"])
    @pytest.mark.parametrize("groups", [2, 8, 32])
    def test_equals_split_convolutions(self, strategy, groups):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(2, 6, 5, 64)).astype(np.float32)
        kernel = rng.normal(size=(3, 3, 64 // groups, 64)).astype(np.float32)
        y = STRATEGIES[strategy](ops.array(x), ops.array(kernel), (1, 1), "same", groups)
        np.testing.assert_allclose(y, slow_grouped_conv(x, kernel, groups), atol=1e-4)

    def test_direct_and_blocks_have_one_gradient(self):
        rng = np.random.default_rng(0)
        x = tf.constant(rng.normal(size=(2, 6, 6, 32)), tf.float32)
        kernel = tf.constant(rng.normal(size=(3, 3, 2, 32)), tf.float32)
        found = {}
        for name in {"blocks", choose_strategy("float32")}:
            with tf.GradientTape() as tape:
                tape.watch([x, kernel])
                y = STRATEGIES[name](x, kernel, (2, 2), "same", 16)
                loss = tf.reduce_sum(y * y)
            found[name] = tape.gradient(loss, [x, kernel])
        for gradients in found.values():
            for one, other in zip(gradients, found["blocks"]):
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)

    def test_weights_are_laid_out_as_keras_own(self):
        own = GroupedConv2D(32, 3, groups=8, padding="same")
        keras_layer = keras.layers.Conv2D(32, 3, groups=8, padding="same")
        for layer in (own, keras_layer):
            layer.build((None, 8, 8, 16))
        assert [w.shape for w in own.weights] == [w.shape for w in keras_layer.weights]
        keras_layer.set_weights(own.get_weights())
        x = np.random.default_rng(0).normal(size=(1, 8, 8, 16)).astype(np.float32)
        np.testing.assert_allclose(own(x), keras_layer(x), atol=1e-5)

    def test_config_survives(self):
        layer = GroupedConv2D(32, 3, strides=2, groups=8, use_bias=False, padding="same")
        again = GroupedConv2D.from_config(layer.get_config())
        assert (again.groups, again.strides, again.use_bias) == (8, (2, 2), False)

    def test_the_probe_falls_back_where_the_kernel_is_missing(self, monkeypatch):
        def no_kernel(*args):
            raise tf.errors.UnimplementedError(None, None, "grouped gradients")

        monkeypatch.setattr(grouped_conv, "_direct", no_kernel)
        choose_strategy.cache_clear()
        try:
            assert choose_strategy("float32") == "blocks"
        finally:
            choose_strategy.cache_clear()


class TestBatchNorm:
    def layer(self, **kwargs):
        layer = BatchNorm(epsilon=0.01, momentum=0.8, **kwargs)
        layer.build((None, None, None, 3))
        layer.gamma.assign([1.0, 2.0, 3.0])
        layer.beta.assign([0.1, 0.2, 0.3])
        layer.moving_mean.assign([1.0, 2.0, 3.0])
        layer.moving_variance.assign([4.0, 5.0, 6.0])
        return layer

    def test_frozen_uses_the_stored_statistics(self):
        x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
        layer = self.layer(batch_statistics=False)
        expected = (x - [1, 2, 3]) / np.sqrt([4.01, 5.01, 6.01]) * [1, 2, 3] + [0.1, 0.2, 0.3]
        for training in (True, False):
            np.testing.assert_allclose(layer(x, training=training), expected, atol=1e-5)
        np.testing.assert_allclose(layer.moving_mean, [1, 2, 3])

    def test_training_uses_the_batch_and_moves_the_statistics(self):
        x = np.random.default_rng(0).normal(2, 3, size=(2, 8, 8, 3)).astype(np.float32)
        layer = self.layer()
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        expected = (x - mean) / np.sqrt(variance + 0.01) * [1, 2, 3] + [0.1, 0.2, 0.3]
        np.testing.assert_allclose(layer(x, training=True), expected, atol=1e-4)
        np.testing.assert_allclose(layer.moving_mean, 0.8 * np.array([1, 2, 3]) + 0.2 * mean, 1e-4)
        kept = 0.8 * np.array([4, 5, 6])
        # TensorFlow's kernel gives the unbiased variance: n / (n - 1) of it.
        np.testing.assert_allclose(layer.moving_variance, kept + 0.2 * variance, rtol=0.01)

    def test_a_layer_that_does_not_train_keeps_its_statistics(self):
        layer = self.layer()
        layer.trainable = False
        layer(np.ones((1, 2, 2, 3), np.float32), training=True)
        np.testing.assert_allclose(layer.moving_mean, [1, 2, 3])

    def test_statistics_stay_float32_in_bfloat16(self):
        layer = BatchNorm(dtype="mixed_bfloat16")
        y = layer(np.ones((1, 4, 4, 2), np.float32), training=True)
        assert y.dtype == "bfloat16"
        assert {w.dtype for w in layer.weights} == {"float32"}

    def test_config_survives(self):
        layer = BatchNorm(epsilon=0.5, momentum=0.25, batch_statistics=False)
        again = BatchNorm.from_config(layer.get_config())
        assert (again.epsilon, again.momentum, again.batch_statistics) == (0.5, 0.25, False)
