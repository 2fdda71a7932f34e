"""How large a pixel is on the ground.

Used by `Source`. Units: metres. CRS: any; see `measure.Ruler` for what a metre is in each.
"""

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from landslide_rcnn.geo.measure import Ruler


def pixel_size_m(crs: CRS | None, transform: Affine, height: int, width: int) -> float | None:
    """Return the mean ground size of a pixel at a scene's centre, metres.

    The mean is the geometric one of a step along a row and a step along a column. None without
    a CRS, or where the CRS has no unit of length.
    """
    if crs is None:
        return None
    scale = Ruler(crs).metres_per_unit([transform * (width / 2, height / 2)])[0]
    steps = np.array([[transform.a, transform.d], [transform.b, transform.e]]) * scale
    size = float(np.sqrt(np.prod(np.hypot(*steps.T))))
    return size if np.isfinite(size) and size > 0 else None
