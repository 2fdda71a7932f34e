"""Lengths and areas on the ground, in whatever CRS the coordinates are.

One ruler for polygons, terrain and tolerances in metres. Three kinds of CRS:

- geographic: on the ellipsoid, along geodesics;
- Mercator (Web Mercator above all), polar stereographic and equidistant cylindrical: on the
  ellipsoid as well, because their own metres are not those of the ground: Mercator's are 1 / cos
  of the latitude too long, a factor of 4 in area at 60 degrees; at a pole the area of Antarctic
  Polar Stereographic is 5 % too small;
- every other projected CRS: planar, times its unit of length. That is what a GIS's planar area
  and counting pixels give; in UTM it differs from the ellipsoid's by up to 0.1 % of the area
  within 2 degrees of the zone's meridian, by 0.2 % at the zone's edge.

Shape letters: N geometries or points. Units: metres and square metres; without a CRS, pixels.
"""

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from rasterio.crs import CRS

# Longest piece of an edge that is taken as a geodesic, degrees and metres: edges are straight in
# the map, and a geodesic of 1 km leaves such a line by about 2 cm.
PIECE_DEG = 0.01
PIECE_M = 1000.0

DIFFERENCE_M = 10.0  # over which a scale is taken

# How the methods of projections begin whose metres are not those of the ground. On the axes of
# all of them, a step in x and a step in y can be measured apart: they are conformal, or the axes
# are parallels and meridians.
UNTRUE_METHODS = (
    "Mercator",
    "Popular Visualisation Pseudo",
    "Polar Stereographic",
    "Equidistant Cylindrical",
    "Pseudo Plate Carree",
)


def area_m2(geometry: gpd.GeoSeries, crs: CRS | pyproj.CRS | None) -> np.ndarray:
    """Return ground areas [N] float64, square metres; see the module's head for what they are.

    Args:
        geometry: Polygons in `crs`.
        crs: NaN is returned where it is None or has no unit of length.
    """
    shapes = np.asarray(gpd.GeoSeries(geometry).array, object)
    return np.full(len(shapes), np.nan) if crs is None else Ruler(crs).area_and_perimeter(shapes)[0]


class Ruler:
    """Measures polygons of one CRS.

    Attributes:
        crs: Of pyproj; None for pixel coordinates, which are measured in pixels.
        geodesic: Whether lengths follow the ellipsoid instead of the map's plane.
    """

    def __init__(self, crs: CRS | pyproj.CRS | None) -> None:
        self.crs = None if crs is None else _horizontal(pyproj.CRS.from_wkt(crs.to_wkt()))
        self.geodesic = False
        self._unit = 1.0
        if self.crs is None:
            return
        method = self.crs.coordinate_operation.method_name if self.crs.is_projected else ""
        self.geodesic = self.crs.is_geographic or method.startswith(UNTRUE_METHODS)
        axes = self.crs.axis_info
        self._unit = axes[0].unit_conversion_factor if axes else np.nan
        if self.geodesic:
            self._geod = self.crs.get_geod()
            self._to_degrees = pyproj.Transformer.from_crs(
                self.crs, self.crs.geodetic_crs, always_xy=True
            )

    def area_and_perimeter(self, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return areas [N] and the lengths of all rings [N], holes included."""
        if not self.geodesic:
            areas = np.asarray(shapely.area(shapes), float) * self._unit**2
            return areas, np.asarray(shapely.length(shapes), float) * self._unit
        if not len(shapes):
            return np.zeros(0), np.zeros(0)
        # The sign says in which sense a ring runs; orienting makes holes negative.
        shapes = self._degrees(shapely.orient_polygons(shapes))
        measured = np.array([self._geod.geometry_area_perimeter(shape) for shape in shapes])
        return np.abs(measured[:, 0]), measured[:, 1]

    def rectangle_sides(self, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the longer [N] and the shorter [N] side of the smallest enclosing rectangles.

        Smallest in area, turned freely, in the plane that touches the ground at the shape.
        """
        if not len(shapes):
            return np.zeros(0), np.zeros(0)
        centre = shapely.get_coordinates(shapely.centroid(shapes))
        scale = self.metres_per_unit(centre)
        # About the centre: with the millions of a map the corners would be round to 0.1 mm.
        rectangles = shapely.oriented_envelope(scaled(shapes, scale, centre))
        corners = shapely.get_coordinates(rectangles).reshape(len(shapes), 5, 2)[:, :3]
        if self.geodesic:
            corners = corners / scale[:, None] + centre[:, None]
            lon, lat = self._to_degrees.transform(corners[..., 0], corners[..., 1])
            sides = self._geod.inv(lon[:, :2], lat[:, :2], lon[:, 1:], lat[:, 1:])[2]
        else:
            sides = np.hypot(*np.moveaxis(np.diff(corners, axis=1), -1, 0))
        return sides.max(axis=1), sides.min(axis=1)

    def metres_per_unit(self, points: np.ndarray) -> np.ndarray:
        """Return how many metres on the ground one unit of x and one of y are, [N, (x, y)].

        Args:
            points: [N, (x, y)], where: it matters where `geodesic`.
        """
        points = np.asarray(points, float).reshape(-1, 2)
        if not self.geodesic:
            return np.full(points.shape, self._unit)
        if self.crs.is_geographic:
            return np.stack(metres_per_degree(points[:, 1], self._geod), axis=1)
        # By differences: PROJ's own scale factors of Web Mercator are those of a sphere.
        step = DIFFERENCE_M / self._unit
        scales = []
        for move in ((step, 0), (0, step)):
            ends = [
                self._to_degrees.transform(*(points + sign * np.array(move)).T) for sign in (-1, 1)
            ]
            scales.append(self._geod.inv(*ends[0], *ends[1])[2] / (2 * step))
        return np.stack(scales, axis=1)

    def lonlat(self, points: np.ndarray) -> np.ndarray:
        """Return points [N, (x, y)] as WGS84 [N, (longitude, latitude)] in degrees.

        Longitudes lie in [-180, 180); NaN without a CRS, and where there is no way to WGS84.
        """
        points = np.asarray(points, float).reshape(-1, 2)
        if self.crs is None or not len(points):
            return np.full(points.shape, np.nan)
        try:
            to_wgs84 = pyproj.Transformer.from_crs(self.crs, "EPSG:4326", always_xy=True)
        except pyproj.exceptions.ProjError:  # a site's own grid
            return np.full(points.shape, np.nan)
        lon, lat = to_wgs84.transform(points[:, 0], points[:, 1])
        degrees = np.stack([(lon + 180) % 360 - 180, lat], axis=1)
        return np.where(np.isfinite(degrees), degrees, np.nan)

    def _degrees(self, shapes: np.ndarray) -> np.ndarray:
        """Return shapes in degrees of the CRS's own datum, with no edge too long."""
        if self.crs.is_geographic:
            return shapely.segmentize(shapes, PIECE_DEG)
        pieces = shapely.segmentize(shapes, PIECE_M / self._unit)
        return shapely.transform(pieces, self._to_degrees.transform, interleaved=False)


def metres_per_degree(latitude_deg: np.ndarray, geod: pyproj.Geod) -> tuple[np.ndarray, np.ndarray]:
    """Return the metres of one degree of longitude and of latitude on an ellipsoid.

    From its two radii of curvature: N = a / sqrt(1 - e2 sin2), M = N (1 - e2) / (1 - e2 sin2).
    """
    latitude = np.radians(np.asarray(latitude_deg, float))
    flattened = 1 - geod.es * np.sin(latitude) ** 2
    prime_vertical = geod.a / np.sqrt(flattened)
    meridian = prime_vertical * (1 - geod.es) / flattened
    return np.radians(prime_vertical * np.cos(latitude)), np.radians(meridian)


def scaled(
    shapes: np.ndarray, factors: np.ndarray, origins: np.ndarray | None = None
) -> np.ndarray:
    """Multiply the coordinates of each shape by its own factors, seen from its own origin.

    Args:
        shapes: [N].
        factors: [N, (x, y)].
        origins: [N, (x, y)], subtracted first.
    """
    coordinates, owner = shapely.get_coordinates(shapes, return_index=True)
    if origins is not None:
        coordinates = coordinates - origins[owner]
    # A copy: set_coordinates works on the array that it is given.
    return shapely.set_coordinates(np.array(shapes, object), coordinates * factors[owner])


def _horizontal(crs: pyproj.CRS) -> pyproj.CRS:
    """Return the CRS of x and y: of a compound one its first part, of a bound one its source."""
    if crs.is_bound:
        return _horizontal(crs.source_crs)
    return _horizontal(crs.sub_crs_list[0]) if crs.is_compound else crs
