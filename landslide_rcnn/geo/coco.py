"""Polygons on a scene's grid -> COCO JSON, the format of detection tools.

The image is the whole scene; coordinates are its pixels, (0, 0) being the outer corner of the
first one. CRS and transform lie under `info`, so that the annotations can be mapped back.

COCO's polygons have no holes: a landslide with one is written as run lengths, which give pixels
whose centres it covers. Shape letters: H, W pixels of the scene.
"""

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio.features
import shapely
from affine import Affine
from shapely.geometry.base import BaseGeometry

from landslide_rcnn.geo.run_lengths import encode_mask
from landslide_rcnn.geo.writing import NO_CRS_TAG, Grid

DECIMALS = 3  # of a pixel's coordinates: exact for outlines of pixels
CATEGORY = "landslide"
SCORE_COLUMN, CLASS_COLUMN = "score", "class_id"


def write_coco(polygons: gpd.GeoDataFrame, path: Path, grid: Grid, scene_name: str) -> None:
    """Write polygons as COCO JSON.

    Args:
        polygons: Multipolygons too, in the CRS of `grid`; `score` and `class_id` are taken over
            where they are columns.
        path: Written directly.
        grid: A grid or scene.
        scene_name: The image's `file_name`.
    """
    content = coco_of(polygons, grid, scene_name)
    path.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")


def coco_of(polygons: gpd.GeoDataFrame, grid: Grid, scene_name: str) -> dict[str, Any]:
    """Return what `write_coco` writes."""
    shapes = shapely.transform(
        np.asarray(polygons.geometry.array, object), lambda points: _to_pixels(points, grid)
    )
    classes = polygons.get(CLASS_COLUMN, np.ones(len(polygons), int))
    scores = polygons.get(SCORE_COLUMN)
    annotations = []
    for index, (shape, class_id) in enumerate(zip(shapes, classes, strict=True)):
        annotation = {
            "id": index + 1,
            "image_id": 1,
            "category_id": int(class_id),
            **_segmentation(shape, grid),
            "iscrowd": 0,
        }
        if scores is not None:
            annotation["score"] = round(float(scores.iloc[index]), 6)
        annotations.append(annotation)
    others = sorted({int(class_id) for class_id in classes} - {1})
    return {
        "info": {
            "description": f"Landslides of {scene_name}; the image is the whole scene, and "
            "coordinates are its pixels (x = column, y = row)",
            "crs": next(iter(NO_CRS_TAG.values())) if grid.crs is None else grid.crs.to_wkt(),
            # x = a * column + b * row + c, y = d * column + e * row + f.
            "transform": [float(value) for value in grid.transform[:6]],
        },
        "images": [
            {
                "id": 1,
                "file_name": scene_name,
                "width": int(grid.width),
                "height": int(grid.height),
            }
        ],
        "categories": [
            {"id": 1, "name": CATEGORY},
            *({"id": class_id, "name": f"class {class_id}"} for class_id in others),
        ],
        "annotations": annotations,
    }


def _to_pixels(points: np.ndarray, grid: Grid) -> np.ndarray:
    """Return [P, (column, row)] for [P, (x, y)] on the map."""
    return np.column_stack(~grid.transform * (points[:, 0], points[:, 1]))


def _segmentation(shape: BaseGeometry, grid: Grid) -> dict[str, Any]:
    """Return segmentation, area (pixels) and bbox [x, y, width, height] of one landslide."""
    parts = shapely.get_parts(shape)
    if shapely.get_num_interior_rings(parts).any():
        counts = run_lengths(shape, grid)
        segmentation: Any = {"size": [int(grid.height), int(grid.width)], "counts": counts}
        area: float = sum(counts[1::2])
    else:
        # A ring ends where it begins; COCO leaves the repeated point out.
        rings = (shapely.get_coordinates(shapely.get_exterior_ring(part))[:-1] for part in parts)
        segmentation = [ring.round(DECIMALS).ravel().tolist() for ring in rings]
        area = float(shape.area)
    left, top, right, bottom = shape.bounds
    box = [round(value, DECIMALS) for value in (left, top, right - left, bottom - top)]
    return {"segmentation": segmentation, "area": round(area, DECIMALS), "bbox": box}


def run_lengths(shape: BaseGeometry, grid: Grid) -> list[int]:
    """Return COCO's uncompressed run lengths of a polygon over the whole scene.

    Only the polygon's surroundings are painted, so memory does not grow with the scene.

    Args:
        shape: In pixels; what lies beyond the scene is cut off.
        grid: For H and W.

    Returns:
        Lengths of runs of 0, 1, 0, 1, ... down the columns, one after another; their sum is
        H x W. The first may be 0.
    """
    left, top, right, bottom = shape.bounds
    first_col, end_col = max(int(np.floor(left)), 0), min(int(np.ceil(right)), grid.width)
    first_row, end_row = max(int(np.floor(top)), 0), min(int(np.ceil(bottom)), grid.height)
    total = int(grid.height) * int(grid.width)
    if first_col >= end_col or first_row >= end_row:
        return [total]
    mask = rasterio.features.rasterize(
        [shape],
        (end_row - first_row, end_col - first_col),
        transform=Affine.translation(first_col, first_row),
        dtype="uint8",
    )
    return encode_mask(mask, grid.height, grid.width, first_row, first_col)
