"""Training: choose layers, put optimizer and losses on a network, run Keras' loop, stop in time.

Batches -> KerasBatches -> Trainer (network + losses) -> callbacks -> History

trainer.py    a network with its losses, of any family
fit.py        one training of it
methods.py    `train`, for the models that users hold
stages.py     several trainings in a row: which layers, how long, how fast
monitor.py    the best epoch, and when to stop early
state.py      all that the next epoch depends on, in a file; history.py: what the epochs gave
layers.py     which layers train
schedules.py  optimizers.py  callbacks.py  feeding.py: the parts of the loop
"""

from landslide_rcnn.training.callbacks import Checkpoint, StopOnNaN, TrainingDiverged
from landslide_rcnn.training.feeding import Batches, EpochOrder, KerasBatches
from landslide_rcnn.training.fit import fit
from landslide_rcnn.training.history import TensorBoardLogs, write_history
from landslide_rcnn.training.layers import LAYER_KEYS, set_trainable
from landslide_rcnn.training.methods import TrainingMethods
from landslide_rcnn.training.monitor import VALIDATION_METRICS, Monitor
from landslide_rcnn.training.optimizers import OPTIMIZERS, PenalisedSGD, make_optimizer
from landslide_rcnn.training.schedules import SCHEDULES, Progress
from landslide_rcnn.training.stages import Position, Stage
from landslide_rcnn.training.state import StoredState, TrainingStateError, write_state
from landslide_rcnn.training.trainer import DetectorTrainer, Trainer

__all__ = [
    "LAYER_KEYS",
    "OPTIMIZERS",
    "SCHEDULES",
    "VALIDATION_METRICS",
    "Batches",
    "Checkpoint",
    "DetectorTrainer",
    "EpochOrder",
    "KerasBatches",
    "Monitor",
    "PenalisedSGD",
    "Position",
    "Progress",
    "Stage",
    "StopOnNaN",
    "StoredState",
    "TensorBoardLogs",
    "Trainer",
    "TrainingDiverged",
    "TrainingMethods",
    "TrainingStateError",
    "fit",
    "make_optimizer",
    "set_trainable",
    "write_history",
    "write_state",
]
