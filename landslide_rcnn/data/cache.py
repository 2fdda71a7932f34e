"""Decoded samples on disk, for data that are slow to read: large scenes, remote files.

    CachedDataset(dataset, folder) -> one uncompressed .npz a sample, written when first asked for

Goes around a dataset before anything random: `BackgroundEnhanced(CachedDataset(...))`.

Shape letters: H, W pixels; C channels; N instances.
"""

import hashlib
import logging
import os
import pickle
import stat
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.samples import Sample, read_sample
from landslide_rcnn.data.wrapper import DatasetWrapper
from landslide_rcnn.errors import ConfigError, DatasetError
from landslide_rcnn.files import DAMAGED_ARCHIVE, atomic_path

logger = logging.getLogger(__name__)

FORMAT = 1  # changed when the files' content means something else
# What a dataset notes while it is used; it decides nothing about the samples.
_NOTES = {"image_info", "left_out_fragments", "instance_counts", "_image_ids", "_sizes"}
_OF_THREADS = (threading.local, type(threading.Lock()))


class CachedDataset(DatasetWrapper):
    """A dataset whose decoded images and masks are kept in a folder, for later epochs and runs.

    A file's name is a digest of all that decides its sample: the image's `image_info`, the size
    and time of every file that it or the dataset names, the dataset's attributes, and the code
    of its loading methods. When one changes, the sample is made anew under another name. Files
    that loading methods find without any attribute naming them are not seen: delete the folder
    when those change.

    The folder stays under `max_gb`: when it is full, further samples are read from their files,
    and that is said once. Nothing is deleted. Files are written whole or not at all; several
    processes may share a folder. A damaged file is said and replaced.

    Attributes:
        hits: How many samples came from the folder.
        misses: How many were made.
    """

    def __init__(self, dataset: Dataset, folder: str | Path, max_gb: float = 20.0) -> None:
        """Make the folder, and measure what is in it.

        Args:
            dataset: Prepared.
            folder: Of the cache; made if it is missing. Several datasets may share one.
            max_gb: Limit of the folder's size, 10^9 bytes.

        Raises:
            DatasetError: `dataset` is not prepared, or an attribute of it cannot be told from
                another value.
            ConfigError: `max_gb` is not positive.
        """
        super().__init__(dataset)
        if max_gb <= 0:
            raise ConfigError(
                f"The cache needs room. Received: max_gb={max_gb}. Use a positive number, or no "
                "cache."
            )
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.hits = self.misses = 0
        self._limit = max_gb * 1e9
        self._size = sum(path.stat().st_size for path in self.folder.glob("*.npz"))
        self._lock = threading.Lock()
        self._memory = threading.local()
        self._full_said = False
        self._key = _digest([FORMAT, *_identity_of(dataset)])

    def sample(self, image_id: int) -> Sample:
        """Return an image with its labels; each thread keeps its last one."""
        if getattr(self._memory, "image_id", None) != image_id:
            self._memory.sample = self._load(image_id)
            self._memory.image_id = image_id
        return self._memory.sample

    def load_image(self, image_id: int) -> np.ndarray:
        """Return [H, W, C]."""
        return self.sample(image_id).image

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return masks [H, W, N] bool and class ids [N] int32."""
        sample = self.sample(image_id)
        return sample.masks, sample.class_ids

    def load_valid_mask(self, image_id: int) -> np.ndarray:
        """Return [H, W] bool, True = usable pixel."""
        return self.sample(image_id).valid

    def path_of(self, image_id: int) -> Path:
        """Return where an image's sample is kept, now that its files are as they are."""
        return self.folder / f"{_digest([self._key, self.base.image_info[image_id]])}.npz"

    def _load(self, image_id: int) -> Sample:
        path = self.path_of(image_id)
        if path.exists():
            try:
                sample = _read(path)
            except DAMAGED_ARCHIVE as error:
                logger.warning("%s is damaged (%s): made anew", path, error)
            else:
                with self._lock:
                    self.hits += 1
                return sample
        sample = read_sample(self.base, image_id)
        with self._lock:
            self.misses += 1
            # Masks are kept as bits.
            needed = (
                sample.image.nbytes + sample.valid.nbytes // 8 + sample.masks.nbytes // 8 + 2000
            )
            full = self._size + needed > self._limit
            say, self._full_said = full and not self._full_said, full or self._full_said
            self._size += 0 if full else needed
        if say:
            logger.warning(
                "%s is full (%.1f GB): further samples are read from their files",
                self.folder,
                self._limit / 1e9,
            )
        if not full:
            _write(path, sample)
        return sample


def _write(path: Path, sample: Sample) -> None:
    with atomic_path(path) as partial:
        np.savez(
            partial,
            image=sample.image,
            masks=np.packbits(sample.masks),
            shape=np.array(sample.masks.shape),
            class_ids=sample.class_ids,
            valid=np.packbits(sample.valid),
        )


def _read(path: Path) -> Sample:
    with np.load(path, allow_pickle=False) as file:
        height, width, count = (int(side) for side in file["shape"])
        bits, valid_bits = file["masks"], file["valid"]
        masks = np.unpackbits(bits, count=height * width * count).astype(bool)
        valid = np.unpackbits(valid_bits, count=height * width).astype(bool)
        return Sample(
            file["image"],
            masks.reshape(height, width, count),
            file["class_ids"],
            valid.reshape(height, width),
        )


def _identity_of(dataset: Dataset) -> Iterator[Any]:
    """Yield what decides a dataset's samples, besides each image's `image_info`."""
    yield f"{type(dataset).__module__}.{type(dataset).__qualname__}"
    for name in ("load_image", "load_mask", "load_valid_mask"):
        yield getattr(getattr(type(dataset), name), "__code__", name)
    for name, value in sorted(vars(dataset).items()):
        if name not in _NOTES and not isinstance(value, _OF_THREADS):
            try:
                yield name, _canonical(value)
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                raise DatasetError(
                    "A cache must tell a dataset's attributes from other values. Received: "
                    f"{type(dataset).__name__}.{name}, a {type(value).__name__} ({error}). Open "
                    "what it holds in the loading methods, or use no cache."
                ) from error


def _digest(content: Any) -> str:
    return hashlib.sha256(repr(_canonical(content)).encode()).hexdigest()[:32]


def _canonical(value: Any) -> Any:
    """Return what tells a value from another, the same in every process, with a repr.

    A path, also as text, stands for the file's size and time too; a large value for a digest of
    its bytes.
    """
    if isinstance(value, Dataset):
        return _canonical(list(_identity_of(value)) + value.image_info)
    if isinstance(value, Path | str):
        return str(value), _stamp_of(value)
    if isinstance(value, dict):
        return sorted((repr(_canonical(k)), _canonical(v)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return [_canonical(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted(repr(_canonical(v)) for v in value)
    if isinstance(value, types.CodeType):
        return value.co_code.hex(), _canonical(value.co_consts), value.co_names
    if value is None or isinstance(value, bool | int | float | bytes):
        return value
    if isinstance(value, np.ndarray) and value.dtype != object:
        data = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return value.dtype.str, value.shape, data
    if hasattr(value, "to_wkb"):  # a GeoDataFrame
        return hashlib.sha256(value.to_wkb().to_csv().encode()).hexdigest()
    return hashlib.sha256(pickle.dumps(value)).hexdigest()


def _stamp_of(path: str | Path) -> tuple[int, int] | None:
    """Return a file's size and time of change; None if there is none of that name."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # ValueError: a text that no path can be
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
