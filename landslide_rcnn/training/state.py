"""The state of a training on disk: all that its next epoch depends on, in one file.

    weights, their seeds, the optimizer's slots      arrays
    where it stands, the best so far, the history    JSON

One file, written beside and renamed, so that a training that is killed at any moment leaves the
state of its last epoch, whole.
"""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from landslide_rcnn.errors import LandslideError
from landslide_rcnn.files import DAMAGED_ARCHIVE, atomic_path


class TrainingStateError(LandslideError, ValueError):
    """The state of a training cannot be read, or is another network's."""


def write_state(
    path: Path, network: keras.Model, optimizer: keras.optimizers.Optimizer, notes: dict[str, Any]
) -> None:
    """Write the state after an epoch.

    Args:
        path: Ends in `.npz`.
        network: Its weights and the seeds of what it draws.
        optimizer: Its slots and its count of steps.
        notes: Whatever else is needed, of JSON's types.
    """
    arrays = {
        f"{name}/{index}": keras.ops.convert_to_numpy(variable.value)
        for name, owner in (("network", network), ("optimizer", optimizer))
        for index, variable in enumerate(owner.variables)
    }
    arrays["notes"] = np.frombuffer(json.dumps(notes).encode(), np.uint8)
    with atomic_path(path) as partial:
        np.savez(partial, **arrays)


class StoredState:
    """A state that was written.

    Args:
        path: Of the file.

    Attributes:
        notes: As they were given.

    Raises:
        TrainingStateError: The file is none, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            self.notes: dict[str, Any] = json.loads(arrays.pop("notes").tobytes())
        except DAMAGED_ARCHIVE as error:
            raise TrainingStateError(
                f"A training is resumed from the state that it left. Received: {path}, which "
                f"cannot be read ({error}). Use --overwrite (overwrite=True) to start anew."
            ) from error
        self._arrays = arrays

    def restore_network(self, network: keras.Model) -> None:
        """Give a network the weights and seeds.

        Raises:
            TrainingStateError: They are another network's.
        """
        self._restore("network", network.variables)

    def restore_optimizer(
        self, optimizer: keras.optimizers.Optimizer, variables: list[keras.Variable]
    ) -> None:
        """Give a new optimizer of these variables the slots and the count of steps.

        Raises:
            TrainingStateError: They are another network's, or another optimizer's.
        """
        if not optimizer.built:
            optimizer.build(variables)
        self._restore("optimizer", optimizer.variables)

    def _restore(self, name: str, variables: list[keras.Variable]) -> None:
        stored = [key for key in self._arrays if key.startswith(f"{name}/")]
        arrays = [self._arrays[f"{name}/{index}"] for index in range(len(stored))]
        if [array.shape for array in arrays] != [tuple(v.shape) for v in variables]:
            raise TrainingStateError(
                f"A training is resumed with the {name} that it began with. Received: {self.path} "
                f"with {len(arrays)} variables for one with {len(variables)}, or of other shapes. "
                "Use --overwrite (overwrite=True) to start anew."
            )
        for variable, array in zip(variables, arrays):
            variable.assign(array)
