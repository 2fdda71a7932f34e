"""What is cleaned out of a map after predicting, and how much that was.

`PostProcessing` says what is wished, `Removed` counts what it did; `PolygonTable` applies it, in
this order:

1. elevation: pixels beyond the limits go (the snow-line mask of Chen et al. 2022);
2. sieve: connected parts of a landslide that are too small go;
3. size: landslides of too few pixels or too little area go;
4. holes that are small enough are filled, unless another landslide lies in them;
5. slope: landslides whose mean slope lies outside the limits go.

Size is judged before holes are filled: a landslide must be large enough by what was found of it.
All of it happens on exact outlines of pixels, before anything is simplified, so that the mask
raster can tell the same story.

Source: Chen et al. 2022 (DRs-UNet), section on the elevation mask.
"""

import math
from dataclasses import asdict, dataclass, fields

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from landslide_rcnn.errors import ConfigError, GeoReferenceError
from landslide_rcnn.inference.outlines import polygons_of_rings, rings_of
from landslide_rcnn.inference.pairs import INTERIORS_MEET

# Options in metres, which pixels alone cannot answer.
METRIC = ("min_area_m2", "fill_holes_m2", "simplify_m")


@dataclass(frozen=True)
class PostProcessing:
    """What happens to a map after predicting; by default nothing.

    Attributes:
        min_area_m2: Smaller landslides are left out; needs a CRS.
        min_pixels: So are those of fewer pixels.
        fill_holes_m2: Holes up to this area are filled; needs a CRS.
        sieve_pixels: 4-connected parts of a landslide with fewer pixels are left out.
        simplify_m: How far a border may move to become simpler, metres; needs a CRS.
        smooth: Whether corners are cut.
        min_elevation_m, max_elevation_m: Pixels below or above are no landslide; pixels of
            unknown elevation stay. Need a DEM.
        min_slope_deg, max_slope_deg: Limits of a landslide's mean slope; one of unknown slope
            stays. Need a DEM.

    Raises:
        ConfigError: A value cannot work.
    """

    min_area_m2: float = 0.0
    min_pixels: int = 0
    fill_holes_m2: float = 0.0
    sieve_pixels: int = 0
    simplify_m: float = 0.0
    smooth: bool = False
    min_elevation_m: float = -math.inf
    max_elevation_m: float = math.inf
    min_slope_deg: float = 0.0
    max_slope_deg: float = 90.0

    def __post_init__(self) -> None:
        for name in (*METRIC, "min_pixels", "sieve_pixels"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ConfigError(
                    "Sizes of post-processing must be finite and not negative. "
                    f"Received: {name}={value}. Use 0 to switch it off."
                )
        if not self.min_elevation_m < self.max_elevation_m:
            raise ConfigError(
                "The lowest elevation must lie below the highest. Received: min_elevation_m="
                f"{self.min_elevation_m}, max_elevation_m={self.max_elevation_m}. Swap them."
            )
        if not 0 <= self.min_slope_deg < self.max_slope_deg <= 90:
            raise ConfigError(
                "Slope limits must lie in [0, 90] degrees, the lower one first. Received: "
                f"min_slope_deg={self.min_slope_deg}, max_slope_deg={self.max_slope_deg}. "
                "Correct them."
            )

    @property
    def limits_elevation(self) -> bool:
        """Whether pixels are judged by their elevation."""
        return self.min_elevation_m > -math.inf or self.max_elevation_m < math.inf

    @property
    def limits_slope(self) -> bool:
        """Whether landslides are judged by their slope."""
        return self.min_slope_deg > 0 or self.max_slope_deg < 90

    def require(self, *, crs: object, terrain: object) -> None:
        """Refuse what this scene cannot give.

        Raises:
            ConfigError: A limit needs a DEM and there is none.
            GeoReferenceError: A size in metres needs a CRS and there is none.
        """
        metric = [name for name in METRIC if getattr(self, name) > 0]
        if crs is None and metric:
            raise GeoReferenceError(
                "A size in metres needs a scene with a CRS. Received: "
                f"{metric[0]}={getattr(self, metric[0])}, CRS none. Use min_pixels and "
                "sieve_pixels."
            )
        if terrain is None and (self.limits_elevation or self.limits_slope):
            raise ConfigError(
                "Limits of elevation and slope need a DEM. Received: "
                f"{self.said()}, DEM none. Name a DEM, or leave the limits out."
            )

    def said(self) -> dict[str, float | int | bool]:
        """Return the settings that are not the defaults."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }


@dataclass
class Removed:
    """What one step took away (holes: what it added).

    Attributes:
        landslides: That are gone; of holes, that were changed.
        pixels: Of them.
        area_m2: Of these pixels; 0 without a CRS.
    """

    landslides: int = 0
    pixels: int = 0
    area_m2: float = 0.0

    def count(self, pixels: int, area_m2: float, landslides: int = 0) -> None:
        """Add to the counts."""
        self.landslides += landslides
        self.pixels += pixels
        self.area_m2 += area_m2

    def said(self) -> dict[str, float]:
        """Return the counts for a summary."""
        return {**asdict(self), "area_m2": round(self.area_m2, 4)}


def sieved(outline: BaseGeometry, min_pixels: int) -> BaseGeometry:
    """Return the parts of an outline that have enough pixels; empty where none has.

    Args:
        outline: In pixel coordinates.
        min_pixels: Of a 4-connected part, less its holes.
    """
    parts = shapely.get_parts(outline)
    large = parts[shapely.area(parts) >= min_pixels]
    if len(large) == len(parts):
        return outline
    return large[0] if len(large) == 1 else shapely.multipolygons(large)


def filled(outlines: np.ndarray, max_pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill the small holes of outlines, unless they hold another one.

    A part of the same landslide that lies in a filled hole is one with what is filled; its
    pixels count as part of the hole.

    Args:
        outlines: [N], in pixel coordinates, not overlapping.
        max_pixels: [N], of a hole; larger ones stay.

    Returns:
        outlines: [N].
        added: [N], pixels that were filled.
    """
    rings, part, owner = rings_of(outlines)
    hole_ring = np.flatnonzero(np.diff(part, prepend=-1) == 0)
    holes, hole_owner = shapely.polygons(rings[hole_ring]), owner[part[hole_ring]]
    small = shapely.area(holes) <= max_pixels[hole_owner]
    hole_ring, holes, hole_owner = hole_ring[small], holes[small], hole_owner[small]
    # What lies in a hole: parts of others keep it open, parts of its own go with it.
    parts = shapely.get_parts(outlines)
    hole, inner = shapely.STRtree(parts).query(holes, "intersects")
    inside = shapely.relate_pattern(holes[hole], parts[inner], INTERIORS_MEET)
    hole, inner = hole[inside], inner[inside]
    foreign = owner[inner] != hole_owner[hole]
    is_filled = np.ones(len(holes), bool)
    is_filled[hole[foreign]] = False
    kept = np.ones(len(rings), bool)
    kept[hole_ring[is_filled]] = False
    kept[np.isin(part, inner[is_filled[hole]])] = False
    changed = np.unique(hole_owner[is_filled])
    result, added = np.array(outlines, object), np.zeros(len(outlines))
    if len(changed):
        result[changed] = polygons_of_rings(rings[kept], part[kept], owner)[changed]
        added = shapely.area(result) - shapely.area(outlines)
    return result, added
