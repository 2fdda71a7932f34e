"""The optimizer against Keras' own, and its penalty against the formula."""

import keras
import numpy as np

from landslide_rcnn.training import PenalisedSGD

RNG = np.random.default_rng(0)
START = {name: RNG.normal(size=(3, 4)).astype(np.float32) for name in ("kernel", "gamma")}
GRADIENTS = [[RNG.normal(size=(3, 4)).astype(np.float32) for _ in START] for _ in range(3)]


def weights_after(optimizer, gradients) -> dict[str, np.ndarray]:
    """Apply gradients, one step after another."""
    variables = [keras.Variable(value, name=name) for name, value in START.items()]
    optimizer.build(variables)
    for of_step in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in of_step], variables)
    return {v.name: keras.ops.convert_to_numpy(v) for v in variables}


def test_without_a_penalty_the_steps_are_those_of_keras():
    for options in ({"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {}):
        options |= {"learning_rate": 0.1, "global_clipnorm": 2.0}
        found = weights_after(PenalisedSGD(**options), GRADIENTS)
        expected = weights_after(keras.optimizers.SGD(**options), GRADIENTS)
        for name in START:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-6)
            assert np.abs(found[name] - START[name]).max() > 0.01


def test_the_penalty_is_the_gradient_of_the_mean_square():
    zeros = [[np.zeros((3, 4), np.float32) for _ in START]]
    found = weights_after(PenalisedSGD(learning_rate=1.0, momentum=0.9, l2=0.6), zeros)
    np.testing.assert_allclose(found["kernel"], START["kernel"] * (1 - 2 * 0.6 / 12), rtol=1e-6)
    np.testing.assert_array_equal(found["gamma"], START["gamma"])  # a normalisation's: left out
