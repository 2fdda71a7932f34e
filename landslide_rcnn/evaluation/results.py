"""A folder that `predict_scene` wrote, open to be judged band by band.

Used by `maps.evaluate_map` and `comparison.compare_maps`.

Shape letters: h, w pixels of a window. CRS: the map's.
"""

import contextlib
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from rasterio.windows import Window

from landslide_rcnn.errors import RasterError
from landslide_rcnn.geo.probability import ProbabilityMap
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import read_polygons
from landslide_rcnn.inference.outlines import LANDSLIDE
from landslide_rcnn.inference.result import (
    FIX,
    LAYER,
    MASK_NAME,
    POLYGONS_NAME,
    PROBABILITY_NAME,
    SUMMARY_NAME,
    read_record,
)

DEFAULT_BLOCK_PX = 256  # where a map does not say how large its tiles were


class ResultMap:
    """A map's rasters and what its summary says; a context manager.

    Args:
        folder: That `predict_scene` wrote.

    Attributes:
        folder: The same.
        threshold: From which a pixel was called landslide.
        tile_px: Side of the tiles it was made of.
        probability: The raster of probabilities.
        mask: The raster of what is called landslide; its grid is the map's.

    Raises:
        RasterError: The folder is not one that `predict_scene` wrote, or a file is missing.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        summary = _read_summary(self.folder)
        self.threshold = float(summary["threshold"])
        self._landslide_count = int(summary["landslides"])
        self.tile_px = int(summary.get("tiles", {}).get("size", DEFAULT_BLOCK_PX))
        with contextlib.ExitStack() as opened:
            self.probability = opened.enter_context(ProbabilityMap(self.folder / PROBABILITY_NAME))
            self.mask = opened.enter_context(Scene(self.folder / MASK_NAME, allow_no_crs=True))
            self._opened = opened.pop_all()

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return what is called landslide in a window, and the probability.

        Returns:
            predicted: [h, w] bool; False where the map is invalid.
            probability: [h, w] float32, NaN where the map is invalid.
        """
        probability = self.probability.read(window)
        predicted = (self.mask.read(window)[..., 0] == LANDSLIDE) & ~np.isnan(probability)
        return predicted, probability

    @property
    def in_percent(self) -> bool:
        """Whether the probabilities are whole percents, rounded down."""
        return self.probability.steps is not None

    def landslides(self) -> gpd.GeoDataFrame:
        """Return the map's polygons, with their scores.

        Raises:
            RasterError: The file is missing, though the summary says that there are some.
        """
        if self._landslide_count == 0:
            return gpd.GeoDataFrame({"score": []}, geometry=[], crs=self.mask.crs)
        return read_polygons(self.folder / POLYGONS_NAME, LAYER)

    def close(self) -> None:
        """Close the files."""
        self._opened.close()

    def __enter__(self) -> "ResultMap":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read_summary(folder: Path) -> dict[str, Any]:
    """Read `summary.json`: the map's threshold and the number of its landslides.

    Raises:
        RasterError: The folder is not one that `predict_scene` wrote.
    """
    summary = read_record(folder / SUMMARY_NAME)
    if not {"threshold", "landslides"} <= set(summary):
        raise RasterError(
            f"A map's {SUMMARY_NAME} must hold threshold and landslides. Received: {folder}. {FIX}"
        )
    return summary
