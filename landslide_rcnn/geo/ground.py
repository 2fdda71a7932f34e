"""How large a pixel is on the ground: its side and its area.

Used by `Source` and `evaluation`. Units: metres, square metres. CRS: any; see
`measure.Ruler` for what a metre is in each.
"""

import numpy as np
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

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


def row_areas_m2(crs: CRS | None, transform: Affine, window: Window) -> np.ndarray | None:
    """Return the ground area of a pixel of each row of a window, [h] float64, square metres.

    It depends on the row where it depends on the latitude. Of each row the middle pixel is
    measured: on a north-up grid all are the same, and on a turned one hardly different.

    Args:
        crs: None returns None, and so does one without a unit of length.
        transform: The scene's.
        window: Pixels of the scene.
    """
    if crs is None:
        return None
    ruler = Ruler(crs)
    rows = window.row_off + np.arange(window.height if ruler.geodesic else 1)
    col = window.col_off + window.width // 2
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    x = col + corners[:, 0]
    y = rows[:, None] + corners[:, 1]
    pixels = shapely.polygons(
        np.stack(
            [
                transform.a * x + transform.b * y + transform.c,
                transform.d * x + transform.e * y + transform.f,
            ],
            axis=-1,
        )
    )
    areas = ruler.area_and_perimeter(pixels)[0]
    return np.broadcast_to(areas, window.height) if np.isfinite(areas).all() else None
