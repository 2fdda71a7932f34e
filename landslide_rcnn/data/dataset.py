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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from landslide_rcnn.errors import DatasetError, LandslideError
from landslide_rcnn.geo.raster import Scene

logger = logging.getLogger(__name__)

RASTER_SUFFIXES = (".tif", ".tiff")
SOURCE = "landslide"  # of the classes of the ready-made datasets
MIN_LANDSLIDE_PIXELS = 10  # smaller connected pieces are drawing accidents or slivers at an edge

# What reading a bad file raises, in this package and in the usual code of a user's `load_mask`.
READING_ERRORS = (LandslideError, OSError, ValueError, IndexError, KeyError, cv2.error)


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
        band_names: Names of the images' bands, in order; None if unknown.
        pixel_size_m: Ground resolution of the images, metres; None if unknown.
    """

    band_names: list[str] | None = None
    pixel_size_m: float | None = None

    def __init__(self, class_map: Any = None) -> None:
        """`class_map` is accepted for matterport's signature and has no effect, as there."""
        self._image_ids = np.zeros(0, np.int64)
        self._sizes: dict[int, tuple[int, int]] = {}
        self.image_info: list[dict[str, Any]] = []
        self.class_info: list[dict[str, Any]] = [{"source": "", "id": 0, "name": "BG"}]
        self.source_class_ids: dict[str, list[int]] = {}
        self.left_out_fragments: dict[int, int] = {}

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
        path = self.image_info[image_id]["path"]
        # A `load_image` of the user's own may make anything of the file: then every pixel counts.
        reads_files = type(self).load_image is Dataset.load_image
        if reads_files and Path(path or "").suffix.lower() in RASTER_SUFFIXES:
            return read_valid_file(path)
        return np.ones(self.image_size(image_id), bool)

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
        with ThreadPoolExecutor(max_workers=8) as pool:
            checks = pool.map(lambda i: self._check_image(i, channel_count), self.image_ids)
            bar = tqdm(checks, "Checking images", self.num_images, disable=not progress)
            results = list(bar)
        faults = [result for result in results if isinstance(result, str)]
        if faults:
            raise DatasetError(
                f"Every image and mask must be readable and fit together. Received: {len(faults)} "
                f"of {len(results)} that do not: {'; '.join(faults)}. Repair or remove them."
            )
        counts = {
            "images": len(results),
            "images_without_instances": sum(count == 0 for count in results),
            "instances": sum(results),
            "fragments_left_out": sum(self.left_out_fragments.values()),
        }
        if counts["fragments_left_out"]:
            logger.warning(
                "%d mask fragments are too small: left out", counts["fragments_left_out"]
            )
        return counts

    def _check_image(self, image_id: int, channel_count: int | None) -> int | str:
        """Return the number of instances of a sound image, or what is wrong, with its name."""
        try:
            image = self.load_image(image_id)
            if channel_count is not None:
                match_channels(image, channel_count, self.describe_image(image_id))
            masks, class_ids = self.load_mask(image_id)
            valid = self.load_valid_mask(image_id)
            self.check_sample(image_id, image, masks, class_ids, valid)
        except READING_ERRORS as error:
            name = self.describe_image(image_id)
            return str(error) if name in str(error) else f"{name}: {error}"
        return len(class_ids)

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
            raise DatasetError(
                f"{name}: image and masks must have one height and width. Received: image {size}, "
                f"masks {np.shape(masks)}, valid mask {np.shape(valid)}. Redraw the mask."
            )
        if np.shape(masks)[2] != len(class_ids):
            raise DatasetError(
                f"{name}: every instance needs one class id. Received: {np.shape(masks)[2]} masks, "
                f"{len(class_ids)} class ids. Correct load_mask."
            )
        if np.issubdtype(np.asarray(image).dtype, np.floating):
            if not np.isfinite(image[valid]).all():
                raise DatasetError(
                    f"{name}: every valid pixel must be a number. Received: NaN or infinity. Set "
                    "the file's nodata value, or override load_valid_mask."
                )
        ids = np.abs(class_ids.astype(np.int64))
        if np.any(ids >= len(self.class_info)) or np.any(ids == 0):
            raise DatasetError(
                f"{name}: class ids must be 1 to {len(self.class_info) - 1} (negative = crowd). "
                f"Received: {sorted(set(class_ids.tolist()))}. Add the class, or correct load_mask."
            )

    def _path_of(self, image_id: int) -> Path:
        path = self.image_info[image_id]["path"]
        if path is None:
            raise DatasetError(
                f"{self.describe_image(image_id)} was added without a path. Received: path=None. "
                "Give add_image a path, or override load_image."
            )
        return Path(path)


def read_image_file(path: str | Path) -> np.ndarray:
    """Read an image file as [H, W, C], in its own dtype; colours are in RGB order.

    GeoTIFFs (with or without CRS) give all their bands, other formats what they hold, less the
    alpha channel of a PNG.

    Raises:
        DatasetError: The file is missing or unreadable.
    """
    path = Path(path)
    if path.suffix.lower() in RASTER_SUFFIXES:
        try:
            with Scene(path, allow_no_crs=True) as scene:
                return scene.read(scene.window)
        except LandslideError as error:
            raise DatasetError(str(error)) from error
    try:
        encoded = np.fromfile(path, np.uint8)  # not cv2.imread: it fails on non-ASCII Windows paths
    except OSError as error:
        raise DatasetError(
            f"An image must be readable. Received: {path}: {error.strerror}. Correct the path."
        ) from error
    image = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if encoded.size else None
    if image is None:
        raise DatasetError(
            f"An image must be readable. Received: {path} ({encoded.size} bytes), which is damaged "
            "or not an image. Replace or remove it."
        )
    if image.ndim == 2:
        return image[..., None]
    return np.ascontiguousarray(image[..., 2::-1])  # BGR or BGRA -> RGB


def match_channels(image: np.ndarray, channel_count: int, name: str) -> np.ndarray:
    """Return an image with the wanted number of channels; grey is repeated to make three.

    Args:
        image: [H, W, C] or [H, W].
        channel_count: The C wanted.
        name: What messages call the image.

    Raises:
        DatasetError: It has another number of channels.
    """
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[-1] == 1 and channel_count == 3:
        return np.repeat(image, 3, axis=-1)
    if image.shape[-1] != channel_count:
        raise DatasetError(
            f"{name}: an image must have IMAGE_CHANNEL_COUNT channels. Received: "
            f"{image.shape[-1]} channels, IMAGE_CHANNEL_COUNT={channel_count}. "
            f"Use IMAGE_CHANNEL_COUNT={image.shape[-1]}, or select bands in load_image."
        )
    return image


def read_valid_file(path: str | Path) -> np.ndarray:
    """Return [H, W] bool of a GeoTIFF, True = usable pixel.

    Raises:
        DatasetError: The file is missing or unreadable.
    """
    try:
        with Scene(path, allow_no_crs=True) as scene:
            return scene.read_valid(scene.window)
    except LandslideError as error:
        raise DatasetError(str(error)) from error
