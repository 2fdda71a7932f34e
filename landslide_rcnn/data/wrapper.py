"""A dataset around another: what `data/background.py` and `data/cache.py` have in common."""

from typing import Any

import numpy as np

from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.places import Place
from landslide_rcnn.data.problems import Problem
from landslide_rcnn.errors import DatasetError


class DatasetWrapper(Dataset):
    """The images of another dataset, under the same ids; a subclass adds or changes something.

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

    def image_reference(self, image_id: int) -> str:
        """Return what `base` does."""
        return self.base.image_reference(image_id)

    def describe_image(self, image_id: int) -> str:
        """Return what `base` does."""
        return self.base.describe_image(image_id)

    def load_image(self, image_id: int) -> np.ndarray:
        """Return what `base` does."""
        return self.base.load_image(image_id)

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what `base` does."""
        return self.base.load_mask(image_id)

    def load_valid_mask(self, image_id: int) -> np.ndarray:
        """Return what `base` does."""
        return self.base.load_valid_mask(image_id)

    def image_size(self, image_id: int) -> tuple[int, int]:
        """Return what `base` does."""
        return self.base.image_size(image_id)

    def load_place(self, image_id: int) -> Place | None:
        """Return what `base` does."""
        return self.base.load_place(image_id)

    def find_problems(self, image_id: int, size: tuple[int, int] | None) -> list[Problem]:
        """Return what `base` does."""
        return self.base.find_problems(image_id, size)
