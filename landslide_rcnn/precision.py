"""Which precision this machine computes well in, and building layers in it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import keras


def resolve_precision(name: str) -> str:
    """Turn `Config.PRECISION` into a Keras dtype policy.

    Args:
        name: "float32", "bfloat16" or "auto".

    Returns:
        "float32" or "mixed_bfloat16" (float32 weights, bfloat16 arithmetic).
    """
    if name == "auto":
        name = "bfloat16" if _bfloat16_is_native() else "float32"
    return {"float32": "float32", "bfloat16": "mixed_bfloat16"}[name]


def _bfloat16_is_native() -> bool:
    """True where bfloat16 is multiplied faster than float32; elsewhere not claimed."""
    return _NATIVE[keras.backend.backend()]()


def _on_tensorflow() -> bool:
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        capability = tf.config.experimental.get_device_details(gpu).get("compute_capability")
        return bool(capability and capability >= AMPERE)
    cpu_info = Path("/proc/cpuinfo")
    flags = cpu_info.read_text() if cpu_info.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _on_jax() -> bool:
    import jax

    device = jax.devices()[0]
    if device.platform != "gpu":
        return device.platform == "tpu"
    return tuple(map(int, device.compute_capability.split("."))) >= AMPERE


def _on_torch() -> bool:
    import torch

    return torch.cuda.is_available() and torch.cuda.get_device_capability() >= AMPERE


# The first GPUs with bfloat16, by compute capability.
AMPERE = (8, 0)
_NATIVE = {"tensorflow": _on_tensorflow, "jax": _on_jax, "torch": _on_torch}


@contextlib.contextmanager
def building_in(policy: str) -> Iterator[None]:
    """Layers made inside take `policy`; the global one is put back afterwards."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
