"""State dicts of PyTorch: `.safetensors`, and `.pth` in both of its formats; no torch is needed.

Since version 1.6 a `.pth` is a zip of `data.pkl` (which tensors there are) and `data/<key>`
(their numbers); before, the same parts stood one after another. The pickle is read by
`pickles.py`, which runs nothing.
"""

from __future__ import annotations

import functools
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from landslide_rcnn.errors import WeightsError
from landslide_rcnn.weights.arrays import LazyArray, NamedWeights, unreadable
from landslide_rcnn.weights.keras_files import refuse_duplicates
from landslide_rcnn.weights.names import from_flat
from landslide_rcnn.weights.pickles import Storage, TensorSpec, read_pickle

# Where training scripts put the state dict among other things.
NESTED_UNDER = ("state_dict", "model_state_dict", "model")
# The largest list of tensors that is read; a detector's takes 0.1 MB.
LARGEST_PICKLE = 16 * 2**20
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
LEGACY_PROTOCOL = 1001

ReadNumbers = Callable[[Storage, int, int], np.ndarray]


def read_safetensors(path: Path) -> NamedWeights:
    """Read a `.safetensors` file; its tensors one at a time, when they are wanted.

    Raises:
        WeightsError: The file is damaged.
    """
    import ml_dtypes  # noqa: F401  NumPy learns bfloat16 from it
    from safetensors import SafetensorError, safe_open

    try:
        file = safe_open(path, framework="numpy")
        shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"A .safetensors file must be whole. Received: {path} ({error}). Copy it again."
        ) from error

    def read(key: str) -> np.ndarray:
        try:
            values = file.get_tensor(key)
        except SafetensorError as error:
            raise unreadable(path, error) from error
        return values.astype(np.float32) if values.dtype.name == "bfloat16" else values

    flat = {key: LazyArray(shape, functools.partial(read, key)) for key, shape in shapes.items()}
    named, style = from_flat(flat)
    close = functools.partial(file.__exit__, None, None, None)
    return NamedWeights(named, path=path, style=style, close=close)


def read_torch(path: Path) -> NamedWeights:
    """Read a state dict from a `.pth` or `.pt` file, alone or inside a checkpoint.

    Raises:
        WeightsError: The file is damaged, holds no state dict, or more than tensors.
    """
    with open(path, "rb") as file:
        start = file.read(len(LEGACY_START))
    if start == LEGACY_START:
        content, read_numbers, close = _open_legacy(path)
    elif start[:2] == b"PK":
        content, read_numbers, close = _open_zip(path)
    else:
        raise WeightsError(
            f"A .pth file must be what torch.save writes. Received: {path}, which is neither of "
            "its formats. Copy it again, or save it with a current PyTorch."
        )
    try:
        flat = {
            key: _lazy(key, spec, read_numbers, path)
            for key, spec in _state_dict(content, path).items()
        }
        named, style = from_flat(flat)
    except BaseException:
        close()
        raise
    return NamedWeights(named, path=path, style=style, close=close)


def _state_dict(content: Any, path: Path) -> dict[str, TensorSpec]:
    def tensors(candidate: Any) -> dict[str, TensorSpec]:
        pairs = candidate.items() if isinstance(candidate, dict) else ()
        return {key: v for key, v in pairs if isinstance(v, TensorSpec) and isinstance(key, str)}

    found = tensors(content)
    under = content if isinstance(content, dict) else {}
    nested = [key for key in NESTED_UNDER if tensors(under.get(key))]
    if not found and len(nested) > 1:
        raise WeightsError(
            f"A checkpoint must hold one state dict. Received: {path} with {', '.join(nested)}. "
            "Save the one that you want by itself."
        )
    found = found or (tensors(under[nested[0]]) if nested else {})
    if not found:
        raise WeightsError(
            f"A .pth file must hold a state dict, alone or under {', '.join(NESTED_UNDER)}. "
            f"Received: {path} without one. Save it with torch.save(model.state_dict(), path)."
        )
    return found


def _lazy(key: str, spec: TensorSpec, read_numbers: ReadNumbers, path: Path) -> LazyArray:
    count = int(np.prod(spec.shape, dtype=object))
    reach = sum((side - 1) * stride for side, stride in zip(spec.shape, spec.strides)) + 1
    reach = reach if count else 0
    if count > spec.storage.count or spec.offset + reach > spec.storage.count:
        raise WeightsError(
            f"A tensor must lie in its storage. Received: {path}, whose {key} {list(spec.shape)} "
            f"reaches beyond {spec.storage.count} numbers. Do not use this file."
        )

    def read() -> np.ndarray:
        numbers = read_numbers(spec.storage, spec.offset, reach)
        if numbers.size != reach:  # what follows trusts it
            raise WeightsError(
                f"A weight file must be whole. Received: {path}, which ends inside {key}. Copy it "
                "again."
            )
        steps = [stride * numbers.itemsize for stride in spec.strides]
        view = np.lib.stride_tricks.as_strided(numbers, spec.shape, steps, writeable=False)
        return view.copy()

    return LazyArray(spec.shape, read)


def _numbers(data: bytes, dtype: str, order: str = "<") -> np.ndarray:
    if dtype != "bfloat16":
        return np.frombuffer(data, np.dtype(dtype).newbyteorder(order)).astype(dtype)
    # The upper half of a float32.
    halves = np.frombuffer(data, np.dtype("uint16").newbyteorder(order))
    return (halves.astype(np.uint32) << 16).view(np.float32)


def _item_bytes(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


# --- Since torch 1.6: a zip -------------------------------------------------------------------


def _open_zip(path: Path) -> tuple[Any, ReadNumbers, Callable[[], None]]:
    archive = zipfile.ZipFile(path)
    try:
        refuse_duplicates(archive, path)
        members = {info.filename: info for info in archive.infolist()}
        lists = [name for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(lists) != 1 or members[lists[0]].file_size > LARGEST_PICKLE:
            raise WeightsError(
                f"A .pth file must hold one data.pkl of at most {LARGEST_PICKLE >> 20} MB. "
                f"Received: {path} with {len(lists)}. Save it again, the state dict alone."
            )
        root = lists[0].removesuffix("data.pkl")
        content = read_pickle(io.BytesIO(archive.read(lists[0])), path)
        order = {b"little": "<", b"big": ">"}[
            archive.read(f"{root}byteorder") if f"{root}byteorder" in members else b"little"
        ]
    except BaseException:
        archive.close()
        raise

    def read_numbers(storage: Storage, offset: int, count: int) -> np.ndarray:
        name, size = f"{root}data/{storage.key}", _item_bytes(storage.dtype)
        info = members.get(name)
        if (
            info is None
            or info.compress_type != zipfile.ZIP_STORED  # torch stores; what inflates is no .pth
            or info.file_size != storage.count * size
        ):
            raise WeightsError(
                f"A .pth file must hold its storages as declared. Received: {path}, whose {name} "
                f"is not there in {storage.count * size} bytes. Copy it again."
            )
        with archive.open(info) as file:
            if offset:
                file.seek(offset * size)
            data = file.read(count * size)
            if count == storage.count:
                file.read(1)  # at the end, the checksum is compared
        return _numbers(data, storage.dtype, order)

    return content, read_numbers, archive.close


# --- Before: one part after another -----------------------------------------------------------


def _open_legacy(path: Path) -> tuple[Any, ReadNumbers, Callable[[], None]]:
    """Magic number, protocol, machine, content, keys; then each storage: its count, its numbers."""
    file = open(path, "rb")
    try:
        # In memory, no declared length can make a read larger than this.
        head = io.BytesIO(file.read(LARGEST_PICKLE))
        head.seek(len(LEGACY_START))
        protocol, machine, content, keys = (read_pickle(head, path) for _ in range(4))
        is_little = isinstance(machine, dict) and machine.get("little_endian") is True
        if protocol != LEGACY_PROTOCOL or not is_little:
            raise WeightsError(
                f"A .pth file of the old format must be of protocol {LEGACY_PROTOCOL}, from a "
                f"little-endian machine. Received: {path}. Save it again with a current PyTorch."
            )
        file.seek(head.tell())
        places = _legacy_places(file, _storages(content), keys, path)
    except BaseException:
        file.close()
        raise

    def read_numbers(storage: Storage, offset: int, count: int) -> np.ndarray:
        size = _item_bytes(storage.dtype)
        file.seek(places[storage.key] + offset * size)
        return _numbers(file.read(count * size), storage.dtype)

    return content, read_numbers, file.close


def _storages(content: Any) -> dict[str, Storage]:
    """All storages that a checkpoint's tensors lie in."""
    storages: dict[str, Storage] = {}
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, TensorSpec):
            if storages.setdefault(value.storage.key, value.storage) != value.storage:
                raise ValueError(f"storage {value.storage.key} is declared twice")
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            waiting += value.values() if isinstance(value, dict) else value
    return storages


def _legacy_places(
    file: io.BufferedReader, storages: dict[str, Storage], keys: list[str], path: Path
) -> dict[str, int]:
    """Where each storage's numbers begin; every size is compared with what is there."""
    end = path.stat().st_size
    places: dict[str, int] = {}
    for key in keys:
        storage = storages[key]
        count = int.from_bytes(file.read(8), "little")
        places[key] = file.tell()
        after = places[key] + count * _item_bytes(storage.dtype)
        if count != storage.count or after > end:
            raise WeightsError(
                f"A .pth file must hold its storages as declared. Received: {path}, whose storage "
                f"{key} is not there in {storage.count} numbers. Copy it again."
            )
        file.seek(after)
    missing = set(storages) - set(places)
    if missing:
        raise KeyError(f"no storage {sorted(missing)[0]}")
    return places
