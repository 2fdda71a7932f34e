"""Every number that a user may want to change, with its unit and the reason for its default.

Used as in matterport's Mask R-CNN: subclass `Config`, override class attributes, make one
instance. The attributes are checked together when the instance is made. `Config` stops at the
doors (`model.py`, `segmenter.py`, `training/`, `data/batches.py`): nothing in `nn/` sees it.

Shape letters: H, W pixels; C channels; K classes with background 0.
"""

import ast
import copy
import difflib
import warnings
from inspect import getattr_static, isfunction, signature
from typing import Any

import numpy as np

from landslide_rcnn.config_rules import check, plain
from landslide_rcnn.errors import ConfigError
from landslide_rcnn.nn.semantic.registry import ARCHITECTURES

# The settings that bring bands to one scale: one value a channel.
PIXEL_SCALE = ("MEAN_PIXEL", "STD_PIXEL")


class Config:
    """matterport's `Config`, with this project's attributes beside it.

    Instances also carry three computed attributes: `BATCH_SIZE` (images a step), `IMAGE_SHAPE`
    ([H, W, C], int array) and `IMAGE_META_SIZE`.
    """

    # --- Naming and device -----------------------------------------------------------------

    # Names log folders and checkpoints. Override it in every subclass.
    NAME: str | None = None
    # Replicas and images on each. Their product is the batch size unless BATCH_SIZE is set.
    GPU_COUNT = 1
    IMAGES_PER_GPU = 2
    # Images a step. None: IMAGES_PER_GPU * GPU_COUNT. (matterport overwrote a user's value.)
    BATCH_SIZE: int | None = None
    # "float32", "bfloat16", or "auto": bfloat16 where the processor or GPU computes it natively.
    # Losses, box decoding, NMS and roi coordinates are float32 in every case.
    PRECISION = "auto"

    # --- Training length -------------------------------------------------------------------

    # Steps an epoch. None: as many as cover the data once.
    STEPS_PER_EPOCH: int | None = 1000
    # Validation batches at the end of an epoch. None: all of them.
    VALIDATION_STEPS: int | None = 50

    # --- Family and backbone ---------------------------------------------------------------

    # "mask_rcnn", or a semantic network: fcn, fcn_fl, unet, segnet, pspnet, deeplab, drs_unet
    # (`nn.semantic.registry.ARCHITECTURES`). What is said below of styles, pyramid, RPN, rois,
    # heads, instances, TRAIN_BN and a detector's losses means nothing to those, and is not read.
    # `landslide_rcnn.experiments` has the papers' settings for each.
    ARCHITECTURE = "mask_rcnn"
    # mask_rcnn: one of `config_rules.BACKBONES`, or a function of your own with the signature of
    # matterport's resnet_graph: (input_image, stage5=True, train_bn=...) -> [C1, .., C5].
    # A semantic network: one of those in its row of the registry, or None for the first of them.
    BACKBONE: Any = "resnet101"
    # matterport needs it beside a function for BACKBONE. Accepted; the strides are fixed here.
    COMPUTE_BACKBONE_SHAPE: Any = None
    # Whose weights fit: "matterport" (convolution biases, stride in the first 1 x 1, BN epsilon
    # 1e-3), "keras" (keras.applications v1: the same but epsilon 1.001e-5 and symmetric pooling)
    # or "torchvision" (no biases, stride in the 3 x 3, symmetric padding, epsilon 1e-5).
    BACKBONE_STYLE = "matterport"
    # Pixels of input a cell of each pyramid level stands for.
    BACKBONE_STRIDES = [4, 8, 16, 32, 64]
    # Channels of every pyramid level. The RPN's convolution has twice as many, the mask head
    # as many. 256 fits the COCO weights; 128 trains about twice as fast from other weights.
    TOP_DOWN_PYRAMID_SIZE = 256
    # Adds N2..N6, the bottom-up path of Liu et al. 2021 (eq. 1), after the FPN.
    BOTTOM_UP_PATH = False
    # Units of the two fully connected layers of the box head.
    FPN_CLASSIF_FC_LAYERS_SIZE = 1024

    # --- Classes and images ----------------------------------------------------------------

    # Classes with the background. Override it: 2 for landslide / background.
    NUM_CLASSES = 1
    # "square": scale into IMAGE_MAX_DIM and pad to a square. "crop": random squares of
    # IMAGE_MIN_DIM. "pad64": pad to a multiple of 64; "none": as it is. The latter two train on
    # images of one size.
    IMAGE_RESIZE_MODE = "square"
    IMAGE_MIN_DIM = 800  # pixels
    IMAGE_MAX_DIM = 1024  # pixels
    IMAGE_MIN_SCALE = 0  # smallest factor of enlargement, 0 for none
    # Bands of an image: 3 for RGB, more with terrain factors.
    IMAGE_CHANNEL_COUNT = 3
    # "dataset": (image - MEAN_PIXEL) / STD_PIXEL. "tile": by each tile's own mean and standard
    # deviation, band by band (z-score), for scenes whose brightness differs from the training's.
    NORMALIZATION = "dataset"
    # Subtracted from each channel, in the image's own units; one value a channel, or one for all.
    MEAN_PIXEL = np.array([123.7, 116.8, 103.9])
    # The difference is divided by it. 1: matterport's normalisation.
    STD_PIXEL = np.array([1.0, 1.0, 1.0])

    # --- Training samples ------------------------------------------------------------------

    # Numbers, from 0, of the bands that are imagery. Augmenters that change colours leave the
    # others (terrain factors) alone; those that move pixels move all. None: all are imagery.
    IMAGERY_BANDS: list[int] | None = None
    # Share of images without landslides in every batch; an epoch then shows each image with
    # landslides once. None: an epoch shows every image once, in whatever proportion they are.
    BACKGROUND_SHARE: float | None = None
    # Shares of spliced and of CutMix samples in every batch (Yang et al. 2022; `data/background.py`
    # and its `BackgroundEnhanced`, which adds fixed ones to a dataset). Validation has none.
    BACKGROUND_ENHANCEMENT = {"splice": 0.0, "cutmix": 0.0}

    # --- RPN -------------------------------------------------------------------------------

    USE_RPN_ROIS = True  # the heads train on the RPN's proposals; matterport's False is not here
    RPN_ANCHOR_SCALES = (32, 64, 128, 256, 512)  # pixels, one for each pyramid level
    RPN_ANCHOR_RATIOS = [0.5, 1, 2]  # width / height
    RPN_ANCHOR_STRIDE = 1  # cells between anchors
    RPN_NMS_THRESHOLD = 0.7  # IoU; raise it to keep more proposals in training
    RPN_TRAIN_ANCHORS_PER_IMAGE = 256
    RPN_BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])
    PRE_NMS_LIMIT = 6000  # best anchors of an image that reach NMS
    POST_NMS_ROIS_TRAINING = 2000
    POST_NMS_ROIS_INFERENCE = 1000

    # --- Rois and heads --------------------------------------------------------------------

    # Rois an image that the heads train on, and the share of them that may be positive. Few
    # objects need few: 200 is matterport's for COCO.
    TRAIN_ROIS_PER_IMAGE = 200
    ROI_POSITIVE_RATIO = 0.33
    POOL_SIZE = 7  # cells a side, box head
    MASK_POOL_SIZE = 14  # cells a side, mask head
    MASK_SHAPE = [28, 28]  # twice MASK_POOL_SIZE: the head has one transposed convolution
    # Sampling points a bin and side. 1: matterport's crop-and-resize. 2: the four points of
    # Liu et al. 2021 and of the RoIAlign paper.
    ROI_ALIGN_SAMPLES = 1
    # How a bin's points become one value: "max" (Liu et al. 2021) or "average".
    ROI_ALIGN_POOLING = "average"
    BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])
    MAX_GT_INSTANCES = 100  # instances of a training image; more are drawn from at random
    # Keep training masks as MINI_MASK_SHAPE inside their boxes: less memory, coarser edges.
    USE_MINI_MASK = True
    MINI_MASK_SHAPE = (56, 56)  # pixels (height, width)

    # --- Detection -------------------------------------------------------------------------

    DETECTION_MAX_INSTANCES = 100
    DETECTION_MIN_CONFIDENCE = 0.7
    DETECTION_NMS_THRESHOLD = 0.3  # IoU
    # The smallest landslide that `Segmenter.detect` tells, pixels. Maps have a rule of their own.
    DETECTION_MIN_PIXELS = 1

    # --- Optimisation ----------------------------------------------------------------------

    # "sgd" (matterport's, with LEARNING_MOMENTUM), "adam" (Chen et al. 2022, at 1e-3) or "adamw".
    OPTIMIZER = "sgd"
    LEARNING_RATE = 0.001
    LEARNING_MOMENTUM = 0.9
    # "constant"; "cosine": down to 1 % of the rate over the whole of the training asked for; or
    # "step": times LEARNING_RATE_STEP_FACTOR every LEARNING_RATE_STEP_EPOCHS epochs (DRs-UNet's).
    # Each stage of a training in stages has its own.
    LEARNING_RATE_SCHEDULE = "constant"
    LEARNING_RATE_STEP_EPOCHS = 10
    LEARNING_RATE_STEP_FACTOR = 0.5
    WARMUP_STEPS = 0  # steps of linear rise from zero to the rate
    # "sgd": times the mean square of each weight, a penalty (matterport). "adamw": decoupled
    # decay of the kernels. "adam": none.
    WEIGHT_DECAY = 0.0001
    GRADIENT_CLIP_NORM = 5.0
    # True: batch statistics in batch normalisation. False: frozen, right for small batches from
    # good weights. None: whatever mode the network runs in (matterport's word for training it).
    TRAIN_BN: bool | None = False
    LOSS_WEIGHTS = {
        "rpn_class_loss": 1.0,
        "rpn_bbox_loss": 1.0,
        "mrcnn_class_loss": 1.0,
        "mrcnn_bbox_loss": 1.0,
        "mrcnn_mask_loss": 1.0,
        "mrcnn_mask_edge_loss": 0.0,  # Liu et al. 2021, eqs. 2 to 4; 0 leaves it out
    }
    # Weights of the classes, background first, in the box head's class loss and in a semantic
    # network's, such as [1, 2] for rare landslides. None: all alike.
    CLASS_WEIGHTS: list[float] | None = None
    # What mrcnn_mask_loss is: "bce" (matterport's), "focal" (FCN-FL's alpha 0.25, gamma 1.75) or
    # "dice".
    MASK_LOSS = "bce"
    # What a semantic network's loss is the sum of: `nn.semantic_losses.SEMANTIC_LOSSES`, times
    # these weights. "bce": sigmoid cross entropy for one kind of landslide, softmax for more.
    SEMANTIC_LOSS = {"bce": 1.0, "focal": 0.0, "dice": 0.0}

    def __init__(self, **settings: Any) -> None:
        """Check the attributes; keyword arguments override them for this instance.

        Raises:
            ConfigError: A name is unknown, or values do not fit together.
        """
        for name, value in settings.items():
            if name not in setting_names():
                raise _unknown_setting(name)
            setattr(self, name, value)
        for name in ("BACKBONE", "COMPUTE_BACKBONE_SHAPE"):
            # A function that is a class attribute would be called with the Config before its image.
            value = getattr_static(self, name)
            if isfunction(value) and next(iter(signature(value).parameters)) != "self":
                setattr(self, name, value)
        if self.BACKBONE is None and self.ARCHITECTURE in ARCHITECTURES:
            self.BACKBONE = ARCHITECTURES[self.ARCHITECTURE].backbones[0]
        if self.BATCH_SIZE is None:
            self.BATCH_SIZE = self.IMAGES_PER_GPU * self.GPU_COUNT
        channels = self.IMAGE_CHANNEL_COUNT
        # Those that nobody set: made for RGB in bytes, and replaced by the data's in training.
        self.default_pixels = [
            name for name in PIXEL_SCALE if _is_default(name, getattr(self, name))
        ]
        self.MEAN_PIXEL = _per_channel("MEAN_PIXEL", self.MEAN_PIXEL, channels)
        self.STD_PIXEL = _per_channel("STD_PIXEL", self.STD_PIXEL, channels)
        side = self.IMAGE_MIN_DIM if self.IMAGE_RESIZE_MODE == "crop" else self.IMAGE_MAX_DIM
        self.IMAGE_SHAPE = np.array([side, side, channels])
        self.IMAGE_META_SIZE = 1 + 3 + 3 + 4 + 1 + self.NUM_CLASSES
        self.LOSS_WEIGHTS = {**Config.LOSS_WEIGHTS, **self.LOSS_WEIGHTS}
        for name in ("BACKGROUND_ENHANCEMENT", "SEMANTIC_LOSS"):
            # What one of these does not name, it leaves out.
            if isinstance(getattr(self, name), dict):
                nothing = dict.fromkeys(getattr(Config, name), 0.0)
                setattr(self, name, {**nothing, **getattr(self, name)})
        check(self, setting_names(), list(Config.LOSS_WEIGHTS))

    def to_dict(self) -> dict[str, Any]:
        """Return every setting as plain JSON values, for the card of a weight file."""
        return {name: plain(getattr(self, name)) for name in setting_names()}

    @staticmethod
    def from_dict(settings: dict[str, Any]) -> "Config":
        """Make a Config from `to_dict`'s result. Settings it does not name keep defaults."""
        return Config(**settings)

    def replaced(self, **settings: Any) -> "Config":
        """Return a copy with other settings, checked together like a new one.

        Raises:
            ConfigError: A name is unknown, or values do not fit together.
        """
        kept = [name for name in setting_names() if name not in self.default_pixels]
        new = copy.copy(self)
        for name in self.default_pixels:
            vars(new).pop(name)  # the class's own again, for another number of bands
        Config.__init__(new, **{**{name: getattr(self, name) for name in kept}, **settings})
        return new

    def display(self) -> None:
        """Print every setting and computed attribute, one a line."""
        print("\nConfigurations:")
        for name in dir(self):
            if name.isupper():
                print(f"{name:30} {getattr(self, name)}")
        print()


class LandslideConfig(Config):
    """The improved Mask R-CNN of Liu et al. 2021: ResNeXt-50, bottom-up path, edge loss.

    Tiles of 256 px, batch 4 and a learning rate of 1e-4 are the paper's. It names no optimizer;
    AdamW, since 1e-4 is small for SGD where training starts from random weights.
    `DETECTION_MIN_CONFIDENCE` is low because the threshold of a map is chosen on its
    probabilities afterwards.
    """

    NAME = "landslide"
    IMAGES_PER_GPU = 4
    NUM_CLASSES = 2
    BACKBONE = "resnext50"
    BACKBONE_STYLE = "torchvision"
    BOTTOM_UP_PATH = True
    IMAGE_MIN_DIM = 256
    IMAGE_MAX_DIM = 256
    STD_PIXEL = np.array([58.4, 57.1, 57.4])  # ImageNet's, for networks without conv biases
    RPN_ANCHOR_SCALES = (16, 32, 64, 128, 256)
    PRE_NMS_LIMIT = 2000
    POST_NMS_ROIS_TRAINING = 1000
    POST_NMS_ROIS_INFERENCE = 300
    TRAIN_ROIS_PER_IMAGE = 64
    ROI_ALIGN_SAMPLES = 2
    ROI_ALIGN_POOLING = "max"
    MAX_GT_INSTANCES = 50
    USE_MINI_MASK = False
    DETECTION_MAX_INSTANCES = 50
    DETECTION_MIN_CONFIDENCE = 0.05
    OPTIMIZER = "adamw"
    WEIGHT_DECAY = 0.01
    LEARNING_RATE = 1e-4
    LEARNING_RATE_SCHEDULE = "cosine"
    WARMUP_STEPS = 100
    STEPS_PER_EPOCH = None
    VALIDATION_STEPS = None
    TRAIN_BN = None
    LOSS_WEIGHTS = {"mrcnn_mask_edge_loss": 1.0}


def setting_names() -> list[str]:
    """Return the names of all settings, in the order of this file."""
    return [name for name in vars(Config) if name.isupper()]


def parse_settings(assignments: list[str]) -> dict[str, Any]:
    """Turn `NAME=VALUE` texts (the command line's `--set`) into settings.

    A value is read as a Python literal, and as plain text where it is none.

    Raises:
        ConfigError: A text has no `=`, or its name is unknown.
    """
    settings: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not equals:
            raise ConfigError(
                f"A setting is written NAME=VALUE. Received: {assignment!r}. "
                "Example: --set IMAGE_MAX_DIM=512."
            )
        if name not in setting_names():
            raise _unknown_setting(name)
        try:
            settings[name] = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError):
            settings[name] = text.strip()
    return settings


def warn_of_stand_ins(config: Config, stacklevel: int = 2) -> None:
    """Say that bands are normalised by values made for RGB, where nobody gave theirs."""
    channels = config.IMAGE_CHANNEL_COUNT
    if config.default_pixels and channels != 3 and config.NORMALIZATION == "dataset":
        stand_ins = " and ".join(
            f"{getattr(config, name)[0]:.1f} for {name}" for name in config.default_pixels
        )
        warnings.warn(
            f"{' and '.join(config.default_pixels)} have no values for {channels} bands: "
            f"{stand_ins} stand in. Set them from your data; `landslide-rcnn train` "
            "(workflows.train.train_model) does.",
            stacklevel=stacklevel + 1,
        )


def _is_default(name: str, value: Any) -> bool:
    return any(value is vars(base).get(name) for base in (Config, LandslideConfig))


def _per_channel(name: str, value: Any, channels: int) -> np.ndarray:
    """Return [C] float32. One value serves every channel.

    The RGB defaults of this file say nothing about other bands: their mean stands in.
    """
    array = np.atleast_1d(np.asarray(value, np.float32))
    if _is_default(name, value) and channels != 3:
        array = array.mean(keepdims=True)
    if array.shape == (1,):
        array = np.repeat(array, channels)
    if array.shape != (channels,):
        raise ConfigError(
            f"{name} needs one value a channel. Received: {name} of {array.size} values with "
            f"IMAGE_CHANNEL_COUNT={channels}. Give {channels} values, or one for all."
        )
    return array


def _unknown_setting(name: str) -> ConfigError:
    near = difflib.get_close_matches(name, setting_names(), n=1)
    hint = f"Did you mean {near[0]}?" if near else "See landslide_rcnn/config.py for the names."
    return ConfigError(f"A setting must be an attribute of Config. Received: {name!r}. {hint}")
