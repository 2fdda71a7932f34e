"""COCO JSON: polygons and run lengths that decode to the pixels of the landslides."""

import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shapely import box

from landslide_rcnn.geo.coco import coco_of, run_lengths, write_coco
from landslide_rcnn.geo.vector import polygons_of_mask
from landslide_rcnn.geo.writing import Grid

ROTATED = Affine(1.5, 2, 500_000, 2, -1.5, 4_000_000)
GRID = Grid(40, 60, rasterio.CRS.from_epsg(32648), ROTATED)


def placed(shape, transform=ROTATED):
    return shapely.transform(shape, lambda p: np.column_stack(transform * (p[:, 0], p[:, 1])))


def table_of(*shapes, **columns):
    return gpd.GeoDataFrame(columns, geometry=[placed(shape) for shape in shapes], crs=32648)


def decoded(segmentation, height, width):
    """The pixels of a segmentation, run by run, pixel by pixel."""
    mask = np.zeros((height, width), bool)
    if isinstance(segmentation, dict):
        assert segmentation["size"] == [height, width]
        position, value = 0, False
        for length in segmentation["counts"]:
            for index in range(position, position + length):
                mask[index % height, index // height] = value
            position, value = position + length, not value
        assert position == height * width
        return mask
    for ring in segmentation:
        polygon = shapely.Polygon(np.reshape(ring, (-1, 2)))
        for row in range(height):
            for column in range(width):
                mask[row, column] |= polygon.contains(shapely.Point(column + 0.5, row + 0.5))
    return mask


def test_a_scene_by_hand():
    parts = box(0, 0, 3, 2) | box(10, 10, 12, 14)
    ring = box(20, 20, 30, 30) - box(23, 23, 25, 26)
    content = coco_of(table_of(parts, ring, score=[0.25, 0.75], class_id=[1, 2]), GRID, "a.tif")
    assert content["images"] == [{"id": 1, "file_name": "a.tif", "width": 60, "height": 40}]
    assert content["categories"] == [{"id": 1, "name": "landslide"}, {"id": 2, "name": "class 2"}]
    assert rasterio.CRS.from_wkt(content["info"]["crs"]) == GRID.crs
    assert Affine(*content["info"]["transform"]) == ROTATED
    first, second = content["annotations"]
    assert first["area"] == 14 and first["bbox"] == [0, 0, 12, 14] and first["score"] == 0.25
    assert sorted(map(len, first["segmentation"])) == [8, 8]
    assert second["area"] == 94 and second["bbox"] == [20, 20, 10, 10]
    assert (second["id"], second["image_id"], second["category_id"], second["iscrowd"]) == (
        2, 1, 2, 0,
    )  # fmt: skip
    expected = np.zeros((40, 60), bool)
    expected[20:30, 20:30] = True
    expected[23:26, 23:25] = False
    np.testing.assert_array_equal(decoded(second["segmentation"], 40, 60), expected)
    expected = np.zeros((40, 60), bool)
    expected[:2, :3] = expected[10:14, 10:12] = True
    np.testing.assert_array_equal(decoded(first["segmentation"], 40, 60), expected)


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_every_mask_comes_back(mask):
    height, width = mask.shape
    grid = Grid(height, width, None, Affine.identity())
    shape = polygons_of_mask(mask, Affine.identity())
    counts = run_lengths(shape, grid) if mask.any() else [height * width]
    np.testing.assert_array_equal(
        decoded({"size": [height, width], "counts": counts}, height, width), mask
    )
    assert all(length > 0 for length in counts[1:])
    if mask.any():
        table = gpd.GeoDataFrame(geometry=[shape])
        (annotation,) = coco_of(table, grid, "s")["annotations"]
        np.testing.assert_array_equal(decoded(annotation["segmentation"], height, width), mask)
        assert annotation["area"] == mask.sum()
        rows, columns = np.nonzero(mask)
        x, y, w, h = annotation["bbox"]
        assert (x, y) == (columns.min(), rows.min())
        assert (x + w, y + h) == (columns.max() + 1, rows.max() + 1)


def test_run_lengths_are_cut_at_the_scene():
    grid = Grid(5, 4, None, Affine.identity())
    assert run_lengths(box(-3, -3, 2, 9), grid) == [0, 10, 10]
    assert run_lengths(box(2, 3, 9, 9), grid) == [13, 2, 3, 2]
    assert run_lengths(box(20, 3, 29, 9), grid) == [20]


def test_the_counts_of_a_huge_scene_need_no_array_of_it():
    grid = Grid(400_000, 500_000, None, Affine.identity())
    ring = box(300_000, 250_000, 300_004, 250_004) - box(300_001, 250_001, 300_002, 250_002)
    counts = run_lengths(ring, grid)
    assert sum(counts) == 400_000 * 500_000 and counts[0] == 300_000 * 400_000 + 250_000
    assert counts[1::2] == [4, 1, 2, 4, 4]


@pytest.mark.parametrize("crs", [32648, None])
def test_without_landslides_and_without_crs(tmp_path, crs):
    grid = Grid(40, 60, rasterio.CRS.from_epsg(crs) if crs else None, ROTATED)
    write_coco(gpd.GeoDataFrame({"score": []}, geometry=[], crs=crs), tmp_path / "c", grid, "é")
    content = json.loads((tmp_path / "c").read_text())
    assert content["annotations"] == [] and content["images"][0]["file_name"] == "é"
    assert ("no CRS" in content["info"]["crs"]) == (crs is None)
