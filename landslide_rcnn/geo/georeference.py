"""Which place on the earth a raster says that it has.

Used by the readers of `geo/`: comparing CRSs, finding the one that a file or its neighbours name.

CRS: rasterio's and pyproj's; None = pixel coordinates.
"""

import functools
import math

import pyproj


def same_crs(first: object, second: object) -> bool:
    """Return whether two CRSs place coordinates alike; the wording and axis order may differ.

    Args:
        first, second: CRSs of pyproj or rasterio.
    """
    return _same_wkt(first.to_wkt(), second.to_wkt())


@functools.lru_cache(maxsize=256)
def _same_wkt(first_wkt: str, second_wkt: str) -> bool:
    if first_wkt == second_wkt:
        return True
    first, second = (pyproj.CRS.from_wkt(wkt) for wkt in (first_wkt, second_wkt))
    if first.equals(second, ignore_axis_order=True):
        return True
    code = first.to_epsg()
    return code is not None and code == second.to_epsg()


def full_turn(crs: object) -> float:
    """Return how much a longitude grows in a full turn, in the CRS's unit; 0 where it is planar."""
    return _turn_of_wkt(crs.to_wkt())


@functools.lru_cache(maxsize=256)
def _turn_of_wkt(wkt: str) -> float:
    crs = pyproj.CRS.from_wkt(wkt)
    if not crs.is_geographic:
        return 0.0
    # Degrees come out as 360 to the last bit.
    return round(2 * math.pi / crs.axis_info[0].unit_conversion_factor, 9)
