"""A semantic model through the workflows: train, map, stop and resume, a cluster, evaluate."""

import json

import numpy as np
import pytest
from rasterio.windows import Window

from landslide_rcnn import building
from landslide_rcnn.data.scenes import SceneDataset
from landslide_rcnn.data.synthetic import make_scene
from landslide_rcnn.evaluation.maps import evaluate_map
from landslide_rcnn.experiments import experiment_config
from landslide_rcnn.geo.probability import ProbabilityMap
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import read_polygons
from landslide_rcnn.inference import units
from landslide_rcnn.loading import load_model
from landslide_rcnn.nn.semantic.unet import build_unet
from landslide_rcnn.prediction import label_regions
from landslide_rcnn.segmenter import Segmenter
from landslide_rcnn.weights import read_card
from landslide_rcnn.workflows.detect import detect_scene
from landslide_rcnn.workflows.train import train_model
from tests.inference.test_resume import assert_same_map

pytestmark = pytest.mark.slow
HEIGHT, WIDTH, MIDDLE = 256, 320, 192  # pixels of the scene; a landslide on either side
PROBABILITY = {"probability": "float32", "progress": False}


@pytest.fixture(scope="module", autouse=True)
def thin():
    """A U-Net of 4 channels, and units of 8 tiles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "build_semantic", lambda *_, **sizes: build_unet(width=4, **sizes))
        patch.setattr(units, "UNIT_PIXELS", 8 * 64**2)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A generated scene, and a U-Net trained a little on its left."""
    folder = tmp_path_factory.mktemp("semantic")
    scene = make_scene(folder / "scene", height=HEIGHT, width=WIDTH, seed=4)
    parts = [
        SceneDataset(
            scene.orthophoto,
            scene.polygons,
            tile_size=64,
            overlap=0,
            window=Window(left, 0, right - left, HEIGHT),
        )
        for left, right in ((0, MIDDLE), (MIDDLE, WIDTH))
    ]
    config = experiment_config(
        "unet",
        IMAGE_MIN_DIM=64,
        IMAGE_MAX_DIM=64,
        BATCH_SIZE=4,
        PRECISION="float32",
        STEPS_PER_EPOCH=20,
        LEARNING_RATE=0.01,
        CLASS_WEIGHTS=[1, 5],
    )
    trained = train_model(config, *parts, folder / "model", epochs=2, progress=False)
    result = detect_scene(scene.orthophoto, trained.weights, folder / "map", **PROBABILITY)
    return scene, trained, result


def test_the_card_says_what_it_is(made):
    _, trained, result = made
    card = read_card(trained.weights)
    assert (card.architecture, card.config["BACKBONE"]) == ("unet", "plain")
    assert card.threshold == trained.threshold and card.config["NORMALIZATION"] == "tile"
    model = json.loads((result.directory / "summary.json").read_text())["fingerprint"]["model"]
    assert model["architecture"] == "unet" and model["sha256"] == card.sha256


def test_the_landslides_are_the_regions_of_the_map(made):
    _, trained, result = made
    with ProbabilityMap(result.probability_path) as file, Scene(result.mask_path) as mask:
        window = Window(0, 0, WIDTH, HEIGHT)
        probability, landslide = file.read(window), mask.read(window)[..., 0] == 1
    np.testing.assert_array_equal(landslide, probability >= np.float32(trained.threshold))
    labels, count = label_regions(landslide)
    polygons = read_polygons(result.polygons_path)
    assert len(polygons) == count > 1
    areas = np.bincount(labels.ravel())[1:]
    assert sorted(polygons["area_m2"]) == pytest.approx(sorted(areas.astype(float)))
    largest = labels == areas.argmax() + 1
    assert polygons["score"].iloc[0] == pytest.approx(probability[largest].mean(), abs=2e-3)


def test_a_stopped_map_is_resumed_to_the_same_one(made, tmp_path, monkeypatch):
    scene, trained, undisturbed = made
    whole, calls = Segmenter.predict_tiles, []

    def interrupted(self, tiles, valid_masks=None):
        calls.append(len(tiles))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return whole(self, tiles, valid_masks)

    monkeypatch.setattr(Segmenter, "predict_tiles", interrupted)
    with pytest.raises(KeyboardInterrupt):
        detect_scene(scene.orthophoto, trained.weights, tmp_path / "map", **PROBABILITY)
    before = sum(calls)
    calls[:] = [0] * 5
    result = detect_scene(
        scene.orthophoto, trained.weights, tmp_path / "map", resume=True, **PROBABILITY
    )
    assert_same_map(result, undisturbed)
    assert 0 < sum(calls) < undisturbed.summary["tiles"]["predicted"] and before > 4


def test_a_cluster_makes_the_same_map(made, tmp_path):
    import distributed

    scene, trained, undisturbed = made
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        result = detect_scene(
            scene.orthophoto,
            trained.weights,
            tmp_path / "map",
            scheduler=cluster.scheduler_address,
            **PROBABILITY,
        )
    assert_same_map(result, undisturbed)


def test_the_map_is_judged(made, tmp_path):
    scene, _, result = made
    metrics = evaluate_map(result.directory, scene.polygons, tmp_path, progress=False)
    at = metrics["at_map_threshold"]
    with Scene(result.mask_path) as mask:
        found = mask.read(Window(0, 0, WIDTH, HEIGHT))[..., 0] == 1
    assert metrics["pixels"]["evaluated"] == HEIGHT * WIDTH
    true_found = at["recall"] * metrics["pixels"]["true_landslide"]
    assert true_found > 0 and at["precision"] * found.sum() == pytest.approx(true_found)


def test_detect_tells_of_a_tile_what_the_map_tells(made):
    scene, trained, _ = made
    model, card = load_model(trained.weights)
    with Scene(scene.orthophoto) as image:
        tile = image.read(Window(64, 64, 64, 64))
    [found], [prediction] = model.detect([tile]), model.predict_tiles([tile])
    np.testing.assert_array_equal(
        found["masks"].any(axis=-1), prediction.probability >= np.float32(card.threshold)
    )
    assert len(found["scores"]) == label_regions(found["masks"].any(axis=-1))[1]
