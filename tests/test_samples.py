"""The samples: their configurations, their data, their commands."""

import numpy as np
import pytest
from click.testing import CliRunner

from landslide_rcnn.data.augment import apply_imgaug
from landslide_rcnn.data.batches import TrainingBatches
from samples.bijie.__main__ import main
from samples.bijie.bijie import VARIANTS, open_part, photometric_augmentation
from samples.jiuzhaigou.__main__ import main as jiuzhaigou_main
from samples.jiuzhaigou.jiuzhaigou import VARIANTS as JIUZHAIGOU
from samples.ludian.__main__ import main as ludian_main
from samples.ludian.ludian import VARIANTS as LUDIAN
from samples.ludian.ludian import open_part as open_ludian
from samples.shuicheng.__main__ import main as shuicheng_main
from samples.shuicheng.shuicheng import VARIANTS as SHUICHENG
from samples.three_rivers.__main__ import main as three_rivers_main
from samples.three_rivers.three_rivers import VARIANTS as THREE_RIVERS
from tests.helpers.outside import data_file, needs_data

BIJIE = data_file("bijie")


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_the_improved_network(name):
    config, layers = VARIANTS[name].config(), VARIANTS[name].layers
    assert config.BACKBONE == name and config.BOTTOM_UP_PATH
    assert config.LOSS_WEIGHTS["mrcnn_mask_edge_loss"] > 0
    assert layers == {"resnext50": "all", "resnet50": "3+"}[name]


def test_the_augmentation_changes_light_and_leaves_masks():
    image = np.full((32, 32, 3), 100, np.uint8)
    mask = np.zeros((32, 32, 1), bool)
    mask[4:9, 5:20] = True
    augmented, masks = apply_imgaug(photometric_augmentation(), image, mask, seed=1)
    assert augmented.dtype == np.uint8 and (augmented != image).any()
    assert 100 * 0.6 < augmented.mean() < 100 * 1.5
    np.testing.assert_array_equal(masks, mask)


@needs_data("bijie")
def test_the_parts_share_no_image():
    parts = {part: open_part(BIJIE, part) for part in ("train", "val", "test")}
    assert {p: d.num_images for p, d in parts.items()} == {"train": 580, "val": 50, "test": 97}
    files = [str(info["path"]) for d in parts.values() for info in d.image_info]
    assert len(set(files)) == len(files)
    assert all(d.pixel_size_m == 0.8 for d in parts.values())


def test_a_mistake_is_one_line(tmp_path):
    done = CliRunner().invoke(main, ["evaluate", "--data", "x", "--weights", "no.weights.h5"])
    assert done.exit_code == 1 and "no.weights.h5" in done.stderr
    assert CliRunner().invoke(main, ["train", "--variant", "vgg"]).exit_code == 2


def test_jiuzhaigou_is_the_papers():
    assert list(JIUZHAIGOU) == [
        "resnet101", "resnext50", "resnext101", "resnext50-n", "resnext50-n-edge",
    ]  # fmt: skip
    for name, variant in JIUZHAIGOU.items():
        config = variant.config()
        assert (config.BATCH_SIZE, config.LEARNING_RATE, config.STEPS_PER_EPOCH) == (4, 1e-4, 2440)
        assert config.IMAGE_MAX_DIM == 256 and config.BACKBONE == name.split("-")[0]
        assert config.BOTTOM_UP_PATH == ("-n" in name)
        assert (config.LOSS_WEIGHTS["mrcnn_mask_edge_loss"] > 0) == ("edge" in name)
        # The recipe alone: turns and flips, and none of them twice.
        assert not variant.augment and variant.augmentation().__class__.__name__ == "OneOf"


def test_ludian_is_the_papers():
    for name, variant in LUDIAN.items():
        config = variant.config()
        network = {"unet": "unet", "pspnet": "pspnet"}.get(name.split("-")[0], "mask_rcnn")
        assert config.ARCHITECTURE == network and config.IMAGE_MAX_DIM == 1024
        backbones = {"mask_rcnn": "resnet101", "unet": "plain", "pspnet": "resnet50"}
        assert config.BACKBONE == backbones[network]
        assert (config.LEARNING_RATE, config.WEIGHT_DECAY) == (1e-3, 0.005)
        assert (config.STEPS_PER_EPOCH, config.GRADIENT_CLIP_NORM) == (1000, 5.0)
        factors, enhanced = "factors" in name, "background" in name
        assert config.IMAGE_CHANNEL_COUNT == len(config.MEAN_PIXEL) == (6 if factors else 3)
        assert config.IMAGERY_BANDS == ([0, 1, 2] if factors else None)
        assert (variant.splice, variant.cutmix) == ((531, 600) if enhanced else (0, 0))


def test_shuicheng_is_the_papers():
    networks = {name: variant.config() for name, variant in SHUICHENG.items()}
    assert {name: config.ARCHITECTURE for name, config in networks.items()} == {
        "fcn": "fcn", "fcn-focal": "fcn", "fcn-fl-entropy": "fcn_fl", "fcn-fl": "fcn_fl",
        "unet": "unet", "segnet": "segnet",
    }  # fmt: skip
    for name, config in networks.items():
        assert config.IMAGE_MAX_DIM == 256 and config.BACKBONE in ("vgg16", None)
        focal = {kind for kind, weight in config.SEMANTIC_LOSS.items() if weight} == {"focal"}
        assert focal == (name in ("fcn-focal", "fcn-fl"))
        assert not SHUICHENG[name].augment and SHUICHENG[name].augmentation() is not None


def test_three_rivers_is_the_papers():
    for name, variant in THREE_RIVERS.items():
        config = variant.config()
        assert config.ARCHITECTURE == name.replace("-", "_")
        assert (config.IMAGE_MAX_DIM, config.BATCH_SIZE, config.NORMALIZATION) == (128, 16, "tile")
        assert (config.OPTIMIZER, config.LEARNING_RATE) == ("adam", 1e-3)
        assert config.LEARNING_RATE_SCHEDULE == "step"
        assert (config.LEARNING_RATE_STEP_EPOCHS, config.LEARNING_RATE_STEP_FACTOR) == (10, 0.5)
        assert {kind for kind, weight in config.SEMANTIC_LOSS.items() if weight} == {"bce"}


@pytest.fixture
def ludian_tiles(tmp_path, write_raster, rng):
    """Six-band tiles with an invalid corner, train and val, with and without landslides."""
    rows = ["file,part"]
    for folder in ("image", "mask"):
        (tmp_path / folder).mkdir()
    for index in range(8):
        bands = rng.uniform(1, 200, (64, 64, 6)).astype(np.float32)
        bands[:4, :4] = -9999
        mask = np.zeros((64, 64), np.uint8)
        mask[20:40, 10:30] = index % 2
        write_raster(bands, f"image/{index}.tif", nodata=-9999)
        write_raster(mask, f"mask/{index}.tif")
        rows.append(f"{index}.tif,{'train' if index < 4 else 'val'}")
    (tmp_path / "split.csv").write_text("\n".join(rows))
    return tmp_path


@pytest.mark.parametrize("name", LUDIAN)
def test_ludian_takes_the_bands_of_the_variant(name, ludian_tiles):
    config = LUDIAN[name].config(
        IMAGE_MAX_DIM=64, IMAGE_MIN_DIM=64, BACKGROUND_ENHANCEMENT={"cutmix": 0.4}
    )
    dataset = open_ludian(ludian_tiles, "train", config)
    assert dataset.num_images == 4 and len(dataset.band_names) == config.IMAGE_CHANNEL_COUNT
    assert (~dataset.load_valid_mask(0)).sum() == 16
    for batch in TrainingBatches(dataset, config):
        assert batch["image"].shape == (2, 64, 64, config.IMAGE_CHANNEL_COUNT)
        assert np.abs(batch["image"]).max() < 20_000  # no nodata value among them


@pytest.mark.parametrize(
    "command, options, expected",
    [
        (ludian_main, [], (4 + 1131, 20, 0)),
        (ludian_main, ["--variant", "original"], (4, 20, 0)),
        (ludian_main, ["--splice", "2", "--cutmix", "0", "--seed", "7"], (6, 20, 7)),
        (jiuzhaigou_main, ["--cutmix", "3", "--epochs", "2"], (7, 2, 0)),
        (main, ["--splice", "1"], (5, 40, 0)),
        (shuicheng_main, ["--variant", "segnet"], (4, 100, 0)),
        (three_rivers_main, [], (4, 80, 0)),
        (ludian_main, ["--variant", "unet-background"], (4 + 1131, 20, 0)),
    ],
)
def test_train_hands_on_what_the_variant_and_the_options_say(
    command, options, expected, ludian_tiles, monkeypatch
):
    calls = []
    monkeypatch.setattr(
        "landslide_rcnn.workflows.train.train_model",
        lambda *args, **kwargs: calls.append((args, kwargs)) or result,
    )
    result = type("Result", (), dict(weights="w", epoch=1, threshold=0.5, metrics={"f1": 0.5}))
    done = CliRunner().invoke(command, ["train", "--data", str(ludian_tiles), *options])
    assert done.exit_code == 0 and "val F1 0.500" in done.output
    (config, train_set, val_set, _output), kwargs = calls[0]
    assert (train_set.num_images, kwargs["epochs"], kwargs["seed"]) == expected
    assert val_set.num_images == 4
    assert kwargs["augment"] == (command not in (jiuzhaigou_main, shuicheng_main))
    assert (kwargs["augmentation"] is None) == (command in (ludian_main, three_rivers_main))


def test_folds_are_of_train_and_val_together(ludian_tiles, monkeypatch):
    calls = []
    result = type("Result", (), dict(ensemble="e", threshold=0.25, summary={}))
    monkeypatch.setattr(
        "landslide_rcnn.workflows.kfold.train_folds",
        lambda *args, **kwargs: calls.append((args, kwargs)) or result,
    )
    monkeypatch.setattr("landslide_rcnn.workflows.kfold.format_folds", lambda summary: "table")
    done = CliRunner().invoke(
        ludian_main, ["train", "--data", str(ludian_tiles), "--kfold", "4", "--resume"]
    )
    assert done.exit_code == 0 and done.output == "table\ne: threshold 0.250\n"
    [((_, dataset, output, folds), kwargs)] = calls
    assert (dataset.num_images, len(dataset.band_names), folds) == (8, 6, 4)
    assert str(output).endswith("ludian-background-factors-kfold")
    assert kwargs["enhancement"] == {"splice": 531, "cutmix": 600}
    assert kwargs["resume"] and not kwargs["overwrite"] and kwargs["epochs"] == 20
