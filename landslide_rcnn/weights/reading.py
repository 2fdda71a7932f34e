"""Any weight file -> arrays by layer name: the reader is chosen by the file's ending."""

from collections.abc import Callable
from pathlib import Path

from landslide_rcnn.errors import WeightsError
from landslide_rcnn.weights.arrays import UNREADABLE, NamedWeights, unreadable
from landslide_rcnn.weights.card import advice_for_folder
from landslide_rcnn.weights.keras_files import read_hdf5, read_npz
from landslide_rcnn.weights.torch_files import read_safetensors, read_torch

READERS: dict[str, Callable[[Path], NamedWeights]] = {
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".npz": read_npz,
    ".safetensors": read_safetensors,
    ".pth": read_torch,
    ".pt": read_torch,
}


def read_weights(path: str | Path) -> NamedWeights:
    """Open any weight file that this package knows; its arrays are read when they are wanted.

    Args:
        path: A file that ends in one of `READERS`.

    Returns:
        Arrays by matterport's layer names. It holds the file open until its `with` ends.

    Raises:
        WeightsError: The file is missing, of no known kind, damaged, or not to be trusted.
    """
    path = Path(path)
    if path.is_dir():
        raise WeightsError(
            f"A network takes its weights from one file. Received: the folder {path}. "
            f"{advice_for_folder(path)}."
        )
    if not path.is_file():
        raise WeightsError(
            f"Weights must be an existing file. Received: {path}. "
            f"Use none, last, imagenet, coco, or the path of a file in {', '.join(READERS)}."
        )
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise WeightsError(
            f"A weight file ends in {' or '.join(READERS)}. Received: {path.name}. "
            "Convert it, or check the path."
        )
    try:
        return reader(path)
    except WeightsError:
        raise
    except UNREADABLE as error:
        raise unreadable(path, error) from error
