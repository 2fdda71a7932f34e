"""The weights that have a name: "coco", "imagenet", "none"; where they are, and what they hold."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from landslide_rcnn.errors import WeightsError
from landslide_rcnn.files import atomic_path
from landslide_rcnn.weights.arrays import UNREADABLE
from landslide_rcnn.weights.fetching import PublicFile, fetch, has_digest
from landslide_rcnn.weights.keras_files import read_hdf5
from landslide_rcnn.weights.names import LETTERS

if TYPE_CHECKING:
    from landslide_rcnn.config import Config

COCO_URL = "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"
COCO_BYTES = 257_557_808
KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"
MOBILENET = "mobilenet_1_0_224_tf_no_top.h5"
MOBILENET_BYTES = 17_225_924
TORCH_URL = "https://download.pytorch.org/models/"


def coco_shapes() -> dict[str, list[tuple[int, ...]]]:
    """Return the shapes of every array of `mask_rcnn_coco.h5`, by layer: a ResNet-101, 81 classes.

    The publisher gives no digest; the size and these shapes are what the file can be known by.
    """

    def conv(size: int, channels: int, filters: int) -> list[tuple[int, ...]]:
        return [(size, size, channels, filters), (filters,)]

    def norm(channels: int) -> list[tuple[int, ...]]:
        return [(channels,)] * 4

    shapes = {"conv1": conv(7, 3, 64), "bn_conv1": norm(64)}
    channels = 64
    for stage, blocks in zip("2345", (3, 4, 23, 3)):
        width = 64 * 2 ** (int(stage) - 2)
        for letter in LETTERS[:blocks]:
            branches = {"2a": (1, channels, width), "2b": (3, width, width)}
            branches["2c"] = (1, width, 4 * width)
            if letter == "a":
                branches["1"] = (1, channels, 4 * width)
            for branch, spec in branches.items():
                shapes[f"res{stage}{letter}_branch{branch}"] = conv(*spec)
                shapes[f"bn{stage}{letter}_branch{branch}"] = norm(spec[2])
            channels = 4 * width
        shapes[f"fpn_c{stage}p{stage}"] = conv(1, channels, 256)
        shapes[f"fpn_p{stage}"] = conv(3, 256, 256)
    shapes["rpn_conv_shared"] = conv(3, 256, 512)
    shapes["rpn_class_raw"] = conv(1, 512, 6)
    shapes["rpn_bbox_pred"] = conv(1, 512, 12)
    for i, spec in ((1, (7, 256, 1024)), (2, (1, 1024, 1024))):
        shapes[f"mrcnn_class_conv{i}"] = conv(*spec)
        shapes[f"mrcnn_class_bn{i}"] = norm(1024)
    shapes["mrcnn_class_logits"] = [(1024, 81), (81,)]
    shapes["mrcnn_bbox_fc"] = [(1024, 324), (324,)]
    for i in range(1, 5):
        shapes[f"mrcnn_mask_conv{i}"] = conv(3, 256, 256)
        shapes[f"mrcnn_mask_bn{i}"] = norm(256)
    shapes["mrcnn_mask_deconv"] = conv(2, 256, 256)
    shapes["mrcnn_mask"] = conv(1, 256, 81)
    return shapes


def check_coco(path: Path, size: int = COCO_BYTES) -> None:
    """Check that a file is matterport's COCO weights, by its size and its arrays' shapes.

    Raises:
        WeightsError: It is not.
    """
    _check_layout(path, size, coco_shapes(), "matterport's", "mask_rcnn_coco.h5")


def _check_layout(
    path: Path, size: int, shapes: dict[str, list[tuple[int, ...]]], whose: str, name: str
) -> None:
    """Raise WeightsError unless a file has this many bytes and these arrays."""
    if path.stat().st_size != size:
        raise WeightsError(
            f"{name} has {size} bytes. Received: {path.name} with "
            f"{path.stat().st_size}. Fetch it again."
        )
    try:
        with read_hdf5(path) as named:
            found = {name: [array.shape for array in arrays] for name, arrays in named.items()}
    except UNREADABLE as error:
        raise WeightsError(
            f"{name} must be an HDF5 file. Received: {path.name} ({error}). Fetch it again."
        ) from error
    wrong = [layer for layer, members in shapes.items() if found.get(layer) != members]
    if wrong:
        raise WeightsError(
            f"{name} must hold {whose} layers. Received: {path.name}, without "
            f"{wrong[0]} as it should be, and {len(wrong) - 1} more. Fetch it again."
        )


def mobilenet_shapes() -> dict[str, list[tuple[int, ...]]]:
    """Return the shapes of every array of the file `MOBILENET`, by layer."""
    from landslide_rcnn.nn.backbones.mobilenet import BLOCKS

    shapes, channels = {"conv1": [(3, 3, 3, 32)], "conv1_bn": [(32,)] * 4}, 32
    for i, (filters, _) in enumerate(BLOCKS, start=1):
        shapes[f"conv_dw_{i}"] = [(3, 3, channels, 1)]
        shapes[f"conv_dw_{i}_bn"] = [(channels,)] * 4
        shapes[f"conv_pw_{i}"] = [(1, 1, channels, filters)]
        shapes[f"conv_pw_{i}_bn"] = [(filters,)] * 4
        channels = filters
    return shapes


def check_mobilenet(path: Path) -> None:
    """Check that a file is MobileNet's ImageNet weights; the publisher gives no digest.

    Raises:
        WeightsError: It is not.
    """
    _check_layout(path, MOBILENET_BYTES, mobilenet_shapes(), "keras.applications'", MOBILENET)


def _keras(name: str, md5: str, folder: str = "resnet") -> PublicFile:
    file = f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    return PublicFile(f"{KERAS_URL}{folder}/{file}", has_digest("md5", md5))


def _torch(name: str) -> PublicFile:
    # The publisher's names end in the beginning of the file's sha256.
    digest = name.rpartition("-")[2]
    return PublicFile(f"{TORCH_URL}{name}.pth", has_digest("sha256", digest))


COCO = PublicFile(COCO_URL, check_coco)
# By the convention of the network and its backbone. Those of keras.applications (digests as in
# Keras' source) serve matterport's convention too: see `conventions.py`.
_KERAS_RESNETS = {
    "resnet50": _keras("resnet50", "4d473c1dd8becc155b73f8504c6f6626"),
    "resnet101": _keras("resnet101", "88cf7a10940856eca736dc7b7e228a21"),
}
# The same in every style: only ResNets differ by it.
APPLICATIONS = {
    "vgg16": _keras("vgg16", "6d6bbae143d832006294945121d1f1fc", folder="vgg16"),
    "xception": _keras("xception", "b0042744bf5b25fce3cb969f33bebb97", folder="xception"),
    "mobilenet": PublicFile(f"{KERAS_URL}mobilenet/{MOBILENET}", check_mobilenet),
}
IMAGENET = {
    "keras": _KERAS_RESNETS,
    "matterport": _KERAS_RESNETS,
    "torchvision": {
        "resnet50": _torch("resnet50-0676ba61"),
        "resnet101": _torch("resnet101-63fe2227"),
        "resnext50": _torch("resnext50_32x4d-7cdf4587"),
    },
}


def find_weights(spec: str, config: Config, *, progress: bool = True) -> Path | None:
    """Turn the command line's `--weights` into a file; fetch the public ones into the cache.

    Args:
        spec: "none", "imagenet", "coco" or a path.
        config: Its backbone and style decide which ImageNet file fits.
        progress: Show a bar while fetching.

    Returns:
        The file, or None for random weights.

    Raises:
        WeightsError: There is no public file for the backbone, or it cannot be fetched.
    """
    if spec == "none":
        return None
    if spec == "coco":
        return fetch(COCO, progress=progress)
    if spec == "imagenet":
        files = IMAGENET[config.BACKBONE_STYLE] | APPLICATIONS
        if config.BACKBONE not in files:
            raise WeightsError(
                f"ImageNet weights of BACKBONE_STYLE={config.BACKBONE_STYLE!r} exist for "
                f"{', '.join(files)}. Received: BACKBONE={config.BACKBONE!r}. Use --weights none, "
                "a file of your own, or another backbone."
            )
        return fetch(files[config.BACKBONE], progress=progress)
    return Path(spec)


def download_trained_weights(coco_model_path: str | Path, verbose: int = 1) -> None:
    """Fetch matterport's COCO weights to a path; what training scripts for it call.

    Args:
        coco_model_path: Where the file goes, `mask_rcnn_coco.h5` by custom.
        verbose: 0 prints nothing.

    Raises:
        WeightsError: It cannot be fetched; the message tells the way by hand.
    """
    fetched = fetch(COCO, progress=bool(verbose))
    with atomic_path(coco_model_path) as partial:
        shutil.copyfile(fetched, partial)
