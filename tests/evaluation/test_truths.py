"""Truths that do not fit: other grids and CRSs, partial overlap, areas of interest, one pixel."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.warp import Resampling, reproject
from rasterio.windows import Window
from shapely import affinity
from shapely.geometry import box

from landslide_rcnn.errors import DatasetError, GeoReferenceError
from landslide_rcnn.evaluation import area
from landslide_rcnn.evaluation.maps import evaluate_map
from tests.helpers.map_files import (
    CRS,
    TRANSFORM,
    pixel_box,
    write_map,
    write_polygons,
    write_raster,
)

COUNTS = ("tp", "fp", "fn", "tn")


def counts(metrics):
    return [metrics["at_map_threshold"][name] for name in COUNTS]


@pytest.fixture
def world(tmp_path, rng):
    """A map of 40 x 30 pixels that errs here and there, and its truth [H, W] bool."""
    truth = np.zeros((40, 30), bool)
    truth[5:15, 4:12] = truth[20:36, 15:27] = True
    probability = np.where(truth, 0.8, 0.2)
    wrong = rng.random(truth.shape) < 0.15
    probability[wrong] = 1 - probability[wrong]
    return write_map(tmp_path / "map", probability, tile_px=8), truth, probability >= 0.5


def judge(folder, truth, **options):
    return evaluate_map(folder, truth, progress=False, **options)


def test_polygons_beyond_the_map_are_counted_and_said(world, tmp_path):
    folder, _, _ = world
    inside, edge = pixel_box(5, 4, 15, 12), pixel_box(-3, 0, 1, 3)
    far = affinity.translate(inside, 100_000)
    both = judge(folder, write_polygons(tmp_path / "both.gpkg", inside, edge, far))
    assert both["notes"][0] == "1 of 3 true polygons lie beyond the map and do not count."
    none = judge(folder, write_polygons(tmp_path / "far.gpkg", far))
    assert "1 of 1 true polygons lie beyond the map" in none["notes"][0]
    assert none["notes"][0].endswith("is its CRS right?")
    all_on_it = judge(folder, write_polygons(tmp_path / "on.gpkg", inside, edge))
    assert "beyond the map" not in "".join(all_on_it["notes"])


class TestOtherGrids:
    def test_a_larger_mask_is_cut(self, world, tmp_path):
        folder, truth, _ = world
        same = judge(folder, write_raster(tmp_path / "same.tif", truth.astype(np.uint8)))
        larger = np.pad(truth, 7, constant_values=True).astype(np.uint8)
        moved = TRANSFORM * Affine.translation(-7, -7)
        found = judge(folder, write_raster(tmp_path / "larger.tif", larger, transform=moved))
        assert counts(found) == counts(same) and found["pixels"]["without_truth"] == 0
        assert "was read on the map's grid" in "".join(found["notes"])
        assert "was read on the map's grid" not in "".join(same["notes"])

    def test_pixels_beyond_a_mask_do_not_count(self, world, tmp_path):
        folder, truth, predicted = world
        part = np.s_[10:40, 0:20]
        path = write_raster(
            tmp_path / "part.tif",
            truth[part].astype(np.uint8),
            transform=TRANSFORM * Affine.translation(0, 10),
        )
        found = judge(folder, path)
        tp = int((predicted & truth)[part].sum())
        assert counts(found)[0] == tp
        assert found["pixels"]["evaluated"] == 600 and found["pixels"]["without_truth"] == 600
        assert "600 pixels have a prediction but no truth" in "".join(found["notes"])

    def test_a_finer_mask_gives_its_pixel_at_the_centre(self, world, tmp_path):
        folder, truth, _ = world
        same = judge(folder, write_raster(tmp_path / "same.tif", truth.astype(np.uint8)))
        finer = np.kron(truth, np.ones((3, 3))).astype(np.uint8)
        finer[::3] = 1 - finer[::3]  # all but the middle is wrong
        transform = TRANSFORM * Affine.scale(1 / 3)
        found = judge(folder, write_raster(tmp_path / "fine.tif", finer, transform=transform))
        assert counts(found) == counts(same)
        assert found["landslides"] == same["landslides"]

    def test_a_mask_in_another_crs_is_what_gdal_makes_of_it(self, world, tmp_path):
        folder, truth, predicted = world
        degrees = Affine(0.0001, 0, 103.918, 0, -0.0001, 33.435)
        other = np.full((120, 120), 2, np.uint8)
        there, back = other.copy(), np.full(truth.shape, 2, np.uint8)
        source = {"src_crs": CRS, "src_transform": TRANSFORM}
        reproject(
            truth.astype(np.uint8), there, dst_crs="EPSG:4326", dst_transform=degrees,
            resampling=Resampling.nearest, init_dest_nodata=False, dst_nodata=None, **source,
        )  # fmt: skip
        assert 0 < (there == 1).sum() and 0 < (there == 2).sum()
        path = write_raster(tmp_path / "other.tif", there, "EPSG:4326", degrees, nodata=2)
        with rasterio.open(path) as file:
            reproject(
                rasterio.band(file, 1), back, dst_crs=CRS, dst_transform=TRANSFORM,
                resampling=Resampling.nearest, dst_nodata=2,
            )  # fmt: skip
        found = judge(folder, path)
        known = back != 2
        expected = [
            int((known & (predicted == p) & ((back == 1) == t)).sum())
            for p, t in ((1, 1), (1, 0), (0, 1), (0, 0))
        ]
        # Places halfway between two pixels may go either way.
        np.testing.assert_allclose(counts(found), expected, atol=8)
        assert "EPSG:4326" in "".join(found["notes"])

    def test_a_mask_beside_the_map_measures_nothing_and_says_so(self, world, tmp_path):
        folder, truth, _ = world
        away = TRANSFORM * Affine.translation(1000, 0)
        path = write_raster(tmp_path / "away.tif", truth.astype(np.uint8), transform=away)
        found = judge(folder, path, output_dir=tmp_path / "out")
        assert found["at_map_threshold"]["overall_accuracy"] is None
        assert found["calibration"] is None and found["curve"]["average_precision"] is None
        assert found["pixels"]["without_truth"] == 1200
        assert "nothing could be measured" in "".join(found["notes"])

    def test_a_mask_without_crs_is_refused(self, world, tmp_path):
        path = tmp_path / "nowhere.tif"
        write_raster(path, np.ones((9, 9), np.uint8), crs=None)
        with pytest.raises(GeoReferenceError, match="must both have a CRS"):
            judge(world[0], path)


class TestAreaOfInterest:
    def test_only_pixels_inside_its_polygons_count(self, world, tmp_path):
        folder, truth, predicted = world
        whole = write_raster(tmp_path / "truth.tif", truth.astype(np.uint8))
        # Pixels [2, 10) x [3, 9) and, turned by 45 degrees, a square around (25, 20).
        square = box(400_030, 3_699_900, 400_090, 3_699_980)
        turned = affinity.rotate(box(400_150, 3_699_700, 400_250, 3_699_800), 45)
        aoi = tmp_path / "aoi.geojson"
        gpd.GeoDataFrame(geometry=[square, turned], crs=CRS).to_crs(4326).to_file(aoi)
        found = judge(folder, whole, aoi=aoi)
        inside = np.zeros(truth.shape, bool)
        inside[2:10, 3:9] = True
        rows, columns = np.mgrid[:40, :30]
        inside |= abs(columns + 0.5 - 20) + abs(rows + 0.5 - 25) < 5 * np.sqrt(2)
        assert counts(found) == [
            int((inside & (predicted == p) & (truth == t)).sum())
            for p, t in ((1, 1), (1, 0), (0, 1), (0, 0))
        ]
        region = found["within"]["window"]
        assert region["row_off"] == 2 and region["col_off"] == 3
        size = region["height"] * region["width"]
        assert found["pixels"]["outside_area"] == size - inside.sum() == found["pixels"]["left_out"]
        notes = "".join(found["notes"])
        assert "reprojected from EPSG:4326" in notes and "aoi.geojson, 2 polygons" in notes
        assert found["aoi"] == str(aoi)

    def test_with_a_window_both_count(self, world, tmp_path):
        folder, truth, _ = world
        whole = write_raster(tmp_path / "truth.tif", truth.astype(np.uint8))
        aoi = tmp_path / "aoi.gpkg"
        gpd.GeoDataFrame(geometry=[box(400_030, 3_699_900, 400_090, 3_699_980)], crs=CRS).to_file(
            aoi
        )
        found = judge(folder, whole, aoi=aoi, within=Window(5, 0, 30, 5))
        assert found["within"]["window"] == {
            "col_off": 5, "row_off": 2, "width": 4, "height": 3,
        }  # fmt: skip
        assert found["pixels"]["evaluated"] == 12
        with pytest.raises(GeoReferenceError, match="must overlap the judged part"):
            judge(folder, whole, aoi=aoi, within=Window(20, 20, 5, 5))

    def test_an_empty_or_lost_one_is_refused(self, world, tmp_path):
        folder, truth, _ = world
        whole = write_raster(tmp_path / "truth.tif", truth.astype(np.uint8))
        aoi = tmp_path / "aoi.gpkg"
        gpd.GeoDataFrame(geometry=[], crs=CRS).to_file(aoi)
        with pytest.raises(DatasetError, match="at least one polygon"):
            judge(folder, whole, aoi=aoi)
        gpd.GeoDataFrame(geometry=[box(0, 0, 1, 1)], crs=CRS).to_file(aoi)
        with pytest.raises(GeoReferenceError, match="must overlap the judged part"):
            judge(folder, whole, aoi=aoi)


class TestExtremes:
    """Defined values or None: never an exception, never a 0 or 1 that nothing was counted for."""

    @pytest.mark.parametrize("predicted", [False, True])
    @pytest.mark.parametrize("true", [False, True])
    @pytest.mark.parametrize("size", [(1, 1), (9, 9)])
    def test_all_alike(self, tmp_path, size, predicted, true):
        folder = write_map(tmp_path / "map", np.full(size, 0.9 if predicted else 0.1), tile_px=4)
        path = write_raster(tmp_path / "truth.tif", np.full(size, true, np.uint8))
        found = judge(folder, path, output_dir=tmp_path / "out")
        scores = found["at_map_threshold"]
        assert scores["overall_accuracy"] == float(predicted == true)
        assert scores["recall"] == (float(predicted) if true else None)
        assert scores["precision"] == (1.0 if predicted and true else None)
        assert scores["f1"] == (float(predicted) if true else None)
        assert scores["background_recall"] == (None if true else float(not predicted))
        for name in ("miou", "kappa", "macro_precision", "macro_recall", "macro_f1"):
            assert scores[name] is None
        assert found["curve"]["average_precision"] == (1.0 if true else None)
        assert found["landslides"]["found_share"] == (float(predicted) if true else None)
        assert found["landslides"]["ap"]["ap50"] == (0.0 if true else None)  # no polygons
        assert found["boundaries"]["mean_distance_px"] is None
        assert found["boundaries"]["f_score"][0]["value"] is None
        error = found["calibration"]["expected_calibration_error"]
        assert error == pytest.approx(0.1 if predicted == true else 0.9)
        assert found["intervals"]["found_share"] is None
        assert (found["intervals"]["overall_accuracy"] is None) == (size == (1, 1))

    def test_no_valid_pixel_at_all(self, tmp_path):
        folder = write_map(tmp_path / "map", np.full((5, 5), np.nan))
        path = write_raster(tmp_path / "truth.tif", np.ones((5, 5), np.uint8))
        found = judge(folder, path, output_dir=tmp_path / "out")
        assert found["pixels"]["evaluated"] == 0 and found["pixels"]["without_prediction"] == 25
        assert found["calibration"] is None
        assert {v for k, v in found["intervals"].items() if k != "method"} == {None}


def test_intervals_come_from_blocks_of_the_tile_size(world, tmp_path):
    folder, truth, _ = world
    path = write_raster(tmp_path / "truth.tif", truth.astype(np.uint8))
    found = judge(folder, path)
    assert "20 blocks of 8 x 8 pixels" in found["intervals"]["method"]
    scores = found["at_map_threshold"]
    for name in ("precision", "recall", "f1", "miou", "kappa", "overall_accuracy"):
        interval = found["intervals"][name]
        assert interval["low"] < scores[name] < interval["high"]
    assert "12 blocks of 12 x 12 pixels" in judge(folder, path, block_px=12)["intervals"]["method"]


def test_a_map_without_an_error(tmp_path):
    truth = np.zeros((30, 30), bool)
    truth[3:9, 4:12] = truth[15:27, 16:20] = True
    polygons = [pixel_box(3, 4, 9, 12), pixel_box(15, 16, 27, 20)]
    folder = write_map(tmp_path / "map", truth * 0.7, polygons=polygons, tile_px=10)
    found = judge(folder, write_polygons(tmp_path / "truth.gpkg", *polygons))
    assert found["at_map_threshold"]["f1"] == found["at_map_threshold"]["kappa"] == 1
    assert found["landslides"]["matched"] == found["landslides"]["true"] == 2
    assert found["landslides"]["area_error"] == 0
    assert found["landslides"]["area_true_m2"] == pytest.approx(9600)
    assert found["landslides"]["ap"]["ap"] == 1 and found["landslides"]["ap"]["ap_large"] is None
    borders = found["boundaries"]
    assert borders["boundary_iou"] == 1 and borders["mean_distance_px"] == 0
    assert [row["value"] for row in borders["f_score"]] == [1, 1, 1]
    assert [row["tolerance_m"] for row in borders["f_score"]] == pytest.approx([10, 20, 40])
    # Two of two landslides found: draws of them show no uncertainty.
    assert found["intervals"]["detection_rate"] is None


def test_everything_is_the_same_in_bands_of_any_height(world, tmp_path, monkeypatch):
    folder, truth, _ = world
    unknown = truth.astype(np.uint8)
    unknown[::7, ::3] = 9
    finer = np.kron(unknown, np.ones((2, 2), np.uint8))
    path = write_raster(
        tmp_path / "fine.tif", finer, transform=TRANSFORM * Affine.scale(0.5), nodata=9
    )
    aoi = tmp_path / "aoi.gpkg"
    gpd.GeoDataFrame(geometry=[box(400_031, 3_699_655, 400_290, 3_699_987)], crs=CRS).to_file(aoi)
    whole = judge(folder, path, aoi=aoi, output_dir=tmp_path / "whole")
    for rows in (1, 7):
        monkeypatch.setattr(area, "BAND_ROWS", rows)
        out = tmp_path / f"bands-{rows}"
        assert judge(folder, path, aoi=aoi, output_dir=out) == whole
        for name in ("error_map.tif", "error_map.png"):
            assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
