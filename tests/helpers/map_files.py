"""Writes small maps, as `predict_scene` would, and truths for them."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from shapely.geometry import box

CRS = "EPSG:32648"
TRANSFORM = Affine(10, 0, 400_000, 0, -10, 3_700_000)


def write_raster(path: Path, array, crs=CRS, transform=TRANSFORM, nodata=None) -> Path:
    height, width = array.shape
    with rasterio.open(
        path, "w", "GTiff", width, height, 1, crs, transform, array.dtype, nodata=nodata
    ) as file:
        file.write(array, 1)
    return path


def pixel_box(top, left, bottom, right):
    """The map polygon of the pixels [top, bottom) x [left, right)."""
    x, y = 400_000 + 10 * left, 3_700_000 - 10 * top
    return box(x, y - 10 * (bottom - top), x + 10 * (right - left), y)


def write_polygons(path: Path, *polygons, crs=CRS) -> Path:
    gpd.GeoDataFrame(geometry=list(polygons), crs=CRS).to_crs(crs).to_file(path)
    return path


def write_map(
    folder: Path, probability, threshold=0.5, polygons=(), tile_px=None, transform=TRANSFORM
) -> Path:
    """Write what `evaluate_map` reads of a map."""
    folder.mkdir(exist_ok=True)
    probability = np.asarray(probability, np.float32)
    write_raster(folder / "probability.tif", probability, transform=transform, nodata=np.nan)
    mask = np.where(np.isnan(probability), 255, probability >= threshold).astype(np.uint8)
    write_raster(folder / "mask.tif", mask, transform=transform, nodata=255)
    summary = {"threshold": threshold, "landslides": len(polygons)}
    if tile_px is not None:
        summary["tiles"] = {"size": tile_px}
    (folder / "summary.json").write_text(json.dumps(summary))
    if polygons:
        table = gpd.GeoDataFrame({"id": range(len(polygons))}, geometry=list(polygons), crs=CRS)
        table.to_file(folder / "landslides.gpkg", layer="landslides", driver="GPKG")
    return folder
