"""A scene as an object: its date, its copies, its resolution."""

import math
import os
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio import warp
from rasterio.crs import CRS
from rasterio.windows import Window

from landslide_rcnn.errors import ConfigError, GeoReferenceError, RasterError
from landslide_rcnn.geo.mosaicking import OPEN_FILES
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.source import Source
from landslide_rcnn.geo.windows import part_inside
from tests.helpers.odd_rasters import (
    DEGREES,
    HEIGHT,
    NORTH_UP,
    UTM,
    WIDTH,
    place_error_px,
    ramp,
    write,
)

MIDDLE = (Affine.translation(500_000, 4_000_000), Affine.translation(WIDTH / 2, HEIGHT / 2))
TURNED = MIDDLE[0] * Affine.rotation(33) * Affine.scale(0.5, -0.5)
HOLES = np.zeros((HEIGHT, WIDTH), bool)
HOLES[5:17, 20:50] = True
HOLES[40, 3] = True


@pytest.mark.parametrize(
    "tags, date",
    [
        ({"TIFFTAG_DATETIME": "2017:08:16 10:11:12"}, "2017-08-16"),
        ({"TIFFTAG_DATETIME": "2019:01:01 00:00:00", "EXIF_DateTimeOriginal": "2017:08:16 1:1:1"},
         "2017-08-16"),
        ({"TIFFTAG_DATETIME": "0000:00:00 00:00:00"}, "None"),
        ({"TIFFTAG_DATETIME": "yesterday"}, "None"),
        ({}, "None"),
    ],
)  # fmt: skip
def test_the_date_of_the_image(tmp_path, tags, date):
    path = write(tmp_path / "scene.tif", ramp())
    with rasterio.open(path, "r+") as file:
        file.update_tags(**tags)
    with Scene(path) as scene:
        assert str(scene.acquired) == date


def test_scenes_travel_and_open_again(tmp_path):
    path = write(tmp_path / "scene.tif", ramp())
    with Scene(path, bands=[2, 1], resolution_m=1.0) as scene:
        content = pickle.dumps(scene)
        assert len(content) < 2000
        with pickle.loads(content) as travelled, scene.reopen() as other:
            expected = scene.read(scene.window)
            for again in (travelled, other):
                assert again is not scene and again.transform == scene.transform
                np.testing.assert_array_equal(again.read(again.window), expected)
    with other.reopen() as third:  # a closed scene can be opened again
        np.testing.assert_array_equal(third.read(third.window), expected)


def test_a_resolution_is_a_scene_like_any(tmp_path):
    image = ramp("float32", 2)
    image[HOLES] = np.nan
    for name, transform in (("north.tif", NORTH_UP), ("turned.tif", TURNED)):
        with Scene(write(tmp_path / name, image, transform=transform), resolution_m=1.5) as scene:
            assert (scene.height, scene.width) == (20, 27)
            assert scene.pixel_size_m == pytest.approx(1.5)
            assert scene.transform * (0, 0) == transform * (0, 0)
            values, valid = scene.read_tile(scene.window)
            np.testing.assert_array_equal(scene.read_valid(scene.window), valid)
            # Pixels 10 to 12 of each axis are pixel 3 of the new grid... by hand:
            block = image[51:54, 12:15]
            np.testing.assert_allclose(values[17, 4], block.mean(axis=(0, 1)), rtol=1e-6)
            x, y = transform * (12 + 1.5, 51 + 1.5)
            assert place_error_px(scene, 4, 17, x, y) < 1e-6
            share = 1 - HOLES[3:6, 18:21].mean()
            assert valid[1, 6] == (share >= 0.5) and not valid[3, 8]
            assert scene.read(Window(-2, -2, 4, 4))[:2].max() == 0
            small, small_valid, factor = scene.overview(9)
            assert small.shape == (7, 9, 2) and factor == 3 and small_valid.any()
    with Scene(write(tmp_path / "bytes.tif", ramp()), resolution_m=1.0) as scene:
        assert scene.dtype == np.uint8
        # The mean of 1 and 2 is 1.5, of 3 and 4 3.5: both round to even.
        assert scene.read(Window(0, 0, 4, 1))[0, :, 0].tolist() == [2, 4, 6, 8]


def test_resolutions_that_cannot_be(tmp_path):
    path = write(tmp_path / "scene.tif", ramp())
    with pytest.raises(ValueError, match="must be positive, in metres. Received: resolution_m=0"):
        Scene(path, resolution_m=0)
    for slip in (1e-9, 0.5 / 65, 81 * 0.5, 1e9):
        with pytest.raises(ConfigError, match="64 times finer.*Received.*pixels of 0.5 m"):
            Scene(path, resolution_m=slip)
    for far in (0.5 / 64, 80 * 0.5):
        with Scene(path, resolution_m=far) as scene:
            assert scene.pixel_size_m == pytest.approx(far)
    path = write(tmp_path / "plain.tif", ramp(), crs=None, transform=Affine.identity())
    with pytest.raises(GeoReferenceError, match="resolution_m=0.8 for a scene in pixel coord"):
        Scene(path, resolution_m=0.8, allow_no_crs=True)


# Several files of one scene.

MOVED_10 = Affine.translation(10, 0)
EASTERN = Affine(0.5, 0, 777_000, 0, -0.5, 4_000_000)


def pieces(tmp_path, image, places, **options):
    """Write parts of an image as files of their own; places are (top, left, height, width)."""
    paths = []
    for number, (top, left, height, width) in enumerate(places):
        part = image[top : top + height, left : left + width]
        transform = NORTH_UP * Affine.translation(left, top)
        paths.append(write(tmp_path / f"part{number}.tif", part, transform=transform, **options))
    return paths


PLACES = [(0, 30, 35, 50), (0, 0, 35, 45), (30, 0, 30, 40), (35, 40, 25, 40)]


def test_a_mosaic_is_the_scene_that_it_was_cut_from(tmp_path):
    image = ramp()
    with Scene(pieces(tmp_path, image, PLACES)) as scene:
        # The grid begins where the westernmost and northernmost files do.
        assert (scene.height, scene.width, scene.transform) == (HEIGHT, WIDTH, NORTH_UP)
        assert scene.path.name == "part0.tif" and len(scene.paths) == 4
        np.testing.assert_array_equal(scene.read(scene.window), image)
        assert scene.read_valid(scene.window).all() and "and 3 more" in repr(scene)
        small, valid, factor = scene.overview(40)
        assert factor == 2 and valid.all()
        np.testing.assert_allclose(small[3, :, 0], np.arange(40) * 2 + 1.5, atol=0.51)


def test_the_first_usable_pixel_wins(tmp_path):
    first, second = ramp("float32"), ramp("float32") + 500
    first[HOLES] = np.nan
    places = [(0, 0, HEIGHT, 50), (0, 10, HEIGHT, 60)]
    paths = [
        pieces(tmp_path, first, places)[0],
        write(tmp_path / "second.tif", second[:, 10:70], transform=NORTH_UP * MOVED_10),
    ]
    with Scene(paths) as scene:
        image, valid = scene.read_tile(scene.window)
    from_first = ~HOLES
    from_first[:, 50:] = False
    expected = np.where(from_first[..., None], first, second)[:, :70]
    np.testing.assert_array_equal(valid, (from_first | (np.arange(WIDTH) >= 10))[:, :70])
    np.testing.assert_array_equal(image[valid], expected[valid])


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_every_window_of_a_mosaic_is_a_part_of_the_whole(seed):
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        image = rng.integers(1, 9999, (HEIGHT, WIDTH, 2)).astype(np.uint16)
        places = [
            (top, left, int(rng.integers(5, HEIGHT - top)), int(rng.integers(5, WIDTH - left)))
            for top, left in zip(rng.integers(0, 50, 3).tolist(), rng.integers(0, 70, 3).tolist())
        ]
        covered = np.zeros((HEIGHT, WIDTH), bool)
        for top, left, height, width in places:
            covered[top : top + height, left : left + width] = True
        top, left = min(place[0] for place in places), min(place[1] for place in places)
        with Scene(pieces(Path(folder), image, places)) as scene:
            for _ in range(4):
                row, column = (int(rng.integers(-8, 60)) for _ in range(2))
                window = Window(column, row, int(rng.integers(1, 40)), int(rng.integers(1, 40)))
                values, valid = scene.read_tile(window)
                part = part_inside(
                    Window(column + left, row + top, window.width, window.height), HEIGHT, WIDTH
                )
                expected = np.zeros(valid.shape, bool)
                if not part.is_empty:
                    expected[part.target] = covered[part.rows, part.columns]
                np.testing.assert_array_equal(valid, expected)
                there = np.zeros_like(values)
                if not part.is_empty:
                    there[part.target] = image[part.rows, part.columns]
                np.testing.assert_array_equal(values[valid], there[valid])


def test_files_beside_the_first_ones_grid(tmp_path):
    first = write(tmp_path / "first.tif", ramp("float32", 2))
    # Half a pixel to the right of the first one's grid, and 40 pixels on.
    beside = NORTH_UP * Affine.translation(40.5, 0)
    second = write(tmp_path / "second.tif", ramp("float32", 2), transform=beside)
    with Scene([first, second]) as scene:
        assert (scene.height, scene.width) == (HEIGHT, 121)
        image, valid = scene.read_tile(scene.window)
        np.testing.assert_array_equal(image[:, :80], ramp("float32", 2))
        # At column c of the mosaic lies column c - 40.5 of the second file.
        np.testing.assert_allclose(image[20, 80:120, 0], np.arange(80, 120) - 40.5 + 1, atol=1e-5)
        assert valid[:, :120].all()


def test_files_in_two_zones(tmp_path):
    first = write(tmp_path / "first.tif", ramp("float32", 2), transform=EASTERN)
    x, y = warp.transform(UTM, CRS.from_epsg(32649), *([c] for c in EASTERN * (90, 30)))
    other = Affine(0.5, 0, x[0], 0, -0.5, y[0] + 15)
    second = write(tmp_path / "second.tif", ramp("float32", 2), crs=32649, transform=other)
    with Scene([first, second]) as scene:
        assert scene.crs == UTM
        column, row = 30.5, 25.5  # of the second file
        there = warp.transform(CRS.from_epsg(32649), UTM, *([c] for c in other * (column, row)))
        column, row = (float(c[0]) for c in ~scene.transform * tuple(map(np.array, there)))
        corner = Window(math.floor(column - 0.5), math.floor(row - 0.5), 2, 2)
        values, valid = scene.read_tile(corner)
        assert valid.all()
        # Between the four centres of the mosaic around it lies the pixel of the second file.
        across, down = column - corner.col_off - 0.5, row - corner.row_off - 0.5
        weights = np.outer([1 - down, down], [1 - across, across])
        np.testing.assert_allclose(np.tensordot(weights, values), (31, 26), atol=0.02)


def test_mosaics_across_the_dateline(tmp_path):
    west, east = (
        write(tmp_path / name, ramp(), crs=DEGREES, transform=Affine(1e-5, 0, left, 0, -1e-5, 5))
        for name, left in (("west.tif", 179.9992), ("east.tif", -180))
    )
    with Scene([west, east]) as scene:
        assert (scene.height, scene.width) == (HEIGHT, 160)
        image, valid = scene.read_tile(scene.window)
        assert valid.all()
        np.testing.assert_array_equal(image, np.concatenate([ramp(), ramp()], axis=1))


def test_hundreds_of_files_with_few_open(tmp_path):
    image = np.arange(1, 301, dtype=np.uint16).reshape(1, 300, 1).repeat(2, axis=0)
    places = [(0, column, 2, 1) for column in range(300)]
    with Scene(pieces(tmp_path, image, places)) as scene:
        before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
        np.testing.assert_array_equal(scene.read(scene.window), image)
        after = len(os.listdir("/proc/self/fd")) if before else 0
        assert after - before <= OPEN_FILES + 2


def test_files_that_are_not_of_one_scene(tmp_path):
    first = write(tmp_path / "first.tif", ramp())
    for name, image, options in (
        ("dtype.tif", ramp("uint16"), {}),
        ("bands.tif", ramp(bands=2), {}),
    ):
        with pytest.raises(RasterError, match=f"same bands and dtype.*first.tif.*{name}"):
            Scene([first, write(tmp_path / name, image, **options)])
    plain = [
        write(tmp_path / f"{name}.tif", ramp(), crs=None, transform=None) for name in ("a", "b")
    ]
    with pytest.raises(GeoReferenceError, match="how they lie together"):
        Scene(plain, allow_no_crs=True)
    with pytest.raises(RasterError, match="at least one file"):
        Scene([])


def test_what_is_read_by_windows_must_say_how():
    class Half(Source):
        pass

    with pytest.raises(TypeError, match="_tile_inside"):
        Half()
