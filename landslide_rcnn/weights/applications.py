"""VGG16, MobileNet and Xception of keras.applications -> our layer names, which are nearly theirs.

Only for files that Keras 2 wrote, as those of ImageNet are: networks of ours have the same names
and read RGB, and come in Keras 3's layout. ResNets are `names.py`'s business.
"""

from __future__ import annotations

import re

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


# A layer that no other has, and what is changed.
NETWORKS = {
    "vgg16": ("block5_conv3", _vgg16),
    "mobilenet": ("conv_dw_13", _mobilenet),
    "xception": ("block14_sepconv2", _xception),
}
