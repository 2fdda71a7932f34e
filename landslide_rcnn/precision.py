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
    """True where TensorFlow multiplies bfloat16 faster than float32; elsewhere not claimed."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        capability = tf.config.experimental.get_device_details(gpu).get("compute_capability")
        return bool(capability and capability >= (8, 0))
    cpu_info = Path("/proc/cpuinfo")
    flags = cpu_info.read_text() if cpu_info.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


@contextlib.contextmanager
def building_in(policy: str) -> Iterator[None]:
    """Layers made inside take `policy`; the global one is put back afterwards."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
