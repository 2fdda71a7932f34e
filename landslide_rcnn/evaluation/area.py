"""Which pixels of a map are judged: a window or bounds, and polygons of interest.

First step of `maps.evaluate_map` and `comparison.compare_maps`. Pixels count by their centres.

Shape letters: h, w pixels of a window. CRS: polygons are brought into the map's.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from rasterio.windows import Window

from landslide_rcnn.errors import GeoReferenceError
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import align_crs, rasterize_instances, read_polygons, same_crs
from landslide_rcnn.geo.windows import bounds_of

BAND_ROWS = 256


class Area:
    """The judged part of a map.

    Args:
        scene: A raster of the map, for its grid.
        within: A rasterio window, or map bounds (left, bottom, right, top). None: all of it.
        polygons: A vector file; only pixels inside one of its polygons count. None: all.

    Attributes:
        region: The window that holds every judged pixel, whole pixels inside the map.
        notes: What a reader of the numbers must know.

    Raises:
        GeoReferenceError: Nothing of the map lies in it, or the polygons' CRS is missing.
        RasterError, DatasetError: The file cannot be read, or holds no polygon.
    """

    def __init__(
        self,
        scene: Scene,
        within: Window | Sequence[float] | None = None,
        polygons: str | Path | None = None,
    ) -> None:
        self._scene = scene
        self.notes: list[str] = []
        self.region = _region(scene, within)
        self._polygons: gpd.GeoDataFrame | None = None
        if polygons is not None:
            self._polygons = self._read(Path(polygons))

    def bands(self) -> Iterator[Window]:
        """Yield windows of up to `BAND_ROWS` rows that fill the region from top to bottom."""
        end = self.region.row_off + self.region.height
        for row in range(self.region.row_off, end, BAND_ROWS):
            height = min(BAND_ROWS, end - row)
            yield Window(self.region.col_off, row, self.region.width, height)

    def inside(self, window: Window) -> np.ndarray:
        """Return [h, w] bool: which pixels of a window inside the region are judged."""
        if self._polygons is None:
            return np.ones((window.height, window.width), bool)
        return rasterize_instances(self._polygons, window, self._scene.transform) > 0

    def describe(self) -> dict[str, Any]:
        """Return the region as a pixel window and as map bounds."""
        region = self.region
        return {
            "window": {
                "col_off": region.col_off,
                "row_off": region.row_off,
                "width": region.width,
                "height": region.height,
            },
            "bounds": list(bounds_of(region, self._scene.transform)),
        }

    def _read(self, path: Path) -> gpd.GeoDataFrame:
        """Read the polygons of interest, and shrink the region to them."""
        polygons = read_polygons(path)
        if None not in (polygons.crs, self._scene.crs):
            if not same_crs(polygons.crs, self._scene.crs):
                self.notes.append(
                    f"The area of interest was reprojected from {polygons.crs.to_string()} to the "
                    f"map's {self._scene.crs.to_string()}."
                )
        polygons = align_crs(polygons, self._scene)
        part = shapely.intersection(
            shapely.Polygon(_corners(self.region, self._scene)),
            shapely.box(*polygons.total_bounds),
        )
        if part.area == 0:
            raise GeoReferenceError(
                "The area of interest must overlap the judged part of the map. Received: "
                f"{path} with the bounds {tuple(polygons.total_bounds.tolist())}; the map's: "
                f"{tuple(self._scene.bounds)}. Check its CRS, or leave it out."
            )
        self.region = _region(self._scene, part.bounds, self.region)
        self.notes.append(
            f"Only pixels in the area of interest are judged ({path.name}, {len(polygons)} "
            f"polygon{'s' * (len(polygons) != 1)})."
        )
        return polygons


def _region(
    scene: Scene, within: Window | Sequence[float] | None, limit: Window | None = None
) -> Window:
    """Return a part of the scene in whole pixels.

    Args:
        scene: The whole.
        within: A window or map bounds; None: all of it.
        limit: A window that the part must not leave; None: the scene's own.

    Raises:
        GeoReferenceError: Nothing of the map lies in it.
    """
    limit = limit or scene.window
    if within is None:
        return limit
    if isinstance(within, Window):
        left, top = within.col_off, within.row_off
        right, bottom = left + within.width, top + within.height
    else:
        west, south, east, north = within
        corners = [~scene.transform * (x, y) for x in (west, east) for y in (south, north)]
        left, right = min(x for x, _ in corners), max(x for x, _ in corners)
        top, bottom = min(y for _, y in corners), max(y for _, y in corners)
    # Pixel i has its centre at i + 0.5.
    first_col = max(math.ceil(left - 0.5), limit.col_off)
    end_col = min(math.ceil(right - 0.5), limit.col_off + limit.width)
    first_row = max(math.ceil(top - 0.5), limit.row_off)
    end_row = min(math.ceil(bottom - 0.5), limit.row_off + limit.height)
    if first_col >= end_col or first_row >= end_row:
        raise GeoReferenceError(
            "The part to evaluate must overlap the map. "
            f"Received: within={within}; the map's bounds: {tuple(scene.bounds)}. "
            "Give bounds (left, bottom, right, top) in the map's CRS, or a pixel window."
        )
    return Window(first_col, first_row, end_col - first_col, end_row - first_row)


def _corners(region: Window, scene: Scene) -> list[tuple[float, float]]:
    """Return the region's four corners in map coordinates."""
    left, top = region.col_off, region.row_off
    right, bottom = left + region.width, top + region.height
    return [
        scene.transform * at for at in ((left, top), (right, top), (right, bottom), (left, bottom))
    ]
