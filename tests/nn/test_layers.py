"""The layers that are ours against Keras' own and NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from landslide_rcnn.nn import grouped_conv
from landslide_rcnn.nn.batch_norm import BatchNorm
from landslide_rcnn.nn.conv_norm import ConvNorm, leaf_layers
from landslide_rcnn.nn.grouped_conv import STRATEGIES, GroupedConv2D, choose_strategy
from landslide_rcnn.nn.matrix_conv import MatrixConv2D


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

    def test_narrow_groups_join_as_far_as_their_number_divides(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(2, 5, 6, 12)).astype(np.float32)
        kernel = rng.normal(size=(3, 3, 2, 12)).astype(np.float32)  # six groups of two channels
        y = STRATEGIES["direct"](ops.array(x), ops.array(kernel), (1, 1), "same", 6)
        np.testing.assert_allclose(y, slow_grouped_conv(x, kernel, 6), atol=1e-4)

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


class TestConvNorm:
    def pair(self, rows, groups=1, bias=True):
        """A convolution and its normalisation, both with random weights, and the two as one."""
        rng = np.random.default_rng(0)
        kind = GroupedConv2D if groups > 1 else keras.layers.Conv2D
        convolution = kind(16, 3, padding="same", use_bias=bias, groups=groups, name="res2a")
        together = ConvNorm(convolution, BatchNorm(batch_statistics=False, name="bn2a"), rows=rows)
        together.build((None, 6, 6, 8))
        for weight in (*convolution.weights, *together.norm.weights):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        return together, rng.normal(size=(2, 6, 6, 8)).astype(np.float32)

    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize("groups", [1, 4])
    @pytest.mark.parametrize("rows", [0, 1000])
    def test_equals_one_after_the_other(self, rows, groups, bias):
        together, x = self.pair(rows, groups, bias)
        x = tf.constant(x)
        variables = [w.value for w in together.trainable_weights]
        with tf.GradientTape(persistent=True) as tape:
            found = together(x)
            expected = together.norm(together.convolution(x))
            losses = [tf.reduce_sum(y**2) for y in (found, expected)]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        for one, other in zip(*(tape.gradient(loss, variables) for loss in losses)):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)

    def test_the_batchs_statistics_are_used_where_they_train(self):
        together, x = self.pair(rows=4)
        together.norm.batch_statistics = True
        y = together(x, training=True)
        np.testing.assert_allclose(
            ops.mean(y, axis=(0, 1, 2)), together.norm.beta, rtol=1e-3, atol=1e-3
        )

    def test_both_layers_are_leaves_under_their_own_names(self):
        image = keras.Input((6, 6, 8))
        together, _ = self.pair(rows=4)
        model = keras.Model(image, together(image))
        assert list(leaf_layers(model)) == ["res2a", "bn2a"]

    def test_the_output_has_the_convolutions_precision(self):
        convolution = keras.layers.Conv2D(4, 1, dtype="mixed_bfloat16")
        norm = BatchNorm(batch_statistics=False, dtype="mixed_bfloat16")
        y = ConvNorm(convolution, norm)(np.ones((1, 4, 4, 2), np.float32))
        assert y.dtype == "bfloat16" and convolution.kernel.dtype == "float32"


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(1, 1, "same"), (1, 1, "valid"), (1, 2, "valid"), (7, 1, "valid"), (7, 1, "same")],
)
def test_a_matrix_convolution_is_the_convolution(kernel, stride, padding):
    layer = MatrixConv2D(6, kernel, stride, padding=padding)
    layer.build((None, 7, 7, 5))
    x = np.random.default_rng(0).normal(size=(3, 7, 7, 5)).astype(np.float32)
    expected = tf.nn.conv2d(x, layer.kernel, stride, padding.upper())
    np.testing.assert_allclose(layer(x), expected, atol=1e-4)


@pytest.mark.parametrize("filters", [6, 60])  # fewer and more channels than the 49 cells
def test_a_matrix_convolution_is_the_convolution_in_bfloat16(filters):
    layer = MatrixConv2D(filters, 1, dtype="mixed_bfloat16")
    layer.build((None, 7, 7, 5))
    x = np.random.default_rng(0).normal(size=(3, 7, 7, 5)).astype(np.float32)
    found = layer(x)
    assert found.dtype == "bfloat16"
    np.testing.assert_allclose(
        tf.cast(found, tf.float32), tf.nn.conv2d(x, layer.kernel, 1, "SAME"), atol=0.05
    )
