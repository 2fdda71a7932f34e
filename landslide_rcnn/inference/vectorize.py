"""Merged instances -> post-processed polygons with attributes.

Last step of `predict_scene`. Each finished landslide becomes an exact outline of its pixels as
soon as it is closed, so that its mask need not be kept; what needs its neighbours or the whole
scene (filled holes, shared borders, order, numbers) comes when all are known.

    MergedInstance -> elevation, sieve, size -> outline          (add)
    outlines -> holes, slope ------------------> outlines()      -> mask raster
             -> simplify, smooth, attributes --> table()         -> files

Units: metres and square metres; pixels where the scene has no CRS. CRS: the scene's.
"""

from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from landslide_rcnn.geo.measure import Ruler
from landslide_rcnn.inference.attributes import (
    TerrainReader,
    place_columns,
    size_columns,
    terrain_columns,
)
from landslide_rcnn.inference.merge import MergedInstance
from landslide_rcnn.inference.outlines import outline_of, unpacked
from landslide_rcnn.inference.postprocess import PostProcessing, Removed, filled, sieved
from landslide_rcnn.inference.simplify import refine

STEPS = ("elevation", "sieve", "small", "holes_filled", "slope")


@dataclass(frozen=True)
class _Found:
    """A landslide that passed what can be judged of it alone."""

    outline: BaseGeometry
    score: float
    class_id: int
    tile_count: int


@dataclass
class PolygonTable:
    """Collects a scene's landslides, cleans them, and makes polygons with attributes of them.

    Attributes:
        transform: The scene's.
        crs: The scene's; None for pixel coordinates.
        processing: What is cleaned out.
        terrain: The scene's terrain, for limits and attributes; None without a DEM.
        removed: For each of `STEPS` what it took away (for holes: what it added). The steps of
            `holes_filled` and `slope` are counted by `table` and `outlines`.
        simplified: How many kept their pixel outline, and the change of area all together, as a
            share; made by `table` too.

    Raises:
        GeoReferenceError: `processing` has a size in metres and there is no CRS.
        ConfigError: It has a limit of elevation or slope and there is no terrain.
    """

    transform: Affine
    crs: CRS | None
    processing: PostProcessing = field(default_factory=PostProcessing)
    terrain: TerrainReader | None = None
    removed: dict[str, Removed] = field(init=False)
    simplified: dict[str, float] = field(init=False, default_factory=dict)
    _found: list[_Found] = field(init=False, default_factory=list)
    _finished: tuple[gpd.GeoDataFrame, gpd.GeoDataFrame] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.processing.require(crs=self.crs, terrain=self.terrain)
        self.removed = {step: Removed() for step in STEPS}
        self._ruler = Ruler(self.crs)
        self._pixel_areas: dict[int, float] = {}

    @property
    def area_column(self) -> str:
        """`area_m2`, or `area_px` where pixels are all that is known."""
        return "area_px" if self.crs is None else "area_m2"

    def add(self, instance: MergedInstance) -> None:
        """Take a landslide in, unless the elevation or its size speaks against it."""
        self._finished = None
        wishes = self.processing
        y1, x1, y2, x2 = instance.box
        pixel_m2 = self._pixel_area_m2((y1 + y2) // 2, (x1 + x2) // 2)
        # The smallest are left out before anything is read or drawn for them.
        if self._left_out(instance.pixel_count, pixel_m2):
            return
        parts = unpacked(instance.parts)
        pixels = instance.pixel_count
        if wishes.limits_elevation:
            parts = [(self._within_elevation(*part), *part[1:]) for part in parts]
            left = sum(int(np.count_nonzero(mask)) for mask, _, _ in parts)
            self._count("elevation", pixels - left, pixel_m2, landslide=left == 0)
            pixels = left
            if not left:
                return
        outline = outline_of(parts)
        if wishes.sieve_pixels > 1:
            outline = sieved(outline, wishes.sieve_pixels)
            left = round(outline.area)
            self._count("sieve", pixels - left, pixel_m2, landslide=left == 0)
            pixels = left
            if not left:
                return
        if not self._left_out(pixels, pixel_m2):
            found = _Found(outline, instance.score, instance.class_id, instance.tile_count)
            self._found.append(found)

    def outlines(self) -> gpd.GeoDataFrame:
        """Return the exact outlines of the pixels that the table's landslides are made of.

        In pixel coordinates (x = column, y = row), neither simplified nor smoothed; columns id,
        class_id and geometry, rows as in `table`. What `rasterize_map` paints.
        """
        return self._finish()[1]

    def table(
        self, *, model: str | None = None, scene: str | None = None, date: str | None = None
    ) -> gpd.GeoDataFrame:
        """Return the landslides, largest first.

        Columns: id (from 1), class_id, score, area_m2, perimeter_m, length_m, width_m (of the
        smallest rectangle around it), centroid_lon, centroid_lat (WGS84), tiles (that saw it),
        model, scene, date; with terrain elevation_min_m, elevation_mean_m, elevation_max_m,
        slope_mean_deg, aspect_deg, relief_m; geometry. Without a CRS sizes end in `_px` and the
        centroid is empty.

        Args:
            model: Name of what found them.
            scene: Name of where.
            date: When the scene was taken, YYYY-MM-DD.
        """
        table = self._finish()[0].copy()
        place = table.columns.get_loc("tiles") + 1
        for name, value in (("date", date), ("scene", scene), ("model", model)):
            table.insert(place, name, np.full(len(table), value, object))
        return table

    def said(self) -> dict[str, object]:
        """Return what was wished and done, for a summary."""
        self._finish()
        return {
            "settings": self.processing.said(),
            "removed": {step: removed.said() for step, removed in self.removed.items()},
            "simplified": self.simplified,
        }

    def _finish(self) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
        """Return table and outlines, made once."""
        if self._finished is None:
            self.removed["holes_filled"], self.removed["slope"] = Removed(), Removed()
            found = np.array(self._found, object)
            outlines = self._fill_holes(np.array([each.outline for each in found], object))
            ground = {} if self.terrain is None else terrain_columns(outlines, self.terrain)
            kept = self._within_slope(outlines, ground)
            found, outlines = found[kept], outlines[kept]
            self._finished = self._tables(
                found, outlines, {name: column[kept] for name, column in ground.items()}
            )
        return self._finished

    def _tables(
        self, found: np.ndarray, outlines: np.ndarray, ground: dict[str, np.ndarray]
    ) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
        wishes = self.processing
        refined = refine(outlines, self.transform, self._ruler, wishes.simplify_m, wishes.smooth)
        self.simplified = {
            "kept_exact": refined.kept_exact,
            "area_change": round(refined.area_change, 6),
        }
        sizes = size_columns(refined.shapes, self._ruler)
        # Stable: landslides of one size stay in the order in which the scene was read.
        order = np.argsort(-sizes[self.area_column], kind="stable")
        ids = np.arange(1, len(order) + 1, dtype=np.int32)
        class_ids = np.array([each.class_id for each in found], np.int32)
        columns = {
            "class_id": class_ids,
            "score": np.array([each.score for each in found], float),
            **sizes,
            **place_columns(refined.shapes, self._ruler),
            "tiles": np.array([each.tile_count for each in found], np.int32),
            **ground,
        }
        table = gpd.GeoDataFrame(
            {"id": ids, **{name: column[order] for name, column in columns.items()}},
            geometry=gpd.GeoSeries(refined.shapes[order], crs=self.crs),
        )
        exact = gpd.GeoDataFrame(
            {"id": ids, "class_id": class_ids[order]}, geometry=gpd.GeoSeries(outlines[order])
        )
        return table, exact

    def _fill_holes(self, outlines: np.ndarray) -> np.ndarray:
        if not (self.processing.fill_holes_m2 > 0 and len(outlines)):
            return outlines
        pixel_m2 = self._pixel_areas_of(outlines)
        # A hole of just that size is filled, whatever the last bit of a product says.
        max_pixels = self.processing.fill_holes_m2 / pixel_m2 * (1 + 1e-9)
        outlines, added = filled(outlines, max_pixels)
        self.removed["holes_filled"].count(
            round(added.sum()), float((added * pixel_m2).sum()), int(np.count_nonzero(added))
        )
        return outlines

    def _within_slope(self, outlines: np.ndarray, ground: dict[str, np.ndarray]) -> np.ndarray:
        """Return which landslides [N] bool keep the limits of slope; count the others."""
        wishes = self.processing
        if not wishes.limits_slope:
            return np.ones(len(outlines), bool)
        slope = ground["slope_mean_deg"]
        gone = (slope < wishes.min_slope_deg) | (slope > wishes.max_slope_deg)
        pixels = shapely.area(outlines[gone])
        area_m2 = float((pixels * self._pixel_areas_of(outlines[gone])).sum())
        self.removed["slope"].count(round(pixels.sum()), area_m2, int(gone.sum()))
        return ~gone

    def _within_elevation(self, mask: np.ndarray, top: int, left: int) -> np.ndarray:
        """Return a mask [h, w] without the pixels beyond the limits."""
        height, width = mask.shape
        elevation = self.terrain.elevation(Window(left, top, width, height))
        wishes = self.processing
        beyond = (elevation < wishes.min_elevation_m) | (elevation > wishes.max_elevation_m)
        return mask & ~beyond

    def _left_out(self, pixels: int, pixel_m2: float) -> bool:
        """Whether a landslide is too small; count it if it is."""
        wishes = self.processing
        small = pixels < wishes.min_pixels or pixels * pixel_m2 < wishes.min_area_m2
        if small:
            self._count("small", pixels, pixel_m2, landslide=True)
        return small

    def _count(self, step: str, pixels: int, pixel_m2: float, *, landslide: bool) -> None:
        self.removed[step].count(pixels, pixels * pixel_m2, int(landslide))

    def _pixel_areas_of(self, outlines: np.ndarray) -> np.ndarray:
        """Return the ground area of a pixel at each outline's centre, [N]."""
        centres = shapely.get_coordinates(shapely.centroid(outlines))
        return np.array([self._pixel_area_m2(int(row), int(column)) for column, row in centres])

    def _pixel_area_m2(self, row: int, col: int) -> float:
        """Return the ground area of one pixel; 0 without a CRS.

        It depends on the row where it depends on the latitude: on a north-up grid the column
        does not matter, and on a turned one hardly.
        """
        if self.crs is None:
            return 0.0
        key = row if self._ruler.geodesic else 0
        if key not in self._pixel_areas:
            corners = ((col, row), (col + 1, row), (col + 1, row + 1), (col, row + 1))
            pixel = shapely.Polygon([self.transform * corner for corner in corners])
            self._pixel_areas[key] = float(self._ruler.area_and_perimeter(np.array([pixel]))[0][0])
        return self._pixel_areas[key]
