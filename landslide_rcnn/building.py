"""From a `Config` to a network: the door through which no Config passes. Used by `face.py`."""

import functools
from typing import Any

import keras
import numpy as np

from landslide_rcnn.config import Config
from landslide_rcnn.nn.mask_rcnn import DetectorSettings, MaskRCNNNetwork, build_mask_rcnn
from landslide_rcnn.nn.semantic.registry import build_semantic
from landslide_rcnn.precision import building_in, resolve_precision


def build_network(config: Config) -> keras.Model:
    """Build the network that a Config describes, in the precision that it names."""
    build = _mask_rcnn if config.ARCHITECTURE == "mask_rcnn" else _semantic
    with building_in(resolve_precision(config.PRECISION)):
        return build(config)


def _mask_rcnn(config: Config) -> MaskRCNNNetwork:
    settings = {
        name: _plain(getattr(config, name.upper())) for name in DetectorSettings.__annotations__
    }
    backbone = config.BACKBONE
    if callable(backbone):  # with matterport's arguments
        backbone = functools.partial(backbone, stage5=True, train_bn=config.TRAIN_BN)
    return build_mask_rcnn(
        backbone=backbone,
        style=config.BACKBONE_STYLE,
        channels=config.IMAGE_CHANNEL_COUNT,
        num_classes=config.NUM_CLASSES,
        pyramid_size=config.TOP_DOWN_PYRAMID_SIZE,
        bottom_up_path=config.BOTTOM_UP_PATH,
        box_head_units=config.FPN_CLASSIF_FC_LAYERS_SIZE,
        batch_statistics=config.TRAIN_BN is not False,
        settings=DetectorSettings(**settings),
    )


def _semantic(config: Config) -> keras.Model:
    return build_semantic(
        config.ARCHITECTURE,
        config.BACKBONE,
        channels=config.IMAGE_CHANNEL_COUNT,
        # Landslide against background is one question.
        classes=1 if config.NUM_CLASSES == 2 else config.NUM_CLASSES,
    )


def _plain(value: Any) -> Any:
    return tuple(float(v) for v in value) if isinstance(value, np.ndarray | list | tuple) else value
