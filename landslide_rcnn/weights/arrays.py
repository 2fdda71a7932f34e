"""What every reader gives: arrays by layer name, of known shape, read only when a layer wants them.

A file is data of others: what it declares is believed about shapes only, and nothing is read
before its shape has met a layer's. So a file cannot make us allocate more than the network has.
"""

from __future__ import annotations

import contextlib
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from landslide_rcnn.errors import WeightsError

# What damaged files raise in the libraries that read them.
UNREADABLE = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, OverflowError, RuntimeError, EOFError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


def unreadable(path: Path | str, error: Exception) -> WeightsError:
    """Say in one line that a file is damaged."""
    return WeightsError(
        f"A weight file must be readable. Received: {path} ({type(error).__name__}: "
        f"{' '.join(str(error).split())}). Copy it again."
    )


class LazyArray:
    """An array in a file.

    Args:
        shape: As the file declares it.
        read: Reads the values.
    """

    def __init__(self, shape: tuple[int, ...], read: Callable[[], np.ndarray]):
        self.shape = tuple(int(side) for side in shape)
        self._read = read

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        values = np.asarray(self._read())
        if values.shape != self.shape:
            raise WeightsError(
                f"An array must have the shape that its file declares. Received: "
                f"{list(values.shape)} for {list(self.shape)}. Copy the file again."
            )
        return values if dtype is None else values.astype(dtype)


Array = np.ndarray | LazyArray


def derived(
    shape: tuple[int, ...], function: Callable[..., np.ndarray], *arrays: Array
) -> LazyArray:
    """Return `function(*arrays)` of a known shape, computed when it is read."""
    return LazyArray(shape, lambda: function(*(np.asarray(array) for array in arrays)))


class NamedWeights(dict[str, list[Array]]):
    """Arrays by matterport's layer names, in the order of the layer's weights.

    Use it in a `with` statement: it may hold a file open.

    Args:
        named: The arrays.
        path: The file.
        style: The convention of the backbone, a key of `backbones.resnet.STYLES`; None if the
            file does not tell.
        settings: The configuration on the file's card, if it has one.
        close: Closes the file.
    """

    def __init__(
        self,
        named: dict[str, list[Array]],
        *,
        path: Path | None = None,
        style: str | None = None,
        settings: dict[str, Any] | None = None,
        close: Callable[[], None] | None = None,
    ):
        super().__init__(named)
        self.path, self.style, self.settings = path, style, settings or {}
        self._closing = contextlib.ExitStack()
        if close is not None:
            self._closing.callback(close)

    def __enter__(self) -> NamedWeights:
        return self

    def __exit__(self, *_) -> None:
        self._closing.close()


def float32_values(array: Array, what: str) -> np.ndarray:
    """Read an array as float32.

    Args:
        array: Of any float type.
        what: Its name in an error.

    Raises:
        WeightsError: It cannot be read, holds no floats, or some that are not finite.
    """
    try:
        values = np.asarray(array)
    except WeightsError:
        raise
    except UNREADABLE as error:
        raise unreadable(what, error) from error
    if values.dtype.kind != "f":
        raise WeightsError(
            f"Weights must be floating-point numbers. Received: {what} of type {values.dtype}. "
            "Check that this is the right file."
        )
    with np.errstate(over="ignore"):  # what overflows is refused with the rest
        values = values.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise WeightsError(
            f"Weights must be finite. Received: {what} with NaN or infinity in it. Use a "
            "checkpoint from before the training diverged, or copy the file again."
        )
    return values
