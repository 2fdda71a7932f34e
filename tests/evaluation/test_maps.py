"""A whole map against polygons and masks: by hand, and against the in-memory numbers."""

import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from landslide_rcnn.errors import GeoReferenceError, RasterError
from landslide_rcnn.evaluation import area
from landslide_rcnn.evaluation.maps import evaluate_map
from landslide_rcnn.evaluation.tables import format_table
from landslide_rcnn.files import OutputExistsError
from landslide_rcnn.geo.probability import PROBABILITY_KINDS
from landslide_rcnn.geo.writing import Grid, RasterWriter
from tests.helpers.map_files import (
    CRS,
    TRANSFORM,
    pixel_box,
    write_map,
    write_polygons,
    write_raster,
)
from tests.reference import merging, pixel_metrics

FEW_BLOCKS = "Intervals of pixel metrics need two blocks with valid pixels; there are fewer."


def pixels_of(metrics):
    return tuple(metrics["pixels"][name] for name in ("evaluated", "left_out", "true_landslide"))


def landslides_of(metrics):
    return tuple(metrics["landslides"][name] for name in ("predicted", "true", "true_found"))


@pytest.fixture
def by_hand(tmp_path):
    """10 x 10 pixels. Predicted at 0.5: rows 0-3 of columns 0-3, and one false pixel.

    True: rows 0-3 of columns 2-5 (half of it predicted), and rows 6-9 of columns 6-9, of which
    rows 8-9 have no probability and the rest is predicted with 0.4.
    """
    probability = np.full((10, 10), 0.1)
    probability[0:4, 0:4] = 0.8
    probability[9, 0] = 0.6
    probability[6:8, 6:10] = 0.4
    probability[8:10, 6:10] = np.nan
    folder = write_map(
        tmp_path / "map", probability, polygons=[pixel_box(0, 0, 4, 4), pixel_box(9, 0, 10, 1)]
    )
    truth = write_polygons(tmp_path / "truth.gpkg", pixel_box(0, 2, 4, 6), pixel_box(6, 6, 10, 10))
    return folder, truth


def test_a_map_by_hand(by_hand):
    metrics = evaluate_map(*by_hand, progress=False)
    assert metrics["pixels"] == {
        "evaluated": 92, "left_out": 8, "true_landslide": 24, "predicted_landslide": 17,
        "outside_area": 0, "without_prediction": 8, "without_truth": 0,
    }  # fmt: skip
    at_map = metrics["at_map_threshold"]
    assert [at_map[name] for name in ("threshold", "tp", "fp", "fn", "tn")] == [0.5, 8, 9, 16, 59]
    assert at_map["precision"] == 8 / 17
    assert at_map["recall"] == 8 / 24
    assert at_map["f1"] == 16 / 41
    assert at_map["iou"] == 8 / 33
    assert at_map["miou"] == pytest.approx((8 / 33 + 59 / 84) / 2)
    assert at_map["overall_accuracy"] == 67 / 92
    best = metrics["at_best_threshold"]
    # At 0.4 the second landslide's 8 pixels come in, and no false one.
    assert 0.1 < best["threshold"] <= 0.4
    assert [best[name] for name in ("tp", "fp", "fn", "tn")] == [16, 9, 8, 59]
    # Half of the first landslide is found, nothing of what is left of the second.
    assert landslides_of(metrics) == (2, 2, 1)
    assert metrics["landslides"]["found_share"] == 0.5
    # The first one's IoU with the prediction is 8 / 24.
    assert metrics["landslides"]["matched"] == 0 and metrics["landslides"]["false_alarms"] == 2
    assert [row["matched"] for row in metrics["landslides"]["by_iou"]] == [1, 1, 0]
    assert metrics["landslides"]["area_true_m2"] == pytest.approx(2400)
    assert metrics["landslides"]["ap"]["ap50"] == 0
    assert metrics["notes"] == ["8 pixels have no prediction and do not count.", FEW_BLOCKS]
    named = {"precision", "miou", "true_found", "at_best_threshold", "average_precision"}
    assert set(metrics["definition"]) >= named


def test_percent_say_the_same_and_the_mask_has_the_last_word(by_hand):
    folder, truth = by_hand
    exact = evaluate_map(folder, truth)
    with rasterio.open(folder / "probability.tif") as file:
        probability = file.read(1)
    kind = PROBABILITY_KINDS["percent"]
    grid = Grid(10, 10, rasterio.CRS.from_string(CRS), TRANSFORM)
    with RasterWriter(folder / "probability.tif", like=grid, **kind.raster) as writer:
        writer.write(kind.encode(probability), grid.window)
    percent = evaluate_map(folder, truth)
    assert 0.1 < percent["at_best_threshold"].pop("threshold") <= 0.4
    exact["at_best_threshold"].pop("threshold")
    for entry in ("pixels", "at_map_threshold", "at_best_threshold", "landslides", "intervals"):
        assert percent[entry] == exact[entry]
    area = exact["curve"]["average_precision"]
    assert percent["curve"]["average_precision"] == pytest.approx(area)
    assert "percent, rounded down" in percent["notes"][-1]
    assert not any("percent" in note for note in exact["notes"])
    assert "expected_calibration_error_bounds" not in exact["calibration"]
    bounds = percent["calibration"]["expected_calibration_error_bounds"]
    assert bounds["low"] <= exact["calibration"]["expected_calibration_error"] <= bounds["high"]
    # A pixel that was taken out of the mask after the threshold is not predicted.
    with rasterio.open(folder / "mask.tif", "r+") as file:
        mask = file.read(1)
        assert mask[9, 0] == 1
        mask[9, 0] = 0
        file.write(mask, 1)
    filtered = evaluate_map(folder, truth)
    assert filtered["at_map_threshold"]["fp"] == exact["at_map_threshold"]["fp"] - 1
    assert filtered["at_best_threshold"]["fp"] == exact["at_best_threshold"]["fp"]


def test_a_mask_says_the_same_as_polygons(by_hand, tmp_path):
    truth = np.zeros((10, 10), np.uint8)
    truth[0:4, 2:6] = truth[6:10, 6:10] = 255
    path = write_raster(tmp_path / "truth.tif", truth)
    from_mask, from_polygons = (
        evaluate_map(by_hand[0], path),
        evaluate_map(*by_hand, progress=False),
    )
    for entry in ("pixels", "at_map_threshold", "at_best_threshold", "landslides"):
        assert from_mask[entry] == from_polygons[entry]
    assert "4-connected regions" in from_mask["notes"][0]


def test_nodata_of_a_true_mask_is_unknown_unless_it_is_zero(by_hand, tmp_path):
    truth = np.zeros((10, 10), np.uint8)
    truth[0:4, 2:6] = 1
    truth[5, :] = 255
    unknown = evaluate_map(by_hand[0], write_raster(tmp_path / "a.tif", truth, nodata=255))
    assert pixels_of(unknown) == (82, 18, 16)
    assert unknown["landslides"]["true"] == 1
    zero = evaluate_map(by_hand[0], write_raster(tmp_path / "b.tif", truth, nodata=0))
    assert pixels_of(zero) == (92, 8, 26)
    untagged = evaluate_map(by_hand[0], write_raster(tmp_path / "c.tif", truth))
    assert untagged["pixels"] == zero["pixels"]
    assert untagged["at_map_threshold"] == zero["at_map_threshold"]


def test_polygons_in_another_crs_are_reprojected_and_it_is_said(by_hand, tmp_path):
    folder, truth = by_hand
    degrees = tmp_path / "degrees.geojson"
    gpd.read_file(truth).to_crs(4326).to_file(degrees)
    metrics = evaluate_map(folder, degrees)
    assert metrics["at_map_threshold"] == evaluate_map(folder, truth)["at_map_threshold"]
    assert "reprojected from EPSG:4326 to the map's EPSG:32648" in metrics["notes"][0]


@pytest.mark.parametrize(
    "within",
    [
        Window(6, 6, 4, 4),
        (400_060, 3_699_900, 400_100, 3_699_940),
        # Pixels count by their centres; what lies beyond the map is cut off.
        (400_064, 3_699_000, 500_000, 3_699_936),
        (400_056, 3_699_000, 500_000, 3_699_944),
    ],
)
def test_only_the_part_within_counts(by_hand, within):
    metrics = evaluate_map(*by_hand, within=within)
    assert pixels_of(metrics) == (8, 8, 8)
    assert metrics["at_map_threshold"]["recall"] == 0
    assert metrics["at_best_threshold"]["recall"] == 1
    assert landslides_of(metrics) == (0, 1, 0)
    assert metrics["within"] == {
        "window": {"col_off": 6, "row_off": 6, "width": 4, "height": 4},
        "bounds": [400_060, 3_699_900, 400_100, 3_699_940],
    }


def test_predicted_landslides_count_where_they_reach_in(by_hand):
    left = evaluate_map(*by_hand, within=Window(0, 0, 2, 9))
    assert left["landslides"]["predicted"] == 1
    below = evaluate_map(*by_hand, within=Window(0, 4, 10, 6))
    assert below["landslides"]["predicted"] == 1


@pytest.mark.parametrize("within", [Window(10, 0, 5, 5), (0, 0, 10, 10), Window(2, 2, 0, 4)])
def test_a_part_beside_the_map_is_refused(by_hand, within):
    with pytest.raises(GeoReferenceError, match="must overlap the map.*left, bottom, right, top"):
        evaluate_map(*by_hand, within=within)


@pytest.mark.parametrize("as_mask", [False, True])
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    band_rows=st.integers(1, 7),
)
def test_bands_of_any_height_give_the_numbers_of_the_whole(
    tmp_path_factory, as_mask, seed, height, width, band_rows
):
    folder = tmp_path_factory.mktemp("scene")
    rng = np.random.default_rng(seed)
    probability = rng.choice(np.linspace(0, 1, 11), (height, width))
    valid = rng.random((height, width)) < 0.8
    truth = rng.random((height, width)) < 0.5
    truth[rng.integers(height), rng.integers(width)] = True
    map_folder = write_map(folder / "map", np.where(valid, probability, np.nan), threshold=0.3)
    regions = merging.connected_regions(truth)
    if as_mask:
        path = write_raster(folder / "truth.tif", truth.astype(np.uint8))
        seen = merging.connected_regions(truth & valid)
    else:
        path = write_polygons(
            folder / "truth.gpkg", *(pixel_box(y, x, y + 1, x + 1) for y, x in np.argwhere(truth))
        )
        seen = [{pixel} for pixel in merging.pixels_of(truth & valid)]
    assert regions
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(area, "BAND_ROWS", band_rows)
        metrics = evaluate_map(map_folder, path)
    predicted = probability.astype(np.float32) >= 0.3
    expected = pixel_metrics.count_pixels(predicted, truth, valid)
    assert {name: metrics["at_map_threshold"][name] for name in expected} == expected
    found = [
        region for region in seen if sum(predicted[pixel] for pixel in region) >= len(region) / 2
    ]
    assert metrics["landslides"]["true"] == len(seen)
    assert metrics["landslides"]["true_found"] == len(found)


def test_a_truth_outside_the_valid_part_gives_nulls(tmp_path):
    probability = np.full((4, 8), 0.7)
    probability[:, 4:] = np.nan
    folder = write_map(tmp_path / "map", probability)
    truth = write_polygons(tmp_path / "truth.gpkg", pixel_box(0, 5, 3, 7))
    metrics = evaluate_map(folder, truth, tmp_path / "out")
    for entry in ("at_map_threshold", "at_best_threshold"):
        for name in ("precision", "recall", "f1", "iou", "miou"):
            assert metrics[entry][name] is None
    assert metrics["at_map_threshold"]["overall_accuracy"] == 0
    assert metrics["at_best_threshold"]["threshold"] is None
    assert landslides_of(metrics) == (0, 0, 0)
    assert metrics["landslides"]["found_share"] is None
    assert set(metrics["curve"]["precision"]) == {None}
    assert metrics["curve"]["average_precision"] is None
    assert metrics["calibration"]["bins"][7]["share_landslide"] == 0
    assert "There is no true landslide pixel" in "".join(metrics["notes"])
    written = (tmp_path / "out/metrics.json").read_text()
    assert json.loads(written) == metrics
    assert '"f1": null' in written
    lines = format_table(metrics).splitlines()
    assert lines[4].split() == ["f1", "-", "-"]


def test_an_empty_true_mask_gives_nulls(tmp_path):
    folder = write_map(tmp_path / "map", np.full((4, 8), 0.2))
    truth = write_raster(tmp_path / "truth.tif", np.zeros((4, 8), np.uint8))
    metrics = evaluate_map(folder, truth)
    assert metrics["at_map_threshold"]["f1"] is None
    assert metrics["at_map_threshold"]["overall_accuracy"] == 1
    assert metrics["landslides"]["true"] == 0


def test_the_table(by_hand):
    lines = format_table(evaluate_map(*by_hand, progress=False)).splitlines()
    assert lines[0].split() == ["map", "threshold", "95", "%", "interval", "best", "threshold"]
    table = {" ".join(line.split()[:-2]): line.split()[-2:] for line in lines[1:16]}
    assert table["precision"] == ["0.471", "0.640"]
    assert table["recall"] == ["0.333", "0.667"]
    assert table["f1"] == ["0.390", "0.653"]
    assert table["overall accuracy"] == ["0.728", "0.815"]
    assert table["kappa"] == ["0.222", "0.527"]
    assert lines[17].startswith("average precision 0.")
    assert lines[18] == (
        "landslides: 2 true, 0 of them matched, 1 covered by half or more; 2 predicted, 2 of them "
        "false alarms; AP50 0.000"
    )
    assert lines[19].startswith("borders: F-score 0.")
    assert lines[20] == "pixels: 92 evaluated, 24 of them true landslide; 8 left out"


def test_metrics_are_replaced_only_when_asked(by_hand, tmp_path):
    evaluate_map(*by_hand, tmp_path / "out")
    with pytest.raises(OutputExistsError, match="metrics.json"):
        evaluate_map(*by_hand, tmp_path / "out")
    evaluate_map(*by_hand, tmp_path / "out", overwrite=True)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"metrics.json", "error_map.tif", "error_map.png"}
    (tmp_path / "out/metrics.json").unlink()
    with pytest.raises(OutputExistsError, match="error_map.tif"):
        evaluate_map(*by_hand, tmp_path / "out")


def test_a_mask_of_several_bands_is_refused(by_hand, tmp_path):
    with rasterio.open(
        tmp_path / "rgb.tif", "w", "GTiff", 10, 10, 3, CRS, TRANSFORM, "uint8"
    ) as file:
        file.write(np.ones((3, 10, 10), np.uint8))
    with pytest.raises(RasterError, match="must have one band.*with 3"):
        evaluate_map(by_hand[0], tmp_path / "rgb.tif")


def test_a_folder_without_a_map_is_refused(tmp_path):
    with pytest.raises(RasterError, match=r"must hold summary\.json.*Name the output folder"):
        evaluate_map(tmp_path / "missing", tmp_path / "truth.gpkg")
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(RasterError, match="cannot be read"):
        evaluate_map(tmp_path, tmp_path / "truth.gpkg")
    (tmp_path / "summary.json").write_text('{"landslides": 1}')
    with pytest.raises(RasterError, match="must hold threshold and landslides"):
        evaluate_map(tmp_path, tmp_path / "truth.gpkg")
