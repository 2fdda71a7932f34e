"""Several GPUs for one training: each holds the network and takes its share of every batch."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import keras

from landslide_rcnn.errors import ConfigError


def replicas(count: int) -> Callable[[], AbstractContextManager[Any]]:
    """Return what makes the scope in which a network is built and trained on some devices.

    Args:
        count: Devices: GPUs, or where there is none the processor's (logical) devices.

    Raises:
        ConfigError: There are fewer devices, or the backend knows no distribution.
    """
    if count == 1:
        return contextlib.nullcontext
    backend = keras.backend.backend()
    if backend not in _STRATEGIES:
        raise ConfigError(
            f"Training on several devices needs the backend {' or '.join(_STRATEGIES)}. "
            f"Received: GPU_COUNT={count}, backend {backend}. Use GPU_COUNT=1."
        )
    find, spread = _STRATEGIES[backend]
    devices = find()
    if len(devices) < count:
        raise ConfigError(
            f"There must be as many devices as GPU_COUNT. Received: GPU_COUNT={count}, and "
            f"{len(devices)} found: {', '.join(map(str, devices))}. Use GPU_COUNT={len(devices)}; "
            "the images of a step are IMAGES_PER_GPU x GPU_COUNT."
        )
    return spread(devices[:count])


def _tensorflow_devices() -> list[str]:
    import tensorflow as tf

    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    return [device.name for device in tf.config.list_logical_devices(kind)]


def _mirrored(devices: list[str]) -> Callable[[], AbstractContextManager[Any]]:
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices).scope


def _data_parallel(devices: list[str]) -> Callable[[], AbstractContextManager[Any]]:
    return keras.distribution.DataParallel(devices=devices).scope


_STRATEGIES = {
    "tensorflow": (_tensorflow_devices, _mirrored),
    "jax": (keras.distribution.list_devices, _data_parallel),
}


def replica_share() -> float:
    """Return the share of a batch that a replica's loss stands for: its gradients are summed.

    Only `tf.distribute` sums; Keras' distribution on JAX computes one loss of the whole batch.
    """
    if keras.backend.backend() != "tensorflow":
        return 1.0
    import tensorflow as tf

    return 1.0 / tf.distribute.get_strategy().num_replicas_in_sync
