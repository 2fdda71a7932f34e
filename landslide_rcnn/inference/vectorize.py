"""Merged instances -> polygons with attributes.

Last step of `predict_scene`: each finished landslide becomes one geometry as soon as it is
closed, so that its mask need not be kept; the table is sorted and numbered at the end.

Units: areas in square metres, in pixels where the scene has no CRS. CRS: the scene's.
"""

from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
from affine import Affine
from rasterio.crs import CRS
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from landslide_rcnn.errors import GeoReferenceError
from landslide_rcnn.geo.vector import area_m2, polygons_of_mask
from landslide_rcnn.inference.merge import MergedInstance


def polygon_of(instance: MergedInstance, transform: Affine) -> BaseGeometry:
    """Return the outline of an instance's pixels, holes kept, in map coordinates.

    Args:
        instance: With its place in the scene.
        transform: The scene's, from pixels to the map.
    """
    place = transform * Affine.translation(instance.col_off, instance.row_off)
    return polygons_of_mask(instance.mask, place)


@dataclass
class PolygonTable:
    """Collects a scene's landslides as geometries and attributes.

    Attributes:
        transform: The scene's.
        crs: The scene's; None for pixel coordinates.
        min_area_m2: Smaller landslides are left out and counted.
        min_pixels: So are those of fewer pixels.
        small_count: Landslides left out.
        small_pixels: Their pixels.

    Raises:
        GeoReferenceError: `min_area_m2` is given and there is no CRS.
    """

    transform: Affine
    crs: CRS | None
    min_area_m2: float = 0.0
    min_pixels: int = 0
    small_count: int = 0
    small_pixels: int = 0
    _rows: list[tuple[BaseGeometry, float, int, int]] = field(default_factory=list)
    _pixel_areas: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.min_area_m2 > 0 and self.crs is None:
            raise GeoReferenceError(
                "A smallest area in square metres needs a scene with a CRS. "
                f"Received: min_area_m2={self.min_area_m2}, CRS none. Use min_pixels."
            )

    @property
    def area_column(self) -> str:
        """`area_m2`, or `area_px` where pixels are all that is known."""
        return "area_px" if self.crs is None else "area_m2"

    def add(self, instance: MergedInstance) -> None:
        """Vectorise one landslide, unless it is too small (tested on its pixels: far cheaper)."""
        if instance.pixel_count < self.min_pixels or self._area_of(instance) < self.min_area_m2:
            self.small_count += 1
            self.small_pixels += instance.pixel_count
            return
        geometry = polygon_of(instance, self.transform)
        self._rows.append((geometry, instance.score, instance.class_id, instance.pixel_count))

    def _area_of(self, instance: MergedInstance) -> float:
        """Return pixel count x the ground area of the pixel in its middle; 0 without need."""
        if self.min_area_m2 <= 0:
            return 0.0
        height, width = instance.mask.shape
        row, col = instance.row_off + height // 2, instance.col_off + width // 2
        return instance.pixel_count * self._pixel_area_m2(row, col)

    def _pixel_area_m2(self, row: int, col: int) -> float:
        """Return the ground area of one pixel; in degrees it depends on the latitude."""
        key = row if self.crs.is_geographic else 0
        if key not in self._pixel_areas:
            corners = ((col, row), (col + 1, row), (col + 1, row + 1), (col, row + 1))
            pixel = Polygon([self.transform * corner for corner in corners])
            self._pixel_areas[key] = float(area_m2(gpd.GeoSeries([pixel]), self.crs)[0])
        return self._pixel_areas[key]

    def table(self) -> gpd.GeoDataFrame:
        """Return the landslides, largest first: id (from 1), class_id, score, area, geometry."""
        columns = list(zip(*self._rows, strict=True)) or [[], [], [], []]
        geometry = gpd.GeoSeries(list(columns[0]), crs=self.crs)
        pixels = np.asarray(columns[3], np.int64)
        areas = pixels if self.crs is None else area_m2(geometry, self.crs)
        table = gpd.GeoDataFrame(
            {
                "class_id": np.asarray(columns[2], np.int32),
                "score": np.asarray(columns[1], float),
                self.area_column: areas,
            },
            geometry=geometry,
        )
        # Stable: landslides of one size stay in the order in which the scene was read.
        table = table.sort_values(self.area_column, ascending=False, kind="stable")
        table.insert(0, "id", np.arange(1, len(table) + 1, dtype=np.int32))
        return table.reset_index(drop=True)
