"""The pickle inside a PyTorch file, read as data: nothing is imported, called or built by it.

Python's own unpickler calls whatever a file names. This one is a small stack machine over the
few instructions that a saved state dict needs. The names it knows stand for values of ours
(`Storage`, `TensorSpec`); every other name is refused, and so is every other instruction.

Source: the instructions are documented in Python's `pickletools`.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from landslide_rcnn.errors import WeightsError


@dataclass(frozen=True)
class Storage:
    """A run of numbers in the file.

    Attributes:
        dtype: NumPy's name of the type; "bfloat16" for the one that NumPy lacks.
        key: Its name in the file.
        count: Numbers in it.
    """

    dtype: str
    key: str
    count: int


@dataclass(frozen=True)
class TensorSpec:
    """A view of a storage, as `torch.Tensor` keeps it.

    Attributes:
        storage: Where its numbers are.
        offset: Of the first one.
        shape: Of the tensor.
        strides: In numbers, for each axis.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Mark:
    """Separates the values on the stack that belong together."""


@dataclass(frozen=True)
class _StorageType:
    dtype: str


def _tensor(storage, offset, shape, strides, *_) -> TensorSpec:
    if not isinstance(storage, Storage):
        raise TypeError("a tensor needs a storage")
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or len(shape) > 8:
        raise ValueError("a tensor needs a stride for each of at most 8 axes")
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("sizes, strides and offsets are whole numbers from 0")
    return TensorSpec(storage, offset, tuple(shape), tuple(strides))


def _dict(pairs=()) -> dict:
    return {_checked_key(key): value for key, value in pairs}


def _checked_key(key: Any) -> str | int:
    # Keys of other kinds could be nested deeply enough to break Python's hash.
    if not isinstance(key, str | int):
        raise TypeError("keys are texts or whole numbers")
    return key


# What REDUCE may "call": functions of ours that make inert values.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch.Size": lambda sides=(): tuple(sides),
}
STORAGE_TYPES = {
    "torch.FloatStorage": "float32",
    "torch.DoubleStorage": "float64",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
}


def read_pickle(file: BinaryIO, path: Any) -> Any:
    """Read one pickle from an open file, and stop right behind it.

    Args:
        file: Positioned at the pickle.
        path: Of the weight file, for errors.

    Returns:
        Dicts, lists, tuples, numbers, texts, `Storage`s and `TensorSpec`s.

    Raises:
        WeightsError: It names or does anything that a state dict does not need, or is damaged.
    """
    machine = _Machine(path)
    try:
        for instruction, argument, _ in pickletools.genops(file):
            action = ACTIONS.get(instruction.name)
            if action is None:
                raise _refused(path, f"the instruction {instruction.name}")
            action(machine, argument)
    except WeightsError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
        raise WeightsError(
            f"A weight file must be whole. Received: {path}, whose list of tensors is damaged "
            f"({error}). Copy it again."
        ) from error
    [result] = machine.stack
    return result


def _refused(path: Any, what: str) -> WeightsError:
    return WeightsError(
        "A PyTorch weight file may hold tensors, numbers and texts only, and nothing in it is "
        f"run. Received: {path}, with {what}. Where it was made, and only if you trust it, save "
        "its state dict: torch.save(model.state_dict(), path)."
    )


class _Machine:
    """The stack and the memory that the instructions work on."""

    def __init__(self, path: Any):
        self.path = path
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self, count: int = 1) -> list[Any]:
        if count > len(self.stack):
            raise IndexError("a value is missing")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def pop_to_mark(self) -> list[Any]:
        values = []
        while (value := self.pop()[0]) is not _Mark:
            values.append(value)
        return values[::-1]

    def top(self, kind: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise TypeError(f"a {kind.__name__} is missing")
        return self.stack[-1]

    def find(self, module: str, name: str) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("a name is a text")
        full = f"{module}.{name}"
        if full in STORAGE_TYPES:
            self.push(_StorageType(STORAGE_TYPES[full]))
        elif full in FUNCTIONS:
            self.push(FUNCTIONS[full])
        else:
            raise _refused(self.path, f"the name {full}")

    def call(self) -> None:
        function, arguments = self.pop(2)
        if not any(function is known for known in FUNCTIONS.values()):
            raise _refused(self.path, "a call of something that is no function")
        self.push(function(*arguments))

    def build(self) -> None:
        self.pop()  # attributes of a state dict, its metadata: nothing here needs them
        if not self.stack or not isinstance(self.stack[-1], dict):
            raise _refused(self.path, "attributes set on something that is no dict")

    def set_items(self, values: list[Any]) -> None:
        target = self.top(dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[_checked_key(key)] = value

    def load_storage(self) -> None:
        [identity] = self.pop()
        word, kind, key, _device, count, *view = identity
        if word != "storage" or not isinstance(kind, _StorageType) or not isinstance(key, str):
            raise TypeError("a storage is ('storage', type, key, device, count)")
        if type(count) is not int or count < 0:
            raise ValueError("a storage's count is a whole number from 0")
        if any(part is not None for part in view):
            raise _refused(self.path, "a storage that is part of another")
        self.push(Storage(kind.dtype, key, count))

    def memoize(self, place: Any = None) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]


def _nothing(machine: _Machine, argument: Any) -> None:
    pass


def _push_argument(machine: _Machine, argument: Any) -> None:
    machine.push(argument)


def _push(value: Any) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(value)


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(tuple(machine.pop(count)))


ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _nothing),
    **dict.fromkeys(
        (
            *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "BINFLOAT"),
            *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE"),
            *("SHORT_BINSTRING", "BINSTRING"),
        ),
        _push_argument,
    ),
    "NONE": _push(None),
    "NEWTRUE": _push(True),
    "NEWFALSE": _push(False),
    "MARK": _push(_Mark),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": _push(()),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "APPEND": lambda machine, _: (value := machine.pop()) and machine.top(list).extend(value),
    "APPENDS": lambda machine, _: (v := machine.pop_to_mark(), machine.top(list).extend(v)),
    "BINPUT": lambda machine, place: machine.memoize(place),
    "LONG_BINPUT": lambda machine, place: machine.memoize(place),
    "MEMOIZE": lambda machine, _: machine.memoize(),
    "BINGET": lambda machine, place: machine.push(machine.memo[place]),
    "LONG_BINGET": lambda machine, place: machine.push(machine.memo[place]),
    "GLOBAL": lambda machine, name: machine.find(*name.split(" ")),
    "STACK_GLOBAL": lambda machine, _: machine.find(*machine.pop(2)),
    "BINPERSID": lambda machine, _: machine.load_storage(),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
}
