"""What decides a map, in JSON's types: two runs with the same fingerprint make the same map.

`run_folder.py` keeps it with an unfinished run, `summary.json` with a finished one.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from landslide_rcnn.files import sha256_of
from landslide_rcnn.geo.companions import Companion
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.inference.settings import MapSettings


def fingerprint_of(scene: Scene, settings: MapSettings, model: Any) -> dict[str, Any]:
    """Return the fingerprint of a run.

    Files are told apart by their bytes, all of them: reading a file takes little of the time
    that mapping it takes, and a copy, or a file made again alike, is still the same scene. What
    is not a local file is known by its address alone.

    Args:
        scene: The mapped one.
        settings: Of the map.
        model: What tells models apart.
    """
    return {
        "scene": {
            "files": [_file(path) for path in scene.paths],
            "companions": [_companion(each) for each in scene.companions],
            "height": scene.height,
            "width": scene.width,
            "bands": list(scene.band_names),
            "crs": None if scene.crs is None else scene.crs.to_wkt(),
            "transform": list(scene.transform)[:6],
        },
        "settings": settings.said(),
        "model": model,
    }


def identity_of(predictor: Any) -> Any:
    """Return what tells a model apart from others: its `identity()`, if it has one."""
    identity = getattr(predictor, "identity", None)
    return identity() if callable(identity) else type(predictor).__qualname__


def _companion(companion: Companion) -> dict[str, Any]:
    settings = asdict(companion)
    return {**_file(settings.pop("path")), **settings}


def _file(path: str | Path) -> dict[str, str]:
    path = Path(path)
    return {"name": path.name, "sha256": sha256_of(path)} if path.is_file() else {"at": str(path)}
