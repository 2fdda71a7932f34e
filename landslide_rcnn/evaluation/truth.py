"""What is true about a mapped scene: polygons or a mask, read in rows on the map's grid.

Used by `maps.evaluate_map` and `comparison.compare_maps`. Both kinds give the same: the true
pixels of a window, and which of them belong to which landslide.

Shape letters: h, w pixels of a window.
"""

import contextlib
from pathlib import Path
from typing import NamedTuple, Protocol

import geopandas as gpd
import numpy as np
from rasterio.windows import Window
from shapely import box

from landslide_rcnn.errors import RasterError
from landslide_rcnn.evaluation.grids import ClassesOnGrid
from landslide_rcnn.evaluation.objects import PolygonObjects, RegionObjects
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.source import Source
from landslide_rcnn.geo.vector import align_crs, read_polygons, same_crs
from landslide_rcnn.geo.windows import bounds_of

RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg")


class TrueBand(NamedTuple):
    """The truth of a window.

    Attributes:
        truth: [h, w] bool, True = landslide.
        valid_mask: [h, w] bool: the pixels that count and whose truth is known.
        layers: [h, w] int32 labels of landslides each, 0 = none; see `objects`.
    """

    truth: np.ndarray
    valid_mask: np.ndarray
    layers: list[np.ndarray]


class Truth(Protocol):
    """The truth of one scene.

    Attributes:
        notes: What a reader of the numbers must know about this truth.
    """

    notes: list[str]

    def read(self, window: Window, valid_mask: np.ndarray) -> TrueBand:
        """Read a window.

        Args:
            window: Windows follow each other downwards and have the same columns.
            valid_mask: [h, w] bool; only these pixels count.
        """

    def owners(self) -> np.ndarray:
        """Return, at the end, which landslide each label is of; see `objects`."""

    def close(self) -> None:
        """Close the file."""


def open_truth(path: str | Path, scene: Scene) -> "Truth":
    """Read the truth for a map on the grid of `scene`; raster or polygons by the suffix.

    Raises:
        RasterError: The file cannot be read.
        GeoReferenceError: The CRS is missing, or there is no way from it to the map's.
    """
    path = Path(path)
    if path.suffix.lower() in RASTER_SUFFIXES:
        return MaskTruth(path, scene)
    return PolygonTruth(path, scene)


class PolygonTruth:
    """Truth from a vector file; reprojected where its CRS is not the map's."""

    def __init__(self, path: Path, scene: Scene) -> None:
        polygons = read_polygons(path)
        self.notes: list[str] = []
        if None not in (polygons.crs, scene.crs) and not same_crs(polygons.crs, scene.crs):
            self.notes.append(
                f"The true polygons were reprojected from {polygons.crs.to_string()} to the "
                f"map's {scene.crs.to_string()}."
            )
        polygons = align_crs(polygons, scene)
        self.notes += _beyond_notes(polygons, scene)
        self._objects = PolygonObjects(polygons, scene.transform)

    def read(self, window: Window, valid_mask: np.ndarray) -> TrueBand:
        layers = self._objects.labels(window)
        truth = np.zeros(valid_mask.shape, bool)
        for layer in layers:
            truth |= layer > 0
        return TrueBand(truth, valid_mask, layers)

    def owners(self) -> np.ndarray:
        return self._objects.owners()

    def close(self) -> None:
        """Nothing is open."""


def _beyond_notes(polygons: gpd.GeoDataFrame, scene: Scene) -> list[str]:
    """Say how many true polygons lie wholly beyond the map: they count for nothing."""
    window = Window(0, 0, scene.width, scene.height)
    on_map = int(polygons.intersects(box(*bounds_of(window, scene.transform))).sum())
    beyond = len(polygons) - on_map
    if not beyond:
        return []
    note = f"{beyond:,} of {len(polygons):,} true polygons lie beyond the map and do not count."
    if not on_map:
        note += " Is it the truth of this scene, and is its CRS right?"
    return [note]


class MaskTruth:
    """Truth from a mask raster of any grid: 0 is background, the rest landslide.

    On another grid than the map's, each pixel of the map takes that of the mask which its centre
    lies in. Pixels beyond the mask, and those with the file's nodata value, are unknown and do not
    count, unless that value is 0. A landslide is a 4-connected region of the mask on the map's
    grid.

    Raises:
        RasterError: It has more than one band.
        GeoReferenceError: Only one of mask and map has a CRS, or there is no way between them.
    """

    def __init__(self, path: Path, scene: Scene) -> None:
        with contextlib.ExitStack() as until_checked:
            mask = until_checked.enter_context(Scene(path, allow_no_crs=True))
            if mask.band_count > 1:
                raise RasterError(
                    f"A true mask must have one band. Received: {path} with "
                    f"{mask.band_count}. Keep one (gdal_translate -b 1), or give polygons."
                )
            self._mask = _KnownClasses(mask)
            self._classes = ClassesOnGrid(self._mask, scene, "The true mask")
            until_checked.pop_all()
        self.notes = [
            "The truth is a mask: its 4-connected regions are counted as landslides.",
            *self._classes.notes,
        ]
        self._objects = RegionObjects()

    def read(self, window: Window, valid_mask: np.ndarray) -> TrueBand:
        classes, known = self._classes.read(window)
        truth, valid_mask = classes != 0, valid_mask & known
        return TrueBand(truth, valid_mask, self._objects.labels(truth & valid_mask))

    def owners(self) -> np.ndarray:
        return self._objects.owners()

    def close(self) -> None:
        self._mask.close()


class _KnownClasses(Source):
    """A true mask as 0 and 1, valid where it says what is true."""

    def __init__(self, mask: Scene) -> None:
        self._scene = mask
        self.height, self.width = mask.height, mask.width
        self.crs, self.transform = mask.crs, mask.transform
        self.dtype, self.band_names = np.dtype(np.uint8), ("landslide",)

    def close(self) -> None:
        self._scene.close()

    def _tile_inside(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        values, valid_mask = self._scene.read_tile(window)
        true = values != 0
        # Zeros are background even where a tag calls 0 nodata, as the tools that make masks like
        # to: without background, overall accuracy and mIoU would be those of another scene.
        return true.astype(np.uint8), valid_mask | ~true[..., 0]
