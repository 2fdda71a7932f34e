"""The bands of a dataset: their names, a choice among them, their mean and deviation.

Between `data/dataset.py` and training: what lands in the weights' card as `bands`, MEAN_PIXEL and
STD_PIXEL, so that detection can check names and order and sees the same numbers.

Shape letters: H, W pixels; C channels.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from tqdm import tqdm

from landslide_rcnn.data.dataset import Dataset, match_channels
from landslide_rcnn.data.image_files import RASTER_SUFFIXES
from landslide_rcnn.data.statistics import BandStatistics, statistics_of
from landslide_rcnn.data.wrapper import DatasetWrapper
from landslide_rcnn.errors import DatasetError
from landslide_rcnn.geo.raster import Scene

WORKERS = 4  # threads that read images
CONSTANT = 1e-12  # share of a band's size below which its deviation is rounding


class SelectedBands(DatasetWrapper):
    """A dataset seen through some of its bands, in a given order.

    Attributes:
        bands: Which of the whole dataset's bands, from 0.
    """

    def __init__(self, dataset: Dataset, bands: Sequence[int], names: Sequence[str]) -> None:
        """Take bands (from 0) of a prepared dataset, under these names."""
        super().__init__(dataset)
        self.bands, self.band_names = list(bands), list(names)

    def load_image(self, image_id: int) -> np.ndarray:
        """Read the chosen bands of an image, [H, W, C]."""
        image = super().load_image(image_id)
        if image.ndim == 2:
            image = image[..., None]
        if max(self.bands) >= image.shape[-1]:
            raise DatasetError(
                f"{self.describe_image(image_id)}: a chosen band must be there. Received: "
                f"{image.shape[-1]} bands, band {max(self.bands) + 1} chosen. Choose among them."
            )
        return image[..., self.bands]


def select_bands(dataset: Dataset, text: str) -> SelectedBands:
    """Choose bands as the command line says them.

    Args:
        dataset: Prepared.
        text: Comma-separated numbers from 1 or names that the files have, each with a name of
            its own before it where wanted: `3,2,1`, `red,nir`, `dem=4,slope=6`.

    Raises:
        DatasetError: A band is not there, or one is named twice.
    """
    known = band_names_of(dataset)
    numbers, names = [], []
    for item in text.split(","):
        name, _, band = (part.strip() for part in item.rpartition("="))
        lowered = [each.lower() for each in known]
        if band.isdecimal() and 1 <= int(band) <= len(known):
            numbers.append(int(band) - 1)
        elif band.lower() in lowered:
            numbers.append(lowered.index(band.lower()))
        else:
            raise DatasetError(
                f"A band is a number from 1 to {len(known)} or one of {', '.join(known)}. "
                f"Received: {item.strip()!r}. Use 3,2,1, say, or red=3,green=2."
            )
        names.append(name or known[numbers[-1]])
    if len(set(names)) < len(names):
        raise DatasetError(
            f"Bands are told apart by their names. Received: {', '.join(names)}. Name each once."
        )
    return SelectedBands(dataset, numbers, names)


def band_names_of(dataset: Dataset) -> list[str]:
    """Return the names of a dataset's bands: its own, those of its first file, or numbers."""
    if dataset.band_names is not None:
        return list(dataset.band_names)
    count = channels_and_dtype(dataset)[0]
    path = str(dataset.image_info[0]["path"] or "")
    if path.lower().endswith(RASTER_SUFFIXES) and dataset.reads_files:
        with Scene(path, allow_no_crs=True) as scene:
            return list(scene.band_names)
    return ["red", "green", "blue"] if count == 3 else [f"band {i + 1}" for i in range(count)]


def channels_and_dtype(dataset: Dataset) -> tuple[int, np.dtype]:
    """Return C and the dtype of a dataset's first image; the others are checked by `verify`."""
    if not dataset.num_images:
        raise DatasetError(
            "A dataset needs at least one image. Received: 0 images. Add images and call prepare()."
        )
    image = np.asarray(dataset.load_image(0))
    return (1 if image.ndim == 2 else image.shape[-1]), image.dtype


def band_statistics(
    dataset: Dataset, channel_count: int | None = None, *, progress: bool = True
) -> BandStatistics:
    """Return the statistics of every band over the usable pixels of all images.

    Memory does not grow with the dataset: images are read one after another.

    Args:
        dataset: Prepared.
        channel_count: C that images have; grey stands for 3. None: that of the first image.
        progress: Show a progress bar on stderr.

    Raises:
        DatasetError: There is no usable pixel, or an image has other bands.
    """
    count = channel_count or channels_and_dtype(dataset)[0]

    def of_image(image_id: int) -> BandStatistics:
        name = dataset.describe_image(image_id)
        image = match_channels(np.asarray(dataset.load_image(image_id)), count, name)
        return statistics_of(image, dataset.load_valid_mask(image_id))

    total: Any = None
    with ThreadPoolExecutor(WORKERS) as pool:
        ids = list(dataset.image_ids)
        # A few at a time: `map` over all would hold the statistics of all that are ready.
        with tqdm(total=len(ids), desc="Band statistics", disable=not progress) as bar:
            for start in range(0, len(ids), 8 * WORKERS):
                for one in pool.map(of_image, ids[start : start + 8 * WORKERS]):
                    total = one if total is None else total.joined(one)
                    bar.update(1)
    if total is None or not total.count:
        raise DatasetError(
            f"Statistics need usable pixels. Received: {len(ids)} images without any. Check the "
            "files' nodata value."
        )
    return total


def pixel_scale(statistics: BandStatistics) -> tuple[np.ndarray, np.ndarray]:
    """Return MEAN_PIXEL and STD_PIXEL, [C] each; the deviation of a constant band counts as 1."""
    deviation = statistics.deviation
    constant = deviation <= CONSTANT * np.maximum(np.abs(statistics.mean), 1e-30)
    return statistics.mean, np.where(constant, 1.0, deviation)
