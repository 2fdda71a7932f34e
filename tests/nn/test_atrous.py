"""Depthwise dilated convolution against Keras' own and against loops, with their gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from landslide_rcnn.nn.atrous import AtrousDepthwiseConv2D, cut_off_taps
from tests.reference.atrous import dilated

# Height, width and rate: one cell; all, some and none of the taps outside; few rows to many
# columns.
MAPS = [(1, 1, 2), (4, 4, 18), (4, 4, 4), (5, 7, 6), (9, 4, 3), (7, 8, 2), (2, 11, 4), (11, 2, 4)]


def values(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def pair(**options):
    """The layer and Keras' own, with the same weights."""
    options = {"padding": "same", "bias_initializer": "ones", **options}
    layers = [AtrousDepthwiseConv2D(3, **options), keras.layers.DepthwiseConv2D(3, **options)]
    for layer in layers:
        layer.build((None, None, None, 5))
    layers[1].set_weights(layers[0].get_weights())
    return layers


def values_and_gradients(layer, x):
    """The outputs, and the gradients to the inputs and the weights."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = tf.reduce_sum(tf.cast(y, "float32") * values(y.shape, 1))
    return [y, *tape.gradient(loss, [x, *(w.value for w in layer.trainable_weights)])]


@pytest.mark.parametrize(("height", "width", "rate"), MAPS)
def test_numbers_and_gradients_are_those_of_keras_and_of_a_loop(height, width, rate):
    layer, keras_own = pair(dilation_rate=rate)
    x = values((2, height, width, 5))
    found, expected = values_and_gradients(layer, x), values_and_gradients(keras_own, x)
    assert len(found) == 4
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)
    loop = dilated(x, layer.get_weights()[0], rate) + 1
    np.testing.assert_allclose(found[0], loop, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("height", "width", "rate"), [(4, 4, 18), (9, 4, 3)])
def test_bfloat16(height, width, rate):
    layer, keras_own = pair(dilation_rate=rate, dtype="mixed_bfloat16")
    x = values((2, height, width, 5))
    found, expected = values_and_gradients(layer, x), values_and_gradients(keras_own, x)
    assert found[0].dtype == "bfloat16"
    for mine, theirs in zip(found, expected, strict=True):
        theirs = np.asarray(theirs, np.float32)
        atol = 0.02 * np.abs(theirs).max()
        np.testing.assert_allclose(np.asarray(mine, np.float32), theirs, atol=atol)


def test_sizes_that_are_known_late():
    layer, _ = pair(dilation_rate=4)
    late = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 5))])
    x = values((2, 3, 9, 5))
    np.testing.assert_allclose(late(x), layer(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"strides": 2},
        {"padding": "valid", "dilation_rate": 2},
        {"dilation_rate": 6, "activation": "relu"},
        {"dilation_rate": 6, "depth_multiplier": 2, "use_bias": False},
    ],
)
def test_other_settings_are_those_of_keras(options):
    layer, keras_own = pair(**options)
    x = values((1, 5, 8, 5))
    np.testing.assert_allclose(layer(x), keras_own(x), rtol=1e-5, atol=1e-5)


def test_only_taps_that_meet_a_cell_are_left():
    kernel = np.arange(15.0).reshape(3, 5, 1, 1)

    def left(sizes, rates):
        taps, rates = cut_off_taps(kernel, sizes, rates)
        return np.asarray(taps)[:, :, 0, 0].tolist(), rates

    whole = kernel[:, :, 0, 0].tolist()
    assert left((8, 8), (18, 18)) == ([[7]], (1, 1))
    assert left((8, 8), (8, 7)) == ([[6, 7, 8]], (1, 7))
    assert left((9, 8), (8, 3)) == (whole, (8, 3))
    assert left((None, None), (18, 18)) == (whole, (18, 18))
