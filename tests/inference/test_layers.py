"""The frames of the tiles and the outline of the valid area."""

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.windows import Window

from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.writing import Grid
from landslide_rcnn.inference import layers
from landslide_rcnn.inference.layers import TileRecord, aoi_table, tiles_table

UTM = rasterio.CRS.from_epsg(32648)
ROTATED = Affine(1.5, 2, 500_000, 2, -1.5, 4_000_000)  # pixels of 2.5 m


class FakeScene(Grid):
    """A grid that knows which of its pixels are valid."""

    def with_valid(self, valid_mask):
        self.valid_mask = valid_mask
        return self

    def read_valid(self, window):
        rows, columns = (slice(int(s.start), int(s.stop)) for s in window.toslices())
        inside = self.valid_mask[rows, columns]
        missing = int(window.height) - len(inside)
        return np.pad(inside, ((0, missing), (0, 0)))


def scene_of(valid_mask, transform=ROTATED, crs=UTM):
    return FakeScene(*valid_mask.shape, crs, transform).with_valid(valid_mask)


# --- tiles ---------------------------------------------------------------------------------------


def test_tiles_by_hand():
    tiles = [
        TileRecord(Window(0, 0, 64, 64), "predicted", 3),
        TileRecord(Window(48, 0, 64, 64), "skipped", 0),
        TileRecord(Window(48, 90, 64, 64), "predicted", 1),
    ]
    table = tiles_table(tiles, Grid(100, 100, UTM, ROTATED))
    assert table.crs == UTM
    assert table["row"].tolist() == [0, 0, 90] and table["column"].tolist() == [0, 48, 48]
    assert table["height"].tolist() == table["width"].tolist() == [64, 64, 64]
    assert table["state"].tolist() == ["predicted", "skipped", "predicted"]
    assert table["candidates"].tolist() == [3, 0, 1]
    # What lies on the scene: 64 x 64, 64 rows of 52 columns, and 10 rows of them, at 6.25 m2.
    np.testing.assert_allclose(table.area, 6.25 * np.array([64 * 64, 64 * 52, 10 * 52]))
    corner = shapely.Point(*(ROTATED * (100, 100)))
    assert table.geometry[2].distance(corner) < 1e-6


def test_no_tiles():
    table = tiles_table([], Grid(100, 100, None, Affine.identity()))
    assert len(table) == 0 and table.crs is None and "state" in table


# --- area ----------------------------------------------------------------------------------------


def test_the_outline_of_a_frame_with_a_hole():
    valid_mask = np.zeros((60, 90), bool)
    valid_mask[10:50, 20:80] = True
    valid_mask[20:30, 30:50] = False
    table = aoi_table(scene_of(valid_mask))
    assert table["valid_pixels"].tolist() == [40 * 60 - 200]
    assert table["outline_step_px"].tolist() == [1]
    np.testing.assert_allclose(table["area_m2"], 6.25 * (40 * 60 - 200))
    (outline,) = table.geometry
    expected = shapely.Polygon(
        [ROTATED * corner for corner in ((20, 10), (80, 10), (80, 50), (20, 50))],
        [[ROTATED * corner for corner in ((30, 20), (50, 20), (50, 30), (30, 30))]],
    )
    assert outline.symmetric_difference(expected).area < 1e-3
    assert table.crs == UTM


def test_a_coarse_outline_is_near_the_area_and_ends_with_the_scene(monkeypatch):
    monkeypatch.setattr(layers, "OUTLINE_MAX_SIZE", 40)
    monkeypatch.setattr(layers, "READ_PIXELS", 700)
    rows, columns = np.mgrid[:131, :203]
    valid_mask = (rows - 60) ** 2 + (columns - 120) ** 2 < 100**2
    table = aoi_table(scene_of(valid_mask, Affine.identity(), None))
    step = 6
    assert table["outline_step_px"].tolist() == [step]
    assert table["valid_pixels"].tolist() == [valid_mask.sum()]
    assert np.isnan(table["area_m2"][0]) and table.crs is None
    (outline,) = table.geometry
    assert outline.area == pytest.approx(valid_mask.sum(), rel=0.02)
    assert shapely.box(0, 0, 203, 131).covers(outline) and outline.bounds[2:] == (203, 131)
    circle = shapely.Point(120.5, 60.5).buffer(100, 64) & shapely.box(0, 0, 203, 131)
    # Half a cell for the vote, half a step for the simplification, along the diagonal.
    assert shapely.hausdorff_distance(outline.boundary, circle.boundary) < step * 2**0.5


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_any_validity_gives_a_valid_outline_of_its_size(valid_mask):
    table = aoi_table(scene_of(valid_mask))
    assert len(table) == valid_mask.any()
    if len(table):
        assert table.geometry.is_valid.all() and not table.geometry.is_empty.any()
        assert table["valid_pixels"][0] == valid_mask.sum()
        # Half a step at most, along an outline that is at most as long as the cells' edges.
        gap = abs(table.area[0] / 6.25 - valid_mask.sum())
        assert gap <= 0.5 * layers._corner_count(valid_mask)


def test_speckled_validity_is_outlined_more_coarsely(monkeypatch, rng):
    monkeypatch.setattr(layers, "OUTLINE_MAX_CORNERS", 1000)
    valid_mask = rng.random((256, 256)) < 0.8
    table = aoi_table(scene_of(valid_mask))
    assert table["outline_step_px"][0] > 1
    assert table["area_m2"][0] == pytest.approx(6.25 * 256**2, rel=0.01)


def test_a_few_pixels_of_a_large_scene_are_not_lost(monkeypatch):
    monkeypatch.setattr(layers, "OUTLINE_MAX_SIZE", 10)
    valid_mask = np.zeros((100, 100), bool)
    valid_mask[33, 47] = True
    table = aoi_table(scene_of(valid_mask, Affine.identity(), None))
    assert table["valid_pixels"].tolist() == [1]
    assert table.geometry[0].bounds == (40, 30, 50, 40)


def test_corners_are_counted_as_they_are():
    assert layers._corner_count(np.ones((3, 4), bool)) == 4
    assert layers._corner_count(np.eye(2, dtype=bool)) == 8
    hole = np.ones((3, 3), bool)
    hole[1, 1] = False
    assert layers._corner_count(hole) == 8


def test_a_mapped_raster_gives_its_own_area(write_raster):
    mask = np.zeros((50, 80), np.uint8)
    mask[:, 60:] = 255
    with Scene(write_raster(mask, nodata=255)) as scene:
        table = aoi_table(scene)
    assert table["valid_pixels"].tolist() == [50 * 60] and table["area_m2"].tolist() == [12_000]
