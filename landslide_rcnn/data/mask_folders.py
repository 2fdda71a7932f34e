"""Folders of tiles with mask images.

A subclass of `data/dataset.py`'s `Dataset`. The class is always ("landslide", 1, "landslide").

Shape letters: H, W pixels; N instances.
"""

from pathlib import Path

import numpy as np

from landslide_rcnn.data.dataset import SOURCE, Dataset
from landslide_rcnn.data.folders import SPLIT_FILE, find_pairs, select_part
from landslide_rcnn.data.image_files import (
    HDF5_SUFFIXES,
    LANDSLIDE4SENSE_BANDS,
    LANDSLIDE4SENSE_PIXEL_SIZE_M,
    read_image_file,
)
from landslide_rcnn.data.mask_files import COMPONENTS, IDS, instances_of, read_mask_file
from landslide_rcnn.data.tiles import MIN_LANDSLIDE_PIXELS
from landslide_rcnn.errors import DatasetError


class MaskFolderDataset(Dataset):
    """Tiles as image files, their landslides as mask images of the same names.

    A prefix `image_` or `mask_` is not part of a name (`image_12.png` goes with `mask_12.png`).

    An instance is an 8-connected component of a mask, or what has one value in a mask of instance
    ids (`data/mask_files.py` tells them apart, mask by mask); instances of fewer than
    `min_landslide_pixels` pixels are left out and counted (`left_out_fragments`).

    Two layouts are understood, with `images/`, `img/` and `masks/` as other spellings:
        image/, mask/: every image has a mask, black where there is no landslide.
        landslide/image/, landslide/mask/, non-landslide/image/: that of the Bijie dataset (Ji
            et al. 2020); images of non-landslides have no mask.
    """

    def __init__(
        self, min_landslide_pixels: int = MIN_LANDSLIDE_PIXELS, instances: str | None = None
    ) -> None:
        """An empty dataset.

        Args:
            min_landslide_pixels: Of an instance, pixels of the mask image.
            instances: "components" or "ids"; None: as each mask's values say.

        Raises:
            DatasetError: `instances` is neither.
        """
        super().__init__()
        if instances not in (None, COMPONENTS, IDS):
            raise DatasetError(
                f"Instances of a mask are {COMPONENTS} or {IDS}. Received: {instances!r}. "
                "Leave it out to find out from the values."
            )
        self.instances = instances
        self.min_landslide_pixels = min_landslide_pixels
        self.add_class(SOURCE, 1, "landslide")

    @classmethod
    def from_folder(
        cls,
        root: str | Path,
        part: str | None = None,
        split_file: str = SPLIT_FILE,
        *,
        min_landslide_pixels: int = MIN_LANDSLIDE_PIXELS,
        instances: str | None = None,
        strict: bool = True,
    ) -> "MaskFolderDataset":
        """List the tiles of a folder, prepared for use.

        Args:
            root: The folder.
            part: Which part of the split to take, e.g. "train". None takes every tile.
            split_file: In `root`: a CSV table with the columns `file` and `part`.
            min_landslide_pixels: Pixels; see the class.
            instances: "components", "ids" or None; see the class.
            strict: Raise where an image or a mask is missing; else leave the tile out and note
                it in `problems`.

        Raises:
            DatasetError: The folder has neither layout, an image or a mask is missing, or the
                part is not in the split.
        """
        root, dataset = Path(root), cls(min_landslide_pixels, instances)
        problems = None if strict else dataset.problems
        pairs = find_pairs(root, problems)
        if part is not None:
            pairs = select_part(pairs, root / split_file, part, problems)
        for image_path, mask_path in pairs:
            background = mask_path is None  # of non-landslides: empty on purpose
            dataset.add_image(
                SOURCE, image_path.stem, image_path, mask_path=mask_path, background=background
            )
        dataset.prepare()
        dataset._name_bands()
        return dataset

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return masks [H, W, N] bool and class ids [N] int32, all 1."""
        mask_path = self.image_info[image_id]["mask_path"]
        if mask_path is None:
            return super().load_mask(image_id)
        masks, left_out = instances_of(
            read_mask_file(mask_path), mask_path, self.min_landslide_pixels, self.instances
        )
        self.left_out_fragments[image_id] = left_out
        return masks, np.ones(masks.shape[-1], np.int32)

    def _name_bands(self) -> None:
        """Take over the bands of Landslide4Sense, which its files do not name."""
        path = Path(self.image_info[0]["path"]) if self.image_info else Path()
        if path.suffix.lower() not in HDF5_SUFFIXES:
            return
        try:
            band_count = read_image_file(path).shape[-1]
        except DatasetError:
            return  # `verify` names the file
        if band_count == len(LANDSLIDE4SENSE_BANDS):
            self.band_names = list(LANDSLIDE4SENSE_BANDS)
            self.pixel_size_m = LANDSLIDE4SENSE_PIXEL_SIZE_M
