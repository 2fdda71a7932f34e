"""The joint between models and maps: what a predictor says about one tile.

`model.MaskRCNN` and `segmenter.Segmenter` produce these; `inference/` consumes them and knows
nothing else about models. Shape letters: H, W pixels of a tile; N instances; K classes with
background 0.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy import ndimage


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

    def of_class(self, class_id: int) -> "Instances":
        """Return those of one class."""
        chosen = np.flatnonzero(self.class_ids == class_id)
        masks = tuple(self.mask_probabilities[i] for i in chosen)
        return Instances(self.boxes[chosen], self.scores[chosen], self.class_ids[chosen], masks)


@dataclass(frozen=True)
class TilePrediction:
    """One tile's answer.

    Attributes:
        probability: [H, W], float32 in [0, 1]. For a Mask R-CNN the maximum over its instances
            of score x mask probability; for a semantic model the landslide probability.
        instances: Empty for a semantic model, whose instances are connected components.
        class_probabilities: [H, W, K - 1], float32: of every class but the background, from a
            semantic model that knows several kinds of landslides; else None.
    """

    probability: np.ndarray
    instances: Instances = field(default_factory=Instances)
    class_probabilities: np.ndarray | None = None


def class_probabilities_of(prediction: TilePrediction, class_count: int) -> np.ndarray:
    """Return [H, W, K - 1] float32: a model's probability of every class but the background.

    Args:
        prediction: Of a model of either family.
        class_count: K, at least as many as the model knows.
    """
    if prediction.class_probabilities is not None:
        return prediction.class_probabilities
    if class_count == 2:
        return prediction.probability[..., None]
    of_class = np.zeros((*prediction.probability.shape, class_count - 1), np.float32)
    for class_id in range(1, class_count):
        own = prediction.instances.of_class(class_id)
        of_class[..., class_id - 1] = probability_of(own, *prediction.probability.shape)
    # What the model does not count, such as pixels that are not valid, is of no class either.
    return np.minimum(of_class, prediction.probability[..., None])


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


def detection_of(instances: Instances, height: int, width: int) -> dict[str, np.ndarray]:
    """Return what `detect` gives for one image: rois, class_ids, scores and masks."""
    return {
        "rois": instances.boxes,
        "class_ids": instances.class_ids,
        "scores": instances.scores,
        "masks": masks_of(instances, height, width),
    }


def detections_of(
    images: Iterable[np.ndarray], found: Iterable[Instances], verbose: int = 0
) -> list[dict[str, np.ndarray]]:
    """Return what `detect` gives for images; with `verbose`, print one line an image."""
    detections = []
    for image, instances in zip(images, found):
        height, width = image.shape[:2]
        detections.append(detection_of(instances, height, width))
        if verbose:
            print(f"{height} x {width} px: {len(instances)} found")
    return detections


def label_regions(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the landslides of a mask: its 4-connected regions.

    Args:
        mask: [H, W] bool.

    Returns:
        labels: [H, W] int32, 0 where the mask is False.
        count: Of the regions, numbered from 1.
    """
    return ndimage.label(mask)


def regions_of(probabilities: np.ndarray, threshold: float, min_pixels: int = 1) -> Instances:
    """Make instances of a semantic model's answer: the connected regions of each class.

    A pixel is landslide where the probabilities of all kinds of landslides together reach the
    threshold, and of the kind that is the most probable.

    Args:
        probabilities: [H, W, K - 1] float32, of the classes but the background.
        threshold: Of their sum.
        min_pixels: Smaller regions are left out.

    Returns:
        The regions, the surest first. A score is the mean of the region's probability, all kinds
        together; a mask's probability is 1 in the region and 0 beside it.
    """
    probability = probabilities.sum(axis=-1)
    classes = np.where(probability >= threshold, probabilities.argmax(axis=-1) + 1, 0)
    found = []
    for class_id in range(1, probabilities.shape[-1] + 1):
        labels, _ = label_regions(classes == class_id)
        for label, place in enumerate(ndimage.find_objects(labels), start=1):
            mask = labels[place] == label
            if np.count_nonzero(mask) >= min_pixels:
                score = min(float(probability[place][mask].mean()), 1.0)
                box = [place[0].start, place[1].start, place[0].stop, place[1].stop]
                found.append((score, class_id, box, mask.astype(np.float32)))
    if not found:
        return Instances()
    scores, class_ids, boxes, masks = zip(*sorted(found, key=lambda each: -each[0]))
    return Instances(
        np.array(boxes, np.int32),
        np.array(scores, np.float32),
        np.array(class_ids, np.int32),
        masks,
    )


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
