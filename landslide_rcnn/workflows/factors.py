"""A DEM, river lines and a scene -> a file of factors on the scene's grid.

`landslide-rcnn factors`: window by window through `geo.factors.Factors` into a work raster, which
then becomes a Cloud Optimized GeoTIFF; memory does not grow with the scene.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rasterio.windows import Window
from tqdm import tqdm

from landslide_rcnn.files import refuse_to_overwrite
from landslide_rcnn.geo.cog import write_cog
from landslide_rcnn.geo.factors import Factors
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.writing import BLOCK_SIZE, RasterWriter

WINDOW_SIDE = 4 * BLOCK_SIZE  # pixels; whole blocks of the work raster, each written once


def write_factors(
    like: str | Path,
    output: str | Path,
    *,
    dem: str | Path | None = None,
    rivers: str | Path | None = None,
    names: Sequence[str] | None = None,
    red: int | None = None,
    nir: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> tuple[str, ...]:
    """Write landslide-inducing factors as the bands of one GeoTIFF, float32, NaN = unknown.

    Args:
        like: The scene whose grid the factors get, and whose bands NDVI is of.
        output: The file.
        dem: Metres above the sea, one band, in any CRS.
        rivers: A vector file of lines, in any CRS.
        names: Of `geo.factors.FACTORS`; None = all for which there is an input.
        red, nir: 1-based bands of the scene; None = by their names.
        overwrite: Replace a result that is there.
        progress: Show a progress bar on stderr.

    Returns:
        The names of the bands, in order.

    Raises:
        OutputExistsError: The result is there and `overwrite` is not set.
        RegistryError, ConfigError: A factor is unknown, or lacks its input.
        RasterError, DatasetError, GeoReferenceError: A file cannot be used.
    """
    output = Path(output)
    refuse_to_overwrite(output, overwrite=overwrite)
    with (
        Scene(like) as scene,
        Factors(scene, dem=dem, rivers=rivers, names=names, red=red, nir=nir) as factors,
    ):
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".factors-", dir=output.parent) as folder:
            work = Path(folder) / "work.tif"
            sources = {"SCENE": like, "DEM": dem, "RIVERS": rivers}
            with RasterWriter(
                work,
                like=scene,
                dtype="float32",
                count=len(factors.band_names),
                nodata=float("nan"),
                descriptions=factors.band_names,
                tags={name: Path(path).name for name, path in sources.items() if path},
            ) as writer:
                windows = list(_windows(scene.height, scene.width))
                for window in tqdm(windows, "factors", unit="window", disable=not progress):
                    writer.write(factors.read(window), window)
            write_cog(work, output, "continuous")
        return factors.band_names


def _windows(height: int, width: int) -> Iterator[Window]:
    """Yield windows that cover a raster, each pixel once."""
    for row in range(0, height, WINDOW_SIDE):
        for column in range(0, width, WINDOW_SIDE):
            yield Window(
                column, row, min(WINDOW_SIDE, width - column), min(WINDOW_SIDE, height - row)
            )
