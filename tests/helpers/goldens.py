"""Other implementations' outputs: which files there are, and the weights that belong to them.

A file is `<architecture>_seed<number>.npz`, further words between or behind; `<architecture>.json`
holds the weights' names and shapes, and `make_weights.py` draws them.
"""

import functools
import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from scipy.optimize import linear_sum_assignment

from landslide_rcnn.nn.backbones.resnet import VARIANTS
from tests.helpers.outside import DEFAULT_GOLDENS, GOLDENS


@dataclass(frozen=True)
class Golden:
    """One file. `kind` is "ops", "backbone", "detector", or what is wrong with the file."""

    path: Path
    kind: str
    architecture: str = ""
    seed: int = 0

    def __str__(self) -> str:
        return self.path.name

    @functools.cached_property
    def outputs(self) -> dict[str, np.ndarray]:
        with np.load(self.path) as file:
            return {name: file[name] for name in file.files}

    @functools.cached_property
    def weights(self) -> dict[str, np.ndarray]:
        spec = importlib.util.spec_from_file_location(
            "make_weights", golden_path("make_weights.py")
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.make(_read_shapes(self.architecture), self.seed)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(s) for name, s in _read_shapes(self.architecture)["arrays"].items()}


def find_goldens() -> list[Golden]:
    """Describe every .npz of the folder."""
    return [_describe(path) for path in sorted(GOLDENS.glob("*.npz"))]


def _describe(path: Path) -> Golden:
    seed = re.search(r"seed(\d+)", path.stem)
    if path.stem.split("_")[0] == "ops":
        return Golden(path, "ops")
    if seed is None:
        return Golden(path, "its name has no seed<number>")
    folders = {GOLDENS, DEFAULT_GOLDENS}
    known = sorted({p.stem for f in folders for p in f.glob("*.json")}, key=len, reverse=True)
    for name in known:
        if path.stem.startswith(f"{name}_") and "arrays" in _read_shapes(name):
            kind = {"OIHW": "backbone", "HWIO": "detector"}[_read_shapes(name)["layout"]]
            return Golden(path, kind, name, int(seed.group(1)))
    return Golden(path, f"no .json of weights belongs to it, only {', '.join(sorted(known))}")


def golden_path(name: str) -> Path:
    """A file of the folder; what a folder of further outputs does not repeat, of the default."""
    path = GOLDENS / name
    return path if path.is_file() else DEFAULT_GOLDENS / name


@functools.cache
def _read_shapes(architecture: str) -> dict:
    return json.loads(golden_path(f"{architecture}.json").read_text(encoding="utf-8"))


def torchvision_variant(shapes: dict[str, tuple[int, ...]]) -> str:
    """Name the backbone whose torchvision state dict has these shapes."""
    blocks = tuple(
        len({name.split(".")[1] for name in shapes if name.startswith(f"layer{i}.")})
        for i in (1, 2, 3, 4)
    )
    width, per_group = shapes["layer1.0.conv2.weight"][:2]
    return _variant(blocks, width // per_group, per_group)


def matterport_variant(shapes: dict[str, tuple[int, ...]]) -> str:
    """Name the backbone of a matterport detector."""
    blocks = tuple(
        len({name[:5] for name in shapes if re.match(rf"res{i}[a-z]_", name)}) for i in (2, 3, 4, 5)
    )
    return _variant(blocks, 1, 64)


def _variant(blocks, groups, group_width) -> str:
    for name, v in VARIANTS.items():
        if (tuple(v.blocks), v.groups, v.group_width) == (blocks, groups, group_width):
            return name
    raise ValueError(f"no backbone has {blocks} blocks, {groups} groups of {group_width}")


def write_matterport_file(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A file in Keras 2's layout: a group for each layer, `weight_names` in order."""
    with h5py.File(path, "w") as file:
        groups: dict[str, list[bytes]] = {}
        for key, array in arrays.items():
            layer = key.partition("/")[0]
            group = "rpn_model" if layer.startswith("rpn_") else layer
            file.create_dataset(f"{group}/{key}:0", data=array)
            groups.setdefault(group, []).append(f"{key}:0".encode())
        file.attrs["layer_names"] = [group.encode() for group in groups]
        for group, names in groups.items():
            file[group].attrs["weight_names"] = names


def match_rows(found: np.ndarray, expected: np.ndarray, tolerances) -> np.ndarray:
    """Pair rows whatever their order: equal scores may come in any.

    Args:
        found: [F, V].
        expected: [E, V].
        tolerances: [V], largest difference of each value.

    Returns:
        [E] int: the row of `found` that is each expected one's own, -1 where there is none.
    """
    distance = np.abs(expected[:, None, :] - found[None, :, :]) / np.asarray(tolerances)
    cost = distance.max(axis=2)  # [E, F]; up to 1 is a pair
    rows, columns = linear_sum_assignment(np.where(cost <= 1, cost, 1e6))
    pairs = np.full(len(expected), -1)
    pairs[rows] = np.where(cost[rows, columns] <= 1, columns, -1)
    return pairs
