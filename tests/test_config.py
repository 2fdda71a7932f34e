"""Settings: defaults, checks, and the way through a card."""

import warnings

import numpy as np
import pytest

from landslide_rcnn.config import (
    Config,
    LandslideConfig,
    parse_settings,
    setting_names,
    warn_of_stand_ins,
)
from landslide_rcnn.errors import ConfigError, RegistryError
from landslide_rcnn.experiments import (
    EXPERIMENTS,
    PAPER_EXPERIMENTS,
    SEMANTIC_EXPERIMENTS,
    SemanticConfig,
    experiment_config,
)


def test_a_subclass_overrides_and_computes():
    class Mine(Config):
        NAME = "mine"
        IMAGES_PER_GPU = 3
        GPU_COUNT = 2
        NUM_CLASSES = 1 + 4
        IMAGE_RESIZE_MODE = "crop"
        IMAGE_MIN_DIM = 128
        MY_OWN = "kept"
        LOSS_WEIGHTS = {"mrcnn_mask_loss": 2.0}

    config = Mine()
    assert config.BATCH_SIZE == 6 and list(config.IMAGE_SHAPE) == [128, 128, 3]
    assert config.IMAGE_META_SIZE == 17 and config.MY_OWN == "kept"
    assert config.LOSS_WEIGHTS["mrcnn_mask_loss"] == 2 and config.LOSS_WEIGHTS["rpn_bbox_loss"] == 1


def test_a_set_batch_size_is_kept():
    assert Config(BATCH_SIZE=5).BATCH_SIZE == 5


def test_the_papers_experiments_differ_in_what_the_paper_says():
    found = {
        name: (c.BACKBONE, c.BOTTOM_UP_PATH, c().LOSS_WEIGHTS["mrcnn_mask_edge_loss"])
        for name, c in PAPER_EXPERIMENTS.items()
    }
    assert found == {
        "resnet101": ("resnet101", False, 0.0),
        "resnext50": ("resnext50", False, 0.0),
        "resnext101": ("resnext101", False, 0.0),
        "resnext50-n": ("resnext50", True, 0.0),
        "resnext50-n-edge": ("resnext50", True, 1.0),
    }
    assert experiment_config("resnet101", NUM_CLASSES=3).NUM_CLASSES == 3
    with pytest.raises(RegistryError, match="Received: 'vgg'.*resnext50-n-edge"):
        experiment_config("vgg")


def test_the_semantic_experiments_are_the_papers():
    made = {name: experiment_config(name) for name in SEMANTIC_EXPERIMENTS}
    assert {name: (c.ARCHITECTURE, c.BACKBONE) for name, c in made.items()} == {
        "unet": ("unet", "plain"),
        "segnet": ("segnet", "vgg16"),
        "drs-unet": ("drs_unet", "plain"),
        "fcn": ("fcn", "vgg16"),
        "fcn-fl": ("fcn_fl", "vgg16"),
        "unet-vgg16": ("unet", "vgg16"),
        "unet-resnet50": ("unet", "resnet50"),
        "pspnet": ("pspnet", "resnet50"),
        "pspnet-mobilenet": ("pspnet", "mobilenet"),
        "deeplab": ("deeplab", "xception"),
        "deeplab-mobilenet": ("deeplab", "mobilenet"),
    }
    assert len(EXPERIMENTS) == 5 + 11 and all(c.NUM_CLASSES == 2 for c in made.values())
    drs, fcn_fl, pspnet = made["drs-unet"], made["fcn-fl"], made["pspnet"]
    assert (drs.IMAGE_MAX_DIM, drs.BATCH_SIZE, drs.NORMALIZATION) == (128, 16, "tile")
    assert (drs.OPTIMIZER, drs.LEARNING_RATE, drs.LEARNING_RATE_SCHEDULE) == ("adam", 1e-3, "step")
    assert drs.SEMANTIC_LOSS == {"bce": 1.0, "focal": 0.0, "dice": 0.0}
    assert fcn_fl.IMAGE_MAX_DIM == 256
    assert fcn_fl.SEMANTIC_LOSS == {"bce": 0.0, "focal": 1.0, "dice": 0.0}
    assert (pspnet.IMAGE_MAX_DIM, pspnet.BATCH_SIZE, pspnet.LEARNING_RATE) == (473, 8, 1e-4)
    assert pspnet.SEMANTIC_LOSS == {"bce": 0.0, "focal": 1.0, "dice": 1.0}
    assert pspnet.CLASS_WEIGHTS == [1.0, 2.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(ARCHITECTURE="vit"), "ARCHITECTURE must be one of mask_rcnn, fcn.*'vit'"),
        (
            dict(ARCHITECTURE="pspnet", BACKBONE="vgg16"),
            "BACKBONE must be one of ARCHITECTURE's: resnet50, mobilenet. Received: "
            "ARCHITECTURE='pspnet', BACKBONE='vgg16'",
        ),
        (
            dict(ARCHITECTURE="mask_rcnn"),
            "BACKBONE must be one of ARCHITECTURE's: resnet14_thin.* Received: ARCHITECTURE="
            "'mask_rcnn', BACKBONE=None. Use .* begin with an experiment of that ARCHITECTURE",
        ),
        (dict(SEMANTIC_LOSS={"bce": float("inf")}), "SEMANTIC_LOSS must give"),
        (dict(SEMANTIC_LOSS={"tversky": 1}), "SEMANTIC_LOSS must give bce, focal and dice"),
        (dict(SEMANTIC_LOSS={"bce": 0}), "SEMANTIC_LOSS must give.*at least 0, one of them more"),
        (dict(SEMANTIC_LOSS={"bce": -1, "dice": 1}), "SEMANTIC_LOSS must give"),
        (dict(NUM_CLASSES=1), "NUM_CLASSES must be 2 or more"),
        (dict(DETECTION_MIN_PIXELS=0), "DETECTION_MIN_PIXELS must be a whole number"),
    ],
)
def test_what_a_semantic_network_cannot_do_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        SemanticConfig(**settings)


def test_a_semantic_network_takes_tiles_of_any_size():
    config = SemanticConfig(IMAGE_MAX_DIM=473, ARCHITECTURE="deeplab")
    assert config.BACKBONE == "xception"
    again = Config.from_dict(config.to_dict())
    assert again.to_dict() == config.to_dict() and again.ARCHITECTURE == "deeplab"
    assert config.replaced(ARCHITECTURE="fcn", BACKBONE=None).BACKBONE == "vgg16"
    with pytest.raises(ConfigError, match="multiple of 64"):
        Config(IMAGE_MAX_DIM=473)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(IMAGE_MAX_DIM=250), "multiple of 64.*IMAGE_MAX_DIM=250.*Use 128"),
        (dict(BACKBONE="vgg"), "BACKBONE must be one of.*resnext50.*Received: .*BACKBONE='vgg'"),
        (dict(NUM_CLASSES=0), "NUM_CLASSES must be a whole number of at least 1"),
        (dict(TRAIN_ROIS_PER_IMAGE="many"), "TRAIN_ROIS_PER_IMAGE must be a whole number"),
        (dict(RPN_NMS_THRESHOLD=7), "between 0 and 1"),
        (dict(MASK_SHAPE=[56, 56]), "MASK_SHAPE must be twice MASK_POOL_SIZE"),
        (dict(RPN_ANCHOR_SCALES=(8, 16)), "five levels"),
        (dict(LOSS_WEIGHTS={"edge": 1}), "LOSS_WEIGHTS may name only"),
        (dict(MEAN_PIXEL=[1.0, 2.0]), "one value a channel.*2 values.*IMAGE_CHANNEL_COUNT=3"),
        (dict(BACKBON="resnet50"), "Did you mean BACKBONE"),
        (dict(STD_PIXEL=0.0), "STD_PIXEL must be positive"),
        (dict(BATCH_SIZE=0), "BATCH_SIZE must be a whole number of at least 1"),
        (dict(STEPS_PER_EPOCH=0), "STEPS_PER_EPOCH must be a whole .* or None. Received: STEPS"),
        (dict(VALIDATION_STEPS=-1), "VALIDATION_STEPS must be a whole number of at least 1"),
        (dict(WARMUP_STEPS="many"), "WARMUP_STEPS must be a whole number of at least 0"),
        (dict(WARMUP_STEPS=-3), "WARMUP_STEPS must be a whole number of at least 0"),
        (dict(LEARNING_RATE=float("inf")), "LEARNING_RATE must be positive"),
        (dict(LEARNING_MOMENTUM=1.5), "LEARNING_MOMENTUM must lie between 0 and 1"),
        (dict(GRADIENT_CLIP_NORM=-1), "GRADIENT_CLIP_NORM must be a number of at least 0"),
        (dict(WEIGHT_DECAY="x"), "WEIGHT_DECAY must be a number of at least 0"),
        (dict(LOSS_WEIGHTS={"rpn_class_loss": "a"}), "LOSS_WEIGHTS may .* weights of at least 0"),
        (
            dict(LEARNING_RATE_SCHEDULE="steps"),
            "constant, cosine, step. Received: LEARNING_RATE_SCHEDULE='steps'",
        ),
    ],
)
def test_what_cannot_work_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        LandslideConfig(**settings)


def test_bands_without_values_of_their_own_are_warned_about():
    config = LandslideConfig(IMAGE_CHANNEL_COUNT=5)
    with pytest.warns(UserWarning, match="STD_PIXEL have no values for 5 bands: 114.8 for MEAN"):
        warn_of_stand_ins(config)
    assert config.MEAN_PIXEL.shape == config.STD_PIXEL.shape == (5,)
    with pytest.warns(UserWarning, match="^STD_PIXEL have no values for 5 bands: 57.6 for STD"):
        warn_of_stand_ins(config.replaced(MEAN_PIXEL=range(5)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_stand_ins(LandslideConfig())
        warn_of_stand_ins(config.replaced(NORMALIZATION="tile"))
        warn_of_stand_ins(config.replaced(MEAN_PIXEL=range(5), STD_PIXEL=7))


def test_a_replaced_setting_leaves_the_others():
    class Mine(LandslideConfig):
        NAME = "mine"
        BACKBONE = "resnet50"

    first = Mine(LEARNING_RATE=0.5, IMAGES_PER_GPU=3)
    second = first.replaced(IMAGE_CHANNEL_COUNT=7)
    assert type(second) is Mine and (second.NAME, second.BACKBONE) == ("mine", "resnet50")
    assert (second.LEARNING_RATE, second.BATCH_SIZE) == (0.5, 3)
    assert second.MEAN_PIXEL.shape == (7,) and second.IMAGE_SHAPE.tolist() == [256, 256, 7]
    assert first.MEAN_PIXEL.shape == (3,) and first.IMAGE_CHANNEL_COUNT == 3
    third = second.replaced(MEAN_PIXEL=range(7), STD_PIXEL=1e-5)
    assert third.default_pixels == [] and second.default_pixels == ["MEAN_PIXEL", "STD_PIXEL"]
    # Curvatures are that small, and must come back from a card.
    again = LandslideConfig.from_dict(third.to_dict())
    np.testing.assert_array_equal(again.STD_PIXEL, np.full(7, 1e-5, np.float32))
    with pytest.raises(ConfigError, match="one value a channel.*7 values"):
        third.replaced(IMAGE_CHANNEL_COUNT=3)


def test_every_setting_survives_the_way_through_a_card():
    changed = dict(
        NAME="other",
        GPU_COUNT=2,
        IMAGES_PER_GPU=3,
        BATCH_SIZE=7,
        PRECISION="float32",
        BACKBONE="resnet26",
        TOP_DOWN_PYRAMID_SIZE=48,
        BOTTOM_UP_PATH=False,
        NUM_CLASSES=5,
        IMAGE_CHANNEL_COUNT=2,
        MEAN_PIXEL=[1.5, 2.5],
        STD_PIXEL=[3.5, 4.5],
        IMAGE_MIN_DIM=64,
        IMAGE_MAX_DIM=128,
        RPN_ANCHOR_SCALES=(1, 2, 3, 4, 5),
        LOSS_WEIGHTS={"rpn_class_loss": 3.0},
        TRAIN_BN=False,
        OPTIMIZER="adamw",
        WARMUP_STEPS=9,
    )
    first = LandslideConfig(**changed).to_dict()
    again = Config.from_dict(first).to_dict()
    assert again == first and set(first) == set(setting_names())
    assert first["BATCH_SIZE"] == 7 and first["STD_PIXEL"] == [3.5, 4.5]


def test_settings_from_the_command_line():
    found = parse_settings(["BACKBONE=resnet50", "RPN_ANCHOR_SCALES=(8, 16)", "NAME=x"])
    assert found == {
        "BACKBONE": "resnet50",
        "RPN_ANCHOR_SCALES": (8, 16),
        "NAME": "x",
    }
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        parse_settings(["BACKBONE"])
    with pytest.raises(ConfigError, match="Did you mean LEARNING_RATE"):
        parse_settings(["LEARNING_RAT=1"])


def test_display_prints_every_setting(capsys):
    LandslideConfig().display()
    printed = capsys.readouterr().out
    assert all(name in printed for name in setting_names()) and "IMAGE_SHAPE" in printed
