"""Which layers train, for networks with backbones of several kinds and without one."""

import keras
import pytest

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.training import set_trainable


def network_of(*backbone_layers: str) -> keras.Model:
    """A semantic network: a backbone of dense layers of these names, and two layers after it."""
    inputs = keras.Input((2,))
    x = inputs
    if backbone_layers:
        inner = y = keras.Input((2,))
        for name in backbone_layers:
            y = keras.layers.Dense(2, name=name)(y)
        x = keras.Model(inner, y, name="backbone")(x)
    x = keras.layers.Dense(2, name="block4_decoder")(x)
    return keras.Model(inputs, keras.layers.Dense(1, name="score")(x), name="network")


HEADS = {"block4_decoder", "score"}
RESNET = ("conv1", "res2a_branch2a", "res3a_branch2a", "bn4b_branch1", "res5c_branch2b")
VGG = tuple(f"block{i}_conv1" for i in range(1, 6))
KEYS = ("heads", "5+", "4+", "3+", "all")


@pytest.mark.parametrize("names", [RESNET, VGG])
def test_keys_count_the_backbones_stages(names):
    network = network_of(*names)
    for count, key in zip((0, 1, 2, 3, 5), KEYS):
        expected = HEADS | set(names[5 - count :])
        assert set(set_trainable(network, key)) == expected
        trained = {weight.path.split("/")[-2] for weight in network.trainable_weights}
        assert trained == expected


def test_a_network_without_a_backbone_is_all_heads():
    network = network_of()
    assert set(set_trainable(network, "heads")) == set(set_trainable(network, "all")) == HEADS
    with pytest.raises(
        ConfigError, match=r"layers='4\+' needs.*without a backbone.*Use heads, all"
    ):
        set_trainable(network, "4+")


@pytest.mark.parametrize(
    "names", [("conv_dw_3", "conv_pw_5"), ("block1_conv1", "block5_sepconv1"), ("res2a", "res3a")]
)
def test_a_backbone_with_other_names_says_so(names):
    network = network_of(*names)
    assert set(set_trainable(network, "heads")) == HEADS
    with pytest.raises(ConfigError, match="Received: network, whose backbone has other names"):
        set_trainable(network, "3+")
    assert set_trainable(network, f"{names[0]}|score") == [names[0], "score"]
