"""Which software made a result: for cards and summaries."""

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("landslide_rcnn", "keras", "tensorflow", "numpy", "rasterio", "geopandas", "shapely")


def software_versions() -> dict[str, str]:
    """Return the versions of Python and of those of `PACKAGES` that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # another Keras backend, or the source tree without an installation
    return found
