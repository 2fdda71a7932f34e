"""labelme: a JSON file an image -> images with labels.

Read are polygon, rectangle (oriented too), circle and mask; points and lines have no area and are
left out, with a word. Shapes with one label and one group id are one instance. The image is the
file that `imagePath` names, beside the labels, or `imageData` in them.

A pixel belongs to a shape as in the masks that labelme makes of its files: corners are cut to whole
pixels, and the pixels under the outline count. (By pixel centres, the landslides of Hokkaido's
tiles would be 5 % smaller than in those masks.)

Source: the JSON files that labelme 3 to 6 write. A circle is its centre and a point on it; a mask
is a PNG in base64 whose first pixel is at the first point.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from landslide_rcnn.data.annotated import AnnotatedImage, Annotations, collect, read_json
from landslide_rcnn.data.classes import LANDSLIDE
from landslide_rcnn.data.problems import Problem
from landslide_rcnn.data.regions import Bitmap, Outline, Region, Shape, circle, polygon, rectangle
from landslide_rcnn.errors import DatasetError


@dataclass(frozen=True)
class Drawn(Outline):
    """A shape painted as labelme itself turns it into a mask, its outline included.

    Attributes:
        kind: What Pillow draws: polygon, rectangle or ellipse.
        points: ((x, y), ...) of the polygon, or of the corners around the others.
    """

    kind: str = "polygon"
    points: tuple[tuple[float, float], ...] = ()

    def paint(self, mask: np.ndarray) -> None:
        """Set its pixels in [H, W] bool."""
        corners = np.array(self.points)
        # Moved by whole pixels to the part of the image around it: Pillow cuts coordinates off.
        left, top = np.floor(corners.min(axis=0)).astype(int).clip(0)
        right, bottom = np.floor(corners.max(axis=0)).astype(int) + 1
        near = mask[top : max(bottom, top), left : max(right, left)]  # a view, cut at the image
        if near.size:
            canvas = Image.new("L", near.shape[::-1])
            moved = [(x - left, y - top) for x, y in self.points]
            getattr(ImageDraw.Draw(canvas), self.kind)(moved, fill=1, outline=1)
            near |= np.asarray(canvas) > 0


def _drawn(outline: Outline, kind: str, points: Sequence[Sequence[float]]) -> Drawn:
    return Drawn(outline.geometry, outline.crossed, kind, tuple((x, y) for x, y in points))


def _polygon(shape: dict[str, Any]) -> Shape:
    return _drawn(polygon(shape["points"]), "polygon", shape["points"])


def _circle(shape: dict[str, Any]) -> Shape:
    (x, y), (on_x, on_y) = shape["points"]
    radius = ((on_x - x) ** 2 + (on_y - y) ** 2) ** 0.5
    corners = [(x - radius, y - radius), (x + radius, y + radius)]
    return _drawn(circle(x, y, radius), "ellipse", corners)


def _rectangle(shape: dict[str, Any]) -> Shape:
    (x1, y1), (x2, y2) = shape["points"]
    corners = [(min(x1, x2), min(y1, y2)), (max(x1, x2), max(y1, y2))]
    return _drawn(rectangle(*corners[0], *corners[1]), "rectangle", corners)


def _mask(shape: dict[str, Any]) -> Shape:
    x, y = shape["points"][0]
    return Bitmap(str(shape["mask"]), round(y), round(x))


SHAPES = {
    "polygon": _polygon,
    "oriented_rectangle": _polygon,
    "rectangle": _rectangle,
    "circle": _circle,
    "mask": _mask,
}


def is_labelme(content: Any) -> bool:
    """Whether a JSON file's content is labelme's."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("shapes"), list)
        and ("imagePath" in content or "imageData" in content)
    )


def read_labelme(paths: Sequence[Path]) -> Annotations:
    """Return the images and labels of labelme files; one that cannot be read is a problem."""
    images, problems = [], []
    for path in paths:
        try:
            images.append(_read_one(path))
        except DatasetError as error:
            problems.append(Problem("unreadable", str(path), str(error)))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            text = f"not as labelme writes it ({type(error).__name__}: {error}). Export it again"
            problems.append(Problem("unreadable", str(path), text))
    labels = sorted({region.label for image in images for region in image.regions})
    return Annotations(images, labels or [LANDSLIDE], problems)


def _read_one(path: Path) -> AnnotatedImage:
    content = read_json(path)
    if not is_labelme(content):
        raise DatasetError("a labelme file holds shapes and imagePath. Remove or replace it")
    height, width = content.get("imageHeight"), content.get("imageWidth")
    size = (int(height), int(width)) if height and width else None
    found, problems = collect(enumerate(content["shapes"]), lambda item: _region(*item), str(path))
    named = str(content.get("imagePath") or "")
    embedded = bool(content.get("imageData"))
    regions = tuple(_grouped(found, content["shapes"]))
    return AnnotatedImage(path, named, size, regions, tuple(problems), embedded)


def _region(number: int, shape: dict[str, Any]) -> Region:
    name, kind = f"shape {number}", shape.get("shape_type") or "polygon"  # not said by labelme 3
    if kind not in SHAPES:
        raise DatasetError(f"{name} is a {kind}, which has no area: left out")
    try:
        drawn = SHAPES[kind](shape)
    except DatasetError as error:
        raise DatasetError(f"{name}: {error}") from error
    return Region((drawn,), str(shape["label"]), name)


def _grouped(regions: list[Region], shapes: list[dict[str, Any]]) -> list[Region]:
    """Join the regions of each label and group."""
    groups: dict[Any, list[Region]] = defaultdict(list)
    for region in regions:
        group = shapes[int(region.name.rpartition(" ")[2])].get("group_id")
        groups[region.name if group is None else (region.label, group)].append(region)
    return [
        Region(
            tuple(shape for part in parts for shape in part.shapes),
            parts[0].label,
            ", ".join(part.name for part in parts),
        )
        for parts in groups.values()
    ]
