"""Percent in one byte say the same as probabilities at every whole percent."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.windows import Window

from landslide_rcnn.errors import RasterError, ShapeError
from landslide_rcnn.geo.probability import (
    PROBABILITY_KINDS,
    ProbabilityMap,
    decode_percent,
    encode_percent,
)
from landslide_rcnn.geo.writing import Grid, RasterWriter

GRID = Grid(2, 4, rasterio.CRS.from_epsg(32648), Affine(2, 0, 500_000, 0, -2, 4_000_000))


def test_percent_by_hand():
    values = np.float32([[0, 0.0099, 0.01, 0.495, 0.5], [0.999, 1, np.nan, 1 + 5e-6, -5e-6]])
    assert encode_percent(values).tolist() == [[0, 0, 1, 49, 50], [99, 100, 255, 100, 0]]
    decoded = decode_percent(np.uint8([0, 1, 50, 100, 101, 255]))
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, np.float32([0, 0.01, 0.5, 1, np.nan, np.nan]))


@given(arrays(np.float32, (3, 5), elements=st.floats(0, 1, width=32)))
def test_percent_are_rounded_down(probability):
    gap = probability.astype(float) - decode_percent(encode_percent(probability))
    assert (gap >= 0).all() and (gap < 0.01 + 1e-7).all()


def test_thresholds_of_whole_percents_agree_to_the_last_bit():
    percents = (np.arange(101) / 100).astype(np.float32)
    below, above = (np.nextafter(percents, np.float32(end)) for end in (-1, 2))
    probability = np.clip(np.concatenate([below, percents, above]), 0, 1)[None]
    stored = decode_percent(encode_percent(probability))
    for percent in range(101):
        threshold = percent / 100
        np.testing.assert_array_equal(stored >= threshold, probability >= threshold)
    # And every percentage comes back as itself.
    assert encode_percent(percents[None]).tolist() == [list(range(101))]


@pytest.mark.parametrize("value", [1.01, -0.01, np.inf])
def test_what_is_no_probability_is_refused(value):
    with pytest.raises(ShapeError, match=r"must lie in \[0, 1\]"):
        encode_percent(np.array([[0.5, value]], np.float32))


@pytest.mark.parametrize("name, steps", [("percent", 100), ("float32", None)])
def test_both_kinds_are_read_alike(tmp_path, name, steps):
    probability = np.float32([[0.25, 0.5, np.nan, 1], [0, 0.75, 0.5, np.nan]])
    kind = PROBABILITY_KINDS[name]
    with RasterWriter(tmp_path / "p.tif", like=GRID, **kind.raster) as writer:
        writer.write(kind.encode(probability), GRID.window)
    with ProbabilityMap(tmp_path / "p.tif") as read:
        assert read.steps == steps and read.scene.crs == GRID.crs
        np.testing.assert_array_equal(read.read(GRID.window), probability)
        np.testing.assert_array_equal(
            read.read(Window(3, 1, 2, 2)), np.full((2, 2), np.nan, np.float32)
        )
    with rasterio.open(tmp_path / "p.tif") as file:
        assert file.descriptions == ("landslide probability",) and file.units == ("1",)
        assert "probability" in file.tags()["VALUES"]
        # What a GIS shows: the value times the scale.
        shown = file.read(1, masked=True) * file.scales[0]
        np.testing.assert_allclose(shown.filled(np.nan), probability, atol=1e-6)


@pytest.mark.parametrize("count, dtype, scale", [(1, "uint8", 1), (3, "float32", 1)])
def test_other_rasters_are_refused(tmp_path, count, dtype, scale):
    with RasterWriter(tmp_path / "p.tif", like=GRID, dtype=dtype, count=count, scale=scale):
        pass
    with pytest.raises(RasterError, match=f"one band.*{count} bands of {dtype}, scale {scale}"):
        ProbabilityMap(tmp_path / "p.tif")
