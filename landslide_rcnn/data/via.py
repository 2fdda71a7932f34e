"""VGG Image Annotator, versions 1 and 2: JSON -> images with labels.

Both the export of annotations and the project file of version 2. Regions are a dict in version 1
and a list in version 2. Read are rect, circle, ellipse and polygon; points and lines have no area
and are left out, with a word. A region is a landslide, unless an attribute is chosen for the
class.

Source: the JSON files that VIA 1.0.6 and 2.0.12 write; angles of ellipses are radians from x
towards y.
"""

from pathlib import Path
from typing import Any

from landslide_rcnn.data.annotated import AnnotatedImage, Annotations, collect
from landslide_rcnn.data.classes import LANDSLIDE
from landslide_rcnn.data.regions import Outline, Region, circle, ellipse, polygon, rectangle
from landslide_rcnn.errors import DatasetError

PROJECT_IMAGES = "_via_img_metadata"

SHAPES = {
    "rect": lambda a: rectangle(a["x"], a["y"], a["x"] + a["width"], a["y"] + a["height"]),
    "circle": lambda a: circle(a["cx"], a["cy"], a["r"]),
    "ellipse": lambda a: ellipse(a["cx"], a["cy"], a["rx"], a["ry"], a.get("theta", 0.0)),
    "polygon": lambda a: polygon(
        list(zip(a["all_points_x"], a["all_points_y"], strict=True)),
    ),
}


def is_via(content: Any) -> bool:
    """Whether a JSON file's content is VIA's."""
    if not isinstance(content, dict) or not content:
        return False
    if PROJECT_IMAGES in content:
        return True
    return all(
        isinstance(one, dict) and "filename" in one and "regions" in one for one in content.values()
    )


def read_via(
    content: dict[str, Any], path: Path, class_attribute: str | None = None
) -> Annotations:
    """Return the images and labels of a VIA file.

    Args:
        content: The file's.
        path: The file, for messages and to find images.
        class_attribute: The region attribute that names the class; None: all are landslides.

    Raises:
        DatasetError: A part of the file is not as VIA writes it.
    """
    entries = content.get(PROJECT_IMAGES, content)
    try:
        images = [_image(entry, path, class_attribute) for entry in entries.values()]
    except (KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            "A VIA file holds filename and regions of every image. Received: "
            f"{path} ({type(error).__name__}: {error}). Export it again, from VIA 1 or 2."
        ) from error
    labels = sorted({region.label for image in images for region in image.regions})
    return Annotations(images, labels or [LANDSLIDE])


def _image(entry: dict[str, Any], path: Path, class_attribute: str | None) -> AnnotatedImage:
    regions = entry["regions"]
    numbered = regions.items() if isinstance(regions, dict) else enumerate(regions or [])
    found, problems = collect(
        numbered, lambda item: _region(*item, class_attribute), str(entry["filename"])
    )
    return AnnotatedImage(path, str(entry["filename"]), None, tuple(found), tuple(problems))


def _region(number: Any, region: dict[str, Any], class_attribute: str | None) -> Region:
    shape, name = region["shape_attributes"], f"region {number}"
    kind = shape["name"]
    if kind not in SHAPES:
        raise DatasetError(f"{name} is a {kind}, which has no area: left out")
    try:
        outline: Outline = SHAPES[kind](shape)
    except DatasetError as error:
        raise DatasetError(f"{name}: {error}") from error
    return Region((outline,), _label(region, class_attribute, name), name)


def _label(region: dict[str, Any], class_attribute: str | None, name: str) -> str:
    if class_attribute is None:
        return LANDSLIDE
    value = (region.get("region_attributes") or {}).get(class_attribute)
    if isinstance(value, dict):  # a checkbox: option -> whether it is ticked
        ticked = [option for option, on in value.items() if on]
        value = ticked[0] if len(ticked) == 1 else None
    if value is None or not str(value).strip():
        raise DatasetError(f"{name} has no single {class_attribute!r}: left out")
    return str(value).strip()
