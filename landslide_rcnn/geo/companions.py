"""What belongs to a scene but lies on other grids: elevation, slope, rivers, an earlier image.

Companions become further bands of the scene, aligned to it window by window. `AlignedRaster` is one
raster on another grid, for what needs its values alone.

Shape letters: H, W pixels of the scene; h, w pixels of a window; C bands.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.windows import Window

from landslide_rcnn.errors import ConfigError, RasterError
from landslide_rcnn.geo.factors import open_factors
from landslide_rcnn.geo.opening import LOCAL, Access, begins_like_a_raster, given_as, is_remote
from landslide_rcnn.geo.rasterfile import open_file
from landslide_rcnn.geo.resampled import Resampled
from landslide_rcnn.geo.rivers import RiverLevels
from landslide_rcnn.geo.source import OnGrid, Source
from landslide_rcnn.geo.windows import size_of

COUNTED_SIDE = 1024  # rows and columns of pixels that the report counts, at most


@dataclass(frozen=True)
class Companion:
    """A raster, or a vector file of river lines, that belongs to a scene.

    Attributes:
        path: A raster on any grid, or a file of lines (one band: `rivers.RiverLevels`).
        fill: The value outside its cover; None = the scene's pixel is not usable there.
        resampling: "smooth", or "nearest" for classes.
        bands: Of a raster, 1-based, in this order; None = all but alpha.
        factors: Not the raster's own bands but these factors, computed of it: those of terrain of
            a DEM, or "ndvi" of imagery (`factors.open_factors`).
    """

    path: str | Path
    fill: float | None = None
    resampling: str = "smooth"
    bands: Sequence[int] | None = None
    factors: Sequence[str] = ()

    @classmethod
    def parse(cls, text: str, fill: float | None = None) -> "Companion":
        """Make one of what the command line says: `PATH`, or `PATH#FACTOR,FACTOR`."""
        path, sign, factors = text.rpartition("#")
        if not sign or Path(text).exists():
            return cls(text, fill)
        return cls(path, fill, factors=tuple(name.strip() for name in factors.split(",")))

    def __post_init__(self) -> None:
        if self.fill is not None and not math.isfinite(self.fill):
            raise ConfigError(
                f"A companion's fill must be a number. Received: fill={self.fill} for {self.path}. "
                "Use fill=None to leave pixels out that it does not cover."
            )


def open_companion(companion: Companion, grid: OnGrid, access: Access = LOCAL) -> Source:
    """Open a companion on a scene's grid.

    Raises:
        RasterError: It is neither a readable raster nor a readable vector file.
        GeoReferenceError: There is no way between its CRS and the grid's.
        ConfigError: Bands or a fill are given for river lines, or factors do not fit the raster.
        RegistryError: There is no such factor.
    """
    if not is_remote(companion.path) and not Path(companion.path).exists():
        raise RasterError(
            f"A companion must be a file that exists. Received: {companion.path}. Correct the path."
        )
    if companion.factors:
        if companion.bands is not None or companion.resampling != "smooth":
            raise ConfigError(
                "Factors are computed of all of a raster, and smoothly. Received: bands="
                f"{companion.bands}, resampling={companion.resampling} for {companion.path}. "
                "Leave them out."
            )
        return open_factors(companion.path, companion.factors, grid, access)
    if not begins_like_a_raster(companion.path, access):
        if companion.bands is not None or companion.fill is not None:
            raise ConfigError(
                "River lines give one band and cover all of a scene. Received: bands="
                f"{companion.bands}, fill={companion.fill} for {companion.path}. Leave them out."
            )
        return RiverLevels(companion.path, grid)
    with given_as("companion"):
        file = open_file(companion.path, bands=companion.bands, access=access)
    dtype = np.dtype(np.float32)
    if companion.resampling == "nearest" and float(companion.fill or 0) == _fitting(
        companion.fill or 0, file.dtype
    ):
        dtype = file.dtype
    return Resampled(file, grid, companion.resampling, dtype)


def _fitting(value: float, dtype: np.dtype) -> float:
    """Return a number as a dtype holds it; NaN where it cannot."""
    if dtype.kind == "f":
        return float(dtype.type(value))
    limits = np.iinfo(dtype)
    return float(int(value)) if limits.min <= value <= limits.max else math.nan


class WithCompanions(Source):
    """A scene whose companions are its last bands.

    Args:
        source: The scene's own bands; closed together with this, as the companions are.
        companions: In the order of their bands.
        access: What may be opened.
    """

    def __init__(
        self, source: Source, companions: Sequence[Companion], access: Access = LOCAL
    ) -> None:
        self._source, self._companions = source, list(companions)
        self.height, self.width = source.height, source.width
        self.crs, self.transform = source.crs, source.transform
        self._aligned = [open_companion(companion, source, access) for companion in companions]
        self.dtype = np.result_type(source.dtype, *(aligned.dtype for aligned in self._aligned))
        self.band_names = source.band_names + tuple(
            _band_name(companion, name)
            for companion, aligned in zip(self._companions, self._aligned)
            for name in aligned.band_names
        )
        step = max(math.ceil(max(self.height, self.width) / COUNTED_SIDE), 1)
        self._step = step
        size = (-(-self.height // step), -(-self.width // step))
        self._counted = np.zeros(size, bool)
        self._uncovered = np.zeros((len(self._companions), *size), bool)

    @property
    def companion_band_count(self) -> int:
        """How many of the bands, the last ones, are companions'."""
        return self.band_count - self._source.band_count

    def report(self) -> dict[str, float]:
        """Return the share of the scene's usable pixels outside each companion, by its path.

        Counted are the pixels of every n-th row and column, of what was read so far, each of them
        once however many windows it was in; n = 1 for scenes of up to 1024 px a side.
        """
        counted = max(int(self._counted.sum()), 1)
        return {
            str(companion.path): float(uncovered.sum() / counted)
            for companion, uncovered in zip(self._companions, self._uncovered)
        }

    def close(self) -> None:
        """Close all files."""
        for source in (self._source, *self._aligned):
            source.close()

    def _tile_inside(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        image, valid_mask = self._source.read_tile(window)
        bands, covers = [image.astype(self.dtype)], []
        for companion, aligned in zip(self._companions, self._aligned):
            values, covered = aligned.read_tile(window)
            values = values.astype(self.dtype)
            values[~covered] = companion.fill or 0
            bands.append(values)
            covers.append(covered)
        self._count(window, valid_mask, covers)
        for companion, covered in zip(self._companions, covers):
            if companion.fill is None:
                valid_mask = valid_mask & covered
        return np.concatenate(bands, axis=-1), valid_mask

    def _count(self, window: Window, valid_mask: np.ndarray, covers: list[np.ndarray]) -> None:
        height, width = size_of(window)
        rows, first_row = self._lattice(round(window.row_off), height)
        columns, first_column = self._lattice(round(window.col_off), width)
        lattice = (slice(first_row, None, self._step), slice(first_column, None, self._step))
        self._counted[rows, columns] = valid_mask[lattice]
        for uncovered, covered in zip(self._uncovered, covers):
            uncovered[rows, columns] = (valid_mask & ~covered)[lattice]

    def _lattice(self, start: int, size: int) -> tuple[slice, int]:
        """Return the lattice's lines inside a window, and where in it the first one is."""
        first, stop = -(-start // self._step), -(-(start + size) // self._step)
        return slice(first, stop), first * self._step - start


def _band_name(companion: Companion, name: str) -> str:
    """Return a name that says which companion a band without one is of."""
    return f"{Path(companion.path).stem} {name}" if name.startswith("band ") else name


class AlignedRaster:
    """One raster on another grid; a context manager.

    Args:
        path: The raster.
        grid: The scene, or a `Grid`.
        resampling: "smooth", or "nearest" for classes.
        bands: 1-based, in this order; None = all but alpha.
    """

    def __init__(
        self,
        path: str | Path,
        grid: OnGrid,
        resampling: str = "smooth",
        bands: Sequence[int] | None = None,
    ) -> None:
        self.path = Path(path)
        self._source = Resampled(open_file(path, bands=bands), grid, resampling, np.float32)

    def read(self, window: Window) -> np.ndarray:
        """Read a window of the grid as [h, w, C] float32, NaN outside the raster's cover.

        Raises:
            RasterError: The file is damaged there.
        """
        values, covered = self._source.read_tile(window)
        values[~covered] = np.nan
        return values

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def __enter__(self) -> "AlignedRaster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
