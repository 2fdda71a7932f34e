"""Tiles cut on the fly from a georeferenced scene, with landslides from polygons.

A subclass of `data/dataset.py`'s `Dataset`. The class is ("landslide", 1, "landslide"), unless an
attribute of the polygons is chosen for it.

Shape letters: H, W pixels of a tile; C channels; N instances.
"""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from rasterio.windows import Window
from rasterio.windows import bounds as window_bounds

from landslide_rcnn.data.classes import LANDSLIDE, Classes, ClassTable
from landslide_rcnn.data.dataset import MIN_LANDSLIDE_PIXELS, SOURCE, Dataset
from landslide_rcnn.data.places import Place, place_of
from landslide_rcnn.data.problems import Problem, name_some
from landslide_rcnn.data.tiles import tile_grid
from landslide_rcnn.errors import DatasetError
from landslide_rcnn.geo.companions import Companion
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import REPAIRED_ROWS, align_crs, rasterize_instances, read_polygons

logger = logging.getLogger(__name__)


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
        companions: Sequence[Companion] = (),
        class_attribute: str | None = None,
        classes: Classes | None = None,
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
            companions: Their bands follow the scene's own: a DEM, its factors, river lines.
            class_attribute: The column of the polygons that names their class; None: all are
                landslides.
            classes: Which of its values are taken, as what; see `data/classes.py`. Polygons of
                other values are left out, and said. None takes every value, in sorted order.

        Raises:
            RasterError, GeoReferenceError: Scene or polygons cannot be used.
            DatasetError: No tile has a valid pixel.
        """
        super().__init__()
        self.scene_path = Path(scene_path)
        self.min_landslide_pixels = min_landslide_pixels
        self._reading = dict(allow_no_crs=allow_no_crs, companions=tuple(companions))
        self._scenes = threading.local()  # a Scene is not thread-safe: each thread opens its own

        scene = self._scene()
        self.band_names, self.pixel_size_m = list(scene.band_names), scene.pixel_size_m
        self._transform = scene.transform
        self._part = window or scene.window
        polygons, self._class_ids = self._classify(
            read_polygons(polygons_path), Path(polygons_path), class_attribute, classes
        )
        self._polygons = align_crs(polygons, scene)
        self._note_outside(scene, Path(polygons_path))
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
                self.add_image(SOURCE, name, self.scene_path, tile=tile, background=True)
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
        return labels[..., None] == kept, self._class_ids[near[kept - 1]]

    def load_place(self, image_id: int) -> Place:
        """Return where on the ground a tile lies, less what it does not see."""
        tile, part = self.image_info[image_id]["tile"], self._part
        right = min(tile.col_off + tile.width, part.col_off + part.width)
        bottom = min(tile.row_off + tile.height, part.row_off + part.height)
        seen = Window(tile.col_off, tile.row_off, right - tile.col_off, bottom - tile.row_off)
        return place_of(self._scene(), seen, str(self.scene_path.resolve()))

    def _classify(
        self,
        polygons: gpd.GeoDataFrame,
        path: Path,
        attribute: str | None,
        classes: Classes | None,
    ) -> tuple[gpd.GeoDataFrame, np.ndarray]:
        """Return the polygons of the chosen classes and their class ids [N] int32."""
        repaired = polygons.attrs.get(REPAIRED_ROWS, [])
        if repaired:
            text = f"rows {name_some(repaired)} cross themselves"
            self.problems.append(Problem("crossing", str(path), text))
        if attribute is None:
            ClassTable([LANDSLIDE]).declare(self)
            return polygons, np.ones(len(polygons), np.int32)
        if attribute not in polygons:
            columns = ", ".join(name for name in polygons.columns if name != polygons.geometry.name)
            raise DatasetError(
                f"The attribute of the class must be a column of {path}. Received: "
                f"{attribute!r}. Its columns are {columns or 'none'}."
            )
        labels = [None if pd.isna(value) else str(value) for value in polygons[attribute]]
        table = ClassTable(sorted({label for label in labels if label is not None}), classes)
        table.declare(self)
        class_ids = np.array([table.id_of(label) or 0 for label in labels], np.int32)
        if not class_ids.all():
            others = {labels[row] for row in np.flatnonzero(class_ids == 0)}
            text = (
                f"{(class_ids == 0).sum()} polygons of {attribute} "
                f"{name_some(sorted(map(str, others)))} left out"
            )
            self.problems.append(Problem("annotation", str(path), text))
            logger.warning("%s: %s", path, text)
        kept = class_ids > 0
        return polygons[kept].reset_index(drop=True), class_ids[kept]

    def _note_outside(self, scene: Scene, path: Path) -> None:
        """Note the polygons that reach beyond the scene."""
        frame = shapely.box(*scene.bounds)
        rows = np.flatnonzero(~shapely.covered_by(self._polygons.geometry.array, frame))
        if rows.size:
            text = f"{rows.size} polygons reach beyond {scene.path} (rows {name_some(rows)})"
            self.problems.append(Problem("outside", str(path), text))

    def _scene(self) -> Scene:
        if not hasattr(self._scenes, "scene"):
            self._scenes.scene = Scene(self.scene_path, **self._reading)
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
