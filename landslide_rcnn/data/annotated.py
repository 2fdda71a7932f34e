"""Images with labels from a file: what COCO, VIA and labelme files have in common.

A reader (`data/coco.py`, `via.py`, `labelme.py`) turns its file into `AnnotatedImage`s; the
`AnnotatedDataset` paints their regions. Nothing is fetched: an image is a file beside the labels
(or, in labelme, inside of them), and one that is missing is a problem with a name.

Shape letters: H, W pixels; N instances.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from landslide_rcnn.data.classes import LANDSLIDE, Classes, ClassTable
from landslide_rcnn.data.dataset import SOURCE, Dataset
from landslide_rcnn.data.image_files import IMAGE_SUFFIXES
from landslide_rcnn.data.problems import Problem, ProblemError, raise_if_stopping
from landslide_rcnn.data.regions import OUTSIDE_TOLERANCE_PX, Region, WrongSizeError, decode_base64
from landslide_rcnn.errors import DatasetError

MAX_PIXELS = 1 << 30  # of an image in memory


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its labels, as a file tells them.

    Attributes:
        labels: The file.
        named: The image's path or name as written there.
        size: (H, W), pixels, where the file says it.
        regions: The instances.
        problems: What is wrong with the labels.
        embedded: The image itself is in the labels (labelme).
    """

    labels: Path
    named: str
    size: tuple[int, int] | None
    regions: tuple[Region, ...]
    problems: tuple[Problem, ...] = ()
    embedded: bool = False


@dataclass(frozen=True)
class Annotations:
    """All that a reader found.

    Attributes:
        images: In the file's order.
        labels: The classes that the file declares, in the order of their ids.
        problems: Of no single image.
    """

    images: Sequence[AnnotatedImage]
    labels: Sequence[str] = (LANDSLIDE,)
    problems: list[Problem] = field(default_factory=list)


class AnnotatedDataset(Dataset):
    """Images whose landslides were drawn with a labelling tool.

    Every region is an instance, of one pixel or more. Crowds have the negative of their class id,
    as in matterport: they are neither landslide nor background.
    """

    @classmethod
    def from_annotations(
        cls,
        found: Annotations,
        *,
        classes: Classes | None = None,
        image_folder: str | Path | None = None,
        strict: bool = True,
    ) -> "AnnotatedDataset":
        """Find the images, number the classes; prepared for use.

        Args:
            found: What a reader read.
            classes: See `ClassTable`; regions of other labels are left out, and said.
            image_folder: Where to look for images first.
            strict: Raise for the problems that stop training; else only note them.

        Raises:
            DatasetError: No image is there, or `strict` and something is missing.
        """
        dataset = cls()
        table = ClassTable(found.labels, classes)
        table.declare(dataset)
        dataset.problems += found.problems
        for image in found.images:
            dataset._add(image, table, image_folder)
        dataset.prepare()
        if strict:
            raise_if_stopping(dataset.problems)
        if not dataset.num_images:
            told = "; ".join(str(problem) for problem in dataset.problems[:5])
            raise DatasetError(
                "A file of labels needs at least one image that is there. Received: none. "
                f"{told or 'It lists no image'}. Put the images beside it, or name their folder."
            )
        return dataset

    def _add(self, image: AnnotatedImage, table: ClassTable, folder: str | Path | None) -> None:
        path = find_image(image.labels, image.named, folder)
        name = str(path or image.labels)
        if path is None and not image.embedded:
            text = f"its image {image.named!r} is not beside it. Add it, or name its folder"
            self.problems.append(Problem("missing_image", name, text))
            return
        kept = [region for region in image.regions if table.id_of(region.label) is not None]
        others = {region.label for region in image.regions} - {region.label for region in kept}
        problems = list(image.problems)
        if others:
            count = len(image.regions) - len(kept)
            text = f"{count} of classes that were not chosen ({', '.join(sorted(others))})"
            problems.append(Problem("annotation", name, text))
        signs = [-1 if region.crowd else 1 for region in kept]
        self.add_image(
            SOURCE,
            Path(name).stem,
            path,
            labels=image.labels,
            size=image.size,
            regions=tuple(kept),
            region_classes=[s * table.id_of(r.label) for s, r in zip(signs, kept)],
            problems=[Problem(p.kind, name, p.text) for p in problems],
        )

    def describe_image(self, image_id: int) -> str:
        """Return the image's path, or that of the labels that hold it."""
        info = self.image_info[image_id]
        return str(info["path"] or info["labels"])

    @property
    def reads_files(self) -> bool:
        """Images are their files' pixels, where they have files."""
        return type(self).load_image is AnnotatedDataset.load_image

    def load_image(self, image_id: int) -> np.ndarray:
        """Read an image as [H, W, C]; from the labels where they hold it."""
        info = self.image_info[image_id]
        if info["path"] is not None:
            return super().load_image(image_id)
        encoded = read_json(info["labels"]).get("imageData")
        return decode_base64(str(encoded), f"{info['labels']}, imageData")

    def image_size(self, image_id: int) -> tuple[int, int]:
        """Return (height, width), pixels: as the labels say, else the image's own."""
        height, width = self.image_info[image_id]["size"] or super().image_size(image_id)
        if height < 1 or width < 1 or height * width > MAX_PIXELS:  # before memory is asked for
            text = f"its labels say {height} x {width} px. Export them again"
            raise ProblemError("size", self.describe_image(image_id), text)
        return height, width

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return masks [H, W, N] bool and class ids [N] int32, negative for crowds."""
        info = self.image_info[image_id]
        height, width = self.image_size(image_id)
        masks, class_ids = [], []
        for region, class_id in zip(info["regions"], info["region_classes"], strict=True):
            try:
                mask = region.paint(height, width)
            except DatasetError as error:
                kind = "size" if isinstance(error, WrongSizeError) else "unreadable"
                name = self.describe_image(image_id)
                raise ProblemError(kind, name, f"{region.name}: {error}") from error
            if mask.any():
                masks.append(mask)
                class_ids.append(class_id)
        stacked = np.stack(masks, axis=-1) if masks else np.zeros((height, width, 0), bool)
        return stacked, np.array(class_ids, np.int32)

    def find_problems(self, image_id: int, size: tuple[int, int] | None) -> list[Problem]:
        """Return what is wrong with an image's labels: outside, crossing, without a pixel."""
        info, name = self.image_info[image_id], self.describe_image(image_id)
        problems = list(info["problems"])
        for region in info["regions"]:
            if any(shape.crossed for shape in region.shapes):
                problems.append(Problem("crossing", name, f"{region.name} crosses itself"))
            if size is None:
                continue
            outside = max(shape.outside_px(*size) for shape in region.shapes)
            if outside > OUTSIDE_TOLERANCE_PX:
                text = f"{region.name} reaches {outside:.0f} px outside of {size[0]} x {size[1]} px"
                problems.append(Problem("outside", name, text))
            if size == (info["size"] or size) and _is_invisible(region, *size):
                problems.append(Problem("annotation", name, f"{region.name} covers no pixel"))
        return problems


def _is_invisible(region: Region, height: int, width: int) -> bool:
    try:
        return not region.paint(height, width).any()
    except DatasetError:
        return False  # `load_mask` says what is wrong


def find_image(labels: Path, named: str, folder: str | Path | None = None) -> Path | None:
    """Return the file of an image that a label file names, looking where tools put it.

    Args:
        labels: The label file.
        named: As written in it; of Windows too. A web address is never fetched.
        folder: Where to look first.

    Returns:
        None where there is none, or it is not an image by its ending.
    """
    written = PureWindowsPath(named).as_posix() if "\\" in named else named
    name = Path(written).name
    if "://" in written or Path(name).suffix.lower() not in IMAGE_SUFFIXES:
        return None
    here, above = labels.parent, labels.parent.parent
    own = labels.stem.removeprefix("instances_")  # COCO: annotations/instances_X.json, X/
    places = [here, here / "images", here / "image", above, above / "images", above / "image",
              above / own, above / "images" / own]  # fmt: skip
    places = [Path(folder), *places] if folder is not None else places
    candidates = [place / written for place in places] + [place / name for place in places]
    return next((path.resolve() for path in candidates if path.is_file()), None)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        DatasetError: It is missing, unreadable or incomplete.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(
            f"A file of labels must be readable JSON. Received: {path} ({reason}). Replace it."
        ) from error


def collect(items: Iterable[Any], make: Any, image_name: str) -> tuple[list[Region], list[Problem]]:
    """Turn a file's annotations into regions; those that cannot be are problems of the image.

    Args:
        items: The annotations.
        make: Annotation -> `Region`; raises `DatasetError`, KeyError or TypeError.
        image_name: What problems call the image.
    """
    regions, problems = [], []
    for item in items:
        try:
            regions.append(make(item))
        except DatasetError as error:
            problems.append(Problem("annotation", image_name, str(error)))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            text = f"an annotation is not as its format says ({type(error).__name__}: {error})"
            problems.append(Problem("annotation", image_name, text))
    return regions, problems
