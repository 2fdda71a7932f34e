"""Does the input pipeline keep up? Tiles a second that it makes, against those that training takes.

    python -m benchmarks.feeding --output results

Tiles are PNG files of a generated scene, as large and as labelled as Bijie's. The pipeline makes
batches of them in the threads that `KerasBatches` uses in training, with each kind of augmentation;
training steps run on batches from memory, so that they pay for no feeding. All in one process and
in turns, since the load of a machine changes. Written are `feeding.json` and a table.

Shape letters: H, W pixels.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import keras
import numpy as np

from landslide_rcnn.config import Config
from landslide_rcnn.data.background import BackgroundEnhanced
from landslide_rcnn.data.batches import TrainingBatches
from landslide_rcnn.data.cache import CachedDataset
from landslide_rcnn.data.readers import MaskFolderDataset
from landslide_rcnn.data.recipes import RECIPES, recipe
from landslide_rcnn.files import write_json
from landslide_rcnn.model import MaskRCNN
from landslide_rcnn.training import DetectorTrainer, KerasBatches

TILES, WITH_LANDSLIDE = 48, 36  # Bijie's proportion, three to one


def write_tiles(folder: Path, size: int, seed: int = 0) -> None:
    """Write PNG tiles of smooth noise, most of them with an ellipse for a landslide."""
    rng = np.random.default_rng(seed)
    for name in ("image", "mask"):
        (folder / name).mkdir(parents=True)
    for index in range(TILES):
        coarse = rng.integers(0, 255, (size // 8, size // 8, 3), np.uint8)
        image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
        image = np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
        mask = np.zeros((size, size), np.uint8)
        if index < WITH_LANDSLIDE:
            axes = tuple(int(a) for a in rng.integers(size // 10, size // 4, 2))
            cv2.ellipse(
                mask, (size // 2, size // 2), axes, float(rng.uniform(0, 180)), 0, 360, 255, -1
            )
        cv2.imwrite(str(folder / "image" / f"{index}.png"), image)
        cv2.imwrite(str(folder / "mask" / f"{index}.png"), mask)


def make_config(backbone: str, size: int, batch: int, **settings) -> Config:
    """Return a configuration with a training step as fast as its backbone allows."""
    return Config(
        NUM_CLASSES=2,
        BACKBONE=backbone,
        BACKBONE_STYLE="torchvision",
        TOP_DOWN_PYRAMID_SIZE=128,
        IMAGE_MIN_DIM=size,
        IMAGE_MAX_DIM=size,
        BATCH_SIZE=batch,
        TRAIN_ROIS_PER_IMAGE=32,
        POST_NMS_ROIS_TRAINING=300,
        PRE_NMS_LIMIT=1000,
        MAX_GT_INSTANCES=20,
        RPN_ANCHOR_SCALES=tuple(size * scale // 256 for scale in (24, 48, 96, 160, 240)),
        **settings,
    )


def feeding_rate(batches: TrainingBatches, workers: int = 2) -> tuple[float, float]:
    """Make one epoch in as many threads as in training.

    Returns:
        Tiles a second, and processor milliseconds a tile, which other work does not change.
    """
    supply = KerasBatches(batches)
    started, processor = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(workers) as pool:
        made = pool.map(supply.__getitem__, range(len(supply)))
        tiles = sum(len(batch["image"]) for (batch,) in made)
    processor = time.process_time() - processor
    return tiles / (time.perf_counter() - started), 1000 * processor / tiles


def make_step(config: Config, batches: TrainingBatches) -> Callable[[], int]:
    """Return a function that does one training step on a batch from memory: tiles it took."""
    model = MaskRCNN("training", config, tempfile.mkdtemp())
    trainer = DetectorTrainer(model.keras_model, config.LOSS_WEIGHTS)
    trainer.compile(optimizer=keras.optimizers.SGD(1e-4), jit_compile=False)
    batch = batches[0]

    def step() -> int:
        trainer.train_on_batch(batch)
        return len(batch["image"])

    return step


def step_rate(step: Callable[[], int], steps: int) -> float:
    """Return tiles a second of the fastest of some steps: what feeding must keep up with."""
    rates = []
    for _ in range(steps):
        started = time.perf_counter()
        tiles = step()
        rates.append(tiles / (time.perf_counter() - started))
    return max(rates)


def pipelines(dataset, config: dict, cache: Path) -> dict[str, TrainingBatches]:
    """Return the ways of feeding that are measured."""
    plain = make_config(**config)
    enhanced = make_config(**config, BACKGROUND_ENHANCEMENT={"splice": 0.2, "cutmix": 0.2})
    return {
        "flips and turns": TrainingBatches(dataset, plain, augment=True),
        **{name: TrainingBatches(dataset, plain, augmentation=recipe(name)) for name in RECIPES},
        "splice and cutmix, 0.2 each": TrainingBatches(dataset, enhanced, augment=True),
        "BackgroundEnhanced": TrainingBatches(
            BackgroundEnhanced(dataset, 12, 12), plain, augment=True
        ),
        "flips and turns, cached": TrainingBatches(
            CachedDataset(dataset, cache), plain, augment=True
        ),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of feeding.json")
    parser.add_argument("--backbone", default="resnet26", help="the fastest has the fastest step")
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--batch", type=int, default=4, help="tiles a step")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="steps of a round")
    options = parser.parse_args()
    config = dict(backbone=options.backbone, size=options.size, batch=options.batch)
    with tempfile.TemporaryDirectory() as folder:
        tiles = Path(folder) / "tiles"
        write_tiles(tiles, options.size)
        ways = pipelines(MaskFolderDataset.from_folder(tiles), config, Path(folder) / "cache")
        step = make_step(make_config(**config), ways["flips and turns"])
        step(), step()  # traced and warm
        for batches in ways.values():
            batches[0]  # what is imported or counted once
        taken, made = [], {name: [] for name in ways}
        for _ in range(options.rounds):
            taken.append(step_rate(step, options.steps))
            for name, batches in ways.items():
                made[name].append(feeding_rate(batches))
    fastest = max(taken)
    rates = {name: statistics.median(rate for rate, _ in pairs) for name, pairs in made.items()}
    result = {
        "training_tiles_per_s": fastest,
        "pipeline_tiles_per_s": rates,
        "times_as_fast": {name: rate / fastest for name, rate in rates.items()},
        "processor_ms_per_tile": {name: min(ms for _, ms in made[name]) for name in made},
        "rounds": {"training": taken, **made},
        "options": {key: value for key, value in vars(options).items() if key != "output"},
        "cores": os.cpu_count(),
    }
    write_json(options.output / "feeding.json", result)
    print(f"training takes {fastest:.1f} tiles/s ({options.backbone}, {options.size} px)")
    for name, rate in rates.items():
        milliseconds = result["processor_ms_per_tile"][name]
        print(f"{name:30}{rate:8.1f} tiles/s{rate / fastest:7.1f} x{milliseconds:7.1f} ms a tile")


if __name__ == "__main__":
    main()
