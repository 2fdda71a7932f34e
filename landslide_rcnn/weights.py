"""Weight files in and out: everything becomes arrays by layer name, and a report says what fitted.

    file -> a reader (by its kind) -> {layer name: arrays} -> `assign` -> a `LoadReport`

Our own files are Keras `.weights.h5` plus a JSON card beside them: the configuration, the bands
and their order, the class names, the threshold and the file's sha256. The card makes a mismatch
of bands or scale an error instead of a bad map. No file is ever unpickled or run.
"""

from __future__ import annotations

import datetime
import json
import re
import shutil
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from landslide_rcnn.config import Config
from landslide_rcnn.errors import WeightsError
from landslide_rcnn.files import atomic_path, sha256_of, write_json
from landslide_rcnn.versions import software_versions

if TYPE_CHECKING:  # a card can be read, and refused, without waiting for TensorFlow
    import keras

NamedWeights = dict[str, list[np.ndarray]]

COCO_URL = "https://github.com/matterport/Mask_RCNN/releases/download/v2.0/mask_rcnn_coco.h5"
IMAGENET_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
    "{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
# matterport's list of what depends on the number of classes.
CLASS_LAYERS = ("mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_bbox", "mrcnn_mask")

CARD_FORMAT = 1


# --- The card -------------------------------------------------------------------------------


@dataclass
class Card:
    """What a weight file is for.

    Attributes:
        architecture: "mask_rcnn".
        config: `Config.to_dict()`.
        bands: Names of the image's bands, in order.
        class_names: Names of the classes, the background first.
        threshold: Probability from which a pixel is landslide; chosen on validation data.
        pixel_size_m: Ground resolution of the training images in metres; None if unknown.
        metrics: Validation figures, by name.
        sha256: Of the weight file; filled when it is written.
        created: UTC time.
        software: Versions that made it.
    """

    config: dict[str, Any]
    bands: list[str]
    class_names: list[str]
    architecture: str = "mask_rcnn"
    threshold: float = 0.5
    pixel_size_m: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""
    created: str = ""
    software: dict[str, str] = field(default_factory=dict)
    format: int = CARD_FORMAT
    # The card of the weights that are being replaced, there only while they are.
    former: dict[str, Any] | None = None


def card_path(weights_path: str | Path) -> Path:
    """Return where the card of a weight file lies: `x.weights.h5` -> `x.card.json`."""
    path = Path(weights_path)
    return path.with_name(re.sub(r"(\.weights)?\.h5$", "", path.name) + ".card.json")


def read_card(weights_path: str | Path) -> Card:
    """Read and check the card beside a weight file.

    Raises:
        WeightsError: There is no card, it is not one of ours, or the weight file changed since.
    """
    path = card_path(weights_path)
    if not Path(weights_path).is_file():
        raise WeightsError(
            f"Weights must be an existing file. Received: {weights_path}. Check the path."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = {name: content[name] for name in Card.__dataclass_fields__ if name in content}
        card = Card(**known)
    except FileNotFoundError:
        raise WeightsError(
            f"A weight file needs its card beside it. Received: {weights_path} without "
            f"{path.name}. Copy the card too, or train with this package."
        ) from None
    except (ValueError, TypeError) as error:
        raise WeightsError(
            f"A card must be JSON with config, bands and class_names. Received: {path} ({error}). "
            "Copy the card again from where the weights were made."
        ) from error
    if card.format != CARD_FORMAT:
        raise WeightsError(
            f"This version reads cards of format {CARD_FORMAT}. Received: format {card.format} in "
            f"{path}. Use the version that wrote it."
        )
    digest = sha256_of(weights_path)
    if card.former and card.former["sha256"] == digest:
        return Card(**card.former)  # writing new weights was cut off; these are the former ones
    if card.sha256 != digest:
        raise WeightsError(
            f"A weight file must be the one that its card describes. Received: {weights_path}, "
            "whose sha256 is another. Copy both again."
        )
    return card


def save_weights(network: keras.Model, path: str | Path, card: Card) -> None:
    """Write a network's weights and their card; a crash leaves the former pair or the new one.

    Between the two moves that takes, the new card carries the former one.

    Args:
        network: What to save; only weights, no optimizer.
        path: Ends in `.weights.h5`.
        card: Its sha256, time and versions are filled in.
    """
    path = Path(path)
    if not path.name.endswith(".weights.h5"):
        raise WeightsError(
            f"Weight files end in .weights.h5. Received: {path.name}. Rename the output."
        )
    try:
        former = asdict(read_card(path))
    except WeightsError:
        former = None  # there is no good pair to keep
    card.created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    card.software = software_versions()
    with atomic_path(path) as partial:
        network.save_weights(partial)
        card.sha256 = sha256_of(partial)
        write_json(card_path(path), {**asdict(card), "former": former})
    write_json(card_path(path), asdict(card))


# --- Assigning ------------------------------------------------------------------------------


@dataclass
class LoadReport:
    """What became of each layer.

    Attributes:
        loaded: Layers that took the file's weights.
        missing: Layers of the network that the file does not have.
        mismatched: Layers whose shapes differ, with both.
        excluded: Layers left out on request.
        orphaned: Batch normalisations left out because the convolution they belong to is missing:
            their statistics describe its outputs.
        unused: Layers of the file that the network does not have.
    """

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = []
        for name, layers in asdict(self).items():
            if layers:
                shown = ", ".join(layers) if name != "loaded" else ""
                lines.append(f"{name}: {len(layers)}" + (f" ({shown})" if shown else ""))
        return "\n".join(lines)


def assign(
    layers: dict[str, keras.layers.Layer],
    named: NamedWeights,
    exclude: Collection[str] = (),
) -> LoadReport:
    """Give layers the weights of their name, where every shape fits.

    Args:
        layers: The network's layers with weights, by name.
        named: Arrays by layer name, in the order of the layer's weights.
        exclude: Names to leave as they are.

    Returns:
        What became of each layer.
    """
    report = LoadReport(unused=[name for name in named if name not in layers])
    for name, layer in layers.items():
        weights = [w for w in layer.weights if "seed_generator" not in w.path]
        arrays = named.get(name)
        convolution = re.sub(r"^bn", "res", name)
        if name in exclude:
            report.excluded.append(name)
        elif arrays is None:
            report.missing.append(name)
        elif name.startswith("bn") and convolution in layers and convolution not in named:
            report.orphaned.append(name)
        elif [tuple(w.shape) for w in weights] != [a.shape for a in arrays]:
            shapes = [list(a.shape) for a in arrays]
            report.mismatched.append(f"{name} {[list(w.shape) for w in weights]} != {shapes}")
        else:
            for weight, array in zip(weights, arrays, strict=True):
                weight.assign(np.asarray(array, np.float32))
            report.loaded.append(name)
    return report


# --- Readers --------------------------------------------------------------------------------


def read_weights(path: str | Path) -> NamedWeights:
    """Read any weight file that this package knows, by what it contains.

    Raises:
        WeightsError: The file is missing, or of no known kind.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(
            f"Weights must be an existing file. Received: {path}. "
            "Use none, imagenet, coco, or the path of a .weights.h5, .h5 or .npz file."
        )
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise WeightsError(
            f"A weight file ends in {' or '.join(READERS)}. Received: {path.name}. "
            "Convert it, or check the path."
        )
    try:
        return reader(path)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"A weight file must be readable. Received: {path} ({error}). Copy it again."
        ) from error


def _read_hdf5(path: Path) -> NamedWeights:
    """Keras 3's own layout, or Keras 2's as matterport and keras.applications wrote it."""
    with h5py.File(path, "r") as file:
        root = file["model_weights"] if "model_weights" in file else file
        if "layer_names" in root.attrs:
            return _rename(_read_keras2(root))
        return _read_keras3(file)


def _read_keras2(root: h5py.Group) -> NamedWeights:
    named: NamedWeights = {}
    for layer_name in root.attrs["layer_names"]:
        group = root[_text(layer_name)]
        for weight_name in group.attrs["weight_names"]:
            # A nested model (rpn_model) is one group: its layers are the weights' own folders.
            parts = _text(weight_name).split("/")
            inner = re.sub(r"_\d+$", "", parts[-2]) if len(parts) > 1 else _text(layer_name)
            owner = inner if _text(layer_name) == "rpn_model" else _text(layer_name)
            named.setdefault(owner, []).append(_dataset(group, _text(weight_name)))
    return named


def _read_keras3(file: h5py.File) -> NamedWeights:
    named: NamedWeights = {}

    def visit(path: str, item: Any) -> None:
        # A layer's arrays lie in a folder "vars" that carries the layer's name.
        if isinstance(item, h5py.Group) and "name" in item.attrs and len(item):
            named[_text(item.attrs["name"])] = [_dataset(item, i) for i in sorted(item, key=int)]

    file.visititems(visit)
    return named


def _dataset(group: h5py.Group, name: str) -> np.ndarray:
    """Read one array; links to other files are refused."""
    dataset = group[name]
    if dataset.external or dataset.is_virtual or dataset.file.id != group.file.id:
        raise WeightsError(
            f"A weight file must hold its own arrays. Received: {group.file.filename}, whose "
            f"{dataset.name} points elsewhere. Do not use this file."
        )
    return dataset[()]


def _read_npz(path: Path) -> NamedWeights:
    """`<layer>/kernel`, `/bias`, `/gamma`, `/beta`, `/moving_mean`, `/moving_variance`."""
    order = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
    found: dict[str, dict[str, np.ndarray]] = {}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            layer, _, weight = key.rpartition("/")
            found.setdefault(layer, {})[weight] = file[key]
    return _rename({k: [v[w] for w in order if w in v] for k, v in found.items()})


READERS: dict[str, Callable[[Path], NamedWeights]] = {".h5": _read_hdf5, ".npz": _read_npz}


def _rename(named: NamedWeights) -> NamedWeights:
    """Turn keras.applications' names into matterport's; others stay.

    Those networks read BGR. The first kernel's channels are turned round, so that it reads RGB.
    """
    if "conv1_conv" not in named:
        return named
    renamed = {}
    for name, arrays in named.items():
        if name == "conv1_conv":
            arrays = [arrays[0][:, :, ::-1, :], *arrays[1:]]
        renamed[_matterport_name(name)] = arrays
    return renamed


def _matterport_name(name: str) -> str:
    first = {"conv1_conv": "conv1", "conv1_bn": "bn_conv1"}
    if name in first:
        return first[name]
    match = re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", name)
    if match is None:
        return name
    stage, block, branch, kind = match.groups()
    letter = "abcdefghijklmnopqrstuvwxyz"[int(block) - 1]
    branch = {"0": "1", "1": "2a", "2": "2b", "3": "2c"}[branch]
    return f"{'res' if kind == 'conv' else 'bn'}{stage}{letter}_branch{branch}"


def _text(value: str | bytes) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


# --- Weights by name ------------------------------------------------------------------------


def find_weights(spec: str, config: Config) -> Path | None:
    """Turn the command line's `--weights` into a file; fetch the public ones into Keras' cache.

    Args:
        spec: "none", "imagenet", "coco" or a path.
        config: Its backbone decides which ImageNet file fits.

    Returns:
        The file, or None for random weights.

    Raises:
        WeightsError: There is no public file for the backbone, or no network.
    """
    if spec == "none":
        return None
    if spec == "coco":
        return _fetch(COCO_URL)
    if spec == "imagenet":
        if config.BACKBONE not in ("resnet50", "resnet101"):
            raise WeightsError(
                "ImageNet weights exist for resnet50 and resnet101. "
                f"Received: BACKBONE={config.BACKBONE!r}. Use --weights none, or another backbone."
            )
        if config.BACKBONE_STYLE == "torchvision":
            raise WeightsError(
                "ImageNet weights of keras.applications need BACKBONE_STYLE='keras'. "
                "Received: BACKBONE_STYLE='torchvision'. Add --set BACKBONE_STYLE=keras."
            )
        return _fetch(IMAGENET_URL.format(name=config.BACKBONE))
    return Path(spec)


def download_trained_weights(coco_model_path: str | Path, verbose: int = 1) -> None:
    """Fetch matterport's COCO weights to a path; what training scripts for it call.

    Args:
        coco_model_path: Where the file goes, `mask_rcnn_coco.h5` by custom.
        verbose: 0 prints nothing.

    Raises:
        WeightsError: There is no network; the message tells the way by hand.
    """
    if verbose:
        print(f"Fetching {COCO_URL}")
    fetched = _fetch(COCO_URL)
    with atomic_path(coco_model_path) as partial:
        shutil.copyfile(fetched, partial)


def _fetch(url: str) -> Path:
    import keras

    name = url.rsplit("/", 1)[-1]
    try:
        return Path(keras.utils.get_file(name, url, cache_subdir="landslide_rcnn"))
    except Exception as error:  # get_file wraps every cause in a bare Exception
        raise WeightsError(
            f"The weights must be fetched once. Received: {error}. Without a network, download "
            f"{url} elsewhere and give the file's path."
        ) from error
