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

from landslide_rcnn.errors import GeoReferenceError, RasterError
from landslide_rcnn.geo.raster import Scene
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

    def found(self) -> dict[str, int]:
        """Return, at the end, `true`: landslides with a valid pixel, `true_found`: of them."""

    def close(self) -> None:
        """Close the file."""


def open_truth(path: str | Path, scene: Scene) -> "Truth":
    """Read the truth for a map on the grid of `scene`; raster or polygons by the suffix.

    Raises:
        RasterError: The file cannot be read.
        GeoReferenceError: The CRS is missing, or a mask lies on another grid.
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

    def found(self) -> dict[str, int]:
        seen = self._areas[1:] > 0
        found = seen & (self._covered[1:] >= FOUND_SHARE * self._areas[1:])
        return {"true": int(seen.sum()), "true_found": int(found.sum())}

    def close(self) -> None:
        """Nothing is open."""


class MaskTruth:
    """Truth from a mask raster on the map's own grid: 0 is background, the rest landslide.

    Pixels with the file's nodata value are unknown and do not count, unless that value is 0. A
    landslide is a 4-connected region of the mask.

    Raises:
        RasterError: It has more than one band.
        GeoReferenceError: The grids differ.
    """

    def __init__(self, path: Path, scene: Scene) -> None:
        with contextlib.ExitStack() as until_checked:
            self._mask = until_checked.enter_context(Scene(path, allow_no_crs=True))
            if self._mask.band_count > 1:
                raise RasterError(
                    f"A true mask must have one band. Received: {path} with "
                    f"{self._mask.band_count}. Keep one (gdal_translate -b 1), or give polygons."
                )
            _check_grid(self._mask, scene)
            until_checked.pop_all()
        self.notes = ["The truth is a mask: its 4-connected regions are counted as landslides."]
        self._regions: InstanceMerger | None = None
        self._true_count = self._found_count = 0

    def compare(
        self, window: Window, predicted: np.ndarray, valid_mask: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        true = self._mask.read(window)[..., 0] != 0
        # Zeros are background even where a tag calls 0 nodata, as the tools that make masks like
        # to: without background, overall accuracy and mIoU would be those of another scene.
        valid_mask = valid_mask & (self._mask.read_valid(window) | ~true)
        if self._regions is None:
            self._regions = InstanceMerger(window.height, window.width)
        # A region's score is the mean over its pixels: of `predicted`, that is the share found.
        self._count(self._regions.close_band(true & valid_mask, predicted))
        return true, valid_mask

    def found(self) -> dict[str, int]:
        if self._regions is not None:
            self._count(self._regions.finish())
        return {"true": self._true_count, "true_found": self._found_count}

    def close(self) -> None:
        self._mask.close()

    def _count(self, regions: list[MergedInstance]) -> None:
        self._true_count += len(regions)
        self._found_count += sum(region.score >= FOUND_SHARE for region in regions)


def _check_grid(mask: Scene, scene: Scene) -> None:
    """Refuse a mask whose pixels are not the map's pixels.

    Raises:
        GeoReferenceError: Size, transform or CRS differ.
    """
    same = (
        (mask.height, mask.width) == (scene.height, scene.width)
        and mask.transform.almost_equals(scene.transform, precision=1e-6)
        and (mask.crs is None) == (scene.crs is None)
        and (mask.crs is None or same_crs(mask.crs, scene.crs))
    )
    if not same:
        raise GeoReferenceError(
            "A true mask must lie on the map's grid. "
            f"Received: {mask.path}: {_grid(mask)}; the map: {_grid(scene)}. "
            "Warp the mask onto the map's grid (gdalwarp -r near), or give polygons."
        )


def _grid(scene: Scene) -> str:
    crs = "no CRS" if scene.crs is None else scene.crs.to_string()
    origin = (scene.transform.c, scene.transform.f)
    return f"{scene.width} x {scene.height} px from {origin}, pixel {scene.transform.a}, {crs}"
