"""COCO JSON -> images with labels, and back.

Read: polygons (painted as COCO's own tools do), run lengths in both spellings, crowds. A box
without a segmentation is no outline and is left out, with a word. Written: compressed run
lengths, so that not a pixel changes.

Source: the COCO data format, "object detection".
Shape letters: H, W pixels; N instances.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from landslide_rcnn.data.annotated import AnnotatedImage, Annotations, collect
from landslide_rcnn.data.coco_polygons import coco_polygon
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.masks import extract_bboxes
from landslide_rcnn.data.problems import Problem
from landslide_rcnn.data.regions import Region, RunLengths, Shape
from landslide_rcnn.errors import DatasetError
from landslide_rcnn.files import write_json
from landslide_rcnn.geo.run_lengths import compress_counts, encode_mask


def is_coco(content: Any) -> bool:
    """Whether a JSON file's content is COCO's."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("images"), list)
        and ("annotations" in content or "categories" in content)
    )


def read_coco(content: dict[str, Any], path: Path) -> Annotations:
    """Return the images and labels of a COCO file.

    Args:
        content: The file's.
        path: The file, for messages and to find images.

    Raises:
        DatasetError: A part of the file is not as the format says.
    """
    try:
        names = {one["id"]: str(one["name"]) for one in _sorted(content.get("categories") or [])}
        annotations: dict[Any, list] = defaultdict(list)
        for annotation in content.get("annotations") or []:
            annotations[annotation["image_id"]].append(annotation)
        found = [
            _image(one, annotations.pop(one["id"], []), names, path) for one in content["images"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(
            "A COCO file holds images with id and file_name, categories with id and name, "
            f"annotations with image_id. Received: {path} ({type(error).__name__}: {error}). "
            "Export it again."
        ) from error
    problems = [
        Problem("missing_image", str(path), f"{len(lost)} annotations of image id {image_id}, "
                "which it does not list. Remove them")
        for image_id, lost in annotations.items()
    ]  # fmt: skip
    return Annotations(found, list(dict.fromkeys(names.values())), problems)


def _sorted(categories: list[dict]) -> list[dict]:
    return sorted(categories, key=lambda one: one["id"])


def _image(one: dict, annotations: list[dict], names: dict, path: Path) -> AnnotatedImage:
    size = None
    if one.get("height") and one.get("width"):
        size = int(one["height"]), int(one["width"])
    regions, problems = collect(
        annotations, lambda annotation: _region(annotation, names), str(one["file_name"])
    )
    return AnnotatedImage(path, str(one["file_name"]), size, tuple(regions), tuple(problems))


def _region(annotation: dict, names: dict) -> Region:
    name = f"annotation {annotation.get('id')}"
    category = annotation["category_id"]
    if category not in names:
        raise DatasetError(f"{name} has category {category!r}, which the file does not list")
    segmentation = annotation.get("segmentation")
    if not segmentation:
        raise DatasetError(f"{name} has no segmentation, only a box: left out")
    try:
        shapes = _shapes(segmentation)
    except DatasetError as error:
        raise DatasetError(f"{name}: {error}") from error
    return Region(shapes, names[category], name, crowd=bool(annotation.get("iscrowd")))


def _shapes(segmentation: Any) -> tuple[Shape, ...]:
    if isinstance(segmentation, dict):
        height, width = (int(side) for side in segmentation["size"])
        return (RunLengths(segmentation["counts"], height, width),)
    if any(len(ring) % 2 for ring in segmentation):
        raise DatasetError("a polygon is x, y, x, y, ... Received: an odd count of numbers")
    return tuple(
        coco_polygon(np.reshape(np.asarray(ring, np.float64), (-1, 2))) for ring in segmentation
    )


class CocoWriter:
    """Gathers images and instances of a COCO file; memory grows with the outlines alone."""

    def __init__(self, class_names: Sequence[str], description: str = "") -> None:
        """`class_names` are those of the ids 1, 2, ... (no background)."""
        self._content: dict[str, Any] = {
            "info": {"description": description},
            "images": [],
            "categories": [{"id": i, "name": name} for i, name in enumerate(class_names, 1)],
            "annotations": [],
        }

    def add_image(
        self, file_name: str, masks: np.ndarray, class_ids: np.ndarray, **extra: Any
    ) -> int:
        """Add an image with its instances.

        Args:
            file_name: Relative to where the file will lie, with "/".
            masks: [H, W, N] bool.
            class_ids: [N]; negative for crowds.
            **extra: More entries of the image.

        Returns:
            The image's id in the file, from 1.
        """
        height, width = masks.shape[:2]
        image_id = len(self._content["images"]) + 1
        self._content["images"].append(
            {"id": image_id, "file_name": file_name, "width": width, "height": height, **extra}
        )
        boxes = extract_bboxes(masks)
        for index, (y1, x1, y2, x2) in enumerate(boxes.tolist()):
            part = masks[y1:y2, x1:x2, index]
            counts = compress_counts(encode_mask(part, height, width, y1, x1))
            self._content["annotations"].append(
                {
                    "id": len(self._content["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": abs(int(class_ids[index])),
                    "segmentation": {"size": [height, width], "counts": counts},
                    "area": int(part.sum()),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "iscrowd": int(class_ids[index] < 0),
                }
            )
        return image_id

    def write(self, path: str | Path) -> None:
        """Write the file, atomically."""
        write_json(path, self._content)


def write_coco_dataset(dataset: Dataset, path: str | Path, *, progress: bool = True) -> None:
    """Write the labels of a dataset as COCO JSON; the images stay where they are.

    Args:
        dataset: Prepared; every image is a file of its own.
        path: Of the JSON file; images are named relative to its folder.
        progress: Show a progress bar on stderr.

    Raises:
        DatasetError: An image is no file (a tile of a scene: write the tiles first).
    """
    path = Path(path)
    writer = CocoWriter(dataset.class_names[1:])
    for image_id in tqdm(dataset.image_ids, "Writing COCO", disable=not progress):
        info = dataset.image_info[image_id]
        if info["path"] is None or not dataset.reads_files:
            raise DatasetError(
                "COCO labels need every image as a file of its own. Received: "
                f"{dataset.describe_image(image_id)}. Write the tiles to files first "
                "(landslide-rcnn tile)."
            )
        image_path, folder = Path(info["path"]).resolve(), path.parent.resolve()
        try:
            file_name = Path(os.path.relpath(image_path, folder)).as_posix()
        except ValueError:  # another drive of Windows
            file_name = image_path.as_posix()
        writer.add_image(file_name, *dataset.load_mask(image_id))
    writer.write(path)
