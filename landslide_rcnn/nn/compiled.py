"""A network's forward pass, compiled in the way of each Keras backend, for NumPy in and out.

Used by `face.py` for detection. Every shape of the inputs is compiled once and kept.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops


def compile_forward(network: keras.Model) -> Callable[..., dict[str, np.ndarray]]:
    """Return a function of the network's inputs (arrays) that gives its outputs as arrays.

    It always uses the weights that the network has when it is called.

    Args:
        network: Called as `network(*inputs)`; answers a dict of tensors, or one tensor, which
            goes by the name "output".
    """
    run = _COMPILERS[keras.backend.backend()](network)

    def forward(*inputs: np.ndarray) -> dict[str, np.ndarray]:
        outputs = run(*inputs)
        outputs = outputs if isinstance(outputs, dict) else {"output": outputs}
        return {name: ops.convert_to_numpy(value) for name, value in outputs.items()}

    return forward


def _tensorflow(network):
    import tensorflow as tf

    return tf.function(network.__call__, reduce_retracing=False)


def _jax(network):
    import jax

    @jax.jit
    def pure(trainable, non_trainable, *inputs):
        outputs, _ = network.stateless_call(trainable, non_trainable, *inputs)
        return outputs

    def run(*inputs):
        # As arguments the weights can change; as constants of the trace they could not.
        trainable = [variable.value for variable in network.trainable_variables]
        non_trainable = [variable.value for variable in network.non_trainable_variables]
        return pure(trainable, non_trainable, *inputs)

    return run


def _torch(network):
    import torch

    # Run as it is: tracing by torch.compile takes minutes and a C++ compiler.
    return torch.no_grad()(network.__call__)


_COMPILERS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
