"""The facts about a map that its rasters and polygons cannot say: `summary.json`.

`MapCounts` is counted on the way, and `summary_of` puts it and the settings into words.
"""

import sys
from dataclasses import dataclass
from typing import Any

import geopandas as gpd

from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.inference.settings import MapSettings
from landslide_rcnn.inference.vectorize import PolygonTable
from landslide_rcnn.versions import software_versions

PIXEL_COORDINATES = (
    "pixels of the scene (x = column, y = row, counted downwards): the scene has no CRS"
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
        seconds: Wall time until the last tile was in.
        predicting_seconds: How much of it the model was at work; None where that is not known.
    """

    tiles: int = 0
    tiles_predicted: int = 0
    valid_pixels: int = 0
    landslide_pixels: int = 0
    dissolved: int = 0
    seconds: float = 0.0
    predicting_seconds: float | None = None


def summary_of(
    scene: Scene,
    polygons: gpd.GeoDataFrame,
    table: PolygonTable,
    settings: MapSettings,
    counts: MapCounts,
    model: Any,
) -> dict[str, Any]:
    """Return the content of `summary.json`.

    Args:
        scene: The mapped one.
        polygons: The final table.
        table: Says what post-processing left out.
        settings: Of the map.
        counts: Of the map.
        model: What is known of it.
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
            "paths": [str(path) for path in scene.paths],
            "width": scene.width,
            "height": scene.height,
            "bands": list(scene.band_names),
            "pixel_size_m": scene.pixel_size_m,
            "valid_pixels": counts.valid_pixels,
            "acquired": scene.acquired and scene.acquired.isoformat(),
            "outside_companions": scene.companion_report(),
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
        "seconds": round(counts.seconds, 2),
        "predicting_seconds": counts.predicting_seconds and round(counts.predicting_seconds, 2),
        "peak_memory_mb": peak_memory_mb(),
        "model": model,
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
