"""Which layers train: matterport's keys, or a regular expression."""

import re

import keras

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.nn.conv_norm import leaf_layers

# Keys of `layers`: the first stage of the backbone that trains. Everything behind the backbone
# trains with every key, whatever its name.
LAYER_KEYS = {"heads": 6, "5+": 5, "4+": 4, "3+": 3, "all": 1}

# How backbones name the layers of a stage: res3b_branch2a and bn3b_branch2a, block3_conv1 (VGG).
# What matches none of them, such as conv1, is before the second stage.
STAGE_NAMES = (r"(?:res|bn)(\d)", r"block(\d)_conv")


def set_trainable(network: keras.Model, layers: str) -> list[str]:
    """Let some layers train and freeze the rest.

    Args:
        network: Changed in place. Its backbone is its attribute or its layer `backbone`; one
            without any, such as a plain U-Net, follows no backbone.
        layers: "heads" (all that follows the backbone), "5+", "4+", "3+" (and the backbone's
            stages from that one on), "all", or a regular expression for whole layer names.

    Returns:
        The names of the layers that train.

    Raises:
        ConfigError: The expression is none, or names no layer; or the backbone has no stages that
            a key could name.
    """
    all_layers = leaf_layers(network)
    if layers in LAYER_KEYS:
        chosen = _from_stage(network, all_layers, layers)
    else:
        try:
            chosen = {name for name in all_layers if re.fullmatch(layers, name)}
        except re.error as error:
            raise ConfigError(
                f"layers must be one of {', '.join(LAYER_KEYS)} or a regular expression. "
                f"Received: {layers!r} ({error}). Mend the expression."
            ) from error
    if not chosen:
        raise ConfigError(
            f"layers must name at least one layer. Received: {layers!r}. Use one of "
            f"{', '.join(LAYER_KEYS)}, or an expression such as '(mrcnn_.*)|(rpn_.*)'."
        )
    for name, layer in all_layers.items():
        layer.trainable = name in chosen
    return [name for name in all_layers if name in chosen]


def _from_stage(network: keras.Model, all_layers: dict, key: str) -> set[str]:
    """Return the names of the layers behind the backbone, and of its last stages."""
    inside = leaf_layers(backbone) if (backbone := _backbone_of(network)) is not None else {}
    behind = set(all_layers) - set(inside)
    if key == "heads":
        return behind
    if key == "all":
        return set(all_layers)
    stages = next(filter(_is_numbered, (_stages(inside, names) for names in STAGE_NAMES)), None)
    if stages is None:
        raise ConfigError(
            f"layers={key!r} needs a backbone whose layers are named by stages (res3a_..., "
            f"block3_conv1). Received: {network.name}, "
            f"{'whose backbone has other names' if inside else 'without a backbone'}. "
            "Use heads, all, or an expression for layer names."
        )
    return behind | {name for name, stage in stages.items() if stage >= LAYER_KEYS[key]}


def _backbone_of(network: keras.Model) -> keras.Model | None:
    named = next((layer for layer in network.layers if layer.name == "backbone"), None)
    return getattr(network, "backbone", named)


def _stages(names: dict, pattern: str) -> dict[str, int]:
    """Return the backbone's stage that each layer belongs to; 1 where the name does not say."""
    found = {name: re.match(pattern, name) for name in names}
    return {name: int(match.group(1)) if match else 1 for name, match in found.items()}


def _is_numbered(stages: dict[str, int]) -> bool:
    return {3, 4, 5} <= set(stages.values())
