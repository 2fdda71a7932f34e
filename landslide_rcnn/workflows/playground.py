"""A small world to try things in: generated mountains in three parts, and a model that knows them.

make_scene -> train | val | test, side by side -> PlaygroundConfig -> weights in half a minute

What the notebooks work on. Nothing in it tells how good a method is on real imagery.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.windows import Window

from landslide_rcnn.data.scenes import SceneDataset
from landslide_rcnn.data.synthetic import SyntheticScene, make_scene
from landslide_rcnn.errors import RegistryError
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.writing import RasterWriter
from landslide_rcnn.weights import card_path
from landslide_rcnn.workflows.demo import DemoConfig
from landslide_rcnn.workflows.train import train_model
from landslide_rcnn.workflows.training_run import WEIGHTS

HEIGHT, WIDTH = 512, 1280  # pixels of a scene
PARTS = {"train": (0, 640), "val": (640, 896), "test": (896, WIDTH)}  # columns
TRAIN_OVERLAP = 64  # pixels; more views of few landslides

# How imagery of a disaster looks: what is added to, and what multiplies red, green and blue.
LOOKS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "summer": ((0, 0, 0), (1, 1, 1)),
    "dry": ((38, 24, 6), (0.95, 0.72, 0.62)),  # another season, and another sensor
}


class PlaygroundConfig(DemoConfig):
    """The demo's network with a quarter of the backbone's channels: learns in 150 steps."""

    NAME = "playground"
    BACKBONE = "resnet14_thin"
    IMAGES_PER_GPU = 4
    LEARNING_RATE = 2e-3
    WARMUP_STEPS = 10
    TRAIN_ROIS_PER_IMAGE = 16
    POST_NMS_ROIS_TRAINING = 64
    POST_NMS_ROIS_INFERENCE = 50


@dataclass(frozen=True)
class Playground:
    """A generated scene and its three parts, which share no pixel.

    Attributes:
        scene: The files.
        train: Overlapping tiles of the west.
        val: Tiles of the middle, to choose epoch and threshold.
        test: Tiles of the east, to be looked at only in the end.
    """

    scene: SyntheticScene
    train: SceneDataset
    val: SceneDataset
    test: SceneDataset


def open_playground(folder: str | Path, *, seed: int = 1, look: str = "summer") -> Playground:
    """Generate a scene, and cut it into tiles of three parts.

    Args:
        folder: Gets the scene's files.
        seed: Of mountains and landslides.
        look: A key of `LOOKS`.

    Raises:
        RegistryError: There is no such look.
    """
    if look not in LOOKS:
        raise RegistryError(
            f"A look must be known. Received: {look!r}. Use one of: {', '.join(LOOKS)}."
        )
    scene = make_scene(folder, height=HEIGHT, width=WIDTH, seed=seed)
    if look != "summer":
        _repaint(scene.orthophoto, *LOOKS[look])
    parts = {
        name: SceneDataset(
            scene.orthophoto,
            scene.polygons,
            tile_size=PlaygroundConfig.IMAGE_MAX_DIM,
            overlap=TRAIN_OVERLAP if name == "train" else 0,
            window=part_window(name),
        )
        for name in PARTS
    }
    return Playground(scene, **parts)


def part_window(name: str) -> Window:
    """Return the window of a part of the scene: "train", "val" or "test"."""
    first, last = PARTS[name]
    return Window(first, 0, last - first, HEIGHT)


def playground_model(playground: Playground, folder: str | Path, *, epochs: int = 10) -> Path:
    """Return weights that know the playground; trained now unless they are in `folder` already.

    Args:
        playground: To train on.
        folder: Gets model.weights.h5, model.card.json and history.csv.
        epochs: Of 16 steps; ten take half a minute on two cores.
    """
    weights = Path(folder) / WEIGHTS
    if not (weights.is_file() and card_path(weights).is_file()):
        train_model(
            PlaygroundConfig(), playground.train, playground.val, folder,
            epochs=epochs, progress=False,
        )  # fmt: skip
    return weights


def _repaint(path: Path, offset: tuple[float, ...], gain: tuple[float, ...]) -> None:
    with Scene(path) as scene:
        image = scene.read(scene.window)
        painted = np.clip(image * np.array(gain) + np.array(offset), 0, 255)
        bands = dict(count=3, descriptions=scene.band_names)
        with RasterWriter(path, like=scene, dtype="uint8", **bands) as writer:
            writer.write(np.rint(painted).astype(np.uint8), scene.window)
