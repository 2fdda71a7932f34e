"""The whole way on a generated scene and on a real orthophoto: map, evaluation, page, browser."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from affine import Affine

from landslide_rcnn.data.synthetic import make_scene
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.writing import Grid, write_tile
from landslide_rcnn.inference import PostProcessing
from landslide_rcnn.inference.tiled import predict_scene
from landslide_rcnn.prediction import TilePrediction
from landslide_rcnn.workflows.report import make_report

pytestmark = pytest.mark.slow

UAV = Path(__file__).parents[3] / "shared" / "data" / "uav"


class Bare:
    """Stands in for a model: bright ground that is redder than green is landslide."""

    def predict_tiles(self, tiles, valid_masks=None):
        found = []
        for tile in tiles.astype(np.float32):
            score = (tile[..., 0] - tile[..., 1]) / 12 + (tile.mean(axis=-1) - 110) / 40
            smooth = cv2.GaussianBlur(score, (0, 0), 3)
            found.append(TilePrediction(1 / (1 + np.exp(-3 * smooth))))
        return found


def opened(browser, folder, truth, page):
    """Make and open the page; return its map's landslides, F1 and the picture's width."""
    browser.get(make_report(folder, page, truth=truth, progress=False).as_uri())
    for name in ("probability", "errors", "truth"):
        browser.find_element("id", f"layer-{name}").click()
    browser.find_elements("css selector", ".jump")[0].click()
    browser.find_element("css selector", "th[data-name=score] button").click()
    assert browser.get_log("browser") == []
    return browser.execute_script(
        """return [Report.view.polygons.count,
        Number([...document.querySelectorAll(".keys div")].pop().lastChild.textContent),
        document.querySelector(".leaflet-pictures-pane img").naturalWidth]"""
    )


def test_a_generated_scene(browser, tmp_path):
    made = make_scene(tmp_path / "scene", height=256, width=384, seed=3)
    with Scene(made.orthophoto) as scene:
        result = predict_scene(
            Bare(), scene, tmp_path / "map", tile_size=128, overlap=32, dem=made.dem,
            processing=PostProcessing(min_area_m2=100, min_slope_deg=5), progress=False,
        )  # fmt: skip
    count, f1, width = opened(browser, result.directory, made.polygons, tmp_path / "r.html")
    assert count == len(result.polygons) >= 2 and f1 > 0.4 and width == 384
    labels = {each.text for each in browser.find_elements("css selector", "#landslide-table th")}
    assert {"Slope °", "Relief m"} <= labels


def test_the_orthophoto_of_a_drone(browser, tmp_path):
    if not UAV.is_dir():
        pytest.skip(f"no real orthophoto at {UAV}")
    # At a size that takes seconds instead of minutes.
    with Scene(UAV / "orthophoto.tif") as whole:
        image, valid_mask, factor = whole.overview(960)
        grid = Grid(960, 768, whole.crs, whole.transform * Affine.scale(factor))
        write_tile(tmp_path / "uav.tif", image, valid_mask, grid, whole.band_names)
    with Scene(tmp_path / "uav.tif") as scene:
        result = predict_scene(
            Bare(), scene, tmp_path / "map", tile_size=256, overlap=32,
            processing=PostProcessing(min_area_m2=5), progress=False,
        )  # fmt: skip
    truth = UAV / "landslides.gpkg"
    count, f1, width = opened(browser, result.directory, truth, tmp_path / "r.html")
    assert count == len(result.polygons) >= 3 and f1 > 0.3 and width == 768
