"""Landslide-inducing factors as bands: a DEM, river lines and a scene's own bands -> numbers.

Three ways to them, one definition: `Factors` reads all of them on a scene's grid (what
`landslide-rcnn factors` writes to a file), `open_factors` those of one raster (what a companion
`dem.tif#slope,aspect` adds to a scene), and river lines are a companion by themselves. Terrain is
computed where the DEM's own pixels are and only then brought onto the scene's grid; every window
is equal to the same part of the whole.

Shape letters: h, w pixels of a window; C bands.
Units: metres, degrees, 1 / m for curvatures; aspects as sine and cosine; NDVI in [-1, 1].
Source: Yang et al. 2022 (Ludian) for elevation, slope and the six levels of distance from rivers;
Rouse et al. 1974 for NDVI.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rasterio.windows import Window

from landslide_rcnn.errors import ConfigError, GeoReferenceError, RasterError, RegistryError
from landslide_rcnn.geo.opening import LOCAL, Access
from landslide_rcnn.geo.rasterfile import open_file
from landslide_rcnn.geo.resampled import Resampled
from landslide_rcnn.geo.rivers import RIVER_BAND, RiverLevels
from landslide_rcnn.geo.source import OnGrid, Source
from landslide_rcnn.geo.terrain import TerrainLayers

# Factor -> its bands, in the order in which they are read and written.
TERRAIN_FACTORS = {
    "elevation": ("elevation_m",),
    "slope": ("slope_deg",),
    # The direction of fall, clockwise from north: degrees would jump from 359 to 0. Where
    # directions mix between pixels (ridges, valleys) the two are shorter than 1 together, and
    # (0, 0) on flat ground.
    "aspect": ("aspect_sin", "aspect_cos"),
    "curvature": ("plan_curvature", "profile_curvature"),
}
FACTORS = {**TERRAIN_FACTORS, "river": (RIVER_BAND,), "ndvi": ("ndvi",)}

# What files call the two bands of NDVI, in lower case. Sentinel-2's and Landsat 8's numbers of
# red are both B4, those of near infrared are not: B8 there, B5 here; so only names are taken.
RED_NAMES = ("red",)
NIR_NAMES = ("nir", "near infrared", "near-infrared", "near_infrared", "infrared")


class Factors:
    """All factors of a scene, on its grid; a context manager.

    Args:
        scene: Whose grid, and whose bands for NDVI; stays the caller's to close.
        dem: A raster of metres above the sea, one band, on any grid.
        rivers: A vector file of lines.
        names: Of `FACTORS`; None = all for which there is an input. Their order does not matter.
        red, nir: The 1-based numbers of those bands among the scene's; None = by name.

    Attributes:
        band_names: In the order of `FACTORS`.

    Raises:
        RegistryError: There is no such factor.
        ConfigError: A factor lacks its input, or there is none at all.
        RasterError, DatasetError, GeoReferenceError: An input cannot be used.
    """

    def __init__(
        self,
        scene: Source,
        *,
        dem: str | Path | None = None,
        rivers: str | Path | None = None,
        names: Sequence[str] | None = None,
        red: int | None = None,
        nir: int | None = None,
    ) -> None:
        pair = find_red_and_nir(scene.band_names, red, nir)
        given = {**dict.fromkeys(TERRAIN_FACTORS, dem), "river": rivers, "ndvi": pair}
        chosen = _checked(names or [name for name in FACTORS if given[name] is not None])
        _refuse_without_input(chosen, given, scene.band_names)
        terrain = [name for name in chosen if name in TERRAIN_FACTORS]
        with contextlib.ExitStack() as opened:
            self._sources: list[Source] = []
            if terrain:
                self._sources.append(_terrain(dem, terrain, scene, LOCAL))
                opened.callback(self._sources[-1].close)
            if "river" in chosen:
                self._sources.append(RiverLevels(rivers, scene))
            if "ndvi" in chosen:
                self._sources.append(Ndvi(scene, *pair))
            self._opened = opened.pop_all()
        self.band_names = tuple(name for source in self._sources for name in source.band_names)

    def read(self, window: Window) -> np.ndarray:
        """Read [h, w, C] float32 of a window of the scene; NaN where a band is unknown."""
        bands = []
        for source in self._sources:
            values, valid_mask = source.read_tile(window)
            values = values.astype(np.float32)
            values[~valid_mask] = np.nan
            bands.append(values)
        return np.concatenate(bands, axis=-1)

    def close(self) -> None:
        """Close the DEM."""
        self._opened.close()

    def __enter__(self) -> "Factors":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Ndvi(Source):
    """The normalised difference vegetation index of two bands: (nir - red) / (nir + red).

    0 where both are 0.

    Args:
        source: Has both bands; closed together with this.
        red, nir: Their 1-based numbers among its bands.
    """

    def __init__(self, source: Source, red: int, nir: int) -> None:
        self.height, self.width = source.height, source.width
        self.crs, self.transform = source.crs, source.transform
        self.dtype, self.band_names = np.dtype(np.float32), FACTORS["ndvi"]
        self._source, self._red, self._nir = source, red - 1, nir - 1

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _tile_inside(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        image, valid_mask = self._source.read_tile(window)
        red = image[..., self._red].astype(np.float32)
        nir = image[..., self._nir].astype(np.float32)
        total = red + nir
        index = np.where(valid_mask & (total != 0), nir - red, 0) / np.where(total == 0, 1, total)
        return index[..., None].astype(np.float32), valid_mask


def open_factors(
    path: str | Path, names: Sequence[str], grid: OnGrid, access: Access = LOCAL
) -> Source:
    """Open factors of one raster on another grid: those of terrain of a DEM, or NDVI of imagery.

    Args:
        path: The raster.
        names: Of `TERRAIN_FACTORS`, or "ndvi" alone. Their order does not matter.
        grid: The scene, or its grid.
        access: What may be opened.

    Raises:
        RegistryError: There is no such factor.
        ConfigError: They are not of one raster.
        RasterError, GeoReferenceError: The raster cannot be used.
    """
    chosen = _checked(names)
    if chosen == ["ndvi"]:
        file = open_file(path, access=access)
        try:
            pair = find_red_and_nir(file.band_names, None, None)
            _refuse_without_input(chosen, {"ndvi": pair}, file.band_names)
        except ConfigError:
            file.close()
            raise
        return Resampled(Ndvi(file, *pair), grid, "smooth", np.float32)
    if not set(chosen) <= set(TERRAIN_FACTORS):
        raise ConfigError(
            f"A DEM gives {', '.join(TERRAIN_FACTORS)}; imagery gives ndvi, and river lines are a "
            f"companion without a '#'. Received: {','.join(names)} of {path}. Give a companion "
            "for each file."
        )
    return _terrain(path, chosen, grid, access)


def find_red_and_nir(
    band_names: Sequence[str], red: int | None, nir: int | None
) -> tuple[int, int] | None:
    """Return the 1-based bands (red, nir), given or known by their names; None without both.

    Raises:
        ConfigError: A given one is not among the bands.
    """
    names = [name.lower() for name in band_names]

    def first(wanted: tuple[str, ...]) -> int | None:
        return next((names.index(name) + 1 for name in wanted if name in names), None)

    pair = (red or first(RED_NAMES), nir or first(NIR_NAMES))
    for band in pair:
        if band is not None and not 1 <= band <= len(names):
            raise ConfigError(
                f"Bands are numbered from 1 to {len(names)}. Received: red={red}, nir={nir}. "
                f"Choose among {', '.join(band_names)}."
            )
    return None if None in pair else pair


def _terrain(path: str | Path, names: Sequence[str], grid: OnGrid, access: Access) -> Source:
    if grid.crs is None:
        raise GeoReferenceError(
            "Factors of terrain need a scene with a CRS. Received: a scene without. Georeference "
            "it, or give its CRS."
        )
    dem = open_file(path, access=access)
    try:
        layers = TerrainLayers(dem, [band for name in names for band in FACTORS[name]])
    except (RasterError, GeoReferenceError):
        dem.close()
        raise
    return Resampled(layers, grid, "smooth", np.float32)


def _checked(names: Sequence[str]) -> list[str]:
    """Return names in the order of `FACTORS`, each once."""
    unknown = [name for name in names if name not in FACTORS]
    if unknown:
        raise RegistryError(
            f"A factor must be one of {', '.join(FACTORS)}. Received: {', '.join(unknown)}. "
            "Choose among them."
        )
    return [name for name in FACTORS if name in names]


def _refuse_without_input(
    chosen: Sequence[str], given: dict[str, object], bands: Sequence[str]
) -> None:
    needs = {
        **dict.fromkeys(TERRAIN_FACTORS, "a DEM (--dem)"),
        "river": "river lines (--rivers)",
        "ndvi": "bands of red and near infrared (--red and --nir, or names in the file)",
    }
    missing = {name: needs[name] for name in chosen if given[name] is None}
    if missing or not chosen:
        received = f"{', '.join(missing)} without {' and '.join(dict.fromkeys(missing.values()))}"
        raise ConfigError(
            f"A factor needs what it is computed from. Received: "
            f"{received if missing else 'neither a DEM nor river lines'}, and a scene with the "
            f"bands {', '.join(bands)}. Give what is missing."
        )
