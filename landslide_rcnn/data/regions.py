"""What people draw into images: outlines, run lengths and pasted bitmaps, and their pixels.

The readers of annotation files make them, `data/annotated.py` paints them. A pixel belongs to an
outline that covers its centre, as in a scene (`geo/vector.py`); pixel (row 0, column 0) reaches
from (0, 0) to (1, 1), x right and y down.

Formats whose own tools paint in another way are painted in that way: `data/coco_polygons.py`,
`data/labelme.py`.

Shape letters: H, W pixels of the image.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from landslide_rcnn.data.image_files import decode_picture
from landslide_rcnn.errors import DatasetError
from landslide_rcnn.geo.run_lengths import decode_mask
from landslide_rcnn.geo.vector import rasterize_instances, repaired

CIRCLE_SEGMENTS = 64  # of a quarter: the outline is within 0.01 % of the radius
MAX_DISTANCE_PX = 1e6  # from the image's corner: further is a fault, or an attack on the memory
OUTSIDE_TOLERANCE_PX = 1.0  # tools let people click on the far edge of the last pixel


class WrongSizeError(DatasetError):
    """A region is of an image of another size."""


@dataclass(frozen=True)
class Outline:
    """A polygon, or several, in pixels of the image.

    Attributes:
        geometry: Valid; (x, y) = (column, row).
        crossed: It crossed itself and was repaired.
    """

    geometry: BaseGeometry
    crossed: bool = False

    def paint(self, mask: np.ndarray) -> None:
        """Set the pixels of [H, W] bool whose centres it covers."""
        left, top = np.floor(self.geometry.bounds[:2]).astype(int).clip(0)
        right, bottom = np.ceil(self.geometry.bounds[2:]).astype(int)
        near = mask[top : max(bottom, top), left : max(right, left)]  # a view, cut at the image
        if near.size:
            table = gpd.GeoDataFrame(geometry=[self.geometry])
            # A frame of pixels that are cut off again: rasterio warns of a window at (0, 0).
            frame = 2 if (left, top) == (1, 1) else 1
            height, width = near.shape
            window = Window(left - frame, top - frame, width + frame, height + frame)
            painted = rasterize_instances(table, window, Affine.identity()) > 0
            near |= painted[frame:, frame:]

    def outside_px(self, height: int, width: int) -> float:
        """Return how far it reaches outside an image, pixels."""
        left, top, right, bottom = self.geometry.bounds
        return max(-left, -top, right - width, bottom - height, 0.0)


@dataclass(frozen=True)
class RunLengths:
    """COCO's run lengths, in either spelling, of an image of `height` x `width` pixels."""

    counts: list[int] | str
    height: int
    width: int
    crossed: bool = field(default=False, init=False)

    def paint(self, mask: np.ndarray) -> None:
        """Set its pixels in [H, W] bool; the size must be that of the image."""
        if mask.shape != (self.height, self.width):
            raise WrongSizeError(
                "Run lengths must be of the image's size. Received: "
                f"{self.height} x {self.width} px in an image of {mask.shape[0]} x "
                f"{mask.shape[1]} px. Export the annotation again."
            )
        mask |= decode_mask(self.counts, self.height, self.width)

    def outside_px(self, height: int, width: int) -> float:
        """Return 0: they cannot leave their image."""
        return 0.0


@dataclass(frozen=True)
class Bitmap:
    """A picture file in base64, nonzero in the region, pasted at (row, column) of the image."""

    encoded: str
    row: int
    column: int
    crossed: bool = field(default=False, init=False)

    def paint(self, mask: np.ndarray) -> None:
        """Set its pixels in [H, W] bool; what lies outside is cut off."""
        pasted = decode_base64(self.encoded, "a mask in base64").any(axis=-1)
        pasted = pasted[max(-self.row, 0) :, max(-self.column, 0) :]
        top, left = max(self.row, 0), max(self.column, 0)
        target = mask[top : top + pasted.shape[0], left : left + pasted.shape[1]]
        target |= pasted[: target.shape[0], : target.shape[1]]

    def outside_px(self, height: int, width: int) -> float:
        """Return how far its first pixel lies outside of an image, pixels."""
        return float(max(-self.row, -self.column, self.row - height, self.column - width, 0))


Shape = Outline | RunLengths | Bitmap


@dataclass(frozen=True)
class Region:
    """One instance.

    Attributes:
        shapes: Its parts.
        label: What it is called in its file.
        name: How messages call it, e.g. "annotation 17".
        crowd: It marks a group that cannot be told apart.
    """

    shapes: tuple[Shape, ...]
    label: str
    name: str
    crowd: bool = False

    def paint(self, height: int, width: int) -> np.ndarray:
        """Return [H, W] bool.

        Raises:
            DatasetError: Its run lengths or its bitmap are broken.
        """
        mask = np.zeros((height, width), bool)
        for shape in self.shapes:
            shape.paint(mask)
        return mask


def polygon(points: Sequence[Sequence[float]]) -> Outline:
    """Return the outline through [(x, y), ...].

    Raises:
        DatasetError: The points enclose no area.
    """
    ring = _numbers(points)
    if ring.ndim != 2 or ring.shape[-1] != 2 or len(ring) < 3:
        raise DatasetError(f"a polygon needs three points (x, y). Received: {len(ring)}")
    drawn = shapely.Polygon(ring)
    crossed = not drawn.is_valid
    return Outline(_with_area(repaired(drawn) if crossed else drawn), crossed)


def rectangle(x1: float, y1: float, x2: float, y2: float) -> Outline:
    """Return the outline with two opposite corners."""
    return Outline(_with_area(shapely.box(*_numbers([x1, y1, x2, y2]))))


def ellipse(x: float, y: float, radius_x: float, radius_y: float, turn: float = 0.0) -> Outline:
    """Return an ellipse around (x, y), turned by `turn` radians from x towards y."""
    x, y, radius_x, radius_y, turn = _numbers([x, y, radius_x, radius_y, turn])
    disc = shapely.Point(0, 0).buffer(1.0, quad_segs=CIRCLE_SEGMENTS)
    cos, sin = np.cos(turn), np.sin(turn)
    axes = np.array([[cos * radius_x, sin * radius_x], [-sin * radius_y, cos * radius_y]])
    return Outline(_with_area(shapely.transform(disc, lambda points: points @ axes + [x, y])))


def circle(x: float, y: float, radius: float) -> Outline:
    """Return a circle around (x, y)."""
    return ellipse(x, y, radius, radius)


def decode_base64(text: str, name: str) -> np.ndarray:
    """Return [H, W, C] of a picture file in base64.

    Raises:
        DatasetError: It is not one, or is damaged.
    """
    try:
        content = base64.b64decode(text.partition(",")[2] if text[:5] == "data:" else text)
    except (binascii.Error, ValueError) as error:
        raise DatasetError(
            f"An image in base64 must be readable. Received: {name} ({error}). Export it again."
        ) from error
    return decode_picture(np.frombuffer(content, np.uint8), name)


def _numbers(values: Sequence) -> np.ndarray:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"coordinates must be numbers. Received: {error}") from error
    if not np.isfinite(array).all():
        raise DatasetError("coordinates must be finite numbers. Received: NaN or infinity")
    furthest = np.abs(array).max(initial=0)
    if furthest > MAX_DISTANCE_PX:
        raise DatasetError(f"coordinates reach {furthest:.3g} px from the image's corner")
    return array


def _with_area(geometry: BaseGeometry) -> BaseGeometry:
    if geometry.is_empty or not geometry.area:
        raise DatasetError("an outline must enclose an area. Received: none")
    return geometry
