"""VGG16, MobileNet and Xception of keras.applications -> our layer names, which are nearly theirs.

Networks of ours have the same names and read RGB: `keras_files.py` tells whose a file is. ResNets
are `names.py`'s business.
"""

from __future__ import annotations

import re
from collections import Counter

from landslide_rcnn.weights.arrays import Array, derived

NUMBERED = re.compile(r"(conv2d|batch_normalization)(?:_(\d+))?")


def from_applications(named: dict[str, list[Array]]) -> tuple[dict[str, list[Array]], str | None]:
    """Turn the arrays of one of these networks into ours; those of others stay.

    Returns:
        Arrays by layer name, and the network's name: a key of `conventions.PIXEL_SCALE`, None
        for others.
    """
    for name, (mark, function) in NETWORKS.items():
        if mark in named:
            return function(named), name
    if Counter(map(len, named.values())) == {n: len(names) for n, names in _in_order().items()}:
        return _numbered_xception(named), "xception"
    return named, None


def _vgg16(named: dict[str, list[Array]]) -> dict[str, list[Array]]:
    """It reads BGR: the first kernel's channels are turned round, so that it reads RGB."""
    kernel, *rest = named["block1_conv1"]
    turned = derived(kernel.shape, lambda k: k[:, :, ::-1], kernel)
    return {**named, "block1_conv1": [turned, *rest]}


def _mobilenet(named: dict[str, list[Array]]) -> dict[str, list[Array]]:
    return named


def _xception(named: dict[str, list[Array]]) -> dict[str, list[Array]]:
    """Name the shortcuts, which Keras numbers on from whatever was built before."""
    from landslide_rcnn.nn.backbones.xception import UNNAMED

    numbered = {name: NUMBERED.fullmatch(name) for name in named}
    new_names = {}
    for kind, ending in (("conv2d", ""), ("batch_normalization", "_bn")):
        found = [name for name, match in numbered.items() if match and match[1] == kind]
        found.sort(key=lambda name: int(numbered[name][2] or 0))
        new_names.update(zip(found, (shortcut + ending for shortcut in UNNAMED)))
    return {new_names.get(name, name): arrays for name, arrays in named.items()}


def _numbered_xception(named: dict[str, list[Array]]) -> dict[str, list[Array]]:
    """Name the layers of Keras 1, which numbers them all, by their order as Keras itself does.

    Its public file is such a one: "convolution2d_1", "convolution2d_2", ...
    """
    names = {arrays: iter(of_kind) for arrays, of_kind in _in_order().items()}
    return {next(names[len(arrays)]): arrays for arrays in named.values()}


def _in_order() -> dict[int, list[str]]:
    """Xception's convolutions, separable ones and normalisations, by how many arrays they have."""
    from landslide_rcnn.nn.backbones.xception import UNNAMED

    convolutions = ["block1_conv1", "block1_conv2", *UNNAMED]
    separable, norms = [], ["block1_conv1_bn", "block1_conv2_bn"]
    for block in range(2, 15):
        count = 3 if 5 <= block <= 12 else 2
        own = [f"block{block}_sepconv{i}" for i in range(1, count + 1)]
        separable += own
        shortcut = f"block{block}_shortcut"
        norms += [f"{name}_bn" for name in own + [shortcut] * (shortcut in UNNAMED)]
    return {1: convolutions, 2: separable, 4: norms}


# A layer that no other has, and what is changed.
NETWORKS = {
    "vgg16": ("block5_conv3", _vgg16),
    "mobilenet": ("conv_dw_13", _mobilenet),
    "xception": ("block14_sepconv2", _xception),
}
