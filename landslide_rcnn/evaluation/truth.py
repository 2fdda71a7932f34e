"""What is true about a mapped scene: polygons or a mask, read in rows on the map's grid.

Used by `maps.evaluate_map`. Both kinds give the same two things: the true pixels of a window,
and for each true landslide how much of it a prediction covers.

Shape letters: h, w pixels of a window.
"""

import contextlib
from pathlib import Path
from typing import Protocol

import numpy as np
from rasterio.windows import Window

from landslide_rcnn.errors import RasterError
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.regrid import places_on, read_on_grid
from landslide_rcnn.geo.source import OnGrid, Source
from landslide_rcnn.geo.vector import align_crs, rasterize_instances, read_polygons, same_crs
from landslide_rcnn.inference.merge import InstanceMerger, MergedInstance

RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg")

# A true landslide counts as found when this share of its valid pixels is predicted.
FOUND_SHARE = 0.5


class Truth(Protocol):
    """The truth of one scene.

    Attributes:
        notes: What a reader of the numbers must know about this truth.
    """

    notes: list[str]

    def compare(
        self, window: Window, predicted: np.ndarray, valid_mask: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the true pixels, and count how much of each true landslide is predicted.

        Args:
            window: Windows follow each other downwards and have the same columns.
            predicted: [h, w] bool, True = landslide.
            valid_mask: [h, w] bool; only these pixels count.

        Returns:
            truth: [h, w] bool, True = landslide.
            valid_mask: [h, w] bool: those of the given ones whose truth is known.
        """

    def found(self) -> np.ndarray:
        """Return, at the end, [N] bool: of each true landslide with a valid pixel whether found.

        In an order that does not depend on what was predicted.
        """

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
    """Truth from a vector file; reprojected where its CRS is not the map's.

    Where polygons overlap, the later one has the pixels.
    """

    def __init__(self, path: Path, scene: Scene) -> None:
        polygons = read_polygons(path)
        self.notes: list[str] = []
        if None not in (polygons.crs, scene.crs) and not same_crs(polygons.crs, scene.crs):
            self.notes.append(
                f"The true polygons were reprojected from {polygons.crs.to_string()} to the "
                f"map's {scene.crs.to_string()}."
            )
        self._polygons = align_crs(polygons, scene)
        self._transform = scene.transform
        self._areas = np.zeros(len(polygons) + 1, np.int64)
        self._covered = np.zeros(len(polygons) + 1, np.int64)

    def compare(
        self, window: Window, predicted: np.ndarray, valid_mask: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        ids = rasterize_instances(self._polygons, window, self._transform)
        self._areas += np.bincount(ids[valid_mask], minlength=len(self._areas))
        self._covered += np.bincount(ids[valid_mask & predicted], minlength=len(self._areas))
        return ids > 0, valid_mask

    def found(self) -> np.ndarray:
        seen = self._areas > 0
        seen[0] = False  # the background
        return self._covered[seen] >= FOUND_SHARE * self._areas[seen]

    def close(self) -> None:
        """Nothing is open."""


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
        self._scene = scene
        with contextlib.ExitStack() as until_checked:
            mask = until_checked.enter_context(Scene(path, allow_no_crs=True))
            if mask.band_count > 1:
                raise RasterError(
                    f"A true mask must have one band. Received: {path} with "
                    f"{mask.band_count}. Keep one (gdal_translate -b 1), or give polygons."
                )
            self._mask = _KnownClasses(mask)
            self._is_on_grid = _same_grid(mask, scene)
            if not self._is_on_grid:
                places_on(self._mask, scene)  # refuses CRSs without a way between them
            until_checked.pop_all()
        self.notes = ["The truth is a mask: its 4-connected regions are counted as landslides."]
        if not self._is_on_grid:
            self.notes.append(
                f"The true mask ({_grid(mask)}) was read on the map's grid ({_grid(scene)}): each "
                "pixel of the map takes the mask's pixel at its centre."
            )
        self._regions: InstanceMerger | None = None
        self._found: list[bool] = []

    def compare(
        self, window: Window, predicted: np.ndarray, valid_mask: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if self._is_on_grid:
            classes, known = self._mask.read_tile(window)
        else:
            classes, known = read_on_grid(self._mask, self._scene, window, "nearest")
        true, valid_mask = classes[..., 0] != 0, valid_mask & known
        if self._regions is None:
            self._regions = InstanceMerger(window.height, window.width)
        # A region's score is the mean over its pixels: of `predicted`, that is the share found.
        self._count(self._regions.close_band(true & valid_mask, predicted))
        return true, valid_mask

    def found(self) -> np.ndarray:
        if self._regions is not None:
            self._count(self._regions.finish())
        return np.array(self._found, bool)

    def close(self) -> None:
        self._mask.close()

    def _count(self, regions: list[MergedInstance]) -> None:
        self._found += [region.score >= FOUND_SHARE for region in regions]


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


def _same_grid(first: OnGrid, second: OnGrid) -> bool:
    """Whether the pixels of both are the same."""
    return (
        (first.height, first.width) == (second.height, second.width)
        and first.transform.almost_equals(second.transform, precision=1e-6)
        and (first.crs is None) == (second.crs is None)
        and (first.crs is None or same_crs(first.crs, second.crs))
    )


def _grid(scene: OnGrid) -> str:
    crs = "no CRS" if scene.crs is None else scene.crs.to_string()
    origin = (scene.transform.c, scene.transform.f)
    return f"{scene.width} x {scene.height} px from {origin}, pixel {scene.transform.a:g}, {crs}"
