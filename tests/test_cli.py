"""The commands: from tiles to a judged map, and one-line errors with the fix."""

import errno
import json
import shutil

import cv2
import geopandas as gpd
import keras
import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from rasterio.transform import from_origin

from landslide_rcnn.cli import main

TINY = [
    "BACKBONE=resnet26",
    "TOP_DOWN_PYRAMID_SIZE=16",
    "FPN_CLASSIF_FC_LAYERS_SIZE=32",
    "IMAGE_MIN_DIM=64",
    "IMAGE_MAX_DIM=64",
    "RPN_ANCHOR_SCALES=(8, 16, 24, 32, 48)",
    "TRAIN_ROIS_PER_IMAGE=8",
    "POST_NMS_ROIS_TRAINING=30",
    "POST_NMS_ROIS_INFERENCE=20",
    "IMAGES_PER_GPU=2",
    "DETECTION_MAX_INSTANCES=5",
    "LEARNING_RATE=0.002",
    "WARMUP_STEPS=10",
    "TRAIN_BN=False",
    "STEPS_PER_EPOCH=60",
]


def run(*arguments):
    """Run a command; return exit code, stdout, stderr."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def error_of(*arguments):
    """Run a command that must fail with one line on stderr; return it."""
    code, out, err = run(*arguments)
    lines = [line for line in err.splitlines() if line.startswith("Error:")]
    assert code == 1 and out == "" and len(lines) == 1, (code, out, err)
    return lines[0]


def draw(rng, size=64, landslide=True):
    """A dark tile, with a bright ellipse where there is a landslide: image and mask."""
    image = rng.integers(20, 70, (size, size, 3), dtype=np.uint8)
    mask = np.zeros((size, size), np.uint8)
    if landslide:
        centre = tuple(int(v) for v in rng.integers(6, 58, 2))
        cv2.ellipse(mask, centre, (15, 10), int(rng.integers(180)), 0, 360, 255, -1)
        image[mask > 0] = rng.integers(170, 230, (np.count_nonzero(mask), 3))
    return image, mask


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """Twelve training and four validation tiles in Bijie's layout."""
    root = tmp_path_factory.mktemp("tiles")
    rng = np.random.default_rng(0)
    rows = ["file,county,part"]
    for i in range(16):
        kind = "landslide" if i % 4 else "non-landslide"
        image, mask = draw(rng, landslide=kind == "landslide")
        for folder, array in (("image", image), ("mask", mask)):
            if kind == "landslide" or folder == "image":
                (root / kind / folder).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(root / kind / folder / f"t{i}.png"), array)
        rows.append(f"t{i}.png,here,{'val' if i in (3, 4, 9, 14) else 'train'}")
    (root / "split.csv").write_text("\n".join(rows) + "\n")
    return root


def write_scene(path, image, crs="EPSG:32648", transform=None):
    """Four bands are four bands: without "MINISBLACK" the last would be taken as alpha."""
    transform = transform or from_origin(300000, 3700000, 2.0, 2.0)
    height, width, count = image.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=count, dtype=image.dtype,
        crs=crs, transform=transform, photometric="MINISBLACK",
    ) as file:  # fmt: skip
        file.write(image.transpose(2, 0, 1))


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A 150 x 200 scene with one landslide, and its polygon in another CRS."""
    folder = tmp_path_factory.mktemp("scene")
    rng = np.random.default_rng(1)
    image = rng.integers(20, 70, (150, 200, 3), dtype=np.uint8)
    image[60:78, 50:76] = rng.integers(170, 230, (18, 26, 3))
    write_scene(folder / "scene.tif", image)
    polygon = shapely.box(300000 + 100, 3700000 - 156, 300000 + 152, 3700000 - 120)
    truth = gpd.GeoDataFrame(geometry=[polygon], crs="EPSG:32648")
    truth.to_file(folder / "truth.gpkg", layer="landslides")
    truth.to_crs("EPSG:4326").to_file(folder / "truth_wgs84.gpkg", layer="landslides")
    return folder


@pytest.fixture(scope="module")
def weights(tiles, tmp_path_factory):
    """Weights of a tiny network that learned the bright ellipses, by the command."""
    output = tmp_path_factory.mktemp("model")
    settings = [part for setting in TINY for part in ("--set", setting)]
    code, out, err = run(
        "train", "--train", f"{tiles}#train", "--val", f"{tiles}#val",
        "--output", output, "--epochs", 4, "-q", *settings,
    )  # fmt: skip
    assert code == 0, err
    assert "val F1" in out and (output / "history.csv").exists()
    return output / "model.weights.h5"


@pytest.fixture(scope="module")
def mapped(scene, weights, tmp_path_factory):
    output = tmp_path_factory.mktemp("map")
    code, out, err = run(
        "detect", scene / "scene.tif", "--weights", weights, "--output", output, "-q"
    )
    assert code == 0, err
    assert "landslides.gpkg" in out
    return output


@pytest.mark.slow
class TestTheWholeWay:
    def test_the_map_lies_on_the_scenes_grid(self, scene, mapped):
        with rasterio.open(scene / "scene.tif") as truth:
            for name in ("probability.tif", "mask.tif"):
                with rasterio.open(mapped / name) as file:
                    assert (file.crs, file.transform, file.shape) == (
                        truth.crs,
                        truth.transform,
                        truth.shape,
                    )
                    assert file.profile["tiled"] and file.compression is not None
        polygons = gpd.read_file(mapped / "landslides.gpkg", layer="landslides")
        assert polygons.crs.to_epsg() == 32648
        assert {"id", "score", "area_m2"} <= set(polygons.columns)
        assert polygons.is_valid.all()

    def test_the_landslide_is_found(self, scene, mapped, tmp_path):
        code, out, _ = run(
            "evaluate",
            "--prediction",
            mapped,
            "--truth",
            scene / "truth.gpkg",
            "--output",
            tmp_path,
        )
        assert code == 0 and "f1" in out
        metrics = json.loads((tmp_path / "metrics.json").read_text())
        assert metrics["at_best_threshold"]["f1"] > 0.6

    def test_polygons_in_another_crs_are_reprojected_and_that_is_said(
        self, scene, mapped, tmp_path
    ):
        for name in ("truth", "truth_wgs84"):
            code, _, _ = run(
                "evaluate", "--prediction", mapped, "--truth", scene / f"{name}.gpkg",
                "--output", tmp_path / name,
            )  # fmt: skip
            assert code == 0
        one, other = (
            json.loads((tmp_path / name / "metrics.json").read_text())
            for name in ("truth", "truth_wgs84")
        )
        assert other["at_map_threshold"]["tp"] == pytest.approx(
            one["at_map_threshold"]["tp"], rel=0.02
        )
        assert "EPSG:4326" in json.dumps(other["notes"]) and one["notes"] != other["notes"]

    def test_results_are_replaced_only_when_asked(self, scene, weights, mapped):
        command = ("detect", scene / "scene.tif", "--weights", weights, "--output", mapped, "-q")
        before = (mapped / "probability.tif").read_bytes()
        assert "--overwrite" in error_of(*command)
        assert (mapped / "probability.tif").read_bytes() == before
        assert run(*command, "--overwrite")[0] == 0

    def test_other_bands_are_refused_by_name(self, scene, weights, tmp_path):
        write_scene(tmp_path / "four.tif", np.full((70, 70, 4), 50, np.uint8))
        command = (
            "detect",
            tmp_path / "four.tif",
            "--weights",
            weights,
            "--output",
            tmp_path / "o",
        )
        message = error_of(*command)
        assert "red, green, blue" in message and "4 bands" in message and "--bands" in message
        assert not (tmp_path / "o").exists()
        assert run(*command, "--bands", "3,2,1", "-q")[0] == 0
        assert run(*command, "--bands", "x")[0] == 2

    def test_a_scene_without_crs(self, scene, weights, tmp_path):
        with rasterio.open(scene / "scene.tif") as file:
            image = file.read().transpose(1, 2, 0)
        write_scene(tmp_path / "nowhere.tif", image, crs=None)
        command = (
            "detect", tmp_path / "nowhere.tif", "--weights", weights,
            "--output", tmp_path / "o", "-q",
        )  # fmt: skip
        assert "--no-crs" in error_of(*command)
        assert not (tmp_path / "o").exists()
        assert run(*command, "--no-crs")[0] == 0
        assert "pixel" in json.loads((tmp_path / "o" / "summary.json").read_text())["coordinates"]
        polygons = gpd.read_file(tmp_path / "o" / "landslides.gpkg", layer="landslides")
        assert polygons.crs is None or polygons.crs.to_epsg() is None
        assert "area_m2" not in polygons.columns

    def test_training_continues_from_weights_of_ours(self, tiles, weights, tmp_path, caplog):
        settings = [part for setting in TINY for part in ("--set", setting)]
        code, out, err = run(
            "train", "--train", f"{tiles}#train", "--val", tiles, "--weights", weights,
            "--output", tmp_path / "again", "--epochs", 1, "-q", "--layers", "heads", *settings,
        )  # fmt: skip
        assert code == 0, err
        assert "missing" not in out
        assert "12 of 16 validation images are training images too" in caplog.text


class TestEnriching:
    """What `train` makes of its options about training samples."""

    @pytest.fixture
    def calls(self, monkeypatch):
        from landslide_rcnn.workflows import train

        calls = []
        result = train.TrainResult("w", 1, 0.5, {"f1": 0.5}, None)
        monkeypatch.setattr(
            train, "train_model", lambda *args, **kwargs: calls.append((args, kwargs)) or result
        )
        return calls

    def train(self, tiles, output, *options):
        return run(
            "train", "--train", f"{tiles}#train", "--val", f"{tiles}#val", "--output", output,
            *options,
        )  # fmt: skip

    def test_by_default_flips_and_turns_alone(self, tiles, tmp_path, calls):
        assert self.train(tiles, tmp_path)[0] == 0
        (_, train_set, val_set, _), kwargs = calls[0]
        assert (train_set.num_images, val_set.num_images) == (12, 4)
        assert kwargs["augment"] is True and kwargs["augmentation"] is None
        assert kwargs["seed"] == 0

    def test_background_enhancement_recipe_cache_and_seed(self, tiles, tmp_path, calls):
        cache = tmp_path / "cache"
        code, _, err = self.train(
            tiles, tmp_path, "--splice", 5, "--cutmix", 3, "--seed", 9,
            "--augmentation", "jiuzhaigou", "--cache", cache,
        )  # fmt: skip
        assert code == 0, err
        (_, train_set, val_set, _), kwargs = calls[0]
        kinds = [info.get("kind") for info in train_set.image_info]
        assert kinds == [None] * 12 + ["splice"] * 5 + ["cutmix"] * 3
        assert train_set.seed == kwargs["seed"] == 9 and val_set.num_images == 4
        assert kwargs["augment"] is False
        assert kwargs["augmentation"].__class__.__name__ == "OneOf"
        assert len(list(cache.glob("*.npz"))) == 12

    def test_the_seed_decides_the_initial_weights(self, tiles, tmp_path, monkeypatch):
        from landslide_rcnn.workflows import train

        class Stop(Exception):
            pass

        drawn = []

        def make(*_args):
            drawn.append(keras.initializers.GlorotUniform()((3,)).numpy().tolist())
            raise Stop

        monkeypatch.setattr(train, "make_model", make)
        for seed in (3, 3, 4):
            with pytest.raises(Stop):
                self.train(tiles, tmp_path, "--seed", seed, "-q")
        assert drawn[0] == drawn[1] != drawn[2]

    def test_mistakes(self, tiles, tmp_path, calls):
        command = ("train", "--train", tiles, "--val", tiles, "--output", tmp_path / "o")
        assert "jiuzhaigou, fcn_fl, pspnet" in error_of(*command, "--augmentation", "mosaic")
        assert "cannot be negative" in error_of(*command, "--splice", "-1")
        copy = tmp_path / "tiles"
        shutil.copytree(tiles / "landslide", copy)
        command = ("train", "--train", copy, "--val", tiles, "--output", tmp_path / "o")
        assert "none of them without landslides" in error_of(*command, "--cutmix", 2)
        for name in ("t5", "t7"):
            (copy / "mask" / f"{name}.png").write_bytes(b"\x89PNG broken")
        message = error_of(*command, "--cutmix", 2)
        assert "t5.png" in message and "t7.png" in message
        assert not calls


class TestMistakes:
    def test_missing_weights_and_scenes(self, scene, tmp_path):
        output = tmp_path / "o"
        message = error_of(
            "detect", scene / "scene.tif", "--weights", "no.weights.h5", "--output", output
        )
        assert "no.weights.h5" in message and not output.exists()
        message = error_of("train", "--train", "nowhere", "--val", "nowhere", "--output", output)
        assert "nowhere" in message and not output.exists()
        message = error_of("evaluate", "--prediction", tmp_path, "--truth", "x", "--output", output)
        assert not output.exists()

    @pytest.mark.slow
    def test_a_scene_that_is_none(self, weights, tmp_path):
        (tmp_path / "text.tif").write_text("I am no raster")
        for name in ("text.tif", "missing.tif"):
            message = error_of(
                "detect", tmp_path / name, "--weights", weights, "--output", tmp_path / "o"
            )
            assert name in message and not (tmp_path / "o").exists()

    def test_how_to_train_is_checked_before_the_data(self, tiles, tmp_path):
        data = ["--train", f"{tiles}#train", "--val", f"{tiles}#val", "--output", tmp_path / "o"]
        for options, said in (
            (["--stage", "heads"], "Received: 'heads'. Use heads:50:1e-4:8"),
            (["--stage", "all:2:1e-4", "--epochs", 3], "Leave out either"),
            (["--monitor", "val_accuracy"], "Received: 'val_accuracy'"),
        ):
            message = error_of("train", *data, *options)
            assert said in message and not (tmp_path / "o").exists()

    def test_train_hands_on_its_options(self, tiles, tmp_path, monkeypatch):
        given = {}
        result = type("Result", (), dict(weights="w", epoch=1, threshold=0.5, metrics={"f1": 0.5}))
        monkeypatch.setattr(
            "landslide_rcnn.workflows.train.train_model",
            lambda *args, **options: given.update(options) or result,
        )
        code, out, _ = run(
            "train", "--train", f"{tiles}#train", "--val", f"{tiles}#val", "--output", tmp_path,
            "--stage", "heads:50:1e-4:8", "--stage", "all:100:1e-5:4", "--monitor", "val_iou",
            "--patience", 7, "--resume", "--minutes", 9,
        )  # fmt: skip
        assert code == 0 and "val F1 0.500 at threshold 0.500" in out
        stages = [(s.layers, s.epochs, s.learning_rate, s.batch_size) for s in given["stages"]]
        assert stages == [("heads", 50, 1e-4, 8), ("all", 100, 1e-5, 4)]
        assert (given["layers"], given["epochs"]) == (None, None)
        names = ("monitor", "patience", "resume", "overwrite", "minutes")
        assert [given[name] for name in names] == ["val_iou", 7, True, False, 9.0]

    def test_no_polygons(self, scene, tmp_path):
        empty = gpd.GeoDataFrame(geometry=[], crs="EPSG:32648")
        empty.to_file(tmp_path / "empty.gpkg", layer="landslides")
        spec = f"{scene / 'scene.tif'}:{tmp_path / 'empty.gpkg'}"
        message = error_of("train", "--train", spec, "--val", spec, "--output", tmp_path / "o")
        assert "empty.gpkg" in message and not (tmp_path / "o").exists()

    def test_an_unreadable_tile_stops_the_training_before_it_starts(self, tiles, tmp_path):
        copy = tmp_path / "tiles"
        shutil.copytree(tiles, copy)
        (copy / "landslide" / "image" / "t5.png").write_bytes(b"\x89PNG broken")
        settings = [part for setting in TINY for part in ("--set", setting)]
        message = error_of(
            "train", "--train", f"{copy}#train", "--val", f"{copy}#val",
            "--output", tmp_path / "o", "-q", *settings,
        )  # fmt: skip
        assert "t5.png" in message
        assert not (tmp_path / "o" / "model.weights.h5").exists()

    def test_wrong_command_lines(self):
        assert run("detect")[0] == 2
        assert run("nothing")[0] == 2
        assert run("train", "--train", "x", "--val", "x", "--output", "o", "--epochs", "0")[0] == 2

    def test_wrong_settings(self, tiles, tmp_path):
        command = ("train", "--train", tiles, "--val", tiles, "--output", tmp_path / "o")
        assert "Did you mean BACKBONE" in error_of(*command, "--set", "BACKBON=resnet50")
        assert "multiple of 64" in error_of(*command, "--set", "IMAGE_MAX_DIM=100")
        assert "resnext50-n-edge" in error_of(*command, "--experiment", "vgg")

    def test_a_full_disk_is_one_line(self, monkeypatch, scene, tmp_path):
        """What the operating system refuses is no traceback."""
        from landslide_rcnn.workflows import detect

        def full(*arguments, **settings):
            raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "o" / "x"))

        monkeypatch.setattr(detect, "detect_scene", full)
        message = error_of(
            "detect", scene / "scene.tif", "--weights", "w", "--output", tmp_path / "o"
        )
        assert "No space left on device" in message and "free space" in message
