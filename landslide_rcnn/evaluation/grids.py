"""Classes of one raster, read on the grid of another: truths and second maps on the map's grid.

Used by `truth` and `comparison`.

Shape letters: h, w pixels of a window. CRS: any two that PROJ can join.
"""

import numpy as np
from rasterio.windows import Window

from landslide_rcnn.geo.georeference import same_crs
from landslide_rcnn.geo.regrid import places_on, read_on_grid
from landslide_rcnn.geo.source import OnGrid, Source


class ClassesOnGrid:
    """A raster of classes, read on another raster's grid.

    Where the grids differ, each pixel takes the class that its centre lies in.

    Args:
        source: Of one band.
        grid: To read on.
        name: What the source is, for the note.

    Attributes:
        notes: How the source was read, where its grid is another one.

    Raises:
        GeoReferenceError: Only one of the two has a CRS, or there is no way between them.
    """

    def __init__(self, source: Source, grid: OnGrid, name: str) -> None:
        self._source, self._grid = source, grid
        self._is_same = _same_grid(source, grid)
        self.notes: list[str] = []
        if not self._is_same:
            places_on(source, grid)  # refuses CRSs without a way between them
            self.notes.append(
                f"{name} ({_describe(source)}) was read on the map's grid ({_describe(grid)}): "
                "each pixel of the map takes the class at its centre."
            )

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read a window of the grid.

        Returns:
            classes: [h, w]; 0 where not valid and the grids differ.
            valid_mask: [h, w] bool.
        """
        if self._is_same:
            classes, valid_mask = self._source.read_tile(window)
        else:
            classes, valid_mask = read_on_grid(self._source, self._grid, window, "nearest")
        return classes[..., 0], valid_mask


def _same_grid(first: OnGrid, second: OnGrid) -> bool:
    """Whether the pixels of both are the same."""
    return (
        (first.height, first.width) == (second.height, second.width)
        and first.transform.almost_equals(second.transform, precision=1e-6)
        and (first.crs is None) == (second.crs is None)
        and (first.crs is None or same_crs(first.crs, second.crs))
    )


def _describe(grid: OnGrid) -> str:
    crs = "no CRS" if grid.crs is None else grid.crs.to_string()
    origin = f"({grid.transform.c:.10g}, {grid.transform.f:.10g})"
    return f"{grid.width} x {grid.height} px from {origin}, pixel {grid.transform.a:g}, {crs}"
