"""Where on the ground an image lies, as far as its file says.

Used to find tiles that overlap and to give areas in square metres.
"""

from dataclasses import dataclass

from rasterio.crs import CRS
from rasterio.windows import Window
from shapely import Polygon

from landslide_rcnn.geo.source import Source


@dataclass(frozen=True)
class Place:
    """The ground that an image covers.

    Attributes:
        scene: What pixel coordinates without a CRS refer to; "" with a CRS.
        crs: None: the outline is in pixels of `scene`.
        outline: Of the image, map coordinates.
        pixel_size_m: Mean ground size of a pixel, metres; None without CRS.
    """

    scene: str
    crs: CRS | None
    outline: Polygon
    pixel_size_m: float | None


def place_of(scene: Source, window: Window, name: str) -> Place:
    """Return the place of a window of a scene; `name` identifies the scene."""
    top, left = window.row_off, window.col_off
    bottom, right = top + window.height, left + window.width
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    outline = Polygon([scene.transform * corner for corner in corners])
    return Place(name if scene.crs is None else "", scene.crs, outline, scene.pixel_size_m)
