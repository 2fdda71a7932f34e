"""One image and its masks -> what is there and what is wrong with it.

`Dataset.verify` stops training by it, `data/inspection.py` makes a report of it. Only small facts
outlive an image, so memory does not grow with the dataset.

Shape letters: H, W pixels; C channels; N instances.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from landslide_rcnn.data.image_files import JPEG_SUFFIXES, check_jpeg, match_channels
from landslide_rcnn.data.looks import look_of
from landslide_rcnn.data.places import Place
from landslide_rcnn.data.problems import Problem, ProblemError
from landslide_rcnn.data.statistics import BandStatistics, statistics_of
from landslide_rcnn.errors import LandslideError

# What reading a bad file raises, in this package and in the usual code of a user's `load_mask`.
READING_ERRORS = (LandslideError, OSError, ValueError, IndexError, KeyError, cv2.error)
WORKERS = 8


@dataclass(frozen=True)
class ImageFacts:
    """What was found in one image.

    Attributes:
        image_id: In its dataset.
        name: How messages call it.
        size: (H, W), pixels; None where it cannot be read, as everything below.
        channels: C.
        dtype: Of the pixels.
        instances: Class id -> number of instances; crowds under their negative ids.
        areas_px: [N] pixels of each instance that is not a crowd.
        landslide_px: Usable pixels in instances.
        background_px: Usable pixels outside of instances and crowds.
        digest: Of the pixels: equal for equal images.
        turned_digest: Of each band's values without their order: equal for turned images too.
        look: `data/looks.py`'s; None without texture.
        statistics: Of the bands, over the usable pixels; None unless asked for.
        place: On the ground, as far as known; None unless asked for.
        problems: All that is wrong with it.
    """

    image_id: int
    name: str
    size: tuple[int, int] | None = None
    channels: int = 0
    dtype: str = ""
    instances: dict[int, int] = field(default_factory=dict)
    areas_px: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    landslide_px: int = 0
    background_px: int = 0
    digest: str = ""
    turned_digest: str = ""
    look: np.ndarray | None = None
    statistics: BandStatistics | None = None
    place: Place | None = None
    problems: tuple[Problem, ...] = ()


def check_images(
    dataset: Any,
    *,
    channel_count: int | None = None,
    details: bool = False,
    progress: bool = True,
) -> list[ImageFacts]:
    """Open every image and mask of a dataset once, in worker threads.

    Args:
        dataset: A prepared `Dataset`.
        channel_count: C that every image must have (grey may stand for 3); None: any.
        details: Also gather statistics and places.
        progress: Show a progress bar on stderr.
    """

    def check(image_id: int) -> ImageFacts:
        return check_image(dataset, int(image_id), channel_count, details)

    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        checks = pool.map(check, dataset.image_ids)
        return list(tqdm(checks, "Checking images", dataset.num_images, disable=not progress))


def check_image(
    dataset: Any, image_id: int, channel_count: int | None = None, details: bool = False
) -> ImageFacts:
    """Open one image and its masks; see `check_images`."""
    name = dataset.describe_image(image_id)
    facts = ImageFacts(image_id, name)
    problems: list[Problem] = []
    image = masks = valid = None
    try:
        _check_file(dataset, image_id)
        image = np.asarray(dataset.load_image(image_id))
        valid = dataset.load_valid_mask(image_id)
        if channel_count is not None:
            match_channels(image, channel_count, name)
    except READING_ERRORS as error:
        problems.append(problem_of(error, name, "unreadable" if valid is None else "bands"))
    try:
        masks, class_ids = dataset.load_mask(image_id)
        if image is not None and valid is not None:
            dataset.check_sample(image_id, image, masks, class_ids, valid)
            facts = _measure(facts, image, masks, np.asarray(class_ids), np.asarray(valid))
            problems += _emptiness(dataset, facts, image, valid)
            if details:
                facts = _add_details(facts, dataset, image, valid)
    except READING_ERRORS as error:
        # Without the image, its size may be all that is missing: said already.
        if not (problems and str(problems[0].text) in str(error)):
            problems.append(problem_of(error, name, "unreadable"))
    problems += dataset.find_problems(image_id, None if image is None else image.shape[:2])
    return replace(facts, problems=tuple(dict.fromkeys(problems)))


def problem_of(error: BaseException, name: str, kind: str) -> Problem:
    """Return what an error met while loading an image says, as a problem of that image."""
    if isinstance(error, ProblemError):
        return error.problem
    return Problem(kind, name, " ".join(str(error).removeprefix(f"{name}: ").split()))


def _check_file(dataset: Any, image_id: int) -> None:
    path = dataset.image_info[image_id]["path"]
    if dataset.reads_files and Path(path or "").suffix.lower() in JPEG_SUFFIXES:
        check_jpeg(path)


def _measure(
    facts: ImageFacts,
    image: np.ndarray,
    masks: np.ndarray,
    class_ids: np.ndarray,
    valid: np.ndarray,
) -> ImageFacts:
    """Add sizes, counts and the digest of a sound sample."""
    masks = np.asarray(masks, bool)
    of_instance = class_ids > 0
    landslide = masks[..., of_instance].any(axis=-1) & valid
    crowd = masks[..., ~of_instance].any(axis=-1)
    return replace(
        facts,
        size=(int(image.shape[0]), int(image.shape[1])),
        channels=1 if image.ndim == 2 else int(image.shape[-1]),
        dtype=str(image.dtype),
        instances=dict(Counter(class_ids.tolist())),
        areas_px=masks[..., of_instance].sum(axis=(0, 1), dtype=np.int64),
        landslide_px=int(landslide.sum()),
        background_px=int((valid & ~landslide & ~crowd).sum()),
        digest=_digest(image, sorted_values=False),
        turned_digest=_digest(image, sorted_values=True),
        look=look_of(image, valid),
    )


def _digest(image: np.ndarray, *, sorted_values: bool) -> str:
    """Return a digest of an image's pixels, or of its bands' values whatever their order."""
    size = sorted(image.shape[:2]) if sorted_values else image.shape[:2]
    digest = hashlib.blake2b(f"{size} {image.shape[2:]} {image.dtype}".encode(), digest_size=16)
    if not sorted_values:
        digest.update(np.ascontiguousarray(image))
        return digest.hexdigest()
    bands = image.reshape(image.shape[0] * image.shape[1], -1).T
    for band in bands:
        # Counting says the same as sorting, and is much faster where there are few values.
        few = image.dtype == np.uint8
        digest.update(np.bincount(band, minlength=256) if few else np.sort(band))
    return digest.hexdigest()


def _emptiness(
    dataset: Any, facts: ImageFacts, image: np.ndarray, valid: np.ndarray
) -> Iterable[Problem]:
    if not valid.any():
        yield Problem("empty", facts.name, "no usable pixel. Remove it")
    elif (image[valid] == image[valid][0]).all():
        yield Problem("empty", facts.name, "every pixel has the same value. Remove or replace it")
    elif not facts.instances and not dataset.image_info[facts.image_id].get("background"):
        yield Problem("background", facts.name, "no landslide in it")


def _add_details(
    facts: ImageFacts, dataset: Any, image: np.ndarray, valid: np.ndarray
) -> ImageFacts:
    bands = image if image.ndim == 3 else image[..., None]
    return replace(
        facts,
        statistics=statistics_of(bands, np.asarray(valid)),
        place=dataset.load_place(facts.image_id),
    )
