"""What is opened only when asked, and what is damaged."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.windows import Window

from landslide_rcnn.errors import RasterError
from landslide_rcnn.geo import opening
from landslide_rcnn.geo.raster import Scene
from tests.helpers.odd_rasters import HEIGHT, NORTH_UP, UTM, WIDTH, ramp, write

# What is opened only when asked.


def test_virtual_rasters_only_when_asked(tmp_path):
    path = write(tmp_path / "scene.tif", ramp())
    with rasterio.open(path) as file:
        rasterio.shutil.copy(file, tmp_path / "scene.vrt", driver="VRT")
    with pytest.raises(RasterError, match="a virtual dataset"):
        Scene(tmp_path / "scene.vrt")
    with Scene(tmp_path / "scene.vrt", allow_vrt=True) as scene:
        np.testing.assert_array_equal(scene.read(scene.window), ramp())
    text = (tmp_path / "scene.vrt").read_text()
    for name, match in (
        ("/vsicurl/http://127.0.0.1:9/a.tif", "must be a local file. Received: /vsicurl"),
        ("/etc/hostname", "begins like none"),
        ("gone.tif", "must be a file that exists"),
        ("scene.vrt", "virtual rasters that read each other"),
    ):
        (tmp_path / "other.vrt").write_text(text.replace("scene.tif", name))
        if name.startswith("/"):
            changed = (tmp_path / "other.vrt").read_text()
            (tmp_path / "other.vrt").write_text(changed.replace('"1"', '"0"'))
        if name == "scene.vrt":
            (tmp_path / "scene.vrt").write_text(text.replace("scene.tif", "other.vrt"))
        with pytest.raises(RasterError, match=match):
            Scene(tmp_path / "other.vrt", allow_vrt=True)


def test_urls_only_when_asked(tmp_path):
    write(tmp_path / "scene.tif", ramp())
    # In another process: GDAL may hold this one's interpreter while it waits for the answer.
    code = (
        "import functools, http.server as h\n"
        "serve = functools.partial(h.SimpleHTTPRequestHandler, directory='.')\n"
        "server = h.ThreadingHTTPServer(('127.0.0.1', 0), serve)\n"
        "print(server.server_port, flush=True)\nserver.serve_forever()\n"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/scene.tif"
        with pytest.raises(RasterError, match="must be a local file"):
            Scene(url)
        with rasterio.Env(GDAL_HTTP_TIMEOUT=20), Scene(url, allow_remote=True) as scene:
            np.testing.assert_array_equal(scene.read(scene.window), ramp())
            assert scene.read_valid(scene.window).all() and scene.path.name == "scene.tif"
    finally:
        server.kill()
        server.communicate()


def test_archives_only_when_asked(tmp_path):
    path = write(tmp_path / "scene.tif", ramp())
    with zipfile.ZipFile(tmp_path / "scene.zip", "w") as archive:
        archive.write(path, "scene.tif")
    inside = f"/vsizip/{tmp_path}/scene.zip/scene.tif"
    with pytest.raises(RasterError, match="must be a local file"):
        Scene(inside)
    with Scene(inside, allow_remote=True) as scene:
        np.testing.assert_array_equal(scene.read(scene.window), ramp())


# Damage.


def cut(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def noise(seed=0):
    return np.random.default_rng(seed).integers(1, 255, (HEIGHT, WIDTH, 3), np.uint8)


DAMAGED = {
    "strips": {"compress": "lzw", "blockysize": 4},
    "raw strips": {"blockysize": 4},
    "tiles": {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16},
    "JPEG in tiles": {"compress": "jpeg", "tiled": True, "blockxsize": 16, "blockysize": 16},
    "JPEG 2000": {"driver": "JP2OpenJPEG"},
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_truncated_files(tmp_path, kind):
    path = cut(write(tmp_path / "scene.tif", noise(), **DAMAGED[kind]), 0.7)
    with pytest.raises(RasterError, match="scene.tif") as caught:
        with Scene(path) as scene:
            for row in range(0, HEIGHT, 10):
                scene.read(Window(0, row, WIDTH, 10))
    assert "\n" not in str(caught.value)
    if kind != "JPEG 2000":
        assert "damaged at row" in str(caught.value)


def test_jpeg_tiles_that_gdal_decodes_to_something(tmp_path):
    options = {"compress": "jpeg", "photometric": "ycbcr", "interleave": "pixel", "tiled": True}
    image = np.kron(noise(), np.ones((5, 5, 1), np.uint8))
    path = write(tmp_path / "scene.tif", image, **options)
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half : half + 300] = bytes(300)
    path.write_bytes(content)
    with pytest.raises(RasterError, match="damaged at row .*Corrupt JPEG data"):
        with Scene(path) as scene:
            scene.read(scene.window)


@pytest.mark.parametrize("driver, name", [("PNG", "scene.png"), ("JPEG", "scene.jpg")])
def test_truncated_pictures(tmp_path, driver, name):
    write(tmp_path / "plain.tif", noise())
    with rasterio.open(tmp_path / "plain.tif") as file:
        rasterio.shutil.copy(file, tmp_path / name, driver=driver, WORLDFILE="YES")
    (tmp_path / f"{name}.aux.xml").unlink(missing_ok=True)
    with Scene(tmp_path / name, crs=32648) as scene:
        scene.read(scene.window)
    cut(tmp_path / name, 0.7)
    with pytest.raises(RasterError, match=name), Scene(tmp_path / name, crs=32648) as scene:
        scene.read(scene.window)


def test_headers_that_promise_too_much(tmp_path, monkeypatch):
    options = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": UTM, "sparse_ok": True}
    size = {"height": 1000, "width": 12_000_000, "transform": NORTH_UP, "BIGTIFF": "YES"}
    with rasterio.open(tmp_path / "wide.tif", "w", tiled=True, **size, **options):
        pass
    with pytest.raises(RasterError, match="at most 10000000 px a side. Received: .*1000 x 12000"):
        Scene(tmp_path / "wide.tif")
    monkeypatch.setattr(opening, "MAX_BLOCK_BYTES", 2**20)
    blocks = {"tiled": True, "blockysize": 512, "blockxsize": 512}
    path = write(tmp_path / "block.tif", ramp("uint16"), interleave="band", **blocks)
    with Scene(path):  # three bands one by one: half a megabyte a block
        pass
    path = write(tmp_path / "block.tif", ramp("uint16"), interleave="pixel", **blocks)
    with pytest.raises(RasterError, match="blocks of 512 x 512 px .*TILED=YES"):
        Scene(path)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_scene(tmp_path):
    # 1.6 GB of pixels; GDAL's own cache would keep 5 % of the machine's memory of them.
    size = {"height": 20_000, "width": 40_000, "count": 2, "dtype": "uint8", "nodata": 255}
    place = {"crs": UTM, "transform": NORTH_UP, "sparse_ok": True, "blockysize": 1}
    with rasterio.open(tmp_path / "striped.tif", "w", driver="GTiff", **size, **place):
        pass
    code = (
        "import resource\n"
        "from rasterio.windows import Window\n"
        "from landslide_rcnn.geo.raster import Scene\n"
        "def peak_mb(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        f"with Scene({str(tmp_path / 'striped.tif')!r}) as scene:\n"
        "    before = peak_mb()\n"
        "    for row in range(0, scene.height, 512):\n"
        "        for column in range(0, scene.width, 2048):\n"
        "            scene.read_tile(Window(column, row, 2048, 512))\n"
        "    print(peak_mb() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 256 + 100  # the cache, and a tile in all its forms
