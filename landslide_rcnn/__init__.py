"""Landslides out of imagery: an improved Mask R-CNN, from labelled tiles to a GeoPackage."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("landslide_rcnn")
except PackageNotFoundError:  # the source tree without an installation
    __version__ = "0+unknown"
