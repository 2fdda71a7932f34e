"""Ready-made datasets: folders of tiles with mask images, and a scene with its polygons.

Subclasses of `data/dataset.py`'s `Dataset`; `open_dataset` chooses between them by how the
command line names training data. The class is always ("landslide", 1, "landslide").

Shape letters: H, W pixels; C channels; N instances.
"""

import logging
import threading
from pathlib import Path

import cv2
import numpy as np
import shapely
from rasterio.windows import Window
from rasterio.windows import bounds as window_bounds

from landslide_rcnn.data.dataset import Dataset, read_image_file
from landslide_rcnn.data.folders import SPEC_FORMS, find_pairs, select_part
from landslide_rcnn.data.tiles import tile_grid
from landslide_rcnn.errors import DatasetError
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import align_crs, rasterize_instances, read_polygons

logger = logging.getLogger(__name__)

SOURCE = "landslide"
MIN_LANDSLIDE_PIXELS = 10  # smaller connected pieces are drawing accidents or slivers at an edge


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


class SceneDataset(Dataset):
    """Tiles cut on the fly from a georeferenced scene, with landslides from polygons.

    A tile without landslides stays, since it teaches what a landslide is not; a tile without a
    valid pixel is left out. A landslide cut by the edge of a tile stays, unless fewer than
    `min_landslide_pixels` of its pixels are in the tile.

    Attributes:
        tiles_without_valid_pixels: How many tiles were left out.
    """

    def __init__(
        self,
        scene_path: str | Path,
        polygons_path: str | Path,
        *,
        tile_size: int = 256,
        overlap: int = 0,
        window: Window | None = None,
        min_landslide_pixels: int = MIN_LANDSLIDE_PIXELS,
        allow_no_crs: bool = False,
    ) -> None:
        """Cut the scene into tiles; prepared for use.

        Args:
            scene_path: A GeoTIFF of any size.
            polygons_path: Landslide polygons; reprojected where their CRS is another.
            tile_size: Side of a tile, pixels of the scene.
            overlap: Of neighbouring tiles, pixels.
            window: The part of the scene to use; all of it if None. Nothing outside it is
                seen, even where it is smaller than a tile.
            min_landslide_pixels: See the class.
            allow_no_crs: Take scene and polygons in pixel coordinates.

        Raises:
            RasterError, GeoReferenceError: Scene or polygons cannot be used.
            DatasetError: No tile has a valid pixel.
        """
        super().__init__()
        self.scene_path = Path(scene_path)
        self.min_landslide_pixels = min_landslide_pixels
        self._allow_no_crs = allow_no_crs
        self._scenes = threading.local()  # a Scene is not thread-safe: each thread opens its own
        self.add_class(SOURCE, 1, "landslide")

        scene = self._scene()
        self.band_names, self.pixel_size_m = list(scene.band_names), scene.pixel_size_m
        self._transform = scene.transform
        self._part = window or scene.window
        self._polygons = align_crs(read_polygons(polygons_path), scene)
        self._polygons.sindex  # noqa: B018 - built now, in one thread
        self.tiles_without_valid_pixels = 0
        for tile in tile_grid(int(self._part.height), int(self._part.width), tile_size, overlap):
            tile = Window(
                tile.col_off + self._part.col_off,
                tile.row_off + self._part.row_off,
                tile.width,
                tile.height,
            )
            if scene.any_valid(tile):
                name = f"{self.scene_path.name} row {tile.row_off} column {tile.col_off}"
                self.add_image(SOURCE, name, self.scene_path, tile=tile)
            else:
                self.tiles_without_valid_pixels += 1
        self.prepare()
        self._report()

    def describe_image(self, image_id: int) -> str:
        """Return the scene's file name and the tile's place in it."""
        return str(self.image_info[image_id]["id"])

    def image_size(self, image_id: int) -> tuple[int, int]:
        """Return (height, width) of the tile, pixels."""
        tile = self.image_info[image_id]["tile"]
        return int(tile.height), int(tile.width)

    def load_image(self, image_id: int) -> np.ndarray:
        """Read a tile as [H, W, C] in the scene's dtype; 0 outside the scene or the part."""
        tile = self.image_info[image_id]["tile"]
        return self._clear_outside_part(self._scene().read(tile), tile)

    def load_valid_mask(self, image_id: int) -> np.ndarray:
        """Return [H, W] bool; False outside the scene or the part of it."""
        tile = self.image_info[image_id]["tile"]
        return self._clear_outside_part(self._scene().read_valid(tile), tile)

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return masks [H, W, N] bool and class ids [N] int32, all 1, where polygons are."""
        tile = self.image_info[image_id]["tile"]
        near = self._polygons_near(tile)
        if near.size == 0:
            return super().load_mask(image_id)
        labels = rasterize_instances(self._polygons.iloc[near], tile, self._transform)
        labels = self._clear_outside_part(labels, tile)
        sizes = np.bincount(labels.ravel(), minlength=near.size + 1)
        kept = [label for label in range(1, len(sizes)) if sizes[label]]
        slivers = [label for label in kept if sizes[label] < self.min_landslide_pixels]
        self.left_out_fragments[image_id] = len(slivers)
        kept = np.setdiff1d(kept, slivers).astype(labels.dtype)
        return labels[..., None] == kept, np.ones(len(kept), np.int32)

    def _scene(self) -> Scene:
        if not hasattr(self._scenes, "scene"):
            self._scenes.scene = Scene(self.scene_path, allow_no_crs=self._allow_no_crs)
        return self._scenes.scene

    def _polygons_near(self, tile: Window) -> np.ndarray:
        """Return the row numbers, ascending, of the polygons whose bounds touch a tile's."""
        box = shapely.box(*window_bounds(tile, self._transform))
        return np.sort(self._polygons.sindex.query(box))

    def _clear_outside_part(self, array: np.ndarray, tile: Window) -> np.ndarray:
        """Return the array with 0 (False) where a tile reaches beyond the part of the scene."""
        rows = int(self._part.row_off + self._part.height - tile.row_off)
        columns = int(self._part.col_off + self._part.width - tile.col_off)
        if rows < array.shape[0] or columns < array.shape[1]:
            array = array.copy()
            array[max(rows, 0) :] = 0
            array[:, max(columns, 0) :] = 0
        return array

    def _report(self) -> None:
        if not self.num_images:
            raise DatasetError(
                "A scene must have valid pixels to train on. Received: "
                f"{self.scene_path}, {self.tiles_without_valid_pixels} tiles, all without any. "
                "Choose another part of the scene."
            )
        with_landslides = sum(
            self._polygons_near(info["tile"]).size > 0 for info in self.image_info
        )
        logger.info(
            "%s: %d tiles (%d near landslides), %d left out without a valid pixel",
            self.scene_path.name,
            self.num_images,
            with_landslides,
            self.tiles_without_valid_pixels,
        )


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
