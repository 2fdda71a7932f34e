"""How a scene is mapped: what `predict_scene` is told, checked at the door."""

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affine import Affine

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.files import sha256_of
from landslide_rcnn.geo.formats import VECTOR_FORMATS
from landslide_rcnn.geo.probability import PROBABILITY_KINDS
from landslide_rcnn.geo.source import Source
from landslide_rcnn.geo.wgs84 import footprint
from landslide_rcnn.geo.writing import Grid
from landslide_rcnn.inference.postprocess import PostProcessing


@dataclass(frozen=True)
class MapSettings:
    """How a scene is mapped.

    Attributes:
        tile_size: Pixels a side.
        overlap: Pixels that neighbouring tiles share, at least 1: landslides of neighbouring
            tiles are recognised as one there. An eighth to a half of the tile is usual.
        batch_size: Tiles predicted at once.
        threshold: Of probability, and of score x mask probability of instances; above 0.
        processing: What is cleaned out after predicting.
        dem: Elevation, metres, for limits and attributes of terrain.
        probability: How probabilities are stored: "percent" or "float32".
        formats: Further files of the polygons: `VECTOR_FORMATS`.
        date: When the scene was taken, YYYY-MM-DD; None = what the file says.

    Raises:
        ConfigError: One of them cannot work.
    """

    tile_size: int
    overlap: int
    batch_size: int = 4
    threshold: float = 0.5
    processing: PostProcessing = field(default_factory=PostProcessing)
    dem: str | Path | None = None
    probability: str = "percent"
    formats: tuple[str, ...] = ()
    date: str | None = None

    def __post_init__(self) -> None:
        if self.overlap < 1:
            raise ConfigError(
                "Tiles of a map must overlap, so that landslides are recognised across tile "
                f"edges. Received: overlap={self.overlap}. Use an eighth of the tile or more."
            )
        if self.batch_size < 1:
            raise ConfigError(
                "A batch must hold at least 1 tile. "
                f"Received: batch_size={self.batch_size}. Use 1 or more."
            )
        if not 0 < self.threshold <= 1:
            raise ConfigError(
                "The threshold of a map must lie above 0 and not above 1. Received: "
                f"threshold={self.threshold}. Use 0.5, or the one that evaluation found best."
            )
        unknown = [name for name in self.formats if name not in VECTOR_FORMATS]
        if unknown or self.probability not in PROBABILITY_KINDS:
            raise ConfigError(
                f"Probabilities are stored as {' or '.join(PROBABILITY_KINDS)}, and further files "
                f"can be {', '.join(VECTOR_FORMATS)}. Received: probability={self.probability}, "
                f"formats={', '.join(self.formats) or 'none'}. Choose among them."
            )
        try:
            given = self.date
            written = None if given is None else datetime.date.fromisoformat(given).isoformat()
        except ValueError:
            written = None
        if written != self.date:  # Python also reads 20260501
            raise ConfigError(
                f"A date is written YYYY-MM-DD. Received: date={self.date!r}. Correct it."
            )

    def require_place(self, scene: Source) -> None:
        """Refuse formats of longitude and latitude for a scene that has none.

        Raises:
            GeoReferenceError: There is no way from its coordinates to WGS84.
        """
        if "geojson" in self.formats:
            middle = scene.transform * Affine.translation(scene.width / 2, scene.height / 2)
            footprint(Grid(1, 1, scene.crs, middle))

    def said(self) -> dict[str, Any]:
        """Return all of them in JSON's types; the DEM as its digest."""
        return {
            "tile_size": self.tile_size,
            "overlap": self.overlap,
            "batch_size": self.batch_size,
            "threshold": self.threshold,
            "processing": self.processing.said(),
            "dem_sha256": None if self.dem is None else sha256_of(self.dem),
            "probability": self.probability,
            "formats": sorted(self.formats),
            "date": self.date,
        }
