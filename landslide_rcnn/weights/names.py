"""Naming conventions of weight files -> matterport's layer names, which this package uses.

| convention | a convolution | its batch normalisation |
|---|---|---|
| matterport | res3a_branch2b | bn3a_branch2b |
| keras.applications | conv3_block1_2_conv | conv3_block1_2_bn |
| torchvision | layer2.0.conv2 | layer2.0.bn2 |

A convention of names is also one of numbers (strides, biases, epsilon): see `conventions.py`.
"""

from __future__ import annotations

import re

import numpy as np

from landslide_rcnn.errors import WeightsError
from landslide_rcnn.weights.arrays import Array, derived

LETTERS = "abcdefghijklmnopqrstuvwxyz"

KERAS_ORDER = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
KERAS_BLOCK = re.compile(r"conv([2-5])_block(\d+)_([0-3])_(conv|bn)")
KERAS_OTHERS = {"conv1_conv": "conv1", "conv1_bn": "bn_conv1", "predictions": "fc1000"}
KERAS_RESNET = "conv1_conv"  # MobileNet has a conv1_bn, too, and all have predictions
KERAS_BRANCHES = {"0": "1", "1": "2a", "2": "2b", "3": "2c"}

TORCH_ORDER = ("weight", "bias", "running_mean", "running_var")
# Before the layer may stand any path: "module.", "backbone.body.", ...
TORCH_KEY = re.compile(
    r"(?P<prefix>|.*?\.)"
    r"(?P<layer>conv1|bn1|fc|layer[1-4]\.\d+\.(?:conv[1-3]|bn[1-3]|downsample\.[01]))"
    r"\.(?P<leaf>weight|bias|running_mean|running_var|num_batches_tracked)"
)
TORCH_BLOCK = re.compile(r"layer([1-4])\.(\d+)\.(conv|bn|downsample\.)(\d)")
TORCH_OTHERS = {"conv1": "conv1", "bn1": "bn_conv1", "fc": "fc1000"}
TORCH_BRANCHES = {"1": "2a", "2": "2b", "3": "2c"}

MATTERPORT_CONV = re.compile(r"res[2-5][a-z]_branch(1|2[abc])")


def from_flat(flat: dict[str, Array]) -> tuple[dict[str, list[Array]], str | None]:
    """Sort single arrays into layers, whichever convention their keys follow.

    Args:
        flat: Arrays by `<layer>/<leaf>` (Keras) or `<path>.<layer>.<leaf>` (PyTorch).

    Returns:
        Arrays by layer name, and the convention, None if the names do not tell.

    Raises:
        WeightsError: The keys hold more than one PyTorch backbone.
    """
    matches = {key: TORCH_KEY.fullmatch(key) for key in flat}
    prefixes = sorted({m["prefix"] for m in matches.values() if m and "." in m["layer"]})
    if len(prefixes) > 1:
        shown = ", ".join(repr(prefix) for prefix in prefixes[:4])
        raise WeightsError(
            f"A state dict must hold one backbone. Received: {len(prefixes)}, under {shown}. "
            "Save the one that you want by itself."
        )
    if prefixes:
        return _from_torch(flat, matches, prefixes[0]), "torchvision"
    layers: dict[str, dict[str, Array]] = {}
    for key, array in flat.items():
        layer, leaf = split_key(key)
        layers.setdefault(layer, {})[leaf] = array
    return renamed({name: in_order(leaves, KERAS_ORDER) for name, leaves in layers.items()})


def split_key(key: str) -> tuple[str, str]:
    """`conv1/kernel:0` -> ("conv1", "kernel"); `rpn.head.weight` -> ("rpn.head", "weight")."""
    separator = "/" if "/" in key else "."
    layer, _, leaf = key.rpartition(separator)
    return layer, leaf.removesuffix(":0")


def in_order(leaves: dict[str, Array], order: tuple[str, ...]) -> list[Array]:
    """Arrays of one layer in the order of its weights; leaves of other names come last."""
    names = [name for name in order if name in leaves]
    return [leaves[name] for name in names + [name for name in leaves if name not in order]]


def renamed(named: dict[str, list[Array]]) -> tuple[dict[str, list[Array]], str | None]:
    """Turn keras.applications' names into matterport's; others stay.

    Those networks read BGR: the first kernel's channels are turned round, so that it reads RGB.

    Returns:
        Arrays by layer name, and the convention, None if the names do not tell.
    """
    if not any(name == KERAS_RESNET or KERAS_BLOCK.fullmatch(name) for name in named):
        is_matterport = any(MATTERPORT_CONV.fullmatch(name) for name in named)
        return named, "matterport" if is_matterport else None
    result = {}
    for name, arrays in named.items():
        if name == "conv1_conv" and arrays and len(arrays[0].shape) == 4:
            arrays = [derived(arrays[0].shape, lambda k: k[:, :, ::-1], arrays[0]), *arrays[1:]]
        result[_from_keras_name(name)] = arrays
    return result, "keras"


def _from_keras_name(name: str) -> str:
    match = KERAS_BLOCK.fullmatch(name)
    if match is None:
        return KERAS_OTHERS.get(name, name)
    stage, block, branch, kind = match.groups()
    if not 1 <= int(block) <= len(LETTERS):
        return name  # a network deeper than matterport's names reach
    kind = "res" if kind == "conv" else "bn"
    return f"{kind}{stage}{LETTERS[int(block) - 1]}_branch{KERAS_BRANCHES[branch]}"


def _from_torch_name(name: str) -> str:
    match = TORCH_BLOCK.fullmatch(name)
    if match is None:
        return TORCH_OTHERS[name]
    stage, block, kind, index = match.groups()
    if int(block) >= len(LETTERS):
        return name
    place = f"{int(stage) + 1}{LETTERS[int(block)]}"
    if kind == "downsample.":
        return f"{('res', 'bn')[int(index)]}{place}_branch1"
    return f"{'res' if kind == 'conv' else 'bn'}{place}_branch{TORCH_BRANCHES[index]}"


def _from_torch(flat: dict, matches: dict, prefix: str) -> dict[str, list[Array]]:
    layers: dict[str, dict[str, Array]] = {}
    for key, array in flat.items():
        match = matches[key]
        if match and match["prefix"] == prefix:
            layer, leaf = _from_torch_name(match["layer"]), match["leaf"]
        else:
            layer, leaf = split_key(key)  # other parts of a detector: left unused, and said
        if leaf != "num_batches_tracked":  # a counter that nothing here needs
            array = _from_torch_layout(array) if leaf == "weight" else array
            layers.setdefault(layer, {})[leaf] = array
    return {name: in_order(leaves, TORCH_ORDER) for name, leaves in layers.items()}


# Kernels: OIHW -> HWIO, also of grouped convolutions; dense: [out, in] -> [in, out].
_TORCH_AXES = {4: (2, 3, 1, 0), 2: (1, 0)}


def _from_torch_layout(array: Array) -> Array:
    axes = _TORCH_AXES.get(len(array.shape))
    if axes is None:
        return array
    shape = tuple(array.shape[axis] for axis in axes)
    return derived(shape, lambda values: np.transpose(values, axes), array)
