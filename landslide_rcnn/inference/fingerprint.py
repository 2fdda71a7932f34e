"""What decides a map, in JSON's types: two runs with the same fingerprint make the same map.

`run_folder.py` keeps it with an unfinished run, `summary.json` with a finished one.
"""

from typing import Any

from landslide_rcnn.files import sha256_of
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.inference.summary import MapSettings


def fingerprint_of(
    scene: Scene, settings: MapSettings, filters: tuple[float, int], model: Any
) -> dict[str, Any]:
    """Return the fingerprint of a run.

    Scenes are told apart by their bytes, all of them: reading a file takes little of the time
    that mapping it takes, and a copy, or a file made again alike, is still the same scene.

    Args:
        scene: The mapped one.
        settings: Of the map.
        filters: (min_area_m2, min_pixels).
        model: What tells models apart.
    """
    return {
        "scene": {
            "name": scene.path.name,
            "sha256": sha256_of(scene.path),
            "height": scene.height,
            "width": scene.width,
            "bands": list(scene.band_names),
            "crs": None if scene.crs is None else scene.crs.to_wkt(),
            "transform": list(scene.transform)[:6],
        },
        "tile_size": settings.tile_size,
        "overlap": settings.overlap,
        "batch_size": settings.batch_size,
        "threshold": settings.threshold,
        "min_area_m2": filters[0],
        "min_pixels": filters[1],
        "model": model,
    }


def identity_of(predictor: Any) -> Any:
    """Return what tells a model apart from others: its `identity()`, if it has one."""
    identity = getattr(predictor, "identity", None)
    return identity() if callable(identity) else type(predictor).__qualname__
