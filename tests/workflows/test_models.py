"""The table of `landslide-rcnn models`."""

import keras
import pytest
from click.testing import CliRunner

from landslide_rcnn import building
from landslide_rcnn.building import build_network
from landslide_rcnn.cli import main
from landslide_rcnn.errors import RegistryError
from landslide_rcnn.experiments import experiment_config
from landslide_rcnn.nn.flops import count_detector, count_multiply_adds
from landslide_rcnn.workflows import models as workflow
from landslide_rcnn.workflows.models import Cost, format_costs, measure_costs


def thin(name, backbone, *, channels, classes):
    image = keras.Input((None, None, channels))
    return keras.Model(image, keras.layers.Conv2D(classes, 1)(image))


def test_every_architecture_with_every_backbone_and_every_experiment(monkeypatch):
    monkeypatch.setattr(building, "build_semantic", thin)
    monkeypatch.setattr(building, "_mask_rcnn", lambda config: thin("", "", channels=1, classes=1))
    monkeypatch.setattr(workflow, "count_detector", lambda network, size: 0)
    costs = measure_costs(size=32, channels=5, classes=2, progress=False)
    assert [(cost.name, cost.backbone) for cost in costs][:5] == [
        ("fcn", "vgg16"),
        ("fcn_fl", "vgg16"),
        ("unet", "plain"),
        ("unet", "vgg16"),
        ("unet", "resnet50"),
    ]
    assert [cost.name for cost in costs[-5:]] == list(workflow.PAPER_EXPERIMENTS)
    assert len(costs) == 11 + 5
    # Two classes and the background are three logits, each of five bands and a bias.
    assert (costs[0].parameters, costs[0].multiply_adds) == (3 * (5 + 1), 3 * 5 * 32**2)
    assert all(cost.published is None for cost in costs)


def test_one_class_is_one_logit_and_has_published_numbers_beside(monkeypatch):
    monkeypatch.setattr(building, "build_semantic", thin)
    unet = measure_costs(only=["unet"], progress=False)[0]
    assert unet == Cost("unet", "plain", 4, 3 * 256**2, (31.03, 54.68))
    text = format_costs([unet], size=256, channels=3, classes=1)
    assert text.splitlines()[-1].split() == "unet plain 0.00 0.00 (31.03 M, 54.68 G)".split()


def test_a_detector_is_counted_stage_by_stage():
    small = dict(
        BACKBONE="resnet26",
        TOP_DOWN_PYRAMID_SIZE=16,
        FPN_CLASSIF_FC_LAYERS_SIZE=8,
        POST_NMS_ROIS_INFERENCE=10,
        DETECTION_MAX_INSTANCES=3,
    )
    network = build_network(experiment_config("resnext50-n-edge", **small))
    count = count_detector(network, size=(64, 128))
    body = count_multiply_adds(network.backbone, size=(64, 128))
    cells = [16 * 32, 8 * 16, 4 * 8, 2 * 4, 1 * 2]
    lateral = sum(n * c * 16 for n, c in zip(cells, (256, 512, 1024, 2048)))
    smooth = sum(cells[:4]) * 9 * 16 * 16
    bottom_up = 2 * sum(cells[1:]) * 9 * 16 * 16
    rpn = sum(cells) * (9 * 16 * 32 + 32 * (6 + 12))
    box = 10 * (49 * 16 * 8 + 8 * 8 + 8 * 2 * 5)
    mask = 3 * (4 * 14**2 * 9 * 16 * 16 + 14**2 * 4 * 16 * 16 + 28**2 * 16 * 2)
    assert count - body == lateral + smooth + bottom_up + rpn + box + mask


def test_a_detector_has_its_tile_padded(monkeypatch):
    asked = {}
    monkeypatch.setattr(workflow, "build_network", lambda config: asked.update(c=config) or thin(
        "", "", channels=config.IMAGE_CHANNEL_COUNT, classes=config.NUM_CLASSES))  # fmt: skip
    monkeypatch.setattr(workflow, "count_detector", lambda network, size: asked.update(s=size) or 7)
    [cost] = measure_costs(size=473, channels=4, classes=2, only=["resnext50-n"], progress=False)
    assert cost == Cost("resnext50-n", "resnext50", 3 * 5, 7)
    assert asked["s"] == (512, 512) and asked["c"].BOTTOM_UP_PATH
    assert "512 x 512, with " in format_costs([cost], size=473, channels=4, classes=2)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(RegistryError, match="Received: 'segformer'. Use one of: fcn,.*resnet101"):
        measure_costs(only=["segformer"])


@pytest.mark.slow
def test_the_command():
    done = CliRunner().invoke(main, ["models", "--only", "drs_unet", "--size", "64"])
    assert done.exit_code == 0, done.output
    name, backbone, parameters, multiply_adds = done.stdout.splitlines()[-1].split()
    assert (name, backbone) == ("drs_unet", "plain")
    assert float(parameters) == pytest.approx(17.19, rel=0.03)
    assert float(multiply_adds) == pytest.approx(19.12 / 16, rel=0.05)
    assert "models:" in done.stderr and "models:" not in done.stdout
