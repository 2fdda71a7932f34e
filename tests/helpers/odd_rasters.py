"""Rasters of every kind that a scene may be, each with a map whose places are known.

The pixels are a ramp: the first band grows by one a column, the second by one a row. So a pixel's
value says where in the file it was, whatever the reader did to it.
"""

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

HEIGHT, WIDTH = 60, 80
UTM = CRS.from_epsg(32648)
DEGREES = CRS.from_epsg(4326)
NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)
RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def ramp(dtype="uint8", bands=3, first=1):
    """Return [H, W, C]: columns, rows, then a constant; no pixel is 0."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    layers = [columns + first, rows + first] + [np.full_like(rows, 100)] * max(bands - 2, 0)
    return np.stack(layers[:bands], axis=-1).astype(dtype)


def write(path: Path, image, *, crs=UTM, transform=NORTH_UP, colours=None, mask=None, **profile):
    """Write [H, W, C] to a raster; COG, JPEG, PNG and JPEG 2000 through a copy."""
    driver = profile.pop("driver", "GTiff")
    options = {"crs": crs, "dtype": image.dtype.name}
    if transform is not None:  # GDAL would write the identity, which then is the file's place
        options["transform"] = transform
    size = dict(zip(("height", "width", "count"), image.shape))
    with rasterio.open(path, "w", driver=driver, **size, **options, **profile) as file:
        if colours is not None:
            file.colorinterp = colours
        file.write(np.moveaxis(image, -1, 0))
        if mask is not None:
            file.write_mask(mask)
    return path


def control_points(image_to_map, columns=(0, WIDTH / 2, WIDTH), rows=(0, HEIGHT / 2, HEIGHT)):
    """Return ground control points of a function (column, row) -> (x, y)."""
    return [
        GroundControlPoint(row=row, col=column, x=x, y=y)
        for column in columns
        for row in rows
        for x, y in [image_to_map(column, row)]
    ]


def write_with_points(path: Path, image, points, crs=UTM):
    """Write a GeoTIFF that has control points and no transform."""
    bands = np.moveaxis(image, -1, 0)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=bands.shape[1],
        width=bands.shape[2],
        count=len(bands),
        dtype=bands.dtype,
        gcps=points,
        crs=crs,
    ) as file:
        file.write(bands)
    return path


def place_error_px(scene, column, row, x, y):
    """Return how far a pixel's centre lies from where it should be, in pixels."""
    found = scene.transform * (column + 0.5, row + 0.5)
    there = ~scene.transform * (x, y)
    here = ~scene.transform * found
    return float(np.hypot(there[0] - here[0], there[1] - here[1]))
