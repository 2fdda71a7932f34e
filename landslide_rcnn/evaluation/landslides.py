"""The landslides of a map against the true ones, counted while the bands stream by.

Between `maps` / `comparison`, which read the bands, and `objects`, `matching` and
`average_precision`, which say what is counted.

Shape letters: h, w pixels of a window; P predicted and T true landslides.
"""

from typing import Any

import geopandas as gpd
import numpy as np
from rasterio.windows import Window

from landslide_rcnn.evaluation.average_precision import (
    AP_DEFINITIONS,
    ScoredOverlaps,
    average_precision,
)
from landslide_rcnn.evaluation.matching import (
    LANDSLIDE_DEFINITIONS,
    landslide_metrics,
    match_objects,
)
from landslide_rcnn.evaluation.objects import OverlapCounter, PolygonObjects
from landslide_rcnn.evaluation.truth import TrueBand
from landslide_rcnn.evaluation.uncertainty import Interval, share_interval
from landslide_rcnn.geo.ground import row_areas_m2
from landslide_rcnn.geo.source import OnGrid

# A true landslide counts as found when this share of its valid pixels is predicted.
FOUND_SHARE = 0.5

DEFINITIONS = {
    **LANDSLIDE_DEFINITIONS,
    **AP_DEFINITIONS,
    "true_found": f"true landslides of which at least {FOUND_SHARE:.0%} of the valid pixels are "
    "predicted at the map's threshold, by whatever landslides",
    "found_share": "true_found / true; null without a true landslide",
}


class LandslideCounter:
    """Overlaps of one map's landslides with the true ones.

    Args:
        polygons: The map's landslides, in its CRS, with a column `score` (without one all have
            the same).
        grid: The map's.
    """

    def __init__(self, polygons: gpd.GeoDataFrame, grid: OnGrid) -> None:
        self._grid = grid
        self._predicted = PolygonObjects(polygons, grid.transform)
        scores = polygons["score"] if "score" in polygons else np.ones(len(polygons))
        self._scores = np.asarray(scores, float)
        self._pairs = OverlapCounter()
        self._cover = OverlapCounter()  # the whole mask as one predicted object

    def add(self, window: Window, predicted: np.ndarray, true: TrueBand) -> None:
        """Count one band.

        Args:
            window: Windows follow each other downwards and have the same columns.
            predicted: [h, w] bool, what the map's mask calls landslide.
            true: Of the same window.
        """
        areas = row_areas_m2(self._grid.crs, self._grid.transform, window)
        labels = self._predicted.labels(window)
        self._pairs.add(labels, true.layers, true.valid_mask, areas)
        self._cover.add([predicted.astype(np.int32)], true.layers, true.valid_mask)

    def finish(self, true_owners: np.ndarray) -> "CountedLandslides":
        """Return what was counted, once every band was added.

        Args:
            true_owners: `Truth.owners()`.
        """
        overlaps = self._pairs.finish(self._predicted.owners(), true_owners)
        cover = self._cover.finish(np.arange(2), true_owners)
        found = np.zeros(len(overlaps.true_pixels), bool)
        true = cover.pairs[:, 1]
        found[true] = cover.shared >= FOUND_SHARE * cover.true_pixels[true]
        scored = ScoredOverlaps(overlaps, self._scores[overlaps.predicted_ids])
        return CountedLandslides(scored, found)


class CountedLandslides:
    """The numbers of one map's landslides.

    Args:
        scored: The overlaps, with the predicted landslides' scores.
        found: [T] bool: at least `FOUND_SHARE` of it is predicted.

    Attributes:
        matched_true: [T] bool, true landslides that a predicted one is matched with; in an order
            that depends on the truth alone.
        matched_predicted: [P] bool, likewise.
    """

    def __init__(self, scored: ScoredOverlaps, found: np.ndarray) -> None:
        self._scored, self._found = scored, found
        matching = match_objects(scored.overlaps)
        self.matched_true = matching.predicted_of >= 0
        self.matched_predicted = matching.true_of >= 0

    def numbers(self) -> dict[str, Any]:
        """Return what `metrics.json` says of landslides; see `DEFINITIONS`."""
        return {
            **landslide_metrics(self._scored.overlaps),
            "true_found": int(self._found.sum()),
            "found_share": float(self._found.mean()) if len(self._found) else None,
            "ap": average_precision([self._scored]),
        }

    def intervals(self) -> dict[str, Interval]:
        """Return confidence intervals of the shares, over draws of landslides."""
        return {
            "detection_rate": share_interval(self.matched_true),
            "found_share": share_interval(self._found),
            "false_alarm_rate": share_interval(~self.matched_predicted)
            if len(self.matched_true)
            else None,
        }
