"""How large a pixel is on the ground.

Used by `Scene`. Units: metres. CRS: any; lengths are taken on the ellipsoid where it is geographic.
"""

import numpy as np
import pyproj
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError


def pixel_size_m(crs: CRS | None, transform: Affine, height: int, width: int) -> float | None:
    """Return the mean ground size of a pixel at a scene's centre, metres; None without CRS.

    The mean is the geometric one of a step along a row and a step along a column.
    """
    if crs is None:
        return None
    if crs.is_geographic:
        geod = pyproj.CRS.from_wkt(crs.to_wkt()).get_geod()
        column, row = width / 2, height / 2
        steps = ((column - 0.5, row, column + 0.5, row), (column, row - 0.5, column, row + 0.5))
        lengths = [
            geod.inv(*(transform * (x1, y1)), *(transform * (x2, y2)))[2]
            for x1, y1, x2, y2 in steps
        ]
    else:
        try:
            metres_per_unit = crs.linear_units_factor[1]
        except CRSError:
            return None
        steps = ((transform.a, transform.d), (transform.b, transform.e))
        lengths = [np.hypot(*step) * metres_per_unit for step in steps]
    return float(np.sqrt(lengths[0] * lengths[1]))
