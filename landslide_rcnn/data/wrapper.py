"""A dataset around another: what `data/background.py`, `data/cache.py` and `Subset` share."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.places import Place
from landslide_rcnn.data.problems import Problem
from landslide_rcnn.errors import DatasetError


class DatasetWrapper(Dataset):
    """The images of another dataset; a subclass adds, changes or leaves out something.

    Attributes:
        base: The other dataset.
    """

    def __init__(self, base: Dataset) -> None:
        """Take over classes, images and what is known of them.

        Raises:
            DatasetError: `base` has no images, or is not prepared.
        """
        super().__init__()
        if not len(base.image_ids):
            raise DatasetError(
                "A dataset must be prepared before another is built on it. Received: "
                f"{type(base).__name__} with 0 image ids. Add images and call prepare()."
            )
        self.base = base
        self.class_info = list(base.class_info)
        self.image_info = list(base.image_info)
        self.band_names, self.pixel_size_m = base.band_names, base.pixel_size_m
        self.left_out_fragments = base.left_out_fragments
        self.problems, self.split = list(base.problems), base.split
        self.prepare()

    def __getattr__(self, name: str) -> Any:
        # What a user's dataset knows besides `Dataset`'s attributes. Only asked for what is absent.
        if name == "base" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.base, name)

    def base_id(self, image_id: int) -> int:
        """Return under which id `base` has an image: the same, unless a subclass numbers anew."""
        return image_id

    def image_reference(self, image_id: int) -> str:
        """Return what `base` does."""
        return self.base.image_reference(self.base_id(image_id))

    def describe_image(self, image_id: int) -> str:
        """Return what `base` does."""
        return self.base.describe_image(self.base_id(image_id))

    def load_image(self, image_id: int) -> np.ndarray:
        """Return what `base` does."""
        return self.base.load_image(self.base_id(image_id))

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what `base` does."""
        return self.base.load_mask(self.base_id(image_id))

    def load_valid_mask(self, image_id: int) -> np.ndarray:
        """Return what `base` does."""
        return self.base.load_valid_mask(self.base_id(image_id))

    def image_size(self, image_id: int) -> tuple[int, int]:
        """Return what `base` does."""
        return self.base.image_size(self.base_id(image_id))

    def load_place(self, image_id: int) -> Place | None:
        """Return what `base` does."""
        return self.base.load_place(self.base_id(image_id))

    def find_problems(self, image_id: int, size: tuple[int, int] | None) -> list[Problem]:
        """Return what `base` does."""
        return self.base.find_problems(self.base_id(image_id), size)


class Subset(DatasetWrapper):
    """Some images of another dataset, numbered anew; right for any dataset, a user's own too.

    `Dataset.keep_images` leaves images out for good, and knows nothing of what a subclass keeps
    by image id; this leaves the other dataset as it is.

    Attributes:
        chosen: Their ids in `base`, in order.
    """

    def __init__(self, base: Dataset, chosen: Sequence[int]) -> None:
        """Take images of a prepared dataset by their ids."""
        super().__init__(base)
        self.chosen = [int(image_id) for image_id in chosen]
        self.image_info = [base.image_info[image_id] for image_id in self.chosen]
        self.left_out_fragments = {}
        self.prepare()

    def base_id(self, image_id: int) -> int:
        """Return under which id `base` has an image."""
        return self.chosen[image_id]

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what `base` does, and note what it left out under the number that is used here."""
        loaded = super().load_mask(image_id)
        fragments = self.base.left_out_fragments.get(self.base_id(image_id))
        if fragments is not None:
            self.left_out_fragments[image_id] = fragments
        return loaded
