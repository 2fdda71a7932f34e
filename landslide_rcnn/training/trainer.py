"""A network with its losses: what `keras.Model.fit` trains.

The network itself is never compiled: the losses live in a wrapper that is made for one training
and thrown away, so that a second training starts from a clean sheet.
"""

from collections.abc import Callable
from typing import Any

import keras

from landslide_rcnn.devices import replica_share
from landslide_rcnn.nn.losses import COMPONENTS
from landslide_rcnn.nn.mask_rcnn import MaskRCNNNetwork


class Trainer(keras.Model):
    """Any network with any losses.

    Args:
        network: What is trained.
        forward: `forward(network, batch, training)` -> a dict of what the losses need.
        components: Losses by name: that dict -> a scalar.
        loss_weights: Weight of each of `components`; one of 0 is not computed.
    """

    def __init__(
        self,
        network: keras.Model,
        forward: Callable[[keras.Model, Any, bool], dict[str, Any]],
        components: dict[str, Callable],
        loss_weights: dict[str, float],
    ):
        super().__init__(name="trainer", dtype="float32")
        self.network, self.forward, self.components = network, forward, components
        self.loss_weights = {name: w for name, w in loss_weights.items() if w}
        self.trackers = {name: keras.metrics.Mean(name) for name in self.loss_weights}
        self.built = True

    def call(self, batch, training=False):
        return self.forward(self.network, batch, training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        total = 0.0
        for name, weight in self.loss_weights.items():
            loss = self.components[name](y_pred)
            self.trackers[name].update_state(loss)
            total = total + weight * loss
        return total * replica_share()


class DetectorTrainer(Trainer):
    """A Mask R-CNN with its losses.

    Args:
        network: What is trained.
        loss_weights: As in `Trainer`.
        components: `nn.losses.build_components` makes others.
    """

    def __init__(
        self,
        network: MaskRCNNNetwork,
        loss_weights: dict[str, float],
        components: dict[str, Callable] = COMPONENTS,
    ):
        super().__init__(network, _training_pass, components, loss_weights)


def _training_pass(network: MaskRCNNNetwork, batch: Any, training: bool) -> dict[str, Any]:
    return network.training_pass(batch, training=training)
