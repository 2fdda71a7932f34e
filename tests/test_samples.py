"""The samples: their configurations, their data, their commands."""

import numpy as np
import pytest
from click.testing import CliRunner

from landslide_rcnn.data.augment import apply_imgaug
from samples.bijie.__main__ import main
from samples.bijie.bijie import VARIANTS, open_part, photometric_augmentation
from tests.helpers.outside import data_file, needs_data

BIJIE = data_file("bijie")


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_the_improved_network(name):
    config_class, layers = VARIANTS[name]
    config = config_class()
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
