"""Dilated backbones against plain ones. Against keras.applications: `tests/weights`."""

import numpy as np
import pytest

from landslide_rcnn.errors import RegistryError, ShapeError
from landslide_rcnn.nn.backbones.dilation import dilate
from landslide_rcnn.nn.backbones.mobilenet import build_mobilenet
from landslide_rcnn.nn.backbones.resnet import build_resnet
from landslide_rcnn.nn.backbones.xception import build_xception
from landslide_rcnn.nn.conv_norm import leaf_layers


def image(size, seed=0):
    return np.random.default_rng(seed).normal(size=(1, size, size, 3)).astype(np.float32)


def stir(layers, seed=0):
    """Normalisations with statistics that are not those of the start."""
    rng = np.random.default_rng(seed)
    for layer in layers:
        weights = layer.get_weights()
        if len(weights) == 4:
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in weights])


def copy(source: dict, target: dict):
    assert set(source) == set(target)
    for name, layer in source.items():
        target[name].set_weights(layer.get_weights())


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize(
    "build",
    [
        lambda **k: build_resnet("resnet26", **k),
        lambda **k: build_resnet("resnet26", style="keras", **k),
        build_mobilenet,
    ],
    ids=["torchvision", "keras", "mobilenet"],
)
def test_a_dilated_backbone_answers_the_same_at_every_cell_of_the_plain_one(build, output_stride):
    plain, dilated = build(), build(output_stride=output_stride)
    stir(leaf_layers(plain).values())
    copy(leaf_layers(plain), leaf_layers(dilated))
    expected, found = plain(image(64)), dilated(image(64))
    step = 32 // output_stride
    assert found["C5"].shape[1:3] == (64 // output_stride,) * 2
    np.testing.assert_allclose(
        found["C5"][:, ::step, ::step],
        expected["C5"],
        rtol=1e-3,
        atol=1e-4 * np.abs(expected["C5"]).max(),
    )


def test_levels_of_xception():
    shapes = build_xception(output_stride=16).compute_output_shape((1, 128, 128, 3))
    assert shapes == {
        "C2": (1, 32, 32, 128),
        "C3": (1, 16, 16, 256),
        "C4": (1, 8, 8, 728),
        "C5": (1, 8, 8, 2048),
    }


def test_strides_become_dilations():
    assert dilate([2, 1, 2, 2, 1], 8) == [(2, 1, 1), (1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 1)]
    rows = dilate([2, 2, 2, 2, 1, 2, 1], 8)
    assert rows[3:] == [(1, 1, 2), (1, 2, 2), (1, 2, 4), (1, 4, 4)]
    with pytest.raises(ShapeError, match="8, 16 or 32. Received: 4"):
        dilate([2], 4)


def test_grouped_convolutions_are_not_dilated():
    with pytest.raises(RegistryError, match="Received: 'resnext50', 8.*resnet50"):
        build_resnet("resnext50", output_stride=8)
