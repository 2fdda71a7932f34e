"""A finished GeoTIFF -> a Cloud Optimized GeoTIFF with overviews.

Last step of a raster result: `RasterWriter` writes a plain tiled file window by window, and GDAL's
COG driver copies it here. The driver is never opened for writing, which would hold the whole
raster in memory; as a copy it needs GDAL's block cache (`opening.GDAL_SETTINGS`) and no more,
whatever the raster's size.

CRS: the work raster's. Nothing is reprojected: rotated, south-up and CRS-less grids stay as
they are.
"""

import contextlib
from pathlib import Path

import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from landslide_rcnn.errors import RasterError, RegistryError
from landslide_rcnn.files import atomic_path
from landslide_rcnn.geo.opening import one_line, open_raster

COG_BLOCK_SIZE = 512  # pixels; the driver's own default, and what tile servers expect

# How an overview's pixel is made of the four below it. Classes are never averaged: class 0 and
# class 1 have no class between them. Both leave nodata out.
OVERVIEWS = {"continuous": "AVERAGE", "classes": "MODE"}


def write_cog(work_path: str | Path, path: str | Path, content: str) -> None:
    """Copy a GeoTIFF to a Cloud Optimized GeoTIFF, atomically; equal pixels give equal bytes.

    Deflate-compressed tiles of 512 pixels, overviews down to one tile, BigTIFF where the size may
    need it. Colour table, nodata, scale, unit, names and tags of the work raster are kept.

    Args:
        work_path: A finished GeoTIFF; may hold any number of bands. It is left as it is.
        path: The final file; not the work raster itself.
        content: "continuous" or "classes": how overviews are made (`OVERVIEWS`).

    Raises:
        RegistryError: There is no such content.
        RasterError: The work raster cannot be read, or the result not written.
    """
    if content not in OVERVIEWS:
        raise RegistryError(
            f"What a raster holds must be one of {', '.join(OVERVIEWS)}. Received: {content}. "
            "Choose among them."
        )
    options = {
        "COMPRESS": "DEFLATE",
        # Differences of neighbours compress smooth fields better, and class maps worse.
        "PREDICTOR": "YES" if content == "continuous" else "NO",
        "BLOCKSIZE": COG_BLOCK_SIZE,
        "OVERVIEWS": "IGNORE_EXISTING",
        "OVERVIEW_RESAMPLING": OVERVIEWS[content],
        "BIGTIFF": "IF_SAFER",
    }
    try:
        with atomic_path(path) as partial, _without_leftovers(partial):
            with open_raster(work_path) as work:
                rasterio.shutil.copy(work, partial, driver="COG", strict=False, **options)
    except (RasterioError, CPLE_BaseError) as error:  # copying lets GDAL's own through
        raise RasterError(
            f"A result must be writable. Received: {path}, from {work_path} ({one_line(error)}). "
            "Check the folder's permissions and the free space."
        ) from error


@contextlib.contextmanager
def _without_leftovers(partial: Path):
    """Remove what the driver may leave beside its file: overviews in the making."""
    try:
        yield
    finally:
        for leftover in partial.parent.glob(f"{partial.name}.*"):
            leftover.unlink()
