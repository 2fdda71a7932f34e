"""Every architecture -> its parameters and multiply-adds: `landslide-rcnn models`.

The semantic networks with each of their backbones, and the Mask R-CNN experiments of Liu et al.
2021. Each is built, counted and forgotten.
"""

import math
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import keras
from tqdm import tqdm

from landslide_rcnn.building import build_network
from landslide_rcnn.config import Config
from landslide_rcnn.errors import RegistryError
from landslide_rcnn.experiments import PAPER_EXPERIMENTS, SemanticConfig, experiment_config
from landslide_rcnn.nn.flops import count_detector, count_multiply_adds
from landslide_rcnn.nn.semantic.registry import ARCHITECTURES

DETECTOR_MULTIPLE = 64  # Mask R-CNN's tiles are padded to one
# Million parameters and thousand million multiply-adds at 256 x 256 x 3: Chen et al. 2022, Table 4.
PUBLISHED = {
    ("unet", "plain"): (31.03, 54.68),
    ("segnet", "vgg16"): (29.45, 40.10),
    ("drs_unet", "plain"): (17.19, 19.12),
}


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        name: Of the architecture, or of the experiment.
        backbone: Of it.
        parameters: Trainable ones.
        multiply_adds: Of one tile.
        published: Million parameters and thousand million multiply-adds in a paper, if there
            are any for these settings.
    """

    name: str
    backbone: str
    parameters: int
    multiply_adds: int
    published: tuple[float, float] | None = None


def measure_costs(
    *,
    size: int = 256,
    channels: int = 3,
    classes: int = 1,
    only: Collection[str] = (),
    progress: bool = True,
) -> list[Cost]:
    """Build each network and count.

    Args:
        size: Of a tile, pixels a side. Mask R-CNN takes the next multiple of 64.
        channels: Bands.
        classes: Besides the background. A semantic network has one logit for one class.
        only: Names of architectures and experiments; empty for all.
        progress: Show a bar on stderr.

    Returns:
        One for each network, in the order of the tables that name them.

    Raises:
        RegistryError: A name is unknown.
    """
    known = [*ARCHITECTURES, *PAPER_EXPERIMENTS]
    unknown = [name for name in only if name not in known]
    if unknown:
        raise RegistryError(
            f"A model must be known. Received: {unknown[0]!r}. Use one of: {', '.join(known)}."
        )
    as_published = (size, channels, classes) == (256, 3, 1)
    jobs = [job for job in _configs(size, channels, classes) if not only or job[0] in only]
    bar = tqdm(jobs, desc="models", unit="model", file=sys.stderr, disable=not progress)
    costs = []
    for name, config in bar:
        bar.set_postfix_str(name)
        counts = count_network(build_network(config), config)
        published = PUBLISHED.get((name, config.BACKBONE)) if as_published else None
        costs.append(Cost(name, config.BACKBONE, *counts, published))
    return costs


def _configs(size: int, channels: int, classes: int) -> Iterator[tuple[str, Config]]:
    """Yield each network's name and configuration."""
    shared = {"IMAGE_CHANNEL_COUNT": channels, "NUM_CLASSES": classes + 1}
    sides = {"IMAGE_MIN_DIM": size, "IMAGE_MAX_DIM": size}
    for name, row in ARCHITECTURES.items():
        for backbone in row.backbones:
            yield name, SemanticConfig(ARCHITECTURE=name, BACKBONE=backbone, **shared, **sides)
    sides = dict.fromkeys(sides, _padded(size))
    for name in PAPER_EXPERIMENTS:
        yield name, experiment_config(name, **shared, **sides)


def count_network(network: keras.Model, config: Config) -> tuple[int, int]:
    """Return trainable parameters, and multiply-adds of one tile of the configuration's size."""
    side = int(config.IMAGE_MAX_DIM)
    if config.ARCHITECTURE == "mask_rcnn":
        multiply_adds = count_detector(network, size=(_padded(side),) * 2)
    else:
        multiply_adds = count_multiply_adds(network, size=(side, side))
    parameters = sum(math.prod(weight.shape) for weight in network.trainable_weights)
    return parameters, multiply_adds


def _padded(size: int) -> int:
    """Return the size that a detector's tile is padded to."""
    return -(-size // DETECTOR_MULTIPLE) * DETECTOR_MULTIPLE


def format_costs(costs: list[Cost], *, size: int, channels: int, classes: int) -> str:
    """Write costs as a table.

    Args:
        costs: From `measure_costs`, with the same settings.
        size: Of a tile, pixels a side.
        channels: Bands.
        classes: Besides the background.
    """
    default = experiment_config(next(iter(PAPER_EXPERIMENTS)))
    padded = _padded(size)
    lines = [
        f"Tiles of {size} x {size} x {channels}, {classes} class(es) and background. M: million "
        "trainable parameters; G: thousand",
        "million multiply-adds of convolutions and dense layers. In brackets: Chen et al. 2022, "
        "Table 4. Mask R-CNN's",
        f"(resnet101 and below): of {padded} x {padded}, with {default.POST_NMS_ROIS_INFERENCE} "
        f"rois in the box head and {default.DETECTION_MAX_INSTANCES} in the mask head.",
        "",
        f"{'model':18}{'backbone':12}{'M':>8}{'G':>10}   published",
    ]
    for cost in costs:
        told = (
            f"   ({cost.published[0]:.2f} M, {cost.published[1]:.2f} G)" if cost.published else ""
        )
        lines.append(
            f"{cost.name:18}{cost.backbone:12}{cost.parameters / 1e6:8.2f}"
            f"{cost.multiply_adds / 1e9:10.2f}{told}"
        )
    return "\n".join(lines)
