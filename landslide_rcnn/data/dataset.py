"""`Dataset`: the images and instance masks that a model is trained and judged on.

The first step of `data/`: files -> raw arrays. `data/batches.py` turns them into tensors. The
class keeps the whole API of matterport's `utils.Dataset`, so that a subclass written for it
works unchanged; ready-made subclasses are in `data/readers.py` and
`data/scenes.py`.

Differs from matterport on purpose:
    - `load_image` keeps as many channels as the file has. Only the alpha channel of a PNG is
      dropped; a grey image is [H, W, 1] and is repeated where a model wants three channels.
    - An image or mask that cannot be read is an error that names the file, never skipped;
      `verify` finds all of them before training starts.
    - The base `load_mask` has the image's real height and width, so that an image without
      instances is a usable training image.
    - `load_valid_mask` says which pixels are imagery at all (nodata, alpha, black border).

Shape letters: H, W pixels; C channels; N instances; K classes with background 0.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from landslide_rcnn.data.checking import ImageFacts, check_images
from landslide_rcnn.data.image_files import (
    RASTER_SUFFIXES,
    match_channels,
    read_image_file,
    read_valid_file,
)
from landslide_rcnn.data.leakage import find_duplicates
from landslide_rcnn.data.places import Place, place_of
from landslide_rcnn.data.problems import Problem, ProblemError, raise_if_stopping, warn_of
from landslide_rcnn.errors import DatasetError
from landslide_rcnn.geo.raster import Scene

__all__ = ["Dataset", "match_channels", "read_image_file", "read_valid_file"]

logger = logging.getLogger(__name__)

SOURCE = "landslide"  # of the classes of the ready-made datasets


class Dataset:
    """A list of images with their classes and instance masks.

    Use it by subclassing: call `add_class` and `add_image` in a loading method, override
    `load_mask` (and `load_image`, where images are not files), then call `prepare`.

    Attributes:
        image_info: One dict an image: "id" (the source's own), "source", "path", and whatever
            else was given to `add_image`. Indexed by image id.
        class_info: One dict a class: "source", "id" (the source's own), "name". The first is
            the background.
        source_class_ids: Source name -> class ids, background included. Set by `prepare`.
        left_out_fragments: Image id -> number of mask fragments too small to be instances that
            the last `load_mask` of that image left out.
        instance_counts: How many instances, crowds included, each image has; known after
            `verify`.
        problems: What a reader met while it opened the files.
        facts: Of every image, once `verify` has looked at them; else None.
        split: The part of a split file that it is (`data/split_files.py`); None: all there is.
        band_names: Names of the images' bands, in order; None if unknown.
        pixel_size_m: Ground resolution of the images, metres; None if unknown.
    """

    band_names: list[str] | None = None
    pixel_size_m: float | None = None
    facts: list[ImageFacts] | None = None
    split: Any = None

    def __init__(self, class_map: Any = None) -> None:
        """`class_map` is accepted for matterport's signature and has no effect, as there."""
        self._image_ids = np.zeros(0, np.int64)
        self._sizes: dict[int, tuple[int, int]] = {}
        self.image_info: list[dict[str, Any]] = []
        self.class_info: list[dict[str, Any]] = [{"source": "", "id": 0, "name": "BG"}]
        self.source_class_ids: dict[str, list[int]] = {}
        self.left_out_fragments: dict[int, int] = {}
        self.instance_counts: list[int] | None = None
        self.problems: list[Problem] = []

    def add_class(self, source: str, class_id: int | str, class_name: str) -> None:
        """Add a class of a source; a class that the source already has is ignored.

        Raises:
            DatasetError: `source` contains a full stop, which separates it from the class id.
        """
        if "." in source:
            raise DatasetError(
                f"A source name cannot contain a full stop. Received: source={source!r}. "
                "Use another separator."
            )
        known = any(c["source"] == source and c["id"] == class_id for c in self.class_info)
        if not known:
            self.class_info.append({"source": source, "id": class_id, "name": class_name})

    def add_image(self, source: str, image_id: Any, path: str | Path | None, **kwargs: Any) -> None:
        """Add an image; `kwargs` (width, height, polygons, ...) are kept in its `image_info`."""
        self.image_info.append({"id": image_id, "source": source, "path": path, **kwargs})

    def image_reference(self, image_id: int) -> str:
        """Return a link or a text that identifies the image to a person; "" without one."""
        path = self.image_info[image_id]["path"]
        return "" if path is None else str(path)

    def prepare(self, class_map: Any = None) -> None:
        """Number the classes and images; call it after the last `add_class` and `add_image`."""
        self.num_classes = len(self.class_info)
        self.class_ids = np.arange(self.num_classes)
        # As in matterport, a name is the part before its first comma.
        self.class_names = [c["name"].split(",")[0] for c in self.class_info]
        self.num_images = len(self.image_info)
        self._image_ids = np.arange(self.num_images)
        self.class_from_source_map = {
            f"{info['source']}.{info['id']}": class_id
            for class_id, info in enumerate(self.class_info)
        }
        self.image_from_source_map = {
            f"{info['source']}.{info['id']}": image_id
            for image_id, info in enumerate(self.image_info)
        }
        self.sources = list(dict.fromkeys(c["source"] for c in self.class_info))
        self.source_class_ids = {
            source: [
                class_id
                for class_id, info in enumerate(self.class_info)
                if class_id == 0 or info["source"] == source
            ]
            for source in self.sources
        }

    def keep_images(self, kept: Sequence[bool]) -> None:
        """Leave images out, for good, and number the others anew.

        Args:
            kept: One an image.
        """
        pairs = zip(self.image_info, kept, strict=True)
        self.image_info = [info for info, is_kept in pairs if is_kept]
        # What is known by the former numbers.
        self._sizes, self.left_out_fragments, self.facts = {}, {}, None
        self.prepare()

    def map_source_class_id(self, source_class_id: str) -> int:
        """Return the class id of a source's class, given as "source.id", e.g. "coco.12"."""
        return self.class_from_source_map[source_class_id]

    def get_source_class_id(self, class_id: int, source: str) -> int | str:
        """Return the source's own id of a class.

        Raises:
            DatasetError: The class is of another source.
        """
        info = self.class_info[class_id]
        if info["source"] != source:
            raise DatasetError(
                f"A class id can be mapped to its own source only. Received: class {class_id} of "
                f"source {info['source']!r}, source={source!r}. Use the class's source."
            )
        return info["id"]

    @property
    def image_ids(self) -> np.ndarray:
        """[number of images] int: 0, 1, ...; empty before `prepare`."""
        return self._image_ids

    def source_image_link(self, image_id: int) -> str | Path | None:
        """Return the path or address that the image was added with."""
        return self.image_info[image_id]["path"]

    def describe_image(self, image_id: int) -> str:
        """Return how messages name an image: its path, or "source image id"."""
        info = self.image_info[image_id]
        return str(info["path"] or f"{info['source']} image {info['id']}")

    def load_image(self, image_id: int) -> np.ndarray:
        """Read an image as [H, W, C], in the file's own dtype and number of channels.

        Raises:
            DatasetError: The file is missing or unreadable.
        """
        image = read_image_file(self._path_of(image_id))
        self._sizes[image_id] = image.shape[:2]
        return image

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the instances of an image. Override it; this one knows of none.

        Returns:
            masks: [H, W, N] bool, one channel an instance.
            class_ids: [N] int32, 1..K-1; negative marks a crowd, as in COCO.
        """
        height, width = self.image_size(image_id)
        return np.zeros((height, width, 0), bool), np.zeros(0, np.int32)

    def load_valid_mask(self, image_id: int) -> np.ndarray:
        """Return [H, W] bool, True = usable pixel. All of them, except in a GeoTIFF."""
        if self._is_raster(image_id):
            return read_valid_file(self._path_of(image_id))
        return np.ones(self.image_size(image_id), bool)

    def load_place(self, image_id: int) -> Place | None:
        """Return where on the ground an image lies; None where its file does not say."""
        if not self._is_raster(image_id):
            return None
        path = self._path_of(image_id)
        with Scene(path, allow_no_crs=True) as scene:
            return None if scene.crs is None else place_of(scene, scene.window, str(path))

    def find_problems(self, image_id: int, size: tuple[int, int] | None) -> list[Problem]:
        """Return what is wrong with the labels of an image, beyond what loading them tells.

        Args:
            image_id: Whose labels they are; `load_mask` was called before.
            size: (H, W) of the image, pixels; None where it cannot be read.
        """
        count = self.left_out_fragments.get(image_id, 0)
        name = self.describe_image(image_id)
        return [Problem("fragments", name, f"{count} left out")] if count else []

    @property
    def reads_files(self) -> bool:
        """Whether images are their files' pixels: a `load_image` of the user's own may differ."""
        return type(self).load_image is Dataset.load_image

    def _is_raster(self, image_id: int) -> bool:
        path = self.image_info[image_id]["path"]
        return self.reads_files and Path(path or "").suffix.lower() in RASTER_SUFFIXES

    def image_size(self, image_id: int) -> tuple[int, int]:
        """Return (height, width) in pixels; reads the image the first time."""
        if image_id not in self._sizes:
            # `load_image` may be a user's, which does not note the size.
            self._sizes[image_id] = np.shape(self.load_image(image_id))[:2]
        return self._sizes[image_id]

    def verify(self, progress: bool = True, channel_count: int | None = None) -> dict[str, int]:
        """Open every image and mask once, so that training cannot stop in the middle.

        Args:
            progress: Show a progress bar on stderr.
            channel_count: C that every image must have (grey may stand for 3); None: any.

        Returns:
            Counts: "images", "images_without_instances", "instances", "fragments_left_out".

        Raises:
            DatasetError: Something cannot be read or does not fit; the message names every
                file at fault.
        """
        if not len(self.image_ids):
            raise DatasetError(
                "A dataset needs at least one image. Received: 0 images. "
                "Add images and call prepare()."
            )
        self.facts = check_images(self, channel_count=channel_count, progress=progress)
        problems = list(self.problems)
        problems += [problem for facts in self.facts for problem in facts.problems]
        raise_if_stopping(problems, len(self.facts))
        warn_of([*problems, *find_duplicates(self, self.facts)])
        counts = [sum(facts.instances.values()) for facts in self.facts]
        self.instance_counts = counts
        return {
            "images": len(counts),
            "images_without_instances": sum(count == 0 for count in counts),
            "instances": sum(counts),
            "fragments_left_out": sum(self.left_out_fragments.values()),
        }

    def check_sample(
        self,
        image_id: int,
        image: np.ndarray,
        masks: np.ndarray,
        class_ids: np.ndarray,
        valid: np.ndarray,
    ) -> None:
        """Check that what was loaded for an image fits together.

        Args:
            image_id: Whose arrays they are.
            image: [H, W, C] or [H, W].
            masks: [H, W, N].
            class_ids: [N].
            valid: [H, W].

        Raises:
            DatasetError: It does not; names the image and the numbers.
        """
        name = self.describe_image(image_id)
        size, class_ids = np.shape(image)[:2], np.asarray(class_ids)
        if np.ndim(masks) != 3 or np.shape(masks)[:2] != size or np.shape(valid) != size:
            raise ProblemError(
                "size",
                name,
                f"image and masks must have one height and width. Received: image {size}, "
                f"masks {np.shape(masks)}, valid mask {np.shape(valid)}. Redraw the mask.",
            )
        if np.shape(masks)[2] != len(class_ids):
            raise DatasetError(
                f"{name}: every instance needs one class id. Received: {np.shape(masks)[2]} masks, "
                f"{len(class_ids)} class ids. Correct load_mask."
            )
        if np.issubdtype(np.asarray(image).dtype, np.floating):
            if not np.isfinite(image[valid]).all():
                raise ProblemError(
                    "values",
                    name,
                    "every valid pixel must be a number. Received: NaN or infinity. Set "
                    "the file's nodata value, or override load_valid_mask.",
                )
        ids = np.abs(class_ids.astype(np.int64))
        if np.any(ids >= len(self.class_info)) or np.any(ids == 0):
            raise ProblemError(
                "classes",
                name,
                f"class ids must be 1 to {len(self.class_info) - 1} (negative = crowd). "
                f"Received: {sorted(set(class_ids.tolist()))}. Add it, or correct load_mask.",
            )

    def _path_of(self, image_id: int) -> Path:
        path = self.image_info[image_id]["path"]
        if path is None:
            raise DatasetError(
                f"{self.describe_image(image_id)} was added without a path. Received: path=None. "
                "Give add_image a path, or override load_image."
            )
        return Path(path)
