"""The whole page as text: what it holds, what it asks for, what it says where nothing is known."""

import base64
import hashlib
import html
import json
import re
import shutil

import geopandas as gpd
import numpy as np
import pytest
from click.testing import CliRunner
from rasterio.windows import Window

from landslide_rcnn.cli import main
from landslide_rcnn.errors import LandslideError, RasterError
from landslide_rcnn.evaluation.maps import evaluate_map
from landslide_rcnn.files import OutputExistsError
from landslide_rcnn.report.collect import collect
from landslide_rcnn.report.judging import trust
from landslide_rcnn.workflows import report as workflow
from landslide_rcnn.workflows.report import make_report
from tests.helpers.map_files import pixel_box, write_map, write_polygons
from tests.report.conftest import EVIL, EVIL_NAME, write_result


def text_of(path):
    return path.read_text(encoding="utf-8")


def data_of(text):
    return json.loads(re.search(r'id="data">(.*?)</script>', text, flags=re.S)[1])


def words_of(text):
    body = re.sub(r"<(script|style).*?</\1>", "", text, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def section(text, name):
    return words_of(re.search(rf'<section id="{name}".*?</section>', text, flags=re.S)[0])


def test_the_page_asks_for_nothing_and_runs_only_its_own_scripts(small_map):
    text = text_of(small_map.page)
    elements = re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.S)
    assert set(re.findall(r'(?:src|href)="([a-z]*:?)', elements)) == {"data:", ""}
    assert not re.search(r"url\((?!data:)", re.search(r"<style>.*?</style>", text, re.S)[0])
    assert "sourceMappingURL" not in text
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; img-src data:")
    scripts = re.findall(r"<script>(.*?)</script>", text, flags=re.S)
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    digests = [hashlib.sha256(each.encode()).digest() for each in scripts]
    assert [base64.b64encode(each).decode() for each in digests] == allowed and len(allowed) == 2


def test_names_and_attributes_are_text(small_map):
    text = text_of(small_map.page)
    assert EVIL not in text and "<img src=x" not in text
    assert html.escape(EVIL_NAME) in text
    remark = {each["name"]: each for each in data_of(text)["columns"]}["remark"]
    assert remark["values"][2] == EVIL


def test_the_numbers_are_those_of_the_evaluation(small_map):
    metrics = evaluate_map(small_map.folder, small_map.truth, progress=False)
    text = text_of(small_map.page)
    said = section(text, "trust")
    for name in ("precision", "recall", "f1", "kappa"):
        assert f" {name.capitalize()} {metrics['at_map_threshold'][name]:.3f} " in said
    interval = metrics["intervals"]["f1"]
    assert f"{interval['low']:.3f} to {interval['high']:.3f}" in said
    assert metrics["definition"]["recall"] in said
    counts = metrics["landslides"]
    for name, value in (
        ("Detection rate", counts["detection_rate"]),
        ("AP50", counts["ap"]["ap50"]),
    ):
        assert f"{name} {value:.3f} " in said
    assert f"{metrics['curve']['average_precision']:.3f}" in section(text, "curves")
    assert f"{metrics['boundaries']['boundary_iou']:.3f}" in section(text, "borders")
    layers = {each["id"]: each for each in data_of(text)["layers"]}
    assert list(layers) == ["scene", "probability", "errors", "truth", "landslides"]
    assert len(layers["truth"]["shapes"]) == 33 and len(layers["landslides"]["shapes"]) == 40


def test_the_part_that_was_judged_is_said_and_why_the_rest_was_not(small_map, tmp_path):
    whole = trust(collect(small_map.folder, evaluate_map(small_map.folder, small_map.truth)))
    # 160 x 96 pixels, of which the first 4 rows have no prediction.
    assert "Judged on 14,720 pixels, of which " in whole
    assert "Left out: 640 without prediction." in whole
    aoi = write_polygons(tmp_path / "aoi.gpkg", pixel_box(0, 0, 10, 10), pixel_box(0, 20, 10, 30))
    window = Window(0, 0, 80, 10)
    part = evaluate_map(small_map.folder, small_map.truth, within=window, aoi=aoi)
    said = trust(collect(small_map.folder, part))
    assert (
        "Judged on 120 pixels in a part of the map, its columns 0 to 30 and rows 0 to 10," in said
    )
    assert "Left out: 100 outside the area of interest, 80 without prediction." in said


def test_what_was_done_is_told(small_map):
    text = text_of(small_map.page)
    filtered = section(text, "filtered")
    assert "in landslides too small 22 1,189 118,900" in filtered
    assert "14 of 15 tiles were predicted; 1 hold no usable pixel." in filtered
    assert "Smallest landslide 150 m²" in filtered
    again = section(text, "reproduce")
    assert "landslide-rcnn detect" in again and "--min-area 150 " in again
    assert "cd" * 32 in again and "keras 3.15.1" in again
    assert f"dem.tif {'ef' * 32}" in again and "Where the scene was read with --bands" in again
    digest = hashlib.sha256((small_map.folder / "mask.tif").read_bytes()).hexdigest()
    assert digest in again
    assert "ab" * 32 in section(text, "model")
    # Where files lay is nobody's business.
    assert str(small_map.folder.parent) not in text


@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_a_summary_of_other_kinds_is_refused_or_does_without(small_map, tmp_path, value):
    folder = shutil.copytree(small_map.folder, tmp_path / "map")
    summary = json.loads((folder / "summary.json").read_text())
    for name in ("scene", "tiles", "post_processing", "fingerprint", "versions"):
        (folder / "summary.json").write_text(json.dumps({**summary, name: value}))
        page = tmp_path / f"{name}.html"
        if value is None:
            assert make_report(folder, page, progress=False).is_file()
        else:
            with pytest.raises(RasterError, match=f"Received: something else for {name}"):
                make_report(folder, page, progress=False)
            assert not page.exists()


def test_without_truth_nothing_is_claimed(small_map, tmp_path):
    text = text_of(make_report(small_map.folder, tmp_path / "r.html", progress=False))
    for name in ("trust", "curves", "borders"):
        assert "Not measured: no truth was given." in section(text, name)
    assert "F1 not measured" in words_of(text)
    assert [each["id"] for each in data_of(text)["layers"]] == [
        "scene", "probability", "landslides",
    ]  # fmt: skip


def test_parts_that_an_evaluation_lacks_are_said_to_be_missing(tmp_path):
    made = write_result(tmp_path)
    metrics = {
        "truth": "gone.gpkg",
        "at_map_threshold": {"threshold": 0.5, "precision": None, "f1": 0.25},
        "curve": None,
        "landslides": None,
    }
    (made.folder / "metrics.json").write_text(json.dumps(metrics))
    text = text_of(make_report(made.folder, tmp_path / "r.html", progress=False))
    assert "Precision –" in section(text, "trust") and "F1 0.250" in section(text, "trust")
    assert "does not count landslides" in section(text, "trust")
    assert "this evaluation has no curves" in section(text, "curves")
    assert "does not judge borders" in section(text, "borders")


def test_metrics_beside_the_map_are_used_unless_they_are_of_another_truth(tmp_path, monkeypatch):
    made = write_result(tmp_path)
    evaluate_map(made.folder, made.truth, made.folder, progress=False)
    calls = []

    def counted(*arguments, **options):
        calls.append(arguments)
        return evaluate_map(*arguments, **options)

    monkeypatch.setattr(workflow, "evaluate_map", counted)
    page = make_report(made.folder, tmp_path / "a.html", truth=made.truth, progress=False)
    assert calls == [] and data_of(text_of(page))["layers"][2]["id"] == "errors"
    page = make_report(made.folder, tmp_path / "b.html", progress=False)
    assert calls == [] and data_of(text_of(page))["layers"][2]["id"] == "errors"
    other = shutil.copy(made.truth, tmp_path / "other.gpkg")
    make_report(made.folder, tmp_path / "c.html", truth=other, progress=False)
    assert len(calls) == 1
    assert {each.name for each in tmp_path.iterdir() if each.name.startswith(".")} == set()


def test_a_truth_that_is_refused_leaves_nothing(small_map, tmp_path):
    page = tmp_path / "new" / "folder" / "report.html"
    with pytest.raises(LandslideError, match="nowhere.gpkg"):
        make_report(small_map.folder, page, truth=tmp_path / "nowhere.gpkg", progress=False)
    assert not list(tmp_path.iterdir())
    make_report(small_map.folder, page, truth=small_map.truth, progress=False)
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["folder", "new", "report.html"]


def test_a_mask_as_truth_and_a_scene_that_moved(tmp_path):
    made = write_result(tmp_path)
    moved = made.scene.rename(tmp_path / "moved.tif")
    mask = made.folder / "mask.tif"
    page = make_report(made.folder, tmp_path / "r.html", truth=mask, progress=False)
    layers = {each["id"]: each for each in data_of(text_of(page))["layers"]}
    assert "scene" not in layers and layers["truth"]["picture"].startswith("data:image/webp")
    assert "could not be read where it lay" in words_of(text_of(page))
    page = make_report(made.folder, page, scene=moved, overwrite=True, progress=False)
    assert data_of(text_of(page))["layers"][0]["id"] == "scene"
    with pytest.raises(RasterError, match="must be a file that exists"):
        make_report(made.folder, page, scene=tmp_path / "no.tif", overwrite=True, progress=False)


@pytest.mark.parametrize("crs", ["EPSG:32648", None])
def test_a_map_without_landslides(tmp_path, crs):
    folder = write_map(tmp_path / "map", np.zeros((40, 50)))
    table = gpd.GeoDataFrame({"id": [], "area_m2": []}, geometry=[], crs=crs)
    table.to_file(
        folder / "landslides.gpkg", layer="landslides", driver="GPKG", geometry_type="Polygon"
    )
    text = text_of(make_report(folder, tmp_path / "r.html", progress=False))
    assert "Landslides 0" in words_of(text) and "Largest –" in words_of(text)
    assert "Not measured: the map has no landslide." in section(text, "sizes")


def test_many_landslides_are_limited_and_it_is_said(small_map, tmp_path, monkeypatch):
    monkeypatch.setattr("landslide_rcnn.report.page.MAX_LANDSLIDES", 25)
    text = text_of(make_report(small_map.folder, tmp_path / "r.html", progress=False))
    assert "Map and table show the first 25 of 40 landslides" in words_of(text)
    assert "Landslides 40" in words_of(text)
    assert len(data_of(text)["columns"][0]["values"]) == 25


def test_a_page_is_not_replaced_unless_asked(small_map, tmp_path):
    page = tmp_path / "r.html"
    page.write_text("mine")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        make_report(small_map.folder, page, progress=False)
    assert page.read_text() == "mine"


def test_the_command(small_map, tmp_path):
    arguments = ["report", str(small_map.folder), "-o", str(tmp_path / "r.html"), "--quiet"]
    done = CliRunner().invoke(main, [*arguments, "--truth", str(small_map.truth)])
    assert done.exit_code == 0 and done.stdout.strip() == str(tmp_path / "r.html")
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 1 and "--overwrite" in again.stderr
    (tmp_path / "empty").mkdir()
    arguments = ["report", str(tmp_path / "empty"), "-o", str(tmp_path / "s.html")]
    none = CliRunner().invoke(main, arguments)
    assert none.exit_code == 1 and none.stderr.startswith("Error: A map's folder must hold")
    assert not (tmp_path / "s.html").exists()


def test_sizes_are_counted_by_hand(tmp_path):
    shapes = [pixel_box(0, 0, 1, 1), pixel_box(4, 4, 6, 6), pixel_box(10, 10, 14, 14)]
    folder = write_map(tmp_path / "map", np.zeros((40, 50)))
    table = gpd.GeoDataFrame(
        {"id": [1, 2, 3], "area_m2": [100.0, 400.0, 1600.0]}, geometry=shapes, crs="EPSG:32648"
    )
    table.to_file(folder / "landslides.gpkg", layer="landslides", driver="GPKG")
    said = section(text_of(make_report(folder, tmp_path / "r.html", progress=False)), "sizes")
    assert "half are smaller than 400 m²; the largest tenth holds 76% of the area" in said
    assert "100 to 178 m² 1" in said and "316 to 562 m² 1" in said and "1,000 to 1,778 m² 1" in said
