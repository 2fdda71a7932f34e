"""Several models as one: the mean of their probabilities.

    tiles -> predict_tiles of each member -> mean probability per pixel, of each class

A `prediction.Predictor`, so that maps, `evaluate`, `fuse` and the cluster path take it as they
take one model; and with `detect`, as `face.Face`. `weights/ensembles.py` says which weight files
belong together, `loading.py` loads them.

Shape letters: B batch; H, W pixels of a tile; C channels; K classes with background 0.
Source: the ensemble of FCN-FLK's five folds.
"""

from collections.abc import Sequence

import numpy as np

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.prediction import (
    Predictor,
    TilePrediction,
    class_probabilities_of,
    detections_of,
    regions_of,
)


class Ensemble:
    """Models that predict together.

    Its landslides are the connected components of the mean probability, whatever its members
    are: instances of several Mask R-CNNs cannot be averaged.

    Args:
        members: Models that see the same bands in the same order, and know the same classes.
        class_names: Background first.
        threshold: Probability from which `detect` takes a pixel for landslide.
        min_pixels: `detect` leaves smaller landslides out.

    Attributes: as given; all members stay in this process's memory.

    Raises:
        ConfigError: There is no member.
    """

    def __init__(
        self,
        members: Sequence[Predictor],
        class_names: Sequence[str] = ("BG", "landslide"),
        threshold: float = 0.5,
        min_pixels: int = 1,
    ) -> None:
        if not members:
            raise ConfigError(
                "An ensemble needs one member or more. Received: none. Hand over models."
            )
        self.members, self.class_names = list(members), list(class_names)
        self.threshold, self.min_pixels = threshold, min_pixels

    def predict_tiles(
        self, tiles: np.ndarray, valid_masks: np.ndarray | None = None
    ) -> list[TilePrediction]:
        """Predict tiles; see `prediction.Predictor`. A list may mix sizes."""
        several = len(self.class_names) > 2
        # float64 holds the sum exactly, so that members that agree agree with their mean.
        sums = [np.zeros(tile.shape[:2], np.float64) for tile in tiles]
        of_classes = [0.0] * len(sums)
        for member in self.members:
            for i, prediction in enumerate(member.predict_tiles(tiles, valid_masks)):
                sums[i] += prediction.probability
                if several:
                    of_classes[i] += class_probabilities_of(prediction, len(self.class_names))
        count = len(self.members)
        return [
            TilePrediction(
                (total / count).astype(np.float32),
                class_probabilities=(each / count).astype(np.float32) if several else None,
            )
            for total, each in zip(sums, of_classes)
        ]

    def detect(self, images: Sequence[np.ndarray], verbose: int = 0) -> list[dict[str, np.ndarray]]:
        """Find the landslides in images; see `face.Face.detect`."""
        found = (
            regions_of(
                class_probabilities_of(prediction, len(self.class_names)),
                self.threshold,
                self.min_pixels,
            )
            for prediction in self.predict_tiles(images)
        )
        return detections_of(images, found, verbose)

    def identity(self) -> dict[str, list]:
        """Return what tells this ensemble from others: the identities of its members."""
        return {"members": [member.identity() for member in self.members]}
