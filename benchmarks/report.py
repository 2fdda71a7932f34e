"""How smoothly the page of a map with 20,000 landslides moves, in headless Chromium.

    python -m benchmarks.report [--landslides 20000] [--keep FOLDER]

Makes a map's folder, its page, opens it, and pans the map by some pixels in every frame, for
`FRAMES` frames at several zooms, with all polygons over the scene. Printed are the times from
frame to frame, where 16.7 ms is as often as a browser draws, and the processor time that all of
the browser's processes took for a frame, which says what a machine that has other work would
need. Needs Linux, selenium, and Debian's chromium and chromium-driver. Without a GPU the browser
paints in software, on the cores that there are: what is measured is the slowest case.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from landslide_rcnn.data.synthetic import generate
from landslide_rcnn.geo.measure import area_m2
from landslide_rcnn.geo.probability import PROBABILITY_KINDS
from landslide_rcnn.geo.vector import rasterize_instances, write_polygons
from landslide_rcnn.geo.windows import size_of
from landslide_rcnn.geo.writing import Grid, RasterWriter
from landslide_rcnn.workflows.report import make_report

SIDE = 8192  # pixels of the map
PIECE = 1024  # of the generated picture, which is repeated
CORNERS = 40  # of a landslide, about
FRAMES = 120
STEP = 12  # pixels of a pan in a frame
ZOOMS = 0, 1, 2, 4
CHROME = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1440,1000",
)  # fmt: skip

PAN = """
const [zoom, frames, step, done] = arguments, map = Report.view.map;
map.setView(Report.view.all.getCenter(), zoom, {animate: false});
setTimeout(() => {
  const times = []; let last = performance.now(), k = 0;
  const tick = (now) => {
    times.push(now - last); last = now;
    if (++k > frames) return done(times.slice(1));
    const way = k % 40 < 20 ? 1 : -1;
    map.panBy([step * way, step * way * (k % 80 < 40 ? 0.5 : -0.5)], {animate: false});
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}, 1500);
"""


def make_map(folder: Path, count: int, side: int = SIDE, seed: int = 0) -> Path:
    """Write a folder like that of `predict_scene`, with many landslides and its scene.

    Args:
        folder: Made if it is missing.
        count: Of landslides.
        side: Of the map, pixels.
        seed: Of their places and outlines.

    Returns:
        The map's folder.
    """
    result, scene = folder / "map", folder / "scene.tif"
    grid = Grid(side, side, CRS.from_epsg(32648), Affine(1, 0, 400_000, 0, -1, 3_660_000))
    polygons = _polygons(np.random.default_rng(seed), count, grid)
    with RasterWriter(
        scene, like=grid, dtype="uint8", count=3, descriptions=("red", "green", "blue")
    ) as writer:
        piece = generate(PIECE, PIECE, seed=seed).image
        for window in _windows(side):
            height, width = size_of(window)
            writer.write(piece[:height, :width], window)
    percent = PROBABILITY_KINDS["percent"]
    result.mkdir(parents=True, exist_ok=True)
    with (
        RasterWriter(result / "mask.tif", like=grid, dtype="uint8", nodata=255) as mask,
        RasterWriter(result / "probability.tif", like=grid, **percent.raster) as probability,
    ):
        for window in _windows(side):
            inside = rasterize_instances(polygons, window, grid.transform) > 0
            mask.write(inside.astype(np.uint8), window)
            probability.write(percent.encode(np.where(inside, 0.8, 0.1)), window)
    write_polygons(polygons, result / "landslides.gpkg", "landslides")
    summary = {
        "landslides": count,
        "threshold": 0.5,
        "scene": {"path": str(scene), "paths": [str(scene)], "width": side, "height": side},
        "coordinates": "EPSG:32648",
    }
    (result / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return result


def _windows(side: int) -> list[Window]:
    return [
        Window(column, row, min(PIECE, side - column), min(PIECE, side - row))
        for row in range(0, side, PIECE)
        for column in range(0, side, PIECE)
    ]


def _polygons(rng: np.random.Generator, count: int, grid: Grid) -> gpd.GeoDataFrame:
    """Return ragged outlines, one in each cell of a grid, so that none overlap."""
    across = int(np.ceil(np.sqrt(count)))
    cell = grid.width / across
    rows, columns = np.divmod(np.arange(count), across)
    turn = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    radius = cell * rng.uniform(0.15, 0.4, (count, 1)) * rng.uniform(0.8, 1.2, (count, CORNERS))
    x = (columns[:, None] + 0.5) * cell + 0.6 * radius * np.cos(turn)
    y = (rows[:, None] + 0.5) * cell + radius * np.sin(turn)
    corners = np.stack(grid.transform * (x, y), axis=-1)
    shapes = gpd.GeoSeries(shapely.polygons(corners), crs=grid.crs.to_wkt())
    return gpd.GeoDataFrame(
        {
            "id": np.arange(1, count + 1),
            "area_m2": area_m2(shapes, grid.crs),
            "score": rng.uniform(0.5, 1, count),
            "slope_mean_deg": rng.uniform(5, 50, count),
        },
        geometry=shapes,
    )


def open_browser(profile: str):
    """Return a headless Chromium of selenium; nothing is downloaded."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for option in (*CHROME, f"--user-data-dir={profile}"):
        options.add_argument(option)
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def processor_ms(root: int) -> float:
    """Return the processor time, ms, that a process and all below it have taken."""
    taken, parents = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, rest = int(stat.parent.name), stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        parents[number], taken[number] = int(rest[1]), int(rest[11]) + int(rest[12])
    own = {root}
    while more := {number for number, parent in parents.items() if parent in own} - own:
        own |= more
    return 1000 * sum(taken.get(number, 0) for number in own) / os.sysconf("SC_CLK_TCK")


def measure(page: Path) -> dict[int, tuple[np.ndarray, float]]:
    """Return ms from frame to frame while the map is panned, and of processor, by zoom."""
    with tempfile.TemporaryDirectory() as profile:
        browser = open_browser(profile)
        try:
            browser.set_script_timeout(120)
            start = time.perf_counter()
            browser.get(page.resolve().as_uri())
            print(f"page opened in {time.perf_counter() - start:.1f} s")
            found = {}
            for zoom in ZOOMS:
                before = processor_ms(browser.service.process.pid)
                times = np.array(browser.execute_async_script(PAN, zoom, FRAMES, STEP))
                spent = processor_ms(browser.service.process.pid) - before
                found[zoom] = times, spent / FRAMES
            return found
        finally:
            browser.quit()


def main() -> None:
    """Make the map and its page, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--landslides", type=int, default=20_000)
    parser.add_argument("--keep", type=Path, help="Folder for the map and its page.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        result = make_map(folder, given.landslides)
        start = time.perf_counter()
        page = make_report(result, folder / "report.html", overwrite=True, progress=False)
        seconds, size = time.perf_counter() - start, page.stat().st_size / 1e6
        print(f"{given.landslides:,} landslides: page of {size:.1f} MB made in {seconds:.1f} s")
        print(f"{'zoom':>4}{'median':>9}{'95 %':>9}{'longest':>9}{'processor':>12}   ms a frame")
        for zoom, (times, spent) in measure(page).items():
            median, late = np.percentile(times, (50, 95))
            print(f"{zoom:>4}{median:>9.1f}{late:>9.1f}{times.max():>9.1f}{spent:>12.1f}")


if __name__ == "__main__":
    main()
