"""Tiles cut on the fly from a georeferenced scene, with landslides from polygons.

A subclass of `data/dataset.py`'s `Dataset`. The class is ("landslide", 1, "landslide"), unless an
attribute of the polygons is chosen for it.

Shape letters: H, W pixels of a tile; C channels; N instances.
"""

import hashlib
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from rasterio.windows import Window
from rasterio.windows import bounds as window_bounds
from shapely.geometry.base import BaseGeometry

from landslide_rcnn.data.classes import LANDSLIDE, Classes, ClassTable
from landslide_rcnn.data.dataset import SOURCE, Dataset
from landslide_rcnn.data.places import Place, place_of
from landslide_rcnn.data.problems import Problem, name_some
from landslide_rcnn.data.tiles import InstanceRules, tile_grid
from landslide_rcnn.errors import DatasetError, GeoReferenceError
from landslide_rcnn.geo.companions import Companion
from landslide_rcnn.geo.measure import area_m2
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import REPAIRED_ROWS, align_crs, rasterize_instances, read_polygons
from landslide_rcnn.geo.writing import Grid

logger = logging.getLogger(__name__)


class SceneDataset(Dataset):
    """Tiles cut on the fly from a georeferenced scene, with landslides from polygons.

    A tile without landslides stays, since it teaches what a landslide is not; a tile without a
    valid pixel is left out. Which landslides are instances of a tile is said by `InstanceRules`;
    by default all are of which at least 10 pixels are in it.

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
        rules: InstanceRules | None = None,
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
            rules: Which landslides are instances of a tile; None: `InstanceRules()`.
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
        self.rules = rules or InstanceRules()
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
        self._measure_polygons(scene)
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
        """Return masks [H, W, N] bool and class ids [N] int32, where polygons are.

        Where the rules say so, what is no instance is one crowd, of the negative class id -1.
        """
        tile = self.image_info[image_id]["tile"]
        near = self._polygons_near(tile)
        if near.size == 0:
            return super().load_mask(image_id)
        labels = rasterize_instances(self._polygons.iloc[near], tile, self._transform)
        labels = self._clear_outside_part(labels, tile)
        sizes = np.bincount(labels.ravel(), minlength=near.size + 1)
        is_kept = self.rules.kept(
            sizes[1:],
            self._whole_pixels[near],
            self._area_m2[near],
            ~shapely.covered_by(self._polygons.geometry.array[near], self._frame(tile)),
            labels.size,
        )
        present = np.flatnonzero(sizes[1:]) + 1
        kept = (np.flatnonzero(is_kept) + 1).astype(labels.dtype)
        self.left_out_fragments[image_id] = len(present) - len(kept)
        masks, class_ids = labels[..., None] == kept, self._class_ids[near[kept - 1]]
        if self.rules.left_out == "crowd" and len(present) > len(kept):
            rest = (labels > 0) & ~np.isin(labels, kept)
            masks = np.concatenate([masks, rest[..., None]], axis=-1)
            class_ids = np.append(class_ids, np.int32(-1))
        return masks, class_ids

    def landslides_digest(self) -> str:
        """Return a digest of all outlines and their classes, to know the same ones again."""
        digest = hashlib.sha256(self._class_ids.tobytes())
        for outline in shapely.to_wkb(self._polygons.geometry.array):
            digest.update(outline)
        return digest.hexdigest()

    def tile_grid(self, image_id: int) -> Grid:
        """Return where the pixels of a tile lie."""
        tile, scene = self.image_info[image_id]["tile"], self._scene()
        transform = scene.transform * Affine.translation(tile.col_off, tile.row_off)
        return Grid(int(tile.height), int(tile.width), scene.crs, transform)

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

    def _measure_polygons(self, scene: Scene) -> None:
        """Measure the whole landslides, as far as the rules need it."""
        geometry = self._polygons.geometry
        pixel_area = abs(self._transform.determinant)
        self._whole_pixels = np.asarray(shapely.area(geometry.array)) / pixel_area
        self._area_m2 = np.full(len(geometry), np.inf)
        if self.rules.min_area_m2:
            self._area_m2 = area_m2(geometry, scene.crs)
            if np.isnan(self._area_m2).any():
                raise GeoReferenceError(
                    "A smallest area in square metres needs a scene with a CRS. Received: "
                    f"min_area_m2={self.rules.min_area_m2} for {scene.path}. Use min_pixels, or "
                    "give its CRS."
                )

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
        return np.sort(self._polygons.sindex.query(self._frame(tile)))

    def _frame(self, tile: Window) -> BaseGeometry:
        return shapely.box(*window_bounds(tile, self._transform))

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
