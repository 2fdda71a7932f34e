"""What the settings of a `Config` must fulfil, each rule with its fix. Used by `config.py`."""

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.nn.semantic.registry import ARCHITECTURES

BACKBONES = ("resnet14_thin", "resnet26", "resnet50", "resnet101", "resnext50", "resnext101")
CHOICES = {
    "ARCHITECTURE": ("mask_rcnn", *ARCHITECTURES),
    "BACKBONE_STYLE": ("torchvision", "keras", "matterport"),
    "IMAGE_RESIZE_MODE": ("none", "square", "pad64", "crop"),
    "PRECISION": ("auto", "float32", "bfloat16"),
    "ROI_ALIGN_SAMPLES": (1, 2),
    "ROI_ALIGN_POOLING": ("max", "average"),
    "OPTIMIZER": ("sgd", "adam", "adamw"),
    "LEARNING_RATE_SCHEDULE": ("constant", "cosine", "step"),
    "TRAIN_BN": (True, False, None),
    "NORMALIZATION": ("dataset", "tile"),
    "MASK_LOSS": ("bce", "focal", "dice"),
}
FUNCTION = "function "  # how a card begins to name one
COUNTS = """
    GPU_COUNT IMAGES_PER_GPU BATCH_SIZE NUM_CLASSES IMAGE_MIN_DIM IMAGE_MAX_DIM IMAGE_CHANNEL_COUNT
    TRAIN_ROIS_PER_IMAGE POOL_SIZE MASK_POOL_SIZE MAX_GT_INSTANCES PRE_NMS_LIMIT
    POST_NMS_ROIS_TRAINING POST_NMS_ROIS_INFERENCE DETECTION_MAX_INSTANCES
    DETECTION_MIN_PIXELS
    RPN_TRAIN_ANCHORS_PER_IMAGE RPN_ANCHOR_STRIDE TOP_DOWN_PYRAMID_SIZE FPN_CLASSIF_FC_LAYERS_SIZE
    LEARNING_RATE_STEP_EPOCHS
""".split()
COUNTS_OR_NONE = "STEPS_PER_EPOCH", "VALIDATION_STEPS"
AMOUNTS = "WEIGHT_DECAY", "GRADIENT_CLIP_NORM"
SHARES = """
    RPN_NMS_THRESHOLD DETECTION_NMS_THRESHOLD DETECTION_MIN_CONFIDENCE ROI_POSITIVE_RATIO
    LEARNING_MOMENTUM
""".split()


def check(config: Any, names: list[str], loss_names: list[str]) -> None:
    """Check that a Config's settings can work together.

    Args:
        config: The `Config`.
        names: Of all settings.
        loss_names: Of all losses.

    Raises:
        ConfigError: The first rule that is broken, what was received, and the fix.
    """
    for rule, holds, fix in (
        *_single_rules(config),
        *_joint_rules(config, loss_names),
        *_sample_rules(config),
    ):
        try:
            fine = holds()
        except (TypeError, ValueError, OverflowError):
            fine = False  # a value of the wrong kind breaks the rule that reads it
        if not fine:
            wrong = [name for name in names if re.search(rf"\b{name}\b", rule)]
            received = ", ".join(f"{name}={plain(getattr(config, name))!r}" for name in wrong)
            raise ConfigError(f"{rule}. Received: {received}. {fix}.")


def _single_rules(c: Any) -> Iterator[tuple]:
    """Yield (rule naming its setting, test, fix) of settings taken alone."""
    yield (
        "BACKBONE as a function of your own cannot be read from a card",
        lambda: not str(c.BACKBONE).startswith(FUNCTION),
        "Make the Config in code with that function, and the model with MaskRCNN(mode, config, "
        "model_dir) and load_weights; or give from_weights BACKBONE=the function",
    )
    for name, allowed in CHOICES.items():
        yield (
            f"{name} must be one of {', '.join(map(str, allowed))}",
            lambda name=name, allowed=allowed: getattr(c, name) in allowed,
            "Use one of these",
        )
    row = ARCHITECTURES.get(c.ARCHITECTURE)
    backbones = BACKBONES if row is None else row.backbones
    yield (
        f"BACKBONE must be one of ARCHITECTURE's: {', '.join(backbones)}",
        lambda: (row is None and callable(c.BACKBONE)) or c.BACKBONE in backbones,
        "Use one of these, or begin with an experiment of that ARCHITECTURE (train --experiment)",
    )
    for name in COUNTS:
        yield (
            f"{name} must be a whole number of at least 1",
            lambda name=name: _is_count(getattr(c, name)),
            "Use a positive whole number",
        )
    for name in COUNTS_OR_NONE:
        yield (
            f"{name} must be a whole number of at least 1, or None",
            lambda name=name: getattr(c, name) is None or _is_count(getattr(c, name)),
            "Use None for a whole pass over the data",
        )
    yield (
        "WARMUP_STEPS must be a whole number of at least 0",
        lambda: c.WARMUP_STEPS == int(c.WARMUP_STEPS) >= 0,
        "Use 0 for none",
    )
    for name in AMOUNTS:
        yield (
            f"{name} must be a number of at least 0",
            lambda name=name: 0 <= getattr(c, name) < math.inf,
            "Use 0 for none",
        )
    for name in SHARES:
        yield (
            f"{name} must lie between 0 and 1",
            lambda name=name: 0 <= getattr(c, name) <= 1,
            "Use a share, such as 0.5",
        )


def _joint_rules(c: Any, loss_names: list[str]) -> Iterator[tuple]:
    """Yield (rule naming its settings, test, fix) of settings that need each other."""
    yield (
        "USE_RPN_ROIS must be True",
        lambda: c.USE_RPN_ROIS is True,
        "The heads always train on the RPN's proposals. To look at the targets of rois of your "
        "own, call model.build_detection_targets",
    )
    any_size = c.ARCHITECTURE != "mask_rcnn"  # semantic networks pad inside
    yield (
        "IMAGE_MAX_DIM must be a multiple of 64 when IMAGE_RESIZE_MODE is square",
        lambda: any_size or c.IMAGE_RESIZE_MODE != "square" or c.IMAGE_MAX_DIM % 64 == 0,
        "Use 128, 256, 512, 1024, ...",
    )
    yield (
        "IMAGE_MIN_DIM must be a multiple of 64 when IMAGE_RESIZE_MODE is crop or pad64",
        lambda: (
            any_size or c.IMAGE_RESIZE_MODE not in ("crop", "pad64") or c.IMAGE_MIN_DIM % 64 == 0
        ),
        "Use 128, 256, 512, 1024, ...",
    )
    yield (
        "NUM_CLASSES must be 2 or more, the background with them, for a semantic ARCHITECTURE",
        lambda: not any_size or c.NUM_CLASSES >= 2,
        "Use 2 for landslide and background",
    )
    parts = c.SEMANTIC_LOSS
    yield (
        "SEMANTIC_LOSS must give bce, focal and dice weights of at least 0, one of them more",
        lambda: (
            set(parts) == {"bce", "focal", "dice"}
            and min(parts.values()) >= 0
            and 0 < max(parts.values()) < math.inf
        ),
        'Use {"focal": 1.0, "dice": 1.0}, say',
    )
    yield (
        "RPN_ANCHOR_SCALES and BACKBONE_STRIDES must name five levels each",
        lambda: len(c.RPN_ANCHOR_SCALES) == len(c.BACKBONE_STRIDES) == 5,
        "Give one scale for each of the strides 4, 8, 16, 32, 64",
    )
    yield (
        "BACKBONE_STRIDES must be 4, 8, 16, 32, 64, which every backbone here has",
        lambda: list(c.BACKBONE_STRIDES) == [4, 8, 16, 32, 64],
        "Leave it as it is",
    )
    yield (
        "MASK_SHAPE must be twice MASK_POOL_SIZE on both sides",
        lambda: list(c.MASK_SHAPE) == [2 * c.MASK_POOL_SIZE] * 2,
        "Use MASK_POOL_SIZE=14 with MASK_SHAPE=[28, 28], or 28 with [56, 56]",
    )
    yield (
        "LEARNING_RATE must be positive",
        lambda: 0 < c.LEARNING_RATE < math.inf,
        "Use 1e-3, say",
    )
    yield (
        "LEARNING_RATE_STEP_FACTOR must be more than 0 and at most 1",
        lambda: 0 < c.LEARNING_RATE_STEP_FACTOR <= 1,
        "Use 0.5, which halves the rate",
    )
    yield (
        "STD_PIXEL must be positive",
        lambda: bool((np.asarray(c.STD_PIXEL) > 0).all()),
        "Use 1 for matterport's normalisation",
    )
    yield (
        f"LOSS_WEIGHTS may name only {', '.join(loss_names)}, with weights of at least 0",
        lambda: (
            set(c.LOSS_WEIGHTS) <= set(loss_names)
            and all(0 <= weight < math.inf for weight in c.LOSS_WEIGHTS.values())
        ),
        "Mend the name, or use 0 to leave a loss out",
    )


def _sample_rules(c: Any) -> Iterator[tuple]:
    """Yield (rule naming its settings, test, fix) of what training samples are made of."""
    yield (
        "IMAGERY_BANDS must be different numbers from 0 to IMAGE_CHANNEL_COUNT - 1, or None",
        lambda: (
            c.IMAGERY_BANDS is None
            or (
                all(band in range(c.IMAGE_CHANNEL_COUNT) for band in c.IMAGERY_BANDS)
                and len(set(c.IMAGERY_BANDS)) == len(c.IMAGERY_BANDS)
            )
        ),
        "Use [0, 1, 2] for RGB first",
    )
    shares = c.BACKGROUND_ENHANCEMENT
    yield (
        "BACKGROUND_ENHANCEMENT must name shares of splice and cutmix",
        lambda: (
            set(shares) <= {"splice", "cutmix"}
            and all(0 <= share <= 0.9 for share in shares.values())
        ),
        'Use {"splice": 0.2, "cutmix": 0.2}, say',
    )
    yield (
        "BACKGROUND_SHARE, with the shares of BACKGROUND_ENHANCEMENT, must be 0 or more and leave "
        "room for images with landslides",
        lambda: (
            (c.BACKGROUND_SHARE or 0) >= 0
            and (c.BACKGROUND_SHARE or 0) + sum(shares.values()) <= 0.9
        ),
        "Use shares that add up to 0.9 at most",
    )
    yield (
        "CLASS_WEIGHTS must be NUM_CLASSES numbers of at least 0, one of them more, or None",
        lambda: (
            c.CLASS_WEIGHTS is None
            or (
                len(c.CLASS_WEIGHTS) == c.NUM_CLASSES
                and min(c.CLASS_WEIGHTS) >= 0
                and 0 < max(c.CLASS_WEIGHTS) < math.inf
            )
        ),
        "Use [1, 2] for background and landslide",
    )


def _is_count(value: Any) -> bool:
    return value == int(value) >= 1


def plain(value: Any) -> Any:
    """Turn NumPy values, tuples and functions (into their names) into what JSON knows."""
    if isinstance(value, np.ndarray):
        return [float(f"{v:.7g}") for v in value]  # what float32 holds; curvatures are small
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if callable(value):
        kind = value if hasattr(value, "__qualname__") else type(value)
        return f"{FUNCTION}{kind.__module__}.{kind.__qualname__}"
    return value
