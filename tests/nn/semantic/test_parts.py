"""Soft thresholding, unpooling, pyramid pooling, enlarging and padding, by their values."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from landslide_rcnn.nn.depthwise import HeDepthwise
from landslide_rcnn.nn.semantic.drs_unet import (
    AbsoluteMean,
    RunningNorm,
    SoftThreshold,
    shrinkage_block,
)
from landslide_rcnn.nn.semantic.parts import Bilinear, CropLike, PadToMultiple, ResizeLike
from landslide_rcnn.nn.semantic.pspnet import AveragePoolTo
from landslide_rcnn.nn.semantic.segnet import MaxPoolWithCorner, MaxUnpool
from tests.reference.semantic import average_pool_to, pool_and_unpool, soft_threshold


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_soft_thresholding(rng):
    x = rng.normal(size=(2, 5, 4, 3)).astype(np.float32)
    tau = rng.uniform(0, 1, (2, 1, 1, 3)).astype(np.float32)
    np.testing.assert_allclose(SoftThreshold()(x, tau), soft_threshold(x, tau), atol=1e-6)


def test_soft_thresholding_hands_its_gradient_to_value_and_threshold():
    x = tf.constant([3.0, -3.0, 0.5, -0.5])[None, None, :, None]
    tau = tf.constant([[[[1.0]]]])
    weights = tf.constant([1.0, 2.0, 4.0, 8.0])[None, None, :, None]
    with tf.GradientTape() as tape:
        tape.watch([x, tau])
        y = tf.reduce_sum(SoftThreshold()(x, tau) * weights)
    to_x, to_tau = tape.gradient(y, [x, tau])
    np.testing.assert_array_equal(np.ravel(to_x), [1, 2, 0, 0])
    assert float(to_tau[0, 0, 0, 0]) == -1 + 2  # 3 - tau, and twice -3 + tau


def test_the_mean_of_absolute_values_is_float32_in_every_precision(rng):
    x = tf.cast(rng.normal(size=(1, 64, 64, 2)), "bfloat16")
    mean = AbsoluteMean()(x)
    assert mean.dtype == "float32"
    np.testing.assert_allclose(
        mean[0, 0, 0], np.abs(np.asarray(x, np.float32)).mean(axis=(0, 1, 2)), rtol=1e-5
    )


def test_a_norm_of_one_value_an_image_goes_by_the_batches_so_far(rng):
    norm = RunningNorm(momentum=0.9)
    x = rng.normal(3, 2, (400, 2, 1, 1, 5)).astype(np.float32)
    for batch in x:
        norm(batch, training=True)
    np.testing.assert_allclose(norm.moving_mean, 3, atol=1.5)
    np.testing.assert_allclose(norm.moving_variance, 4, rtol=0.6)
    before = [np.asarray(w) for w in (norm.moving_mean, norm.moving_variance)]
    y = np.asarray(norm(x[0], training=True))
    mean, variance = x[0].mean(axis=(0, 1, 2)), ((x[0] - before[0]) ** 2).mean(axis=(0, 1, 2))
    mean, variance = 0.9 * before[0] + 0.1 * mean, 0.9 * before[1] + 0.1 * variance
    np.testing.assert_allclose(y, (x[0] - mean) / np.sqrt(variance + 1e-3), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm(x[0]), y, rtol=1e-4, atol=1e-5)


def test_depthwise_kernels_start_so_that_variances_stay(rng):
    x = rng.normal(size=(1, 64, 64, 32)).astype(np.float32)
    y = keras.layers.DepthwiseConv2D(3, depthwise_initializer=HeDepthwise())(np.maximum(x, 0))
    assert np.mean(np.square(y)) == pytest.approx(1, rel=0.25)
    copy = HeDepthwise.from_config(HeDepthwise(5).get_config())
    assert copy.stddev == HeDepthwise(5).stddev != HeDepthwise().stddev


def test_a_shrinkage_block_is_its_formula(rng):
    """tau = alpha x mean|y|, with alpha a half where the last dense layer is zero."""
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, shrinkage_block(inputs, 3, "b"))
    model.get_layer("b_alpha2").set_weights([np.zeros((3, 3)), np.zeros(3)])
    before = keras.Model(inputs, model.get_layer("b_conv2").output)
    x = rng.normal(size=(2, 6, 6, 3)).astype(np.float32)
    y = np.asarray(before(x))
    tau = 0.5 * np.abs(y).mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(model(x), x + soft_threshold(y, tau), atol=1e-5)


def test_max_pooling_keeps_the_corner_and_unpooling_goes_back_there(rng):
    x = rng.permutation(2 * 6 * 8 * 3).reshape(2, 6, 8, 3).astype(np.float32)
    values = rng.normal(size=(2, 3, 4, 3)).astype(np.float32)
    pooled, corners = MaxPoolWithCorner()(x)
    expected_pooled, expected = pool_and_unpool(x, values)
    np.testing.assert_array_equal(pooled, expected_pooled)
    np.testing.assert_array_equal(MaxUnpool()(values, corners), expected)
    assert corners.dtype == "uint8" and set(np.unique(corners)) == {0, 1, 2, 3}


def test_of_equal_pixels_one_is_the_largest():
    pooled, corners = MaxPoolWithCorner()(np.zeros((1, 2, 2, 1), np.float32))
    assert np.asarray(corners).item() == 0
    unpooled = np.asarray(MaxUnpool()(np.ones((1, 1, 1, 1), np.float32), corners))
    assert unpooled.ravel().tolist() == [1, 0, 0, 0]


def test_the_gradient_of_pooling_goes_to_the_largest_alone(rng):
    x = tf.constant(rng.permutation(16).reshape(1, 4, 4, 1).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        pooled, corners = MaxPoolWithCorner()(x)
        y = tf.reduce_sum(MaxUnpool()(pooled, corners) * 3.0)
    gradient = tape.gradient(y, x).numpy()
    _, where = pool_and_unpool(x.numpy(), np.full((1, 2, 2, 1), 3.0, np.float32))
    np.testing.assert_array_equal(gradient, where)


@pytest.mark.parametrize("shape", [(1, 6, 12, 2), (2, 15, 7, 3), (1, 4, 5, 1)])
@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_average_pooling_to_a_number_of_parts(rng, shape, bins):
    x = rng.normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(AveragePoolTo(bins)(x), average_pool_to(x, bins), atol=1e-6)


@pytest.mark.parametrize("factor", [2, 8])
def test_the_bilinear_start_interpolates(factor):
    """A ramp stays one, away from the edges, and channels do not mix."""
    ramp = np.stack([np.arange(8.0), np.full(8, 5.0)], axis=-1)
    x = np.broadcast_to(ramp[None, None], (1, 8, 8, 2)).astype(np.float32)
    layer = keras.layers.Conv2DTranspose(
        2, 2 * factor, factor, padding="same", use_bias=False, kernel_initializer=Bilinear()
    )
    middle = np.asarray(layer(x))[0, 4 * factor, factor:-factor]
    expected = (np.arange(8 * factor) + 0.5) / factor - 0.5
    np.testing.assert_allclose(middle[:, 0], expected[factor:-factor], atol=1e-5)
    np.testing.assert_allclose(middle[:, 1], 5.0, atol=1e-5)


def test_padding_is_zero_below_and_right_and_cropping_takes_it_off(rng):
    x = rng.normal(size=(1, 5, 8, 2)).astype(np.float32)
    padded = np.asarray(PadToMultiple(4)(x))
    assert padded.shape == (1, 8, 8, 2) and not padded[:, 5:].any()
    np.testing.assert_array_equal(CropLike()(padded, x), x)


def test_resizing_is_bilinear_and_keeps_the_precision():
    x = tf.constant([[[[0.0], [4.0]]]], "bfloat16")
    resized = ResizeLike()(x, np.zeros((1, 1, 4, 9)))
    assert resized.dtype == "bfloat16"
    np.testing.assert_array_equal(np.ravel(np.asarray(resized, np.float32)), [0, 1, 3, 4])


def test_a_size_that_a_graph_learns_late(rng):
    """Images of several sizes train in one graph, which knows none of them."""

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 2))] * 2)
    def resized(x, like):
        return ResizeLike()(x, like)

    x = rng.normal(size=(1, 3, 2, 2)).astype(np.float32)
    for size in ((6, 5), (4, 9)):
        like = np.zeros((1, *size, 2), np.float32)
        expected = keras.ops.image.resize(x, size, interpolation="bilinear")
        np.testing.assert_allclose(resized(x, like), expected, atol=1e-6)
