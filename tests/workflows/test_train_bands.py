"""Training on more bands than RGB: channels, scale and names follow the data, into the card."""

import json
import warnings

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from shapely.geometry import box

from landslide_rcnn.cli import main
from landslide_rcnn.config import LandslideConfig
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.readers import open_dataset
from landslide_rcnn.errors import ConfigError
from landslide_rcnn.files import sha256_of
from landslide_rcnn.geo.companions import Companion
from landslide_rcnn.workflows.fitting import fit_channels, fit_normalization
from landslide_rcnn.workflows.split import split_dataset
from tests.test_cli import TINY


class Arrays(Dataset):
    """Images of given arrays."""

    def __init__(self, *images):
        super().__init__()
        self.images = images
        for index in range(len(images)):
            self.add_image("landslide", index, None)
        self.prepare()

    def load_image(self, image_id):
        return self.images[image_id]


def fitted(config, *images, normalize=None):
    dataset = Arrays(*images)
    config = fit_channels(config, dataset)
    return fit_normalization(config, dataset, normalize, progress=False)


def test_rgb_in_bytes_keeps_the_scale_of_pretrained_weights(rng):
    image = rng.integers(0, 255, (8, 9, 3), np.uint8)
    config = LandslideConfig()
    assert fitted(config, image) is config
    assert fitted(config, image[..., :1]) is config  # grey stands for three
    data = fitted(config, image, normalize="data")
    np.testing.assert_allclose(data.MEAN_PIXEL, image.mean(axis=(0, 1)), rtol=1e-6)
    np.testing.assert_allclose(data.STD_PIXEL, image.std(axis=(0, 1)), rtol=1e-6)


def test_other_bands_get_their_own_scale(rng):
    image = rng.normal(size=(8, 9, 5)).astype(np.float32) * [1, 1e-5, 1000, 1, 1] + [
        0,
        0,
        3e3,
        0,
        0,
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = fitted(LandslideConfig(), image, image * 2)
    assert config.IMAGE_CHANNEL_COUNT == 5 and config.default_pixels == []
    both = np.stack([image, image * 2])
    np.testing.assert_allclose(config.MEAN_PIXEL, both.mean(axis=(0, 1, 2)), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(config.STD_PIXEL, both.std(axis=(0, 1, 2)), rtol=1e-4)
    reflectance = fitted(LandslideConfig(), image[..., :3])
    assert reflectance.STD_PIXEL[1] < 1e-4
    assert fitted(LandslideConfig(), image, normalize="config").STD_PIXEL[1] > 50
    given = LandslideConfig(IMAGE_CHANNEL_COUNT=5, MEAN_PIXEL=range(5), STD_PIXEL=1)
    assert fitted(given, image) is given
    by_tile = fitted(LandslideConfig(NORMALIZATION="tile"), image)
    assert by_tile.default_pixels and by_tile.IMAGE_CHANNEL_COUNT == 5
    with pytest.raises(ConfigError, match="normalize must be one of data, config"):
        fitted(given, image, normalize="mine")


@pytest.fixture
def scene(tmp_path, write_raster, rng):
    """A scene of four bands, its DEM, its landslides: bright, and on the slope."""
    image = rng.integers(20, 70, (192, 192, 4), np.uint8)
    shapes = []
    for row, column in ((20, 30), (100, 20), (60, 120), (150, 150), (140, 80), (15, 150)):
        image[row : row + 20, column : column + 24] = rng.integers(170, 230, (20, 24, 4))
        left, top = 500_000 + 2 * column, 4_000_000 - 2 * row
        shapes.append(box(left, top - 40, left + 48, top))
    write_raster(image, photometric="MINISBLACK", ALPHA="NO")
    with rasterio.open(tmp_path / "scene.tif", "r+") as file:
        file.descriptions = ("red", "green", "blue", "nir")
    gpd.GeoDataFrame(geometry=shapes, crs="EPSG:32648").to_file(tmp_path / "truth.gpkg")
    rows, columns = np.mgrid[:50, :50]
    transform = Affine(10, 0, 499_950, 0, -10, 4_000_050)
    write_raster((900 + rows * columns / 9).astype("f4"), "dem.tif", transform=transform)
    return tmp_path


@pytest.mark.slow
def test_a_model_of_six_bands_by_the_commands(scene):
    """Train with a companion's factors and a split; the card knows all of it; detect with it."""
    data = f"{scene / 'scene.tif'}:{scene / 'truth.gpkg'}"
    companion = f"{scene / 'dem.tif'}#elevation,slope"
    dataset = open_dataset(data, tile_size=64, overlap=16, companions=[Companion.parse(companion)])
    split_dataset(
        dataset, scene / "s.csv", "blocks=1", parts={"train": 0.7, "val": 0.3}, progress=False
    )
    settings = [part for setting in TINY for part in ("--set", setting)]
    arguments = [
        "train", "--train", f"{data}#train@{scene / 's.csv'}",
        "--val", f"{data}#val@{scene / 's.csv'}", "--companion", companion,
        "--output", scene / "model", "--epochs", 1, "-q", *settings, "--set", "STEPS_PER_EPOCH=4",
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*no values for")
        done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    card = json.loads((scene / "model" / "model.card.json").read_text())
    assert card["bands"] == ["red", "green", "blue", "nir", "elevation_m", "slope_deg"]
    train = open_dataset(
        f"{data}#train@{scene / 's.csv'}", tile_size=64, overlap=16,
        companions=[Companion.parse(companion)],
    )  # fmt: skip
    pixels = np.concatenate([train.load_image(i).reshape(-1, 6) for i in train.image_ids])
    np.testing.assert_allclose(card["config"]["MEAN_PIXEL"], pixels.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(card["config"]["STD_PIXEL"], pixels.std(axis=0), rtol=1e-4)
    digest = sha256_of(scene / "s.csv")
    assert sha256_of(scene / "model" / "model.split.csv") == digest
    assert card["split"]["val"] == {
        "parts": ["val"],
        "kind": "blocks of 1 tiles, seed 0",
        "sha256": digest,
        "file": "model.split.csv",
    }
    command = ["detect", scene / "scene.tif", "--weights", scene / "model" / "model.weights.h5"]
    command += ["--output", scene / "map", "-q"]
    command = [str(argument) for argument in command]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 1 and "elevation_m, slope_deg" in refused.stderr
    done = CliRunner().invoke(main, [*command, "--companion", companion])
    assert done.exit_code == 0, (done.output, done.exception)
