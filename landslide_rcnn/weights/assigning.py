"""Giving a network the weights of a file: first all is planned and read, then all is assigned.

An error at any point before the end leaves the network as it was.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from landslide_rcnn.errors import WeightsError
from landslide_rcnn.weights.arrays import Array, NamedWeights, float32_values
from landslide_rcnn.weights.conventions import (
    BACKBONE_LAYER,
    PIXEL_SCALE,
    for_bands,
    is_interchangeable,
    network_style,
    with_epsilon,
)
from landslide_rcnn.weights.report import LoadReport

if TYPE_CHECKING:
    import keras

FIRST_LAYERS = ("conv1", "block1_conv1")  # the one of VGG16 and Xception
# matterport's list of what depends on the number of classes.
CLASS_LAYERS = ("mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_bbox", "mrcnn_mask")
# Names of matterport's that stand for other layers here, or for none with weights.
EXCLUDABLE = {
    "rpn_model": ("rpn_conv_shared", "rpn_class_raw", "rpn_bbox_pred"),
    "mrcnn_bbox": (),
}


@dataclass
class Fate:
    """What becomes of one layer: a field of `LoadReport`, the reason, and what it is given."""

    kind: str
    why: str = ""
    arrays: list[Array] | None = None


def assign(
    layers: dict[str, keras.layers.Layer],
    named: dict[str, list[Array]],
    exclude: Collection[str] = (),
    *,
    partial: bool = True,
) -> LoadReport:
    """Give layers the weights of their name, where they fit.

    Args:
        layers: The network's layers with weights, by name.
        named: Arrays by layer name, in the order of the layer's weights; from `read_weights`
            also the convention that they follow.
        exclude: Names to leave as they are.
        partial: Accept that layers are left as they are.

    Returns:
        What became of each layer.

    Raises:
        WeightsError: A name in `exclude` is nowhere; the file follows another convention than a
            network of the same architecture; a layer is left although `partial` is not set; none
            fits; or an array cannot be read or is no finite number. The network is unchanged.
    """
    named = named if isinstance(named, NamedWeights) else NamedWeights(named)
    excluded = _excluded(exclude, layers, named)
    style = network_style(layers)
    other_style = bool(style and named.style) and not is_interchangeable(style, named.style)
    if other_style and _same_architecture(layers, named):
        raise _wrong_style(named, style)

    fates: dict[str, Fate] = {}
    for name, layer in layers.items():
        if name in excluded:
            fates[name] = Fate("excluded")
        elif name not in named:
            fates[name] = Fate("missing")
        elif other_style and BACKBONE_LAYER.fullmatch(name):
            fates[name] = Fate("mismatched", f"{named.style} weights, {style} network")
        else:
            fates[name] = _fit(name, layer, named, style)
    if not other_style:
        _leave_broken_stages(fates)
    _leave_orphans(fates)
    report = _report(fates, layers, named)
    if style and not named.style and any(map(BACKBONE_LAYER.fullmatch, report.loaded)):
        report.notes.append(
            f"the file does not tell its convention: BACKBONE_STYLE='{style}' is taken for it"
        )
    _check(report, named, partial)
    _assign_all(fates, layers, named)
    return report


def _excluded(exclude: Collection[str], layers: dict, named: NamedWeights) -> set[str]:
    known = [*layers, *named, *EXCLUDABLE]
    for name in exclude:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f"Did you mean {', '.join(near)}?" if near else "See keras_model.leaf_layers()."
            raise WeightsError(f"exclude must name layers. Received: {name!r}. {hint}")
    return {member for name in exclude for member in EXCLUDABLE.get(name, (name,))}


def _same_architecture(layers: dict, named: NamedWeights) -> bool:
    """Whether the residual convolutions that both have are of the same shapes."""
    pairs = [
        (tuple(layer.kernel.shape), tuple(named[name][0].shape))
        for name, layer in layers.items()
        if name.startswith("res") and named.get(name)
    ]
    return bool(pairs) and all(here == there for here, there in pairs)


def _fit(name: str, layer: keras.layers.Layer, named: NamedWeights, style: str | None) -> Fate:
    here = [tuple(weight.shape) for weight in _weights(layer)]
    arrays = named[name]
    there = [tuple(array.shape) for array in arrays]
    if name in FIRST_LAYERS and here != there and _differs_in_bands(here, there):
        bands = here[0][2]
        arrays = [for_bands(arrays[0], bands), *arrays[1:]]
        return Fate("adapted", f"RGB filters for {bands} bands", arrays)
    if here != there:
        return Fate("mismatched", _difference(name, here, there))
    if name.startswith("bn") and style and named.style and style != named.style:
        arrays = with_epsilon(arrays, named.style, style)
        return Fate("adapted", f"epsilon of {named.style} to {style}", arrays)
    return Fate("loaded", arrays=arrays)


def _differs_in_bands(here: list[tuple], there: list[tuple]) -> bool:
    if len(here) != len(there) or here[1:] != there[1:] or len(there[0]) != 4:
        return False
    (h, w, _, filters), (h2, w2, bands, filters2) = here[0], there[0]
    return bands == 3 and (h, w, filters) == (h2, w2, filters2)


def _difference(name: str, here: list[tuple], there: list[tuple]) -> str:
    if name in CLASS_LAYERS and here[0][:-1] == there[0][:-1]:
        per_class = 4 if name == "mrcnn_bbox_fc" else 1
        return f"{there[0][-1] // per_class} classes in the file, {here[0][-1] // per_class} here"
    if len(here) != len(there):
        return f"{len(there)} arrays in the file, {len(here)} here"
    first = next(i for i in range(len(here)) if here[i] != there[i])
    return f"{list(there[first])} in the file, {list(here[first])} here"


def _leave_broken_stages(fates: dict[str, Fate]) -> None:
    """Leave a whole stage where a block does not fit: parts of residual blocks say nothing."""
    for stage in "2345":
        members = [name for name in fates if re.match(rf"(res|bn){stage}[a-z]_", name)]
        convolutions = sorted(name for name in members if name.startswith("res"))
        broken = next((n for n in convolutions if fates[n].kind == "mismatched"), None)
        if broken is not None:
            why = f"other blocks ({broken}: {fates[broken].why})"
            for name in members:
                if fates[name].kind in ("loaded", "adapted", "mismatched"):
                    fates[name] = Fate("mismatched", why)


def _leave_orphans(fates: dict[str, Fate]) -> None:
    for name, fate in fates.items():
        convolution = "conv1" if name == "bn_conv1" else re.sub(r"^bn", "res", name)
        convolution = convolution.removesuffix("_bn")  # of MobileNet, Xception and the decoders
        if convolution != name and fate.kind in ("loaded", "adapted"):
            if convolution in fates and fates[convolution].kind not in ("loaded", "adapted"):
                fates[name] = Fate("orphaned")


def _report(fates: dict[str, Fate], layers: dict, named: NamedWeights) -> LoadReport:
    report = LoadReport(unused=[name for name in named if name not in layers])
    for name, fate in fates.items():
        collection = getattr(report, fate.kind)
        if isinstance(collection, dict):
            collection[name] = fate.why
        else:
            collection.append(name)
    for first in set(FIRST_LAYERS) & set(report.adapted):
        report.notes.append(
            f"{first} reads bands it never saw: let it train (layers='all', or an expression with "
            "it)"
        )
    for stage in "2345":
        deeper = [n for n in report.unused if re.match(rf"res{stage}[a-z]_branch2a$", n)]
        own = [n for n in report.loaded if re.match(rf"res{stage}[a-z]_branch2a$", n)]
        if deeper and own:
            report.notes.append(
                f"the file's backbone is deeper: {len(own) + len(deeper)} blocks in stage {stage}, "
                f"{len(own)} here; the last {len(deeper)} are unused"
            )
    return report


def _check(report: LoadReport, named: NamedWeights, partial: bool) -> None:
    left = report.left()
    if not report.loaded and not report.adapted:
        whys = sorted(set(report.mismatched.values()))[:2]
        because = f" ({'; '.join(whys)})" if whys else ""
        raise WeightsError(
            f"A weight file must fit at least one layer. Received: {_source(named)}, with none"
            f"{because}. Check BACKBONE and BACKBONE_STYLE, and that this is the right file."
        )
    if left and not partial:
        first, why = next(iter(left.items()))
        raise WeightsError(
            "Without by_name, every layer must be in the file. Received: "
            f"{_source(named)}, where {len(left)} layers are missing or differ, such as {first} "
            f"({why}). Use by_name=True, or the configuration that the weights were made with."
        )


def _assign_all(fates: dict[str, Fate], layers: dict, named: NamedWeights) -> None:
    chosen = []
    for name, fate in fates.items():
        if fate.kind in ("loaded", "adapted"):
            for weight, array in zip(_weights(layers[name]), fate.arrays, strict=True):
                what = f"{name}/{weight.name} in {_source(named)}"
                values = float32_values(array, what)
                if weight.name == "moving_variance" and (values < 0).any():
                    raise WeightsError(
                        f"A variance must not be negative. Received: {what}, with "
                        f"{np.min(values):.3g}. Copy the file again."
                    )
                chosen.append((weight, values))
    for weight, values in chosen:
        weight.assign(values)


def _weights(layer: keras.layers.Layer) -> list:
    return [weight for weight in layer.weights if "seed_generator" not in weight.path]


def _source(named: NamedWeights) -> str:
    return str(named.path or "these weights")


def _wrong_style(named: NamedWeights, style: str) -> WeightsError:
    return WeightsError(
        f"Weights of {named.style}'s convention need BACKBONE_STYLE='{named.style}': strides, "
        f"biases and epsilon differ. Received: {_source(named)} for BACKBONE_STYLE='{style}'. "
        f"Use --set BACKBONE_STYLE={named.style} --set STD_PIXEL={PIXEL_SCALE[named.style]:g}."
    )
