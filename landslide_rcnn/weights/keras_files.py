"""Keras' HDF5 files and NumPy's .npz, without trusting them.

Layouts of HDF5: Keras 3's (`.weights.h5`: a group "vars" that carries the layer's name), Keras
2's (`layer_names` and `weight_names`, at the root or in `model_weights`, one folder deep or two),
and the same without those attributes. Links to elsewhere are refused.
"""

from __future__ import annotations

import mmap
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from landslide_rcnn.errors import WeightsError
from landslide_rcnn.weights.applications import from_applications
from landslide_rcnn.weights.arrays import Array, LazyArray, NamedWeights
from landslide_rcnn.weights.card import card_path, read_card
from landslide_rcnn.weights.names import KERAS_ORDER, from_flat, in_order, renamed, split_key

NESTED_MODEL = "rpn_model"  # matterport's


def read_hdf5(path: Path) -> NamedWeights:
    """Read Keras 3's own layout, or Keras 2's as matterport and keras.applications wrote it.

    Raises:
        WeightsError: The file points elsewhere, or does not fit the card beside it.
        OSError, ValueError, KeyError: It is no sound HDF5 file.
    """
    # Our files carry a card: a damaged one is noticed before anything is read.
    settings = read_card(path).config if card_path(path).is_file() else {}
    file = h5py.File(path, "r")
    try:
        _check_heaps(path, file)
        named, style = _read_root(file)
    except BaseException:
        file.close()
        raise
    style = settings.get("BACKBONE_STYLE", style)
    return NamedWeights(named, path=path, style=style, settings=settings, close=file.close)


def _check_heaps(path: Path, file: h5py.File) -> None:
    """Check the heaps that HDF5 keeps texts in: in a damaged one, its library loops for ever.

    A heap is "GCOL", version 1, three zeros, its size; then objects of (index, references, zeros,
    size) and their bytes up to a multiple of 8; object 0 is the free rest.

    Source: HDF5 file format specification 3.0, III.E.
    """
    sound = file.id.get_create_plist().get_sizes() == (8, 8)
    if path.stat().st_size and sound:
        with open(path, "rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data:
            start = -1
            while sound and (start := data.find(b"GCOL\x01\0\0\0", start + 1)) >= 0:
                sound = _is_sound_heap(data, start)
    if not sound:
        raise WeightsError(
            f"A weight file must be whole. Received: {path}, whose names are damaged. Copy it "
            "again."
        )


def _is_sound_heap(data: mmap.mmap, start: int) -> bool:
    end = start + int.from_bytes(data[start + 8 : start + 16], "little")
    place = start + 16
    while place + 16 <= end <= len(data):
        index = int.from_bytes(data[place : place + 2], "little")
        size = int.from_bytes(data[place + 8 : place + 16], "little")
        if index == 0:
            return place + size == end
        place += 16 + -(-size // 8) * 8
    return place <= end <= len(data)


def _read_root(file: h5py.File) -> tuple[dict[str, list[Array]], str | None]:
    root = _member(file, "model_weights") if "model_weights" in file else file
    if _names(root, "layer_names") is not None:
        named, application = from_applications(_read_keras2(root))
        return (named, application) if application else renamed(named)
    named, is_nested = _read_keras3(root)
    if not named:
        return renamed(_read_bare(root))
    if not is_nested:  # in ours, a backbone is a network within the network
        named, application = from_applications(named)
        if application:
            return named, application
    named, style = renamed(named)
    if style == "matterport":  # our names: any style may be behind them
        style = None if any(len(a) > 1 for n, a in named.items() if n == "conv1") else "torchvision"
    return named, style


def _read_keras2(root: h5py.Group) -> dict[str, list[Array]]:
    named: dict[str, list[Array]] = {}
    for layer_name in _names(root, "layer_names"):
        group = _member(root, layer_name)
        weight_names = _names(group, "weight_names")
        if weight_names is None:
            named.update(_read_bare(group, layer_name))
            continue
        owners = [_owner(name, layer_name) for name in weight_names]
        # A nested model is one group: its layers are the weights' own folders.
        nested = layer_name == NESTED_MODEL or len(set(owners)) > 1
        for owner, name in zip(owners, weight_names):
            named.setdefault(owner if nested else layer_name, []).append(_array(group, name))
    return named


def _owner(weight_name: str, layer_name: str) -> str:
    """The folder of a weight, without the number of the session that saved it."""
    parts = weight_name.split("/")
    return re.sub(r"_\d+$", "", parts[-2]) if len(parts) > 1 else layer_name


def _read_keras3(root: h5py.Group) -> tuple[dict[str, list[Array]], bool]:
    """Return arrays by layer name, and whether the network holds another."""
    named: dict[str, list[Array]] = {}
    is_nested = False
    for path, item in _walk(root):
        # A layer's arrays lie in a folder "vars" that carries the layer's name.
        if isinstance(item, h5py.Group) and path.endswith("vars") and "name" in item.attrs:
            members = sorted(item, key=int)
            if members:
                named[_text(item.attrs["name"])] = [_array(item, name) for name in members]
                is_nested = is_nested or path.split("/").count("layers") > 1
    return named, is_nested


def _read_bare(root: h5py.Group, layer_name: str | None = None) -> dict[str, list[Array]]:
    """Arrays of a file, or of one layer, that lists no names: by their folders."""
    found: dict[str, dict[str, Array]] = {}
    for path, item in _walk(root):
        if isinstance(item, h5py.Dataset):
            folder, leaf = split_key(path)
            top = layer_name or path.partition("/")[0]
            owner = _owner(path, top) if top == NESTED_MODEL and folder else top
            found.setdefault(owner, {})[leaf] = _array(root, path)
    return {name: in_order(leaves, KERAS_ORDER) for name, leaves in found.items()}


def _walk(root: h5py.Group) -> Iterator[tuple[str, Any]]:
    """Yield (path, group or dataset) of everything below, once each; links are refused."""
    seen, waiting = set(), [("", root)]
    while waiting:
        path, group = waiting.pop()
        info = h5py.h5o.get_info(group.id)
        if (info.fileno, info.addr) in seen:
            continue
        seen.add((info.fileno, info.addr))
        for name in group:
            item = _member(group, name)
            place = f"{path}/{name}" if path else name
            yield place, item
            if isinstance(item, h5py.Group):
                waiting.append((place, item))


def _member(group: h5py.Group, path: str) -> h5py.Group | h5py.Dataset:
    """Follow a path by hard links only."""
    item = group
    for part in filter(None, path.split("/")):
        if part == "..":
            raise KeyError(path)
        if not isinstance(item, h5py.Group):
            raise KeyError(path)
        link = item.get(part, getlink=True)
        if link is None:
            raise KeyError(f"{path!r} is listed but not there")
        if not isinstance(link, h5py.HardLink):
            raise _points_elsewhere(group, path)
        item = item[part]
    return item


def _array(group: h5py.Group, path: str) -> LazyArray:
    dataset = _member(group, path)
    if not isinstance(dataset, h5py.Dataset):
        raise KeyError(f"{path!r} must be an array")
    if dataset.external or dataset.is_virtual:
        raise _points_elsewhere(group, path)
    if dataset.shape is None:
        raise KeyError(f"{path!r} is empty")

    def read() -> np.ndarray:
        if dataset.chunks and np.prod(dataset.chunks, dtype=object) > dataset.size:
            raise WeightsError(  # it would be inflated as a whole, whatever its size
                "A block of an array must not be larger than the array. Received: "
                f"{group.file.filename}, whose {dataset.name} {list(dataset.shape)} has blocks of "
                f"{list(dataset.chunks)}. Do not use this file."
            )
        if dataset.size and not dataset.id.get_storage_size():
            raise WeightsError(
                f"An array must be in its file. Received: {group.file.filename}, which declares "
                f"{dataset.name} {list(dataset.shape)} and holds no value of it. Copy it again."
            )
        if dataset.dtype.kind != "f":
            return np.empty(dataset.shape, dataset.dtype)  # its type is refused, its values unread
        try:
            return dataset[()]
        except OSError as error:
            raise WeightsError(
                f"A weight file must be readable. Received: {group.file.filename}, whose "
                f"{dataset.name} is not ({error}). Copy it again."
            ) from error

    return LazyArray(dataset.shape, read)


def _points_elsewhere(group: h5py.Group, path: str) -> WeightsError:
    return WeightsError(
        f"A weight file must hold its own arrays. Received: {group.file.filename}, whose "
        f"{group.name.rstrip('/')}/{path} points elsewhere. Do not use this file."
    )


def _names(group: h5py.Group, attribute: str) -> list[str] | None:
    """A list of names; Keras 2 splits long ones over `layer_names0`, `layer_names1`, ..."""
    if attribute in group.attrs:
        return [_text(name) for name in group.attrs[attribute]]
    names: list[str] = []
    part = 0
    while f"{attribute}{part}" in group.attrs:
        names += [_text(name) for name in group.attrs[f"{attribute}{part}"]]
        part += 1
    return names if part else None


def _text(value: str | bytes) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


# --- .npz -----------------------------------------------------------------------------------


def read_npz(path: Path) -> NamedWeights:
    """Read `<layer>/kernel`, `/bias`, `/gamma`, ..., or a PyTorch state dict saved by NumPy.

    Raises:
        WeightsError: An array is not what its header says, or holds objects.
        zipfile.BadZipFile, ValueError: It is no sound .npz file.
    """
    archive = zipfile.ZipFile(path)
    try:
        refuse_duplicates(archive, path)
        flat = {
            info.filename.removesuffix(".npy"): _npy(archive, info, path)
            for info in archive.infolist()
            if not info.is_dir()
        }
        named, style = from_flat(flat)
    except BaseException:
        archive.close()
        raise
    return NamedWeights(named, path=path, style=style, close=archive.close)


def refuse_duplicates(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise if two members of an archive have one name: readers would differ on which counts."""
    [(twice, count)] = Counter(archive.namelist()).most_common(1) or [("", 0)]
    if count > 1:
        raise WeightsError(
            f"The members of a weight file must have different names. Received: {path} with "
            f"{twice!r} twice. Do not use this file."
        )


_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def _npy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> LazyArray:
    def header(file) -> tuple[tuple[int, ...], bool, np.dtype]:
        return _HEADERS[np.lib.format.read_magic(file)](file)

    with archive.open(info) as file:
        shape, fortran, dtype = header(file)
        start = file.tell()
    count = int(np.prod([int(side) for side in shape], dtype=object))
    if dtype.hasobject or start + count * dtype.itemsize != info.file_size:
        raise WeightsError(
            f"A weight file must hold plain arrays, each of its declared size. Received: {path}, "
            f"whose {info.filename} declares {list(shape)} of {dtype}. Do not use this file."
        )

    def read() -> np.ndarray:
        with archive.open(info) as file:
            header(file)
            data = file.read(count * dtype.itemsize + 1)  # one more: the checksum is compared
        values = np.frombuffer(data, dtype)
        return values.reshape(shape, order="F" if fortran else "C")

    return LazyArray(shape, read)
