"""Rasters in: a scene is read window by window.

First step of the way through the package. A scene is made of parts that stand on each other: one
file (`rasterfile.py`) or a mosaic of files (`mosaicking.py`), at its own or another ground
resolution (`resampled.py`), with or without companions (`companions.py`).

Shape letters: H, W pixels of the scene; h, w pixels of a window; C bands.
Units: windows in pixels of the scene, bounds in units of the CRS, `pixel_size_m` in metres.
CRS: the file's own, never changed or invented; the user may give one to a file without.
"""

import contextlib
import datetime
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.windows import Window

from landslide_rcnn.errors import RasterError
from landslide_rcnn.geo.companions import Companion, WithCompanions
from landslide_rcnn.geo.mosaicking import Mosaic
from landslide_rcnn.geo.opening import Access
from landslide_rcnn.geo.rasterfile import open_file
from landslide_rcnn.geo.resampled import Resampled, grid_of_resolution
from landslide_rcnn.geo.source import Source


class Scene(Source):
    """A raster of any size, open to read; a context manager.

    Nothing is read before a window is asked for. Not thread-safe: each thread opens its own
    (`reopen`). Pickled, a scene is its arguments.

    A pixel is unusable where the file's nodata tag, alpha or mask band says so, where a selected
    band of a float raster is not finite, beyond the scene, where a companion without a fill does
    not reach, and, in integer imagery that says nothing, in the black outside of the survey
    (`geo/validity.py`).

    Args:
        path: A local GeoTIFF, JPEG 2000, PNG or JPEG file, or several of one scene: a mosaic on
            the first one's grid, in which the first usable pixel wins.
        bands: The bands to read, 1-based, in this order; None = all but alpha.
        allow_no_crs: Take a file without a CRS in pixel coordinates (x right, y down).
        crs: Of a file that says none, e.g. "EPSG:32648".
        resolution_m: Read at this ground size of a pixel, metres; finer pixels are averaged.
        companions: Their bands follow the scene's own.
        allow_vrt: Open virtual rasters too.
        allow_remote: Open URLs and GDAL's /vsi paths too.

    Attributes:
        path: The file; the first one of several.
        paths: All of them.
        companions: As given.
        height: H, pixels.
        width: W, pixels.
        band_count: C, of the selected bands.
        band_names: Their descriptions in the file, else their colours, else "band 1", ...
        dtype: Of the pixels.
        crs: None for pixel coordinates.
        transform: From (column, row) to map coordinates; the identity where the file has none.
        bounds: (left, bottom, right, top), map coordinates.
        pixel_size_m: Mean ground size of a pixel at the scene's centre, metres; None without CRS.
        acquired: The date of the image, None where the (first) file does not say.

    Raises:
        RasterError: A file is missing, not local, not a raster, or lacks a selected band.
        GeoReferenceError: It has no CRS (or no transform) and `allow_no_crs` is False.
        ConfigError: `resolution_m` is not positive.
    """

    def __init__(
        self,
        path: str | Path | Sequence[str | Path],
        *,
        bands: Sequence[int] | None = None,
        allow_no_crs: bool = False,
        crs: CRS | str | int | None = None,
        resolution_m: float | None = None,
        companions: Sequence[Companion] = (),
        allow_vrt: bool = False,
        allow_remote: bool = False,
    ) -> None:
        given = [path] if isinstance(path, str | Path) else list(path)
        if not given:
            raise RasterError("A scene must be at least one file. Received: none. Name one.")
        self._arguments: dict[str, Any] = {
            "path": given[0] if len(given) == 1 else given,
            "bands": bands,
            "allow_no_crs": allow_no_crs,
            "crs": crs,
            "resolution_m": resolution_m,
            "companions": tuple(companions),
            "allow_vrt": allow_vrt,
            "allow_remote": allow_remote,
        }
        self.paths = tuple(Path(one) for one in given)
        self.companions = tuple(companions)
        self.path = self.paths[0]
        access = Access(allow_vrt, allow_remote)
        open_one = functools.partial(
            open_file, bands=bands, allow_no_crs=allow_no_crs, crs=crs, access=access
        )
        with contextlib.ExitStack() as until_checked:
            source = open_one(given[0]) if len(given) == 1 else Mosaic(given, open_one)
            until_checked.callback(source.close)
            self.acquired: datetime.date | None = source.acquired
            if resolution_m is not None:
                grid = grid_of_resolution(source, resolution_m, source.pixel_size_m)
                source = Resampled(source, grid)
            self._companioned = None
            if companions:
                source = self._companioned = WithCompanions(source, companions, access)
            until_checked.pop_all()
        self._source = source
        self.height, self.width = source.height, source.width
        self.crs, self.transform = source.crs, source.transform
        self.dtype, self.band_names = source.dtype, source.band_names

    def reopen(self) -> "Scene":
        """Open the same scene once more, e.g. for another thread."""
        return Scene(**self._arguments)

    @property
    def companion_band_count(self) -> int:
        """How many of the bands, the last ones, are companions'."""
        return 0 if self._companioned is None else self._companioned.companion_band_count

    def companion_report(self) -> dict[str, float]:
        """Return the share of the scene's usable pixels outside each companion, by its path.

        See `WithCompanions.report` for what is counted; empty without companions.
        """
        return {} if self._companioned is None else self._companioned.report()

    def overview(self, max_size: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Read the whole scene at a smaller size, to look at; see `Source.overview`."""
        return self._source.overview(max_size)

    def close(self) -> None:
        """Close the files."""
        self._source.close()

    def __reduce__(self) -> tuple:
        return _open_scene, (self._arguments,)

    def __repr__(self) -> str:
        crs = "no CRS" if self.crs is None else self.crs.to_string()
        more = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return (
            f"Scene({self.path}{more}, {self.height} x {self.width} px, {self.band_count} bands, "
            f"{crs})"
        )

    def _tile_inside(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        return self._source._tile_inside(window)

    def _image_inside(self, window: Window) -> np.ndarray:
        return self._source._image_inside(window)

    def _valid_inside(self, window: Window) -> np.ndarray:
        return self._source._valid_inside(window)


def _open_scene(arguments: dict[str, Any]) -> Scene:
    return Scene(**arguments)
