"""The joint between models and maps: what a predictor says about one tile.

`model.MaskRCNN` and `segmenter.Segmenter` produce these; `inference/` consumes them and knows
nothing else about models. Shape letters: H, W pixels of a tile; N instances; K classes with
background 0.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Instances:
    """The instances that a model found in one tile.

    Attributes:
        boxes: [N, (y1, x1, y2, x2)], int32, pixels of the tile, half-open.
        scores: [N], float32, in [0, 1].
        class_ids: [N], int32, 1..K-1.
        mask_probabilities: N arrays [y2 - y1, x2 - x1], float32 in [0, 1]: the mask inside the
            box. A pixel belongs to the instance where score x mask probability reaches the
            threshold.
    """

    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.int32))
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    class_ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    mask_probabilities: tuple[np.ndarray, ...] = ()

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class TilePrediction:
    """One tile's answer.

    Attributes:
        probability: [H, W], float32 in [0, 1]. For a Mask R-CNN the maximum over its instances
            of score x mask probability; for a semantic model the landslide probability.
        instances: Empty for a semantic model, whose instances are connected components.
    """

    probability: np.ndarray
    instances: Instances = field(default_factory=Instances)


def probability_of(instances: Instances, height: int, width: int) -> np.ndarray:
    """Return [H, W] float32: per pixel, the maximum over instances of score x mask probability."""
    probability = np.zeros((height, width), np.float32)
    for (y1, x1, y2, x2), score, mask in zip(
        instances.boxes, instances.scores, instances.mask_probabilities, strict=True
    ):
        inside = probability[y1:y2, x1:x2]
        np.maximum(inside, score * mask, out=inside)
    return probability


def masks_of(instances: Instances, height: int, width: int) -> np.ndarray:
    """Return [H, W, N] bool: the pixels where each mask's probability is at least one half."""
    masks = np.zeros((height, width, len(instances)), bool)
    for i, (y1, x1, y2, x2) in enumerate(instances.boxes):
        masks[y1:y2, x1:x2, i] = instances.mask_probabilities[i] >= 0.5
    return masks


class Predictor(Protocol):
    """What `inference/` needs of a model."""

    def predict_tiles(
        self, tiles: np.ndarray, valid_masks: np.ndarray | None = None
    ) -> list[TilePrediction]:
        """Predict tiles of one size.

        Args:
            tiles: [B, H, W, C], in the scene's own values and the model's band order.
            valid_masks: [B, H, W], True = usable. Unusable pixels are neutral to the network
                and get probability 0.
        """
