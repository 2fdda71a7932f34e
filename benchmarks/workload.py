"""What every contender is given: the same images with the same instances, and the same options.

Needs NumPy only, so that a contender may run in an environment of its own.
Shape letters: H, W pixels; N instances.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable

import numpy as np

# Instances of an image, and their half axes in pixels: smaller than every anchor (32 px and more),
# and farther from the border than half an anchor, which is cut off there. An untrained RPN then
# proposes none of them, and every contender trains its mask head on the instances' own boxes and
# on nothing else, the same number of rois. (One roi more or less is half a percent of a step.)
INSTANCES = 16
HALF_AXIS = (5.0, 9.0)
MARGIN = 24.0  # pixels between the border and an instance


def parse_options(description: str) -> argparse.Namespace:
    """Read the options that all contenders share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--mode", choices=("train", "detect"), required=True)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--batch", type=int, default=4, help="images a step")
    parser.add_argument("--rois", type=int, default=200, help="rois an image, in training")
    parser.add_argument("--detections", type=int, default=100, help="detections an image")
    parser.add_argument("--warmup", type=int, default=3, help="steps before the clock starts")
    parser.add_argument("--steps", type=int, default=7, help="steps on the clock")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--no-loading", action="store_true", help="train on one batch from memory")
    return parser.parse_args()


def make_images(count: int, size: int, seed: int = 0) -> list[np.ndarray]:
    """Return noise images [size, size, 3], uint8."""
    rng = np.random.default_rng((seed, 0))
    return [rng.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(count)]


def make_masks(size: int, seed: int) -> np.ndarray:
    """Return ellipses [N, size, size], bool."""
    rng = np.random.default_rng((seed, 1))
    y, x = np.mgrid[:size, :size] + 0.5
    masks = []
    for _ in range(INSTANCES):
        half_height, half_width = rng.uniform(*HALF_AXIS, 2)
        centre_y = rng.uniform(MARGIN + half_height, size - MARGIN - half_height)
        centre_x = rng.uniform(MARGIN + half_width, size - MARGIN - half_width)
        masks.append(((y - centre_y) / half_height) ** 2 + ((x - centre_x) / half_width) ** 2 <= 1)
    return np.stack(masks)


class Clock:
    """Notes wall and processor time at the end of each step."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float]] = []

    def tick(self) -> None:
        """Call it once a step."""
        self.ends.append((time.perf_counter(), time.process_time()))

    def report(self, warmup: int, **facts: object) -> None:
        """Print one JSON line: seconds of each step after `warmup`, peak memory, other facts."""
        wall, cpu = (np.diff(times)[warmup - 1 :].tolist() for times in zip(*self.ends))
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        line = {"step_s": wall, "cpu_s": cpu, "peak_rss_mb": round(peak_mb, 1), **facts}
        print(json.dumps(line), flush=True)


def time_steps(step: Callable[[], object], options: argparse.Namespace) -> Clock:
    """Call `step` as often as the options say."""
    clock = Clock()
    for _ in range(options.warmup + options.steps):
        step()
        clock.tick()
    return clock
