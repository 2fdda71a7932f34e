"""A small map with everything on it, its page, and a browser to open it."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
import rasterio

from landslide_rcnn.files import write_json
from landslide_rcnn.workflows.report import make_report
from tests.helpers.map_files import CRS, TRANSFORM, pixel_box, write_map, write_polygons

HEIGHT, WIDTH = 96, 160
SIDE = 8  # pixels of a landslide
# What others may write into names and attributes.
EVIL = "</script><script>window.harmed=1</script><img src=x onerror=window.harmed=1>"
EVIL_NAME = "<img src=x onerror=window.harmed=1>&'.tif"


def places() -> list[tuple[int, int]]:
    """Top and left of 40 landslides, in four rows."""
    return [(8 + 22 * row, 6 + 15 * column) for row in range(4) for column in range(10)]


def write_scene(path: Path) -> Path:
    image = np.random.default_rng(5).integers(40, 200, (3, HEIGHT, WIDTH), dtype=np.uint8)
    with rasterio.open(
        path, "w", "GTiff", WIDTH, HEIGHT, 3, CRS, TRANSFORM, "uint8", photometric="RGB"
    ) as file:
        file.write(image)
    return path


def write_result(folder: Path) -> SimpleNamespace:
    """Write a map of 40 landslides, its scene, and a truth that has 30 of them and 5 others."""
    scene = write_scene(folder / EVIL_NAME)
    probability = np.full((HEIGHT, WIDTH), 0.1, np.float32)
    probability[:4] = np.nan
    shapes = [pixel_box(top, left, top + SIDE, left + SIDE) for top, left in places()]
    for top, left in places():
        probability[top : top + SIDE, left : left + SIDE] = 0.9
    result = write_map(folder / "map", probability, tile_px=32)
    count = np.arange(40)
    slope = 10.0 + count[::-1]
    slope[3] = np.nan
    table = gpd.GeoDataFrame(
        {
            "id": count + 1,
            "area_m2": 6400.0 - (count * 7 % 40),
            "score": 0.5 + 0.01 * count,
            "slope_mean_deg": slope,
            "model": "a model",
            "remark": [EVIL if number == 2 else f"place {number}" for number in count],
        },
        geometry=shapes,
        crs=CRS,
    )
    table.to_file(result / "landslides.gpkg", layer="landslides", driver="GPKG")
    summary = {
        "landslides": 40,
        "threshold": 0.5,
        "tiles": {"size": 32, "total": 15, "predicted": 14, "skipped_without_valid_pixels": 1},
        "scene": {"path": str(scene), "paths": [str(scene)], "width": WIDTH, "height": HEIGHT},
        "post_processing": {
            "settings": {"min_area_m2": 150},
            "removed": {"small": {"landslides": 22, "pixels": 1189, "area_m2": 118_900.0}},
        },
        "coordinates": CRS,
        "model": {"weights": f"{EVIL}.weights.h5", "sha256": "ab" * 32},
        "versions": {"python": "3.11", "keras": "3.15.1"},
        "fingerprint": {
            "scene": {
                "files": [{"name": EVIL_NAME, "sha256": "cd" * 32}],
                "companions": [{"name": "dem.tif", "sha256": "ef" * 32, "fill": None}],
            },
            "settings": {
                "threshold": 0.5,
                "processing": {"min_area_m2": 150},
                "date": "2026-05-01",
            },
        },
    }
    write_json(result / "summary.json", summary)
    others = [pixel_box(4 + 22 * row, 150, 8 + 22 * row, 156) for row in range(1, 4)]
    truth = write_polygons(folder / "truth.gpkg", *shapes[:30], *others)
    return SimpleNamespace(folder=result, scene=scene, truth=truth, table=table)


@pytest.fixture(scope="package")
def small_map(tmp_path_factory) -> SimpleNamespace:
    """A map's folder, scene, truth and table, and its page with the truth."""
    folder = tmp_path_factory.mktemp("report")
    made = write_result(folder)
    made.page = make_report(made.folder, folder / "r.html", truth=made.truth, progress=False)
    return made


CHROME = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1440,1000",
)  # fmt: skip


@pytest.fixture(scope="package")
def browser(tmp_path_factory):
    """Headless Chromium; where there is none the tests that need it are skipped."""
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no chromium with chromedriver here (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in (*CHROME, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    window = webdriver.Chrome(options=options, service=Service(driver))
    window.set_script_timeout(30)
    yield window
    window.quit()
