"""The facts about a map that its rasters and polygons cannot say: `summary.json`.

`MapSettings` goes into `predict_scene`, `MapCounts` is counted on the way, and `summary_of` puts
both into words for the file.
"""

import sys
from dataclasses import dataclass
from typing import Any

import geopandas as gpd

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.inference.vectorize import PolygonTable
from landslide_rcnn.versions import software_versions

PIXEL_COORDINATES = (
    "pixels of the scene (x = column, y = row, counted downwards): the scene has no CRS"
)


@dataclass(frozen=True)
class MapSettings:
    """How a scene is mapped; the arguments of `predict_scene`.

    Raises:
        ConfigError: One of them cannot work.
    """

    tile_size: int
    overlap: int
    batch_size: int
    threshold: float

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


@dataclass
class MapCounts:
    """What happened while a scene was mapped.

    Attributes:
        tiles: Of the whole grid.
        tiles_predicted: Those with any valid pixel; the others never reach the model.
        valid_pixels: Usable pixels of the scene.
        landslide_pixels: Ones of the mask raster.
        dissolved: Landslides of single tiles of which blending left no pixel.
    """

    tiles: int = 0
    tiles_predicted: int = 0
    valid_pixels: int = 0
    landslide_pixels: int = 0
    dissolved: int = 0


def summary_of(
    scene: Scene,
    polygons: gpd.GeoDataFrame,
    table: PolygonTable,
    settings: MapSettings,
    counts: MapCounts,
    seconds: float,
    card_summary: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return the content of `summary.json`.

    Args:
        scene: The mapped one.
        polygons: The final table.
        table: Says what post-processing left out.
        settings: Of the map.
        counts: Of the map.
        seconds: Wall time.
        card_summary: About the model.
    """
    return {
        "landslides": len(polygons),
        f"total_{table.area_column}": round(float(polygons[table.area_column].sum()), 4),
        "landslide_pixels": counts.landslide_pixels,
        "post_processing": table.said(),
        "dissolved_by_blending": counts.dissolved,
        "threshold": settings.threshold,
        "scene": {
            "path": str(scene.path),
            "width": scene.width,
            "height": scene.height,
            "bands": list(scene.band_names),
            "pixel_size_m": scene.pixel_size_m,
            "valid_pixels": counts.valid_pixels,
        },
        "coordinates": PIXEL_COORDINATES if scene.crs is None else scene.crs.to_string(),
        "tiles": {
            "size": settings.tile_size,
            "overlap": settings.overlap,
            "total": counts.tiles,
            "predicted": counts.tiles_predicted,
            "skipped_without_valid_pixels": counts.tiles - counts.tiles_predicted,
            "batch_size": settings.batch_size,
        },
        "seconds": round(seconds, 2),
        "peak_memory_mb": peak_memory_mb(),
        "model": card_summary,
        "versions": software_versions(),
    }


def peak_memory_mb() -> float | None:
    """Return the most memory that this process has held so far; None where that is unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, kilobytes elsewhere.
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
