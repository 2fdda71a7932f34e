"""Several models as one: the mean of their probabilities.

    tiles -> predict_tiles of each member -> mean probability per pixel

A `prediction.Predictor`, so that maps, `evaluate`, `fuse` and the cluster path take it as they
take one model. `weights/ensembles.py` says which weight files belong together, `loading.py` loads
them.

Shape letters: B batch; H, W pixels of a tile; C channels.
Source: the ensemble of FCN-FLK's five folds.
"""

from collections.abc import Sequence

import numpy as np

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.prediction import Predictor, TilePrediction


class Ensemble:
    """Models that predict together.

    Its landslides are the connected components of the mean probability, whatever its members
    are: instances of several Mask R-CNNs cannot be averaged. All classes count as landslide.

    Args:
        members: Models that see the same bands in the same order.

    Attributes:
        members: As given; all of them stay in this process's memory.

    Raises:
        ConfigError: There is no member.
    """

    def __init__(self, members: Sequence[Predictor]) -> None:
        if not members:
            raise ConfigError(
                "An ensemble needs one member or more. Received: none. Hand over models."
            )
        self.members = list(members)

    def predict_tiles(
        self, tiles: np.ndarray, valid_masks: np.ndarray | None = None
    ) -> list[TilePrediction]:
        """Predict tiles; see `prediction.Predictor`. A list may mix sizes."""
        # float64 holds the sum exactly, so that members that agree agree with their mean.
        sums = [np.zeros(tile.shape[:2], np.float64) for tile in tiles]
        for member in self.members:
            for total, prediction in zip(sums, member.predict_tiles(tiles, valid_masks)):
                total += prediction.probability
        return [TilePrediction((total / len(self.members)).astype(np.float32)) for total in sums]

    def identity(self) -> dict[str, list]:
        """Return what tells this ensemble from others: the identities of its members."""
        return {"members": [member.identity() for member in self.members]}
