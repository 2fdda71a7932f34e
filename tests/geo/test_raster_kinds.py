"""Every kind of raster: right place, right values, right validity, or a clear refusal."""

import re

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC
from rasterio.transform import GCPTransformer
from rasterio.windows import Window

from landslide_rcnn.errors import GeoReferenceError
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import rasterize_instances
from tests.helpers.odd_rasters import (
    DEGREES,
    HEIGHT,
    NORTH_UP,
    RGB,
    UTM,
    WIDTH,
    control_points,
    place_error_px,
    ramp,
    write,
    write_with_points,
)

RGBA = (*RGB, ColorInterp.alpha)
MIDDLE = (Affine.translation(500_000, 4_000_000), Affine.translation(WIDTH / 2, HEIGHT / 2))
TURNED = MIDDLE[0] * Affine.rotation(33) * Affine.scale(0.5, -0.5)
SOUTH_UP = Affine(0.5, 0, 500_000, 0, 0.5, 3_999_000)
SHEARED = Affine(0.5, 0.1, 500_000, -0.2, -0.6, 4_000_000)
DATELINE = Affine(1e-5, 0, 179.9996, 0, -1e-5, -16.5)

KINDS = {
    "uint8": {},
    "one band": {"bands": 1},
    "nine bands": {"bands": 9},
    "uint16": {"dtype": "uint16"},
    "int16": {"dtype": "int16", "first": -7},
    "int8": {"dtype": "int8"},
    "uint32": {"dtype": "uint32"},
    "int32": {"dtype": "int32", "first": -70_000},
    "float32": {"dtype": "float32"},
    "float64": {"dtype": "float64"},
    "tiled": {"tiled": True, "blockxsize": 16, "blockysize": 32},
    "band by band": {"interleave": "band", "compress": "zstd"},
    "strips of lzw": {"blockysize": 7, "compress": "lzw", "predictor": 2},
    "BigTIFF": {"BIGTIFF": "YES"},
    "COG": {"driver": "COG", "compress": "deflate", "blocksize": 128},
    "JPEG 2000": {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"},
    "turned": {"transform": TURNED},
    "south up": {"transform": SOUTH_UP},
    "sheared": {"transform": SHEARED},
    "degrees": {"crs": DEGREES, "transform": Affine(1e-5, 0, 103.2, 0, -1e-5, 33.1)},
    "across the dateline": {"crs": DEGREES, "transform": DATELINE},
}


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_places(tmp_path, kind):
    options = dict(KINDS[kind])
    image = ramp(**{key: options.pop(key) for key in ("dtype", "bands", "first") if key in options})
    crs, transform = options.pop("crs", UTM), options.pop("transform", NORTH_UP)
    path = write(tmp_path / "scene.tif", image, crs=crs, transform=transform, **options)
    with Scene(path) as scene:
        assert scene.dtype == image.dtype and scene.crs == crs
        np.testing.assert_array_equal(scene.read(scene.window), image)
        assert scene.read_valid(scene.window).all()
        tile, valid = scene.read_tile(Window(70, 50, 20, 20))
        np.testing.assert_array_equal(tile[:10, :10], image[50:, 70:])
        assert valid[:10, :10].all() and valid.sum() == 100 and not tile[10:].any()
        for column, row in ((0, 0), (WIDTH - 1, 0), (13, HEIGHT - 1), (40, 30)):
            x, y = transform * (column + 0.5, row + 0.5)
            assert place_error_px(scene, column, row, x, y) < 1e-6


def test_pixel_sizes_in_metres_where_axes_are_not_the_maps(tmp_path):
    with Scene(write(tmp_path / "turned.tif", ramp(), transform=TURNED)) as scene:
        assert scene.pixel_size_m == pytest.approx(0.5, rel=1e-9)
    path = write(tmp_path / "dateline.tif", ramp(), crs=DEGREES, transform=DATELINE)
    with Scene(path) as scene:
        # 1e-5 degrees: 1.0674 m along the parallel of 16.5 degrees, 1.1066 m along the meridian.
        assert scene.pixel_size_m == pytest.approx(np.sqrt(1.0674 * 1.1066), rel=1e-3)


def test_labels_on_a_turned_grid(tmp_path):
    # The polygon of one pixel, whose box is outside of the window's corner-to-corner box.
    with Scene(write(tmp_path / "turned.tif", ramp(), transform=TURNED)) as scene:
        ring = [TURNED * place for place in ((79, 59), (80, 59), (80, 60), (79, 60))]
        polygons = gpd.GeoDataFrame(geometry=[shapely.Polygon(ring)], crs=UTM.to_wkt())
        labels = rasterize_instances(polygons, scene.window, scene.transform)
    assert np.argwhere(labels).tolist() == [[59, 79]]


# Usable pixels.

HOLES = np.zeros((HEIGHT, WIDTH), bool)
HOLES[5:17, 20:50] = True
HOLES[40, 3] = True


def with_alpha(dtype):
    alpha = np.where(HOLES, 0, np.iinfo(dtype).max)
    return np.concatenate([ramp(dtype), alpha[..., None].astype(dtype)], axis=-1)


def marked(dtype, value, bands=3):
    image = ramp(dtype, bands)
    image[HOLES] = value
    return image


VALIDITIES = {
    "alpha": lambda path: write(path, with_alpha("uint8"), colours=RGBA),
    "16-bit alpha": lambda path: write(path, with_alpha("uint16"), colours=RGBA),
    "nodata": lambda path: write(path, marked("uint8", 255), nodata=255),
    "nodata of int16": lambda path: write(path, marked("int16", -32768, 1), nodata=-32768),
    "nodata of float32": lambda path: write(path, marked("float32", -9999), nodata=-9999),
    "lowest float": lambda path: write(
        path, marked("float32", np.finfo("f4").min), nodata=float(np.finfo("f4").min)
    ),
    "NaN as nodata": lambda path: write(path, marked("float32", np.nan), nodata=np.nan),
    "NaN without a tag": lambda path: write(path, marked("float32", np.nan)),
    "infinite": lambda path: write(path, marked("float64", np.inf)),
}


@pytest.mark.parametrize("kind", VALIDITIES)
def test_which_pixels_are_usable(tmp_path, kind):
    with Scene(VALIDITIES[kind](tmp_path / "scene.tif")) as scene:
        image, valid = scene.read_tile(scene.window)
        np.testing.assert_array_equal(valid, ~HOLES)
        np.testing.assert_array_equal(scene.read_valid(scene.window), ~HOLES)
        np.testing.assert_array_equal(image[valid][:, 0], ramp()[~HOLES][:, 0])
        assert not scene.any_valid(Window(22, 6, 10, 10))


@pytest.mark.parametrize("internal", [True, False])
def test_masks_inside_and_beside_the_file(tmp_path, internal):
    mask = np.where(HOLES, 0, 255).astype(np.uint8)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        path = write(tmp_path / "scene.tif", ramp(), mask=mask)
    assert (tmp_path / "scene.tif.msk").exists() is not internal
    with Scene(path) as scene:
        np.testing.assert_array_equal(scene.read_valid(scene.window), ~HOLES)


def virtual(path, image, nodata):
    """Write a raster, and a virtual one over it with a nodata value for each band."""
    write(path.with_suffix(".tif"), image)
    with rasterio.open(path.with_suffix(".tif")) as file:
        rasterio.shutil.copy(file, path, driver="VRT")
    head, *bands = re.split(r"(?<=<VRTRasterBand)", path.read_text())
    for value, band in zip(nodata, bands, strict=True):
        head += re.sub(">", f"><NoDataValue>{value}</NoDataValue>", band, count=1)
    path.write_text(head)
    return path


def test_a_nodata_tag_that_no_pixel_can_have(tmp_path):
    image = ramp()
    image[:8] = 0
    with Scene(virtual(tmp_path / "s.vrt", image, [-9999] * 3), allow_vrt=True) as scene:
        valid = scene.read_valid(scene.window)
    # The tag says nothing, so the black border counts.
    assert not valid[:8].any() and valid[8:].all()


def test_nodata_of_each_band(tmp_path):
    image = ramp("int16")
    image[2, 3, 0], image[4, 5, 1], image[6, 7, 1] = -1, -2, -1
    path = virtual(tmp_path / "s.vrt", image, [-1, -2, -3])
    with Scene(path, allow_vrt=True) as scene:
        assert np.argwhere(~scene.read_valid(scene.window)).tolist() == [[2, 3], [4, 5]]
    with Scene(path, allow_vrt=True, bands=[2]) as scene:
        assert np.argwhere(~scene.read_valid(scene.window)).tolist() == [[4, 5]]


def test_one_band_without_a_measurement_is_a_hole(tmp_path):
    image = ramp("float32")
    image[9, 9, 1] = -9999
    with Scene(write(tmp_path / "scene.tif", image, nodata=-9999)) as scene:
        assert np.argwhere(~scene.read_valid(scene.window)).tolist() == [[9, 9]]


def test_jpeg_in_tiff(tmp_path):
    options = {"compress": "jpeg", "photometric": "ycbcr", "interleave": "pixel"}
    path = write(tmp_path / "scene.tif", ramp(), tiled=True, **options)
    with Scene(path) as scene:
        assert scene.band_names == ("red", "green", "blue")
        image = scene.read(scene.window).astype(int)
        assert np.abs(image - ramp()).mean() < 2  # RGB again, but for the loss
        assert scene.read_valid(scene.window).all()


# Places that are said beside the file, or by control points.


@pytest.mark.parametrize(
    "driver, name, world",
    [
        ("PNG", "scene.png", "scene.pgw"),
        ("PNG", "scene.png", "scene.wld"),
        ("JPEG", "scene.jpg", "scene.jgw"),
        ("GTiff", "scene.tif", "scene.tfw"),
    ],
)
def test_world_files(tmp_path, driver, name, world):
    write(tmp_path / "plain.tif", ramp(), crs=None, transform=None)
    with rasterio.open(tmp_path / "plain.tif") as file:
        rasterio.shutil.copy(file, tmp_path / name, driver=driver)
    # A world file gives the centre of the first pixel.
    (tmp_path / world).write_text("0.5\n0.1\n0.2\n-0.5\n500000.25\n3999999.75\n")
    expected = Affine(0.5, 0.2, 500_000.25 - 0.35, 0.1, -0.5, 3_999_999.75 + 0.2)
    with pytest.raises(GeoReferenceError, match="without CRS"):
        Scene(tmp_path / name)
    with Scene(tmp_path / name, crs="EPSG:32648") as scene:
        assert scene.crs == UTM
        x, y = expected * (7.5, 11.5)
        assert place_error_px(scene, 7, 11, x, y) < 1e-6
    (tmp_path / "scene.prj").write_text(CRS.from_epsg(32647).to_wkt(version="WKT1_ESRI"))
    with Scene(tmp_path / name) as scene:
        assert scene.crs.to_epsg() == 32647 or "47N" in scene.crs.to_wkt()
    with pytest.raises(GeoReferenceError, match="A CRS can be given to a file that has none"):
        Scene(tmp_path / name, crs="EPSG:32648")


def test_a_crs_may_be_given_again(tmp_path):
    path = write(tmp_path / "scene.tif", ramp())
    with Scene(path, crs=32648) as scene:
        assert scene.crs == UTM
    with pytest.raises(GeoReferenceError, match="Received: crs=EPSG:4326 for .*EPSG:32648"):
        Scene(path, crs="EPSG:4326")
    with pytest.raises(GeoReferenceError, match="one that PROJ knows. Received: crs='mars'"):
        Scene(path, crs="mars")


def test_control_points_of_an_affine_place(tmp_path):
    points = control_points(lambda column, row: SHEARED * (column, row))
    with Scene(write_with_points(tmp_path / "scene.tif", ramp(), points)) as scene:
        assert (scene.height, scene.width, scene.crs) == (HEIGHT, WIDTH, UTM)
        for column, row in ((0, 0), (79, 0), (5, 59)):
            assert place_error_px(scene, column, row, *(SHEARED * (column + 0.5, row + 0.5))) < 1e-6
        np.testing.assert_array_equal(scene.read(scene.window), ramp())


def bent(column, row):
    """A place of second order, some pixels off any affine one."""
    return (
        500_000 + 0.5 * column + 0.05 * row + 5e-4 * column * row,
        4_000_000 - 0.5 * row + 4e-4 * column**2,
    )


def test_control_points_that_bend_the_image(tmp_path):
    points = control_points(bent, np.linspace(0, WIDTH, 9), np.linspace(0, HEIGHT, 7))
    image = ramp("float32", 2)
    with Scene(write_with_points(tmp_path / "scene.tif", image, points)) as scene:
        assert scene.crs == UTM and scene.transform.b == 0 and scene.transform.e < 0
        warped, valid = scene.read_tile(scene.window)
        # The whole image is there, and nothing around it counts.
        footprint = valid.sum() * abs(scene.transform.determinant)
        corners = np.array([bent(*c) for c in ((0, 0), (80, 0), (80, 60), (0, 60))])
        x, y = corners.T
        area = abs(np.dot(x, np.roll(y, 1) - y.mean()) - np.dot(y - y.mean(), np.roll(x, 1))) / 2
        assert footprint == pytest.approx(area, rel=0.02) and not valid[0, 0]
        # Every pixel shows the place in the image that GDAL's polynomial has there. GDAL's loses
        # digits far from 0, so it gets the points around their middle.
        near_zero = [
            GroundControlPoint(row=p.row, col=p.col, x=p.x - 500_000, y=p.y - 4_000_000, z=0)
            for p in points
        ]
        rows, columns = np.nonzero(valid)
        x, y = scene.transform * (columns + 0.5, rows + 0.5)
        back_rows, back_columns = GCPTransformer(near_zero).rowcol(
            x - 500_000, y - 4_000_000, op=np.positive
        )
        inside = (np.abs(back_columns - 40) < 39) & (np.abs(back_rows - 30) < 29)
        shown = warped[rows, columns]
        assert inside.mean() > 0.9
        # The ramp's value at a centre is its column + 1. A pixel shows the mean of its area, which
        # on this curve lies 6e-5 px beside the centre.
        assert np.abs(shown[inside, 0] - (back_columns[inside] + 0.5)).max() < 1e-4
        assert np.abs(shown[inside, 1] - (back_rows[inside] + 0.5)).max() < 1e-4


def test_validity_of_a_bent_image(tmp_path):
    points = control_points(bent, np.linspace(0, WIDTH, 9), np.linspace(0, HEIGHT, 7))
    image = ramp("uint8")
    image[HOLES] = 0
    image[:12] = 0  # a black border; the hole at rows 5 to 16 touches it
    with Scene(write_with_points(tmp_path / "scene.tif", image, points)) as scene:
        warped, valid = scene.read_tile(scene.window)
        assert (warped[valid][:, 2] == 100).mean() > 0.99  # nothing black has come in
        usable = valid.sum() * abs(scene.transform.determinant)
        assert usable == pytest.approx(0.25 * ((HEIGHT - 12) * WIDTH - 5 * 30), rel=0.1)


def test_control_points_on_both_sides_of_the_dateline(tmp_path):
    def place(column, row):
        longitude = 179.9996 + 1e-5 * column
        return longitude - 360 * (longitude > 180), -16.5 - 1e-5 * row

    path = write_with_points(tmp_path / "scene.tif", ramp(), control_points(place), DEGREES)
    with Scene(path) as scene:
        assert place_error_px(scene, 60, 20, 179.9996 + 60.5e-5, -16.5 - 20.5e-5) < 1e-6


def test_control_points_that_disagree_are_said(tmp_path, caplog):
    points = control_points(lambda column, row: NORTH_UP * (column, row))
    with Scene(write_with_points(tmp_path / "good.tif", ramp(), points)):
        assert not caplog.messages
    points[4].x += 4.5  # 9 px in the middle; a curve takes up some of it
    with Scene(write_with_points(tmp_path / "bad.tif", ramp(), points)):
        (message,) = caplog.messages
    assert re.search(r"bad.tif: its control points disagree by up to [2-8]\.\d px", message)


def test_control_points_on_a_line(tmp_path):
    points = control_points(lambda column, row: (column, row), rows=(0,))
    with pytest.raises(GeoReferenceError, match="must not lie on one line. Received: 3 points"):
        Scene(write_with_points(tmp_path / "scene.tif", ramp(), points))


def test_rational_polynomials_alone_are_refused(tmp_path):
    path = write(tmp_path / "scene.tif", ramp(), crs=None, transform=Affine.identity())
    one, many = [1.0] + [0.0] * 19, [0.5] * 20
    polynomials = {
        f"{axis}_{part}_coeff": one if part == "den" else many
        for axis in ("line", "samp")
        for part in ("num", "den")
    }
    numbers = {
        f"{name}_{kind}": value
        for name in ("height", "lat", "long", "line", "samp")
        for kind, value in (("off", 10.0), ("scale", 2.0))
    }
    with rasterio.open(path, "r+") as file:
        file.rpcs = RPC(**numbers, **polynomials)
    with pytest.raises(GeoReferenceError, match=r"rational polynomials \(RPC\).*gdalwarp -rpc"):
        Scene(path)


@pytest.mark.parametrize(
    "crs, transform, message",
    [
        (UTM, Affine(2, 0, 5e5, 0, 0, 4e6), "area on the map.*Georeference"),
        (UTM, Affine(float("nan"), 0, 5e5, 0, -2, 4e6), "area on the map"),
        (UTM, Affine(2, 0, 5e12, 0, -2, 4e12), "where its CRS is defined.*WGS 84 / UTM"),
        (DEGREES, NORTH_UP, "where its CRS is defined.*500000.*Check its CRS"),
        (DEGREES, Affine(1, 0, 100, 0, -1, 120), "where its CRS is defined"),
        (CRS.from_epsg(4978), NORTH_UP, "geocentric.*Reproject"),
    ],
)
def test_places_that_cannot_be(tmp_path, crs, transform, message):
    path = write(tmp_path / "scene.tif", ramp(), crs=crs, transform=transform)
    with pytest.raises(GeoReferenceError, match=message):
        Scene(path)


def test_places_at_the_edge_of_degrees_are_taken(tmp_path):
    """Pixels whose centres lie on the poles, and longitudes up to 360."""
    global_grid = Affine(360 / WIDTH, 0, 0, 0, -180 / (HEIGHT - 1), 90 + 90 / (HEIGHT - 1))
    path = write(tmp_path / "scene.tif", ramp(), crs=DEGREES, transform=global_grid)
    with Scene(path) as scene:
        assert scene.transform == global_grid


@pytest.mark.parametrize(
    "crs, transform, fix", [(None, NORTH_UP, r"--crs \(crs=...\)"), (UTM, None, "world file")]
)
def test_what_is_missing_is_named_with_its_own_fix(tmp_path, crs, transform, fix):
    path = write(tmp_path / "scene.tif", ramp(), crs=crs, transform=transform)
    with pytest.raises(GeoReferenceError, match=f"{fix}.*--no-crs"):
        Scene(path)
