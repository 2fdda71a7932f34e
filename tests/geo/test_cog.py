"""Cloud Optimized GeoTIFFs: the same pixels in the same place, laid out for reading in parts."""

import struct

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from landslide_rcnn.errors import RasterError, RegistryError
from landslide_rcnn.geo.cog import write_cog
from landslide_rcnn.geo.writing import Grid, RasterWriter

TRANSFORM = Affine(2, 0, 500_000, 0, -2, 4_000_000)
ENGINEERING = rasterio.CRS.from_wkt(
    'PROJCS["mine grid",GEOGCS["unknown",DATUM["unknown",SPHEROID["GRS 1980",6378137,298.257]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",31.2],PARAMETER["central_meridian",103.4],'
    'PARAMETER["scale_factor",1],PARAMETER["false_easting",5000],'
    'PARAMETER["false_northing",7000],UNIT["metre",1]]'
)
COLOURS = {0: (0, 0, 0, 0), 1: (215, 48, 39, 255), 255: (0, 0, 0, 0)}


def write_work(path, array, *, transform=TRANSFORM, crs="EPSG:32648", **options):
    crs = rasterio.CRS.from_user_input(crs) if crs else None
    grid = Grid(*array.shape, crs, transform)
    options = {"nodata": 255, "colormap": COLOURS, **options}
    with RasterWriter(path, like=grid, dtype=array.dtype.name, **options) as writer:
        writer.write(array, grid.window)
    return path


@pytest.fixture
def classes(rng):
    """[1100, 1400] uint8: blocks of 0 and 1, and a border of nodata."""
    array = np.kron(rng.integers(0, 2, (11, 14)), np.ones((100, 100))).astype(np.uint8)
    array[:, :130] = 255
    return array


def directories(data):
    """Yield (offset, {tag: (count, value or offset)}) of a classic TIFF's directories."""
    offset = struct.unpack("<I", data[4:8])[0]
    while offset:
        count = struct.unpack_from("<H", data, offset)[0]
        entries = (
            struct.unpack_from("<HHII", data, offset + 2 + 12 * index) for index in range(count)
        )
        yield offset, {tag: (kind, number, value) for tag, kind, number, value in entries}
        offset = struct.unpack_from("<I", data, offset + 2 + 12 * count)[0]


def first_block(data, tags):
    kind, count, value = tags[324]  # TileOffsets
    return value if count == 1 else struct.unpack_from("<I", data, value)[0]


def test_the_layout_is_that_of_a_cog(tmp_path, classes):
    write_cog(write_work(tmp_path / "w.tif", classes), tmp_path / "mask.tif", "classes")
    data = (tmp_path / "mask.tif").read_bytes()
    assert data[:4] == b"II*\0" and b"LAYOUT=IFDS_BEFORE_DATA" in data[:300]
    found = list(directories(data))
    widths = [tags[256][2] for _, tags in found]
    assert widths == [1400, 700, 350] and [tags[257][2] for _, tags in found] == [1100, 550, 275]
    assert all(tags[322][2] == tags[323][2] == 512 for _, tags in found)
    blocks = [first_block(data, tags) for _, tags in found]
    # Every directory comes before any pixel, and small overviews before large ones.
    assert max(offset for offset, _ in found) < min(blocks)
    assert blocks == sorted(blocks, reverse=True)
    with rasterio.open(tmp_path / "mask.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.profile["compress"] == "deflate" and file.overviews(1) == [2, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.tif", "w.tif"]


@pytest.mark.parametrize(
    "transform, crs",
    [
        (TRANSFORM, "EPSG:32648"),
        (Affine(1.5, 0.7, 500_000, 0.7, -1.5, 4_000_000), "EPSG:32648"),
        (Affine(2, 0, 500_000, 0, 2, 4_000_000), "EPSG:32648"),
        (Affine(1e-5, 0, 179.995, 0, -1e-5, 10), "EPSG:4326"),
        (TRANSFORM, ENGINEERING),
        (TRANSFORM, None),
        (Affine.identity(), None),
    ],
    ids=["north up", "rotated", "south up", "dateline", "no EPSG code", "no CRS", "pixels"],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_nothing_moves(tmp_path, classes, transform, crs):
    work = write_work(
        tmp_path / "w.tif",
        classes,
        transform=transform,
        crs=crs,
        descriptions=("landslide",),
        scale=0.5,
        unit="1",
        tags={"MADE": "here"},
    )
    write_cog(work, tmp_path / "c.tif", "classes")
    with rasterio.open(work) as before, rasterio.open(tmp_path / "c.tif") as after:
        assert after.crs == before.crs and (after.crs is None) == (crs is None)
        assert after.transform == before.transform == transform
        assert after.nodata == 255 and after.colormap(1)[1] == COLOURS[1]
        # A TIFF's colours have no alpha: nodata alone is transparent.
        assert after.colormap(1)[0][3] == 255 and after.colormap(1)[255][3] == 0
        assert (after.scales, after.units, after.descriptions) == ((0.5,), ("1",), ("landslide",))
        assert after.tags()["MADE"] == "here"
        assert ("COORDINATES" in after.tags()) == (crs is None)
        np.testing.assert_array_equal(after.read(1), classes)


def test_classes_are_voted_on_and_percent_averaged_without_nodata(tmp_path):
    array = np.zeros((1024, 1024), np.uint8)
    array[::2, ::2] = 100  # one of four
    array[:, 512:] = 100
    array[::2, 512:] = 255  # half of each four
    for content, left in (("classes", 0), ("continuous", 25)):
        work = write_work(tmp_path / "w.tif", array, colormap=None)
        write_cog(work, tmp_path / f"{content}.tif", content)
        with rasterio.open(tmp_path / f"{content}.tif") as file:
            assert file.overviews(1) == [2]
            half = file.read(1, out_shape=(512, 512))
        assert (half[:, :256] == left).all() and (half[:, 256:] == 100).all()


def test_overviews_of_floats_leave_nan_out(tmp_path):
    array = np.full((1024, 600), np.nan, np.float32)
    array[::2] = 0.25
    array[1::4, :300] = 0.75
    work = write_work(tmp_path / "w.tif", array, colormap=None, nodata=float("nan"))
    write_cog(work, tmp_path / "c.tif", "continuous")
    with rasterio.open(tmp_path / "c.tif") as file:
        half = file.read(1, out_shape=(512, 300))
    np.testing.assert_array_equal(half[::2, :150], 0.5)
    np.testing.assert_array_equal(half[1::2], 0.25)
    np.testing.assert_array_equal(half[:, 150:], 0.25)


@pytest.mark.parametrize("dtype, nodata", [("uint8", 255), ("float32", float("nan"))])
def test_equal_pixels_give_equal_bytes(tmp_path, rng, dtype, nodata):
    array = (rng.random((900, 1300)) * 100).astype(dtype)
    work = write_work(tmp_path / "a.tif", array, nodata=nodata, colormap=None)
    # The other work raster is written in pieces, in another order, as after a restart.
    grid = Grid(900, 1300, rasterio.CRS.from_epsg(32648), TRANSFORM)
    with RasterWriter(tmp_path / "b.tif", like=grid, dtype=dtype, nodata=nodata) as writer:
        for row in (600, 0, 300):
            writer.write(array[row : row + 300], Window(0, row, 1300, 300))
    assert work.read_bytes() != (tmp_path / "b.tif").read_bytes()
    for name in "ab":
        write_cog(tmp_path / f"{name}.tif", tmp_path / f"{name}_cog.tif", "continuous")
    assert (tmp_path / "a_cog.tif").read_bytes() == (tmp_path / "b_cog.tif").read_bytes()


def test_a_failure_leaves_nothing_but_the_old_file(tmp_path, classes):
    work = write_work(tmp_path / "w.tif", classes)
    data = bytearray(work.read_bytes())
    data[len(data) // 2 :] = b"\xff" * (len(data) - len(data) // 2)
    work.write_bytes(data)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "c.tif").write_bytes(b"old")
    with pytest.raises(RasterError, match=r"must be writable. Received: .*c\.tif, from .*w\.tif"):
        write_cog(work, tmp_path / "out" / "c.tif", "classes")
    with pytest.raises(RasterError, match="a file that exists"):
        write_cog(tmp_path / "missing.tif", tmp_path / "out" / "c.tif", "classes")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c.tif"]
    assert (tmp_path / "out" / "c.tif").read_bytes() == b"old"


def test_unknown_content(tmp_path):
    with pytest.raises(RegistryError, match="one of continuous, classes. Received: heights"):
        write_cog(tmp_path / "w.tif", tmp_path / "c.tif", "heights")
