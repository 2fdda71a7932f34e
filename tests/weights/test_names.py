"""Names of layers from elsewhere become ours; names that are ours already stay."""

import numpy as np

from landslide_rcnn.weights.names import renamed


def test_a_mobilenet_keeps_its_names():
    # Its "conv1_bn" is also what keras.applications calls a layer of its ResNets.
    named = {name: [np.ones(3)] for name in ("conv1", "conv1_bn", "conv_dw_1", "conv_dw_1_bn")}
    found, convention = renamed(named)
    assert list(found) == list(named) and convention is None


def test_a_resnet_of_keras_gets_matterports_names():
    kernel = np.zeros((7, 7, 3, 2))
    kernel[:, :, 0] = 1  # blue first
    named = {"conv1_conv": [kernel], "conv1_bn": [np.ones(2)], "conv2_block1_1_bn": [np.ones(2)]}
    found, convention = renamed(named)
    assert list(found) == ["conv1", "bn_conv1", "bn2a_branch2a"] and convention == "keras"
    assert np.asarray(found["conv1"][0])[0, 0, :, 0].tolist() == [0, 0, 1]
