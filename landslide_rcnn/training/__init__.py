"""Training: choose layers, put optimizer and losses on a network, run Keras' loop, stop in time.

Batches -> KerasBatches -> Trainer (network + losses) -> callbacks -> History

trainer.py     a network with its losses, of any family
fit.py         one training of it
methods.py     `train`, for the models that users hold
layers.py      which layers train
schedules.py   optimizers.py   callbacks.py   feeding.py
"""

from landslide_rcnn.training.callbacks import Checkpoint, StopOnNaN, TrainingDiverged
from landslide_rcnn.training.feeding import Batches, EpochOrder, KerasBatches
from landslide_rcnn.training.fit import fit
from landslide_rcnn.training.layers import LAYER_KEYS, set_trainable
from landslide_rcnn.training.methods import TrainingMethods
from landslide_rcnn.training.optimizers import OPTIMIZERS, PenalisedSGD, make_optimizer
from landslide_rcnn.training.schedules import SCHEDULES, Progress
from landslide_rcnn.training.trainer import DetectorTrainer, Trainer

__all__ = [
    "LAYER_KEYS",
    "OPTIMIZERS",
    "SCHEDULES",
    "Batches",
    "Checkpoint",
    "DetectorTrainer",
    "EpochOrder",
    "KerasBatches",
    "PenalisedSGD",
    "Progress",
    "StopOnNaN",
    "Trainer",
    "TrainingDiverged",
    "TrainingMethods",
    "fit",
    "make_optimizer",
    "set_trainable",
]
