"""Bijie's comparison of architectures, on a folder of that layout: rows, folds, what is kept."""

import csv
import json
import time

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from landslide_rcnn.loading import load_model
from samples.bijie import comparison
from samples.bijie.__main__ import main
from samples.bijie.bijie import open_part
from samples.bijie.comparison import ROWS, ComparedMaskRCNN, format_rows

SIZE = 64
PARTS = {"train": 6, "val": 4, "test": 3}


@pytest.fixture
def data(tmp_path):
    """Tiles with a bright landslide in half of them, or a little more."""
    rng = np.random.default_rng(0)
    rows = []
    for part, count in PARTS.items():
        for number in range(count):
            kind = "landslide" if number % 2 == 0 else "non-landslide"
            image = rng.integers(40, 80, (SIZE, SIZE, 3), np.uint8)
            mask = np.zeros((SIZE, SIZE), np.uint8)
            if kind == "landslide":
                top, left = rng.integers(4, 30, 2)
                mask[top : top + 26, left : left + 26] = 255
                image[mask > 0] += 120
            name = f"{part}{number}.png"
            for folder, pixels in (("image", image), ("mask", mask)):
                if folder == "image" or mask.any():
                    path = tmp_path / "bijie" / kind / folder / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(path), pixels)
            rows.append({"file": name, "county": part, "part": part})
    with open(tmp_path / "bijie" / "split.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["file", "county", "part"])
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "bijie"


@pytest.fixture
def quick(monkeypatch):
    """The comparison with one small network on small inputs, trained for an instant."""
    monkeypatch.setattr(comparison, "TILE_SIZE", SIZE)
    settings = {"IMAGE_MIN_DIM": SIZE, "IMAGE_MAX_DIM": SIZE, "IMAGES_PER_GPU": 2}
    small = comparison._semantic("small", "deeplab", "mobilenet", **settings)
    monkeypatch.setattr(comparison, "ROWS", {"small": small})


def recall_by_a_loop(folder, data):
    """The share of the test tiles' landslide pixels that the kept weights find."""
    model, card = load_model(folder / "model.weights.h5")
    tiles = open_part(data, "test")
    masks = [tiles.load_mask(i)[0].any(axis=-1) for i in tiles.image_ids]
    images = np.stack([tiles.load_image(i) for i in tiles.image_ids])
    found = [each.probability >= card.threshold for each in model.predict_tiles(images)]
    return np.mean(np.concatenate([each[mask] for each, mask in zip(found, masks)]))


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.slow
def test_a_row_is_trained_judged_on_test_and_kept(data, quick, tmp_path, monkeypatch):
    words = ("compare", "--data", data, "--output", tmp_path / "out", "--cpu-minutes", 0.01)
    done = run(*words)
    assert done.exit_code == 0, done.output
    [row] = [line for line in done.stdout.splitlines() if line.startswith("| `small`")]
    kept = json.loads((tmp_path / "out/small/row.json").read_text())
    assert kept["test"]["recall"] == pytest.approx(recall_by_a_loop(tmp_path / "out/small", data))
    assert f"| {kept['test']['precision']:.3f} |" in row and "| 5.04 M |" in row
    monkeypatch.setattr(
        "landslide_rcnn.workflows.train.train_model", lambda *_, **__: pytest.fail("again")
    )
    assert row.rsplit("|", 2)[0] in run(*words).stdout  # all but the milliseconds


def test_folds_are_of_four_counties_and_the_fifth_judges(data, tmp_path, monkeypatch):
    calls = []
    result = type("Result", (), {"summary": {}})
    monkeypatch.setattr(
        "landslide_rcnn.workflows.kfold.train_folds",
        lambda *given, **named: calls.append((*given, named)) or result,
    )
    monkeypatch.setattr("landslide_rcnn.workflows.kfold.format_folds", lambda summary: "table")
    metrics = dict.fromkeys(comparison.TEST_METRICS, 0.25) | {"f1": None}
    monkeypatch.setattr(comparison, "judge_on_test", lambda *given: (0.5, metrics))
    words = ("kfold", "--row", "fcn_fl", "--folds", 3, "--cpu-minutes", 6, "--seed", 4)
    done = run(*words, "--data", data, "--output", tmp_path / "out")
    assert done.stdout == (
        "table\nensemble, test county: precision 0.250, recall 0.250, overall_accuracy 0.250, "
        "f1 -, iou 0.250, miou 0.250 at 0.500\n"
    )
    [(config, dataset, folder, folds, named)] = calls
    assert config.to_dict() == ROWS["fcn_fl"].make_config().to_dict()
    assert dataset.num_images == PARTS["train"] + PARTS["val"]
    assert (folder, folds) == (tmp_path / "out/fcn_fl", 3)
    assert (named["minutes"], named["seed"], named["resume"]) == (6, 4, True)
    assert named["clock"] is time.process_time


def test_an_unknown_row_is_one_line(data):
    for words in (("compare", "--row", "vnet"), ("kfold", "--row", "vnet")):
        done = run(*words, "--data", data)
        assert done.exit_code == 1 and done.stderr.count("\n") == 1
        assert "Received: vnet" in done.stderr and "drs_unet" in done.stderr


def test_a_number_that_is_undefined_is_a_dash():
    scores = dict.fromkeys(comparison.TEST_METRICS, 0.25) | {"precision": None}
    row = {"test": scores, "val_f1": 0.5, "best_epoch": 3, "title": "A network"}
    costs = {"parameters": 31_040_000, "multiply_adds": 13.65e9, "ms_per_tile": 6.04}
    line = format_rows({"name": row | costs}).splitlines()[-1]
    assert line == (
        "| `name`: A network | - | 0.250 | 0.250 | 0.250 | 0.250 | 0.250 | 0.500 | 3 | 31.04 M "
        "| 13.65 G | 6.0 |"
    )


def test_every_row_has_inputs_of_one_size():
    configs = {name: row.make_config() for name, row in ROWS.items()}
    assert {tuple(config.IMAGE_SHAPE) for config in configs.values()} == {(128, 128, 3)}
    assert isinstance(configs["mask_rcnn"], ComparedMaskRCNN)
    assert configs["fcn"].SEMANTIC_LOSS != configs["fcn_focal"].SEMANTIC_LOSS
    assert configs["fcn_fl"].SEMANTIC_LOSS == {"bce": 0.0, "focal": 1.0, "dice": 0.0}
