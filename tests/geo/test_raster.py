"""Scenes read and results written, window by window."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from landslide_rcnn.errors import GeoReferenceError, RasterError, ShapeError
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.windows import part_inside
from landslide_rcnn.geo.writing import Grid, RasterWriter

RGBA = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)


@pytest.fixture
def pixels(rng):
    """[30, 50, 3] without a black pixel."""
    return rng.integers(1, 255, (30, 50, 3), np.uint8)


def test_what_a_scene_says_of_itself(write_raster, pixels):
    with Scene(write_raster(pixels)) as scene:
        assert (scene.height, scene.width, scene.band_count) == (30, 50, 3)
        assert scene.dtype == np.uint8 and scene.crs.to_epsg() == 32648
        assert scene.transform == Affine(2, 0, 500_000, 0, -2, 4_000_000)
        assert scene.bounds == (500_000, 4_000_000 - 60, 500_100, 4_000_000)
        assert scene.pixel_size_m == 2.0
        assert scene.band_names == ("red", "green", "blue")
        assert scene.window == Window(0, 0, 50, 30)


def test_windows_reach_beyond_the_scene(write_raster, pixels):
    with Scene(write_raster(pixels)) as scene:
        np.testing.assert_array_equal(scene.read(scene.window), pixels)
        padded = np.pad(pixels, ((5, 7), (4, 6), (0, 0)))
        np.testing.assert_array_equal(scene.read(Window(-4, -5, 60, 42)), padded)
        valid = np.pad(np.ones((30, 50), bool), ((5, 7), (4, 6)))
        np.testing.assert_array_equal(scene.read_valid(Window(-4, -5, 60, 42)), valid)
        beside = Window(50, 0, 8, 8)
        assert not scene.read(beside).any() and scene.read(beside).shape == (8, 8, 3)
        assert not scene.read_valid(beside).any() and not scene.any_valid(beside)
        assert scene.any_valid(Window(49, 29, 8, 8))


def test_bands_are_selected_in_order(write_raster, rng):
    values = rng.normal(size=(6, 7, 4)).astype(np.float32)
    path = write_raster(values)
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("red", "green", "blue", "elevation")
    with Scene(path, bands=[4, 1]) as scene:
        assert scene.band_names == ("elevation", "red") and scene.band_count == 2
        np.testing.assert_array_equal(scene.read(scene.window), values[..., [3, 0]])


@pytest.mark.parametrize("bands", [[0], [5], [], [1, -1]])
def test_bands_that_are_not_there(write_raster, pixels, bands):
    with pytest.raises(RasterError, match=r"numbered from 1 .* 3\. Received: bands="):
        Scene(write_raster(pixels), bands=bands)


def test_alpha_is_validity_not_a_band(write_raster, pixels):
    alpha = np.full((30, 50, 1), 255, np.uint8)
    alpha[:10, 20:] = 0
    path = write_raster(np.concatenate([pixels, alpha], -1), photometric="RGB", colorinterp=RGBA)
    with Scene(path) as scene:
        assert scene.band_count == 3
        np.testing.assert_array_equal(scene.read(scene.window), pixels)
        np.testing.assert_array_equal(scene.read_valid(scene.window), alpha[..., 0] > 0)
        assert not scene.any_valid(Window(20, 0, 30, 10))


def test_a_nodata_tag(write_raster, pixels):
    pixels[3:9, :4] = 200
    pixels[20, 20, 0] = 200  # one band at the nodata value is a colour, not a hole
    with Scene(write_raster(pixels, nodata=200)) as scene:
        expected = np.ones((30, 50), bool)
        expected[3:9, :4] = False
        np.testing.assert_array_equal(scene.read_valid(scene.window), expected)


def test_a_mask_band_beside_the_file(write_raster, pixels):
    path = write_raster(pixels)
    mask = np.full((30, 50), 255, np.uint8)
    mask[:, 40:] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
        file.write_mask(mask)
    assert path.with_name("scene.tif.msk").exists()
    with Scene(path) as scene:
        np.testing.assert_array_equal(scene.read_valid(scene.window), mask > 0)


def test_nan_is_unusable_in_any_selected_band(write_raster):
    values = np.ones((4, 5, 2), np.float32)
    values[1, 2, 0], values[3, 4, 1], values[0, 0] = np.nan, np.inf, 0
    path = write_raster(values)
    with Scene(path) as scene:
        assert np.argwhere(~scene.read_valid(scene.window)).tolist() == [[1, 2], [3, 4]]
    with Scene(path, bands=[2]) as scene:
        assert np.argwhere(~scene.read_valid(scene.window)).tolist() == [[3, 4]]


def test_pixel_size_in_degrees_and_feet(write_raster, pixels):
    # At 60 degrees north a degree of longitude is half as long as one of latitude; the exact
    # lengths are those of the WGS 84 ellipsoid: 55,800 m and 111,412 m.
    degrees = Affine(0.001, 0, 10.0, 0, -0.001, 60.015)
    with Scene(write_raster(pixels, crs="EPSG:4326", transform=degrees)) as scene:
        assert scene.pixel_size_m == pytest.approx(np.sqrt(55.800 * 111.412), rel=1e-4)
    feet = Affine(3, 0, 6e6, 0, -3, 2e6)  # California zone 5, US survey feet
    with Scene(write_raster(pixels, "feet.tif", crs="EPSG:2229", transform=feet)) as scene:
        assert scene.pixel_size_m == pytest.approx(3 * 1200 / 3937)


def test_a_scene_without_crs_needs_permission(write_raster, pixels):
    path = write_raster(pixels, crs=None, transform=Affine.identity())
    with pytest.raises(GeoReferenceError, match="without CRS and transform.*--no-crs"):
        Scene(path)
    with Scene(path, allow_no_crs=True) as scene:
        assert scene.crs is None and scene.pixel_size_m is None
        assert scene.transform == Affine.identity()
        assert "no CRS" in repr(scene)


def test_a_crs_without_a_transform_is_no_georeference(write_raster, pixels):
    path = write_raster(pixels, transform=Affine.identity())
    with pytest.raises(GeoReferenceError, match="without transform"):
        Scene(path)
    with Scene(path, allow_no_crs=True) as scene:
        assert scene.crs is None


@pytest.mark.parametrize(
    "path",
    [
        "https://example.com/a.tif",
        "/vsicurl/https://example.com/a.tif",
        "s3://bucket/a.tif",
        "zip:///tmp/a.zip!a.tif",
    ],
)
def test_only_local_files(path):
    with pytest.raises(RasterError, match="must be a local file. Received: "):
        Scene(path)


def test_files_that_are_no_rasters(tmp_path, write_raster, pixels):
    with pytest.raises(RasterError, match="must be a file that exists. Received: .*gone.tif"):
        Scene(tmp_path / "gone.tif")
    with pytest.raises(RasterError, match="a folder"):
        Scene(tmp_path)
    (tmp_path / "text.tif").write_text("This is not a picture.")
    with pytest.raises(RasterError, match="readable GeoTIFF.*text.tif.*begins like none"):
        Scene(tmp_path / "text.tif")
    (tmp_path / "empty.tif").touch()
    with pytest.raises(RasterError, match="begins like none"):
        Scene(tmp_path / "empty.tif")
    (tmp_path / "virtual.tif").write_text("<VRTDataset rasterXSize='1' rasterYSize='1'/>")
    with pytest.raises(RasterError, match="a virtual dataset"):
        Scene(tmp_path / "virtual.tif")
    head = write_raster(pixels).read_bytes()[:40]
    (tmp_path / "cut.tif").write_bytes(head)
    with pytest.raises(RasterError, match="cut.tif") as caught:
        Scene(tmp_path / "cut.tif")
    assert "\n" not in str(caught.value)


def test_a_scene_that_is_damaged_inside(write_raster, pixels):
    path = write_raster(np.tile(pixels, (10, 10, 1)), compress="deflate")
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half : half + 2000] = bytes(2000)
    path.write_bytes(content)
    with Scene(path) as scene, pytest.raises(RasterError, match="damaged at row 0, column 0"):
        scene.read(scene.window)


def test_complex_pixels_are_refused(write_raster):
    with pytest.raises(RasterError, match="integers or real numbers.*complex64"):
        Scene(write_raster(np.ones((4, 4), np.complex64)))


def test_opening_a_huge_scene_reads_nothing(tmp_path):
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": "EPSG:32648"}
    with rasterio.open(
        tmp_path / "huge.tif",
        "w",
        height=400_000,
        width=500_000,
        transform=Affine(1, 0, 0, 0, -1, 0),
        tiled=True,
        sparse_ok=True,
        BIGTIFF="YES",
        nodata=255,
        **profile,
    ):
        pass
    with Scene(tmp_path / "huge.tif") as scene:
        assert scene.read(Window(499_990, 399_990, 16, 16)).shape == (16, 16, 3)


def test_overview_of_a_gradient(write_raster):
    rows = np.repeat(np.arange(80, dtype=np.float32)[:, None], 40, axis=1)
    rows[:40, :20] = -1
    with Scene(write_raster(rows, nodata=-1)) as scene:
        image, valid, factor = scene.overview(20)
        assert image.shape == (20, 10, 1) and factor == 4
        expected_valid = np.ones((20, 10), bool)
        expected_valid[:10, :5] = False
        np.testing.assert_array_equal(valid, expected_valid)
        # The mean of 4 rows is 1.5 above the first.
        expected = np.repeat(np.arange(20)[:, None] * 4 + 1.5, 10, axis=1)
        np.testing.assert_allclose(image[..., 0][valid], expected[valid])
        same, _, factor = scene.overview(500)
        assert factor == 1
        np.testing.assert_array_equal(same[..., 0], rows)


def test_written_by_windows_read_as_a_whole(tmp_path, write_raster, pixels, rng):
    target = tmp_path / "out" / "result.tif"
    values = rng.normal(size=(30, 50, 2)).astype(np.float32)
    with Scene(write_raster(pixels)) as scene:
        with RasterWriter(
            target,
            like=scene,
            dtype="float32",
            count=2,
            nodata=-9,
            descriptions=("a", "b"),
            tags={"THRESHOLD": 0.5},
        ) as writer:
            for row in range(0, 30, 16):
                for column in range(0, 50, 16):
                    window = Window(column, row, 16, 16)
                    part = part_inside(window, 30, 50)
                    tile = np.full((16, 16, 2), 77, np.float32)
                    tile[part.target] = values[part.rows, part.columns]
                    writer.write(tile, window)
            assert not target.exists()
        with rasterio.open(target) as file:
            assert file.crs == scene.crs and file.transform == scene.transform
            assert file.descriptions == ("a", "b") and file.nodata == -9
            assert file.tags()["THRESHOLD"] == "0.5"
            assert file.profile["compress"] == "deflate" and file.profile["tiled"]
    with Scene(target) as result:
        np.testing.assert_array_equal(result.read(result.window), values)
    assert [path.name for path in target.parent.iterdir()] == ["result.tif"]


def test_colours_and_unwritten_pixels(tmp_path):
    grid = Grid(40, 300, rasterio.CRS.from_epsg(32648), Affine(1, 0, 0, 0, -1, 0))
    colours = {0: (0, 0, 0, 0), 1: (215, 48, 39, 255)}
    with RasterWriter(
        tmp_path / "mask.tif", like=grid, dtype="uint8", nodata=255, colormap=colours
    ) as writer:
        writer.write(np.ones((10, 20), bool), Window(290, 35, 20, 10))
    with rasterio.open(tmp_path / "mask.tif") as file:
        mask = file.read(1)
        assert file.colormap(1)[1] == (215, 48, 39, 255)
    assert (mask[35:, 290:] == 1).all() and (mask == 255).sum() == 40 * 300 - 5 * 10


def test_a_failed_block_leaves_the_old_file(tmp_path, write_raster, pixels):
    path = tmp_path / "result.tif"
    path.write_bytes(b"the old one")
    with Scene(write_raster(pixels)) as scene, pytest.raises(ZeroDivisionError):
        with RasterWriter(path, like=scene, dtype="uint8") as writer:
            writer.write(pixels[..., 0], scene.window)
            raise ZeroDivisionError
    assert path.read_bytes() == b"the old one"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["result.tif", "scene.tif"]


def test_results_without_crs_say_so(tmp_path, write_raster, pixels):
    path = write_raster(pixels, crs=None, transform=Affine.identity())
    with Scene(path, allow_no_crs=True) as scene:
        with RasterWriter(tmp_path / "r.tif", like=scene, dtype="uint8") as writer:
            writer.write(pixels[..., 0], scene.window)
    with rasterio.open(tmp_path / "r.tif") as file:
        assert file.crs is None and "no CRS" in file.tags()["COORDINATES"]


def test_arrays_that_do_not_fit(tmp_path, write_raster, pixels):
    with Scene(write_raster(pixels)) as scene:
        with RasterWriter(tmp_path / "r.tif", like=scene, dtype="uint8") as writer:
            with pytest.raises(ShapeError, match=r"must be \[30, 50, 1\].*Received: \[30, 49\]"):
                writer.write(pixels[:, :49, 0], scene.window)
            with pytest.raises(ShapeError, match="fit into uint8. Received: .* float64"):
                writer.write(np.zeros((30, 50)), scene.window)
            with pytest.raises(ShapeError, match=r"Received: \[30, 50, 3\]"):
                writer.write(pixels, scene.window)
