"""Two maps of one scene: by hand, against each one's own evaluation, and on the command line."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from landslide_rcnn.cli import main
from landslide_rcnn.errors import GeoReferenceError, RasterError
from landslide_rcnn.evaluation import area
from landslide_rcnn.evaluation.comparison import compare_maps
from landslide_rcnn.evaluation.maps import evaluate_map
from landslide_rcnn.evaluation.metrics import METRICS
from landslide_rcnn.evaluation.tables import format_comparison
from landslide_rcnn.files import OutputExistsError
from tests.helpers.map_files import TRANSFORM, pixel_box, write_map, write_polygons, write_raster


@pytest.fixture
def by_hand(tmp_path):
    """20 x 20 pixels, two true landslides of 4 x 4.

    The first map finds the upper one, the second both and a false pixel. The second has no
    prediction in the last row, the first none in the last column.
    """
    probability = np.zeros((2, 20, 20))
    probability[:, 2:6, 2:6] = 0.9
    probability[1, 12:16, 12:16] = 0.9
    probability[1, 0, 0] = 0.7
    probability[1, -1], probability[0, :, -1] = np.nan, np.nan
    upper, lower, alone = pixel_box(2, 2, 6, 6), pixel_box(12, 12, 16, 16), pixel_box(0, 0, 1, 1)
    first = write_map(tmp_path / "first", probability[0], polygons=[upper], tile_px=4)
    second = write_map(tmp_path / "second", probability[1], polygons=[upper, lower, alone])
    return first, second, write_polygons(tmp_path / "truth.gpkg", upper, lower)


def compare(*paths, **options):
    return compare_maps(*paths, progress=False, **options)


def test_by_hand(by_hand):
    found = compare(*by_hand)
    assert found["pixels"] == {"evaluated": 361, "left_out": 39, "true_landslide": 32}
    recall, precision = found["metrics"]["recall"], found["metrics"]["precision"]
    assert (recall["first"], recall["second"], recall["difference"]) == (0.5, 1.0, 0.5)
    assert precision["second"] == 32 / 33
    assert precision["difference"] == pytest.approx(-1 / 33)
    accuracy = found["metrics"]["overall_accuracy"]
    assert accuracy["difference"] == pytest.approx(15 / 361)
    assert accuracy["interval"]["low"] <= 15 / 361 <= accuracy["interval"]["high"]
    test = found["mcnemar"]["pixels"]
    assert (test["only_first_right"], test["only_second_right"]) == (1, 16)
    assert test["p_value"] == pytest.approx(2 * 18 / 2**17)  # both tails of 17 tosses
    assert "neighbours are not" in found["mcnemar"]["caveat"]
    landslides = found["landslides"]
    assert landslides["true"] == 2 and landslides["predicted"] == {"first": 1, "second": 3}
    assert (landslides["matched_by_both"], landslides["matched_by_neither"]) == (1, 0)
    assert landslides["detection_rate"]["difference"] == 0.5
    assert landslides["mcnemar"]["only_second_right"] == 1
    assert landslides["mcnemar"]["p_value"] == 1
    borders = found["boundaries"]
    # 12 border pixels of the upper one, of 24 true ones: precision 1, recall 1/2.
    assert borders["boundary_f_score_1px"]["first"] == pytest.approx(2 / 3)
    # The false pixel is a border of its own.
    assert borders["boundary_f_score_1px"]["second"] == pytest.approx(2 * 24 / 25 / (1 + 24 / 25))
    assert "25 blocks of 4 x 4 pixels" in found["intervals"]["method"]
    assert set(found["metrics"]) == set(METRICS) <= set(found["definition"])


def test_the_other_way_round_every_sign_changes(by_hand):
    first, second, truth = by_hand
    there, back = (
        compare(first, second, truth, block_px=4),
        compare(second, first, truth, block_px=4),
    )
    for name in METRICS:
        one, other = there["metrics"][name], back["metrics"][name]
        assert one["difference"] == -other["difference"]
        assert one["interval"]["low"] == pytest.approx(-other["interval"]["high"])


def test_a_map_against_itself(by_hand):
    first, _, truth = by_hand
    found, alone = compare(first, first, truth), evaluate_map(first, truth, progress=False)
    for name in METRICS:
        row = found["metrics"][name]
        assert row["first"] == row["second"] == alone["at_map_threshold"][name]
        assert row["difference"] == 0 and row["interval"] in (None, {"low": 0, "high": 0})
    assert found["mcnemar"]["pixels"]["p_value"] is None
    assert found["landslides"]["mcnemar"]["p_value"] is None


def test_maps_that_share_no_pixel_are_said_to(by_hand, tmp_path):
    first, _, truth = by_hand
    far = TRANSFORM * TRANSFORM.translation(1000, 0)
    second = write_map(tmp_path / "far", np.full((20, 20), 0.9), transform=far)
    (second / "summary.json").write_text('{"threshold": 0.5, "landslides": 0}')
    found = compare(first, second, truth)
    assert found["pixels"]["evaluated"] == 0 and found["metrics"]["f1"]["difference"] is None
    assert "No pixel has both maps and a truth: nothing could be compared." in found["notes"]
    assert "nothing could be compared" not in "".join(compare(first, first, truth)["notes"])


def test_a_second_map_on_another_grid(by_hand, tmp_path):
    first, second, truth = by_hand
    same = compare(first, second, truth)
    probability = np.zeros((20, 20))
    probability[2:6, 2:6] = probability[12:16, 12:16] = 0.9
    probability[0, 0], probability[-1] = 0.7, np.nan
    finer = np.kron(probability, np.ones((3, 3)))
    write_map(tmp_path / "finer", finer, transform=TRANSFORM * TRANSFORM.scale(1 / 3))
    (tmp_path / "finer/summary.json").write_text('{"threshold": 0.5, "landslides": 3}')
    (second / "landslides.gpkg").rename(tmp_path / "finer/landslides.gpkg")
    other = compare(first, tmp_path / "finer", truth)
    for entry in ("pixels", "metrics", "mcnemar", "landslides"):
        assert other[entry] == same[entry]
    assert "The second map (60 x 60 px" in "".join(other["notes"])
    assert "The second map" not in "".join(same["notes"])
    write_map(tmp_path / "nowhere", finer)
    with_crs = tmp_path / "nowhere/mask.tif"
    write_raster(with_crs, np.zeros((60, 60), np.uint8), crs=None)
    with pytest.raises(GeoReferenceError, match="must both have a CRS"):
        compare(first, tmp_path / "nowhere", truth)


def test_bands_of_any_height_and_no_truth(by_hand, tmp_path, monkeypatch):
    first, second, truth = by_hand
    whole = compare(first, second, truth)
    monkeypatch.setattr(area, "BAND_ROWS", 3)
    assert compare(first, second, truth) == whole
    empty = write_raster(tmp_path / "empty.tif", np.zeros((20, 20), np.uint8))
    found = compare(first, second, empty)
    assert found["metrics"]["f1"] == {
        "first": None, "second": None, "difference": None, "interval": None,
    }  # fmt: skip
    assert found["metrics"]["overall_accuracy"]["difference"] == pytest.approx(-17 / 361)
    assert found["landslides"]["detection_rate"]["first"] is None
    assert found["landslides"]["mcnemar"]["p_value"] is None


def test_files_and_mistakes(by_hand, tmp_path):
    first, second, truth = by_hand
    found = compare(first, second, truth, output_dir=tmp_path / "out")
    assert json.loads((tmp_path / "out/comparison.json").read_text()) == found
    with pytest.raises(OutputExistsError, match="comparison.json"):
        compare(first, second, truth, output_dir=tmp_path / "out")
    with pytest.raises(RasterError, match=r"must hold summary\.json"):
        compare(first, tmp_path / "out", truth)


def test_the_table(by_hand):
    lines = format_comparison(compare(*by_hand)).splitlines()
    rows = {line[:22].strip(): line[22:].split() for line in lines[:23]}
    assert rows["recall"][:3] == ["0.500", "1.000", "+0.500"]
    assert rows["precision"][:3] == ["1.000", "0.970", "-0.030"]
    assert rows["boundary f score 1px"][:3] == ["0.667", "0.980", "+0.313"]
    assert rows["detection rate"][:3] == ["0.500", "1.000", "+0.500"]
    text = "\n".join(lines)
    assert "1 only the first has right, 16 only the second (McNemar p = 0.00027)" in text
    assert "2 true, 1 matched by both, 0 by neither" in text


class TestCommands:
    def run(self, *arguments):
        return CliRunner().invoke(main, [str(each) for each in arguments])

    def test_compare(self, by_hand, tmp_path):
        first, second, truth = by_hand
        command = ("compare", first, second, "--truth", truth, "--output", tmp_path / "o", "-q")
        done = self.run(*command, "--window", 0, 0, 20, 10, "--block-size", 5)
        assert done.exit_code == 0 and "McNemar" in done.stdout, done.output
        written = json.loads((tmp_path / "o/comparison.json").read_text())
        assert written["within"]["window"]["height"] == 10
        assert "8 blocks of 5 x 5" in written["intervals"]["method"]
        again = self.run(*command)
        assert again.exit_code == 1 and "--overwrite" in again.stderr
        assert self.run(*command, "--overwrite").exit_code == 0
        both = self.run(*command, "--window", 0, 0, 9, 9, "--bounds", 0, 0, 1, 1)
        assert both.exit_code == 2 and "--bounds or --window" in both.stderr

    def test_evaluate_a_part(self, by_hand, tmp_path):
        first, _, truth = by_hand
        aoi = write_polygons(tmp_path / "aoi.gpkg", pixel_box(0, 0, 8, 8))
        done = self.run(
            "evaluate", "--prediction", first, "--truth", truth, "--output", tmp_path / "o", "-q",
            "--aoi", aoi, "--bounds", 400_000, 3_699_960, 400_200, 3_700_000,
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        written = json.loads((tmp_path / "o/metrics.json").read_text())
        assert written["pixels"]["evaluated"] == 32  # 4 rows of 8
        assert (tmp_path / "o/error_map.png").exists()
