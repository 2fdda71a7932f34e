"""The table of the semantic networks. Knows their names without loading Keras."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from landslide_rcnn.errors import RegistryError, ShapeError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Architecture:
    """Where a network is built, and with which backbones.

    Attributes:
        module: Of this package; its `build_<module>` builds the network.
        backbones: That it can be built with, the default first.
    """

    module: str
    backbones: tuple[str, ...]


ARCHITECTURES = {
    "fcn": Architecture("fcn", ("vgg16",)),
    "fcn_fl": Architecture("fcn_fl", ("vgg16",)),
    "unet": Architecture("unet", ("plain", "vgg16", "resnet50")),
    "segnet": Architecture("segnet", ("vgg16",)),
    "pspnet": Architecture("pspnet", ("resnet50", "mobilenet")),
    "deeplab": Architecture("deeplab", ("xception", "mobilenet")),
    "drs_unet": Architecture("drs_unet", ("plain",)),
}


def build_semantic(
    architecture: str, backbone: str | None = None, *, channels: int = 3, classes: int = 1
) -> "keras.Model":
    """Build a semantic network.

    Args:
        architecture: A key of `ARCHITECTURES`.
        backbone: One of its backbones; the first of them unless given.
        channels: Bands of the image.
        classes: Logits of a pixel: 1 for landslide alone, K for background and classes.

    Returns:
        A model from [B, H, W, channels] to float32 logits [B, H, W, classes], of any H and W. A
        backbone of `landslide_rcnn.nn.backbones` is its layer "backbone".

    Raises:
        RegistryError: `architecture` or `backbone` is not in the table.
        ShapeError: `channels` or `classes` is less than 1.
    """
    if architecture not in ARCHITECTURES:
        raise RegistryError(
            f"A semantic architecture must be known. Received: {architecture!r}. "
            f"Use one of: {', '.join(ARCHITECTURES)}."
        )
    row = ARCHITECTURES[architecture]
    if backbone is not None and backbone not in row.backbones:
        raise RegistryError(
            f"The backbone must be one that {architecture} is built with. Received: "
            f"{backbone!r}. Use one of: {', '.join(row.backbones)}."
        )
    if min(channels, classes) < 1:
        raise ShapeError(
            "A network needs at least one band and one class. Received: "
            f"channels={channels}, classes={classes}. Use 1 or more."
        )
    module = importlib.import_module(f"landslide_rcnn.nn.semantic.{row.module}")
    build = getattr(module, f"build_{row.module}")
    return build(channels=channels, classes=classes, backbone=backbone or row.backbones[0])
