"""Memory and the model's busy share while scenes of growing size are mapped.

    python -m benchmarks.scenes --output results

1. Memory: generated three-band scenes of 9000 x 4500, 18000 x 9000 and 36000 x 18000 pixels are
   mapped, each in a process of its own, and the process' peak is noted. The network (ResNeXt-50
   with bottom-up path) is in memory and predicts every hundredth batch; the others are answered
   at once from the pixels' brightness, with instances, since a network would take hours for the
   largest and no more memory.
2. Busy share: a small scene is mapped with the network alone, and the time that it was at work
   is compared with the wall time from the first tile to the last.

Written are `scenes.json` and `scenes.png`. The scenes are removed again.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIZES = ((9000, 4500), (18_000, 9000), (36_000, 18_000))  # width, height: 1x, 4x, 16x
BUSY_SIZE = (2048, 2048)
TILE, OVERLAP, BATCH = 256, 64, 4
REAL_EVERY = 100


def main() -> None:
    """Measure all, or one scene in this process (`--scene`)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("results"))
    parser.add_argument("--sizes", type=int, default=len(SIZES), help="how many, small first")
    parser.add_argument("--scene", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--every", type=int, default=REAL_EVERY, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scene:
        print(json.dumps(map_one(options.scene, options.every)))
        return
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.output) as folder:
        busy = _measure(Path(folder), *BUSY_SIZE, every=1)
        memory = [
            _measure(Path(folder), *size, every=REAL_EVERY) for size in SIZES[: options.sizes]
        ]
    document = {
        "machine": {"processor": platform.processor(), "cores": os.cpu_count()},
        "tile": TILE,
        "overlap": OVERLAP,
        "busy": busy,
        "memory": memory,
    }
    (options.output / "scenes.json").write_text(json.dumps(document, indent=2) + "\n")
    draw(document, options.output / "scenes.png")
    for one in (busy, *memory):
        print(
            f"{one['width']:>6} x {one['height']:<6} {one['peak_gib']:.2f} GiB  "
            f"busy {one['busy_share']:.0%}  {one['seconds']:.0f} s  {one['landslides']} landslides"
        )


def _measure(folder: Path, width: int, height: int, every: int) -> dict:
    path = folder / "scene.tif"
    make_scene(path, width, height)
    command = [sys.executable, "-m", "benchmarks.scenes", "--scene", path, "--every", str(every)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    path.unlink()
    return {"width": width, "height": height, **json.loads(done.stdout.splitlines()[-1])}


def make_scene(path: Path, width: int, height: int) -> None:
    """Write a tiled scene: dark noise with a bright ellipse in most 512 px squares."""
    from affine import Affine

    from landslide_rcnn.geo.writing import Grid, RasterWriter

    rng = np.random.default_rng(0)
    side = 512
    y, x = np.mgrid[:side, :side] + 0.5
    squares = []
    for _ in range(16):
        noise = rng.integers(20, 100, (side, side, 3), dtype=np.uint8)
        a, b = rng.uniform(10, 250, 2)
        inside = ((x - 256) / a) ** 2 + ((y - 256) / b) ** 2 <= 1
        squares.append(np.where(inside[..., None], noise + 120, noise).astype(np.uint8))
    grid = Grid(height, width, "EPSG:32648", Affine(0.5, 0, 5e5, 0, -0.5, 3.5e6))
    from rasterio.windows import Window

    with RasterWriter(path, like=grid, dtype="uint8", count=3, nodata=0) as writer:
        for top in range(0, height, side):
            row = [squares[i] for i in rng.integers(0, 16, -(-width // side))]
            writer.write(np.concatenate(row, axis=1), Window(0, top, len(row) * side, side))


class MostlyBrightness:
    """A network that predicts every so many batches; brightness answers the others.

    Args:
        network: A `MaskRCNN`.
        every: 1 = the network answers all.
    """

    def __init__(self, network, every: int) -> None:
        self._network, self._every, self._calls = network, every, 0

    def predict_tiles(self, tiles, valid_masks=None):
        """See `prediction.Predictor`."""
        real = self._calls % self._every == 0
        self._calls += 1
        predictions = self._network.predict_tiles(tiles, valid_masks) if real else None
        if self._every == 1:
            return predictions
        return [_by_brightness(tile) for tile in tiles]


def _by_brightness(tile: np.ndarray):
    from scipy import ndimage

    from landslide_rcnn.prediction import Instances, TilePrediction

    probability = (tile[..., 0] > 110).astype(np.float32) * 0.9
    labels, count = ndimage.label(probability)
    boxes = [(y.start, x.start, y.stop, x.stop) for y, x in ndimage.find_objects(labels)]
    instances = Instances(
        np.array(boxes, np.int32).reshape(-1, 4),
        np.full(count, 0.9, np.float32),
        np.ones(count, np.int32),
        tuple(
            (labels[y1:y2, x1:x2] == i + 1) * np.float32(1)
            for i, (y1, x1, y2, x2) in enumerate(boxes)
        ),
    )
    return TilePrediction(probability, instances)


def map_one(path: Path, every: int) -> dict:
    """Map a scene in this process; return what it took."""
    from landslide_rcnn.config import LandslideConfig
    from landslide_rcnn.geo.raster import Scene
    from landslide_rcnn.inference import predict_scene
    from landslide_rcnn.inference.summary import peak_memory_mb
    from landslide_rcnn.model import MaskRCNN

    network = MaskRCNN("inference", LandslideConfig(IMAGES_PER_GPU=BATCH), path.parent)
    network.predict_tiles(np.zeros((BATCH, TILE, TILE, 3), np.uint8))  # compiled before the clock
    with Scene(path) as scene, tempfile.TemporaryDirectory(dir=path.parent) as output:
        started = time.perf_counter()
        result = predict_scene(
            MostlyBrightness(network, every),
            scene,
            output,
            tile_size=TILE,
            overlap=OVERLAP,
            batch_size=BATCH,
            card_summary={"model": "benchmark"},
        )
        seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "busy_share": result.summary["predicting_seconds"] / result.summary["seconds"],
        "peak_gib": peak_memory_mb() / 1024,
        "landslides": len(result.polygons),
    }


def draw(document: dict, path: Path) -> None:
    """Draw the peaks over the scenes' sizes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    memory = document["memory"]
    pixels = [one["width"] * one["height"] / 1e6 for one in memory]
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(pixels, [one["peak_gib"] for one in memory], "o-", color="#1f77b4")
    for x, one in zip(pixels, memory):
        axes.annotate(
            f"{one['width']} x {one['height']}\n{one['peak_gib']:.2f} GiB",
            (x, one["peak_gib"]),
            textcoords="offset points",
            xytext=(0, 8),
            ha="center",
            fontsize=9,
        )
    axes.axhline(3, color="#b0b7bf", linestyle="--")
    axes.set(xlabel="scene, million pixels", ylabel="peak memory, GiB", ylim=(0, 3.6))
    axes.set_xlim(-60, max(pixels) * 1.12)
    axes.spines[["top", "right"]].set_visible(False)
    share = document["busy"]["busy_share"]
    axes.set_title(
        f"Mapping with ResNeXt-50 and bottom-up path; model busy {share:.0%} of the time",
        loc="left",
        fontsize=10,
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
