"""Ready-made datasets: folders of tiles with mask images (a scene: `data/scenes.py`).

Subclasses of `data/dataset.py`'s `Dataset`; `open_dataset` chooses between them by how the
command line names training data. The class is always ("landslide", 1, "landslide").

Shape letters: H, W pixels; C channels; N instances.
"""

from pathlib import Path

import cv2
import numpy as np

from landslide_rcnn.data.dataset import MIN_LANDSLIDE_PIXELS, SOURCE, Dataset, read_image_file
from landslide_rcnn.data.folders import SPEC_FORMS, find_pairs, select_part
from landslide_rcnn.data.scenes import SceneDataset
from landslide_rcnn.errors import DatasetError


class MaskFolderDataset(Dataset):
    """Tiles as image files, their landslides as mask images of the same names.

    A prefix `image_` or `mask_` is not part of a name (`image_12.png` goes with `mask_12.png`).

    An instance is an 8-connected component of mask > 0; components of fewer than
    `min_landslide_pixels` pixels are left out and counted (`left_out_fragments`).

    Two layouts are understood, with `images/` and `masks/` as other spellings:
        image/, mask/: every image has a mask, black where there is no landslide.
        landslide/image/, landslide/mask/, non-landslide/image/: that of the Bijie dataset (Ji
            et al. 2020); images of non-landslides have no mask.
    """

    def __init__(self, min_landslide_pixels: int = MIN_LANDSLIDE_PIXELS) -> None:
        """`min_landslide_pixels` is in pixels of the mask image."""
        super().__init__()
        self.min_landslide_pixels = min_landslide_pixels
        self.add_class(SOURCE, 1, "landslide")

    @classmethod
    def from_folder(
        cls,
        root: str | Path,
        part: str | None = None,
        split_file: str = "split.csv",
        *,
        min_landslide_pixels: int = MIN_LANDSLIDE_PIXELS,
    ) -> "MaskFolderDataset":
        """List the tiles of a folder, prepared for use.

        Args:
            root: The folder.
            part: Which part of the split to take, e.g. "train". None takes every tile.
            split_file: In `root`: a CSV table with the columns `file` and `part`.
            min_landslide_pixels: Pixels; see the class.

        Raises:
            DatasetError: The folder has neither layout, an image or a mask is missing, or the
                part is not in the split.
        """
        root = Path(root)
        pairs = find_pairs(root)
        if part is not None:
            pairs = select_part(pairs, root / split_file, part)
        dataset = cls(min_landslide_pixels)
        for image_path, mask_path in pairs:
            dataset.add_image(SOURCE, image_path.stem, image_path, mask_path=mask_path)
        dataset.prepare()
        return dataset

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return masks [H, W, N] bool and class ids [N] int32, all 1."""
        mask_path = self.image_info[image_id]["mask_path"]
        if mask_path is None:
            return super().load_mask(image_id)
        landslide = (read_image_file(mask_path) > 0).any(axis=-1)
        masks, left_out = split_components(landslide, self.min_landslide_pixels)
        self.left_out_fragments[image_id] = left_out
        return masks, np.ones(masks.shape[-1], np.int32)


def open_dataset(
    spec: str | Path,
    *,
    part: str | None = None,
    tile_size: int = 256,
    overlap: int = 0,
    allow_no_crs: bool = False,
) -> Dataset:
    """Open training data as the command line names it.

    Args:
        spec: `FOLDER`, `FOLDER#PART` (e.g. `bijie#train`) or `SCENE.tif:POLYGONS.gpkg`.
        part: The part of a folder's split, unless `spec` names it.
        tile_size: Side of a tile cut from a scene, pixels; folders have their own tiles.
        overlap: Of tiles cut from a scene, pixels.
        allow_no_crs: Take a scene without CRS in pixel coordinates.

    Returns:
        A prepared dataset.

    Raises:
        DatasetError: `spec` is neither, or the data are not usable.
        RasterError, GeoReferenceError: Scene or polygons are not usable.
    """
    spec = str(spec)
    folder, hash_sign, named_part = spec.rpartition("#")
    if hash_sign and Path(folder).is_dir() and not Path(spec).exists():
        if part is not None and part != named_part:
            raise DatasetError(
                f"A part is named once. Received: {spec!r} and part={part!r}. Leave one out."
            )
        return MaskFolderDataset.from_folder(folder, named_part)
    if Path(spec).is_dir():
        return MaskFolderDataset.from_folder(spec, part)

    scene_path, polygons_path = _split_scene_spec(spec)
    if part is not None:
        raise DatasetError(
            f"Only a folder has parts. Received: part={part!r} with {spec!r}. Leave part out."
        )
    return SceneDataset(
        scene_path, polygons_path, tile_size=tile_size, overlap=overlap, allow_no_crs=allow_no_crs
    )


def split_components(landslide: np.ndarray, min_pixels: int) -> tuple[np.ndarray, int]:
    """Split a semantic mask into instances.

    Args:
        landslide: [H, W] bool.
        min_pixels: 8-connected components smaller than this are left out.

    Returns:
        masks: [H, W, N] bool, in the order of their first pixels.
        left_out: How many components were too small.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(landslide, np.uint8), connectivity=8, ltype=cv2.CV_32S
    )
    large = np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= min_pixels) + 1
    return labels[..., None] == large, count - 1 - len(large)


def _split_scene_spec(spec: str) -> tuple[str, str]:
    """Return scene and polygons of `SCENE.tif:POLYGONS.gpkg`; a colon may also be a drive's."""
    splits = [(spec[:i], spec[i + 1 :]) for i, letter in enumerate(spec) if letter == ":"]
    splits = [split for split in splits if split[1] and Path(split[0]).suffix]
    for scene, polygons in splits:
        if Path(scene).exists() and Path(polygons).exists():
            return scene, polygons
    if splits:
        missing = [path for path in splits[0] if not Path(path).exists()]
        raise DatasetError(
            f"Scene and polygons must exist. Received: {spec!r}, without "
            f"{' and '.join(missing)}. {SPEC_FORMS}"
        )
    raise DatasetError(f"Training data are a folder or a scene. Received: {spec!r}. {SPEC_FORMS}")
