"""The error map: every verdict at its place, in the papers' colours, in both files."""

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.windows import Window

from landslide_rcnn.evaluation import error_map
from landslide_rcnn.evaluation.error_map import ERROR_COLORS, ErrorMap, verdicts
from landslide_rcnn.geo.raster import Scene

PREDICTED = np.array([[0, 0, 1], [1, 0, 1]], bool)
TRUTH = np.array([[0, 1, 0], [1, 1, 1]], bool)
VALID = np.array([[1, 1, 1], [1, 1, 0]], bool)
KINDS = [[0, 2, 3], [1, 2, 255]]


@pytest.fixture
def scene(write_raster):
    def open_scene(height, width):
        return Scene(write_raster(np.ones((height, width), np.uint8)))

    return open_scene


def test_the_four_verdicts():
    assert verdicts(PREDICTED, TRUTH, VALID).tolist() == KINDS


def test_both_files(scene, tmp_path):
    with scene(2, 3) as like, ErrorMap(tmp_path / "out", like) as errors:
        errors.write(Window(0, 0, 3, 1), PREDICTED[:1], TRUTH[:1], VALID[:1])
        errors.write(Window(0, 1, 3, 1), PREDICTED[1:], TRUTH[1:], VALID[1:])
        assert not (tmp_path / "out/error_map.tif").exists()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "error_map.png",
        "error_map.tif",
    ]
    with rasterio.open(tmp_path / "out/error_map.tif") as file:
        assert file.read(1).tolist() == KINDS
        assert (file.crs, file.transform) == (like.crs, like.transform)
        assert file.nodata == 255 and file.tags()["VALUES"].startswith("0 = background")
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        colors = file.colormap(1)
    picture = np.array(Image.open(tmp_path / "out/error_map.png"))
    # Green correct, red missed, blue false.
    for kind, channel in ((1, 1), (2, 0), (3, 2)):
        assert np.argmax(colors[kind][:3]) == channel
        place = np.argwhere(np.array(KINDS) == kind)[0]
        assert tuple(picture[tuple(place)]) == ERROR_COLORS[kind] == colors[kind]
    assert picture[0, 0, 3] == 0 and 0 < picture[1, 2, 3] < 255  # nothing there; not judged


def test_what_is_not_written_is_not_judged(scene, tmp_path):
    with scene(4, 5) as like, ErrorMap(tmp_path, like) as errors:
        errors.write(Window(1, 2, 2, 1), *np.ones((3, 1, 2), bool))
    expected = np.full((4, 5), 255)
    expected[2, 1:3] = 1
    with rasterio.open(tmp_path / "error_map.tif") as file:
        np.testing.assert_array_equal(file.read(1), expected)


def test_nothing_is_left_of_a_map_that_failed(scene, tmp_path):
    with scene(4, 5) as like, pytest.raises(RuntimeError):
        with ErrorMap(tmp_path / "out", like):
            raise RuntimeError
    assert list((tmp_path / "out").iterdir()) == []


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    band_rows=st.integers(1, 9),
)
def test_a_smaller_picture_hides_no_error(tmp_path_factory, seed, height, width, band_rows):
    folder = tmp_path_factory.mktemp("errors")
    rng = np.random.default_rng(seed)
    kinds = rng.choice([0, 1, 2, 3, 255], (height, width), p=[0.7, 0.1, 0.05, 0.05, 0.1])
    predicted, truth = np.isin(kinds, (1, 3)), np.isin(kinds, (1, 2))
    with rasterio.open(
        folder / "like.tif", "w", "GTiff", width, height, 1, "EPSG:32648",
        rasterio.Affine(1, 0, 500_000, 0, -1, 4_000_000), "uint8",
    ):  # fmt: skip
        pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(error_map, "PICTURE_MAX_SIZE", 8)
        with Scene(folder / "like.tif") as like, ErrorMap(folder, like) as errors:
            for top in range(0, height, band_rows):
                part = slice(top, top + band_rows)
                window = Window(0, top, width, len(kinds[part]))
                errors.write(window, predicted[part], truth[part], kinds[part] != 255)
    picture = np.array(Image.open(folder / "error_map.png"))
    assert max(picture.shape[:2]) <= 8
    factor = max(max(height, width) / 8, 1)
    ranks = [2, 3, 1, 0, 255]  # what is drawn first: missed, false, correct
    expected = np.full((*picture.shape[:2], 4), ERROR_COLORS[255], np.uint8)
    best = np.full(picture.shape[:2], 9)
    for row, column in np.ndindex(height, width):
        cell = (
            min(int(row / factor), picture.shape[0] - 1),
            min(int(column / factor), picture.shape[1] - 1),
        )
        rank = ranks.index(kinds[row, column])
        if rank < best[cell]:
            best[cell], expected[cell] = rank, ERROR_COLORS[kinds[row, column]]
    np.testing.assert_array_equal(picture, expected)
