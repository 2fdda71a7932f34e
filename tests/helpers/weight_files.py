"""Weight files of every kind, written without the programs that usually write them."""

import io
import json
import pickle
import struct
import zipfile

import h5py
import keras
import numpy as np

from landslide_rcnn.nn.backbones.resnet import STYLES
from landslide_rcnn.nn.batch_norm import BatchNorm

# --- A network of a few layers ----------------------------------------------------------------


def tiny_layers(style: str = "torchvision", bands: int = 3, classes: int = 2, width: int = 4):
    """The stem, one convolution of stage 2, one of the FPN and the class logits, by name."""
    conventions = STYLES[style]
    bias = dict(use_bias=conventions.conv_bias)
    made = {
        "conv1": (keras.layers.Conv2D(8, 7, **bias), (1, 8, 8, bands)),
        "bn_conv1": (BatchNorm(epsilon=conventions.epsilon), (1, 2, 2, 8)),
        "res2a_branch2b": (keras.layers.Conv2D(width, 3, **bias), (1, 4, 4, width)),
        "bn2a_branch2b": (BatchNorm(epsilon=conventions.epsilon), (1, 2, 2, width)),
        "fpn_c5p5": (keras.layers.Conv2D(4, 1), (1, 2, 2, 6)),
        "mrcnn_class_logits": (keras.layers.Dense(classes), (1, 5)),
    }
    for layer, shape in made.values():
        layer.build(shape)
    return {name: layer for name, (layer, _) in made.items()}


def arrays_like(layers: dict, seed: int = 0) -> dict[str, list[np.ndarray]]:
    """Random arrays of the layers' shapes; all positive, so that they serve as variances."""
    rng = np.random.default_rng(seed)
    return {
        name: [rng.uniform(0.1, 1, weight.shape).astype(np.float32) for weight in layer.weights]
        for name, layer in layers.items()
    }


def snapshot(layers: dict) -> dict[str, list[np.ndarray]]:
    """Copies of the layers' weights."""
    return {name: [w.numpy().copy() for w in layer.weights] for name, layer in layers.items()}


# --- HDF5 and safetensors ---------------------------------------------------------------------


def write_keras2(path, groups: dict[str, dict[str, np.ndarray]], root: str = "") -> None:
    """Keras 2's layout: a group for each layer, whose `weight_names` give the order."""
    with h5py.File(path, "w") as file:
        top = file.create_group(root) if root else file
        top.attrs["layer_names"] = [name.encode() for name in groups]
        for name, members in groups.items():
            group = top.create_group(name)
            group.attrs["weight_names"] = [member.encode() for member in members]
            for member, array in members.items():
                group[member] = array


def write_safetensors(path, tensors: dict[str, tuple[str, list, bytes]], header=None) -> None:
    """{name: (dtype, shape, bytes)} -> eight bytes of length, a JSON header, the numbers."""
    entries, data = {}, bytearray()
    for name, (dtype, shape, numbers) in tensors.items():
        place = [len(data), len(data) + len(numbers)]
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": place}
        data += numbers
    head = json.dumps(header or entries).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)


# --- PyTorch, one pickle instruction after another --------------------------------------------

STORAGES = {
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "float64": "DoubleStorage",
    "int64": "LongStorage",
}


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    if 0 <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    encoded = value.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def tuple_of(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


ORDERED_DICT = name("collections", "OrderedDict") + b")R"


def dict_of(pairs: dict[str, bytes]) -> bytes:
    return ORDERED_DICT + b"(" + b"".join(text(k) + v for k, v in pairs.items()) + b"u"


def tensor(shape, *, key="0", dtype="float32", count=None, offset=0, strides=None, legacy=False):
    """The instructions that stand for a tensor."""
    count = int(np.prod(shape)) if count is None else count
    if strides is None:
        strides = [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
    identity = [text("storage"), name("torch", STORAGES.get(dtype, dtype)), text(key), text("cpu")]
    storage = tuple_of(*identity, number(count), *([b"N"] if legacy else [])) + b"Q"
    return (
        name("torch._utils", "_rebuild_tensor_v2")
        + tuple_of(
            storage,
            number(offset),
            tuple_of(*map(number, shape)),
            tuple_of(*map(number, strides)),
            b"\x89",
            ORDERED_DICT,
        )
        + b"R"
    )


def write_torch_zip(path, body: bytes, storages: dict[str, bytes], **members: bytes) -> None:
    """A `.pth` as torch writes it since 1.6."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + body + b".")
        archive.writestr("archive/byteorder", members.pop("byteorder", b"little"))
        for key, numbers in storages.items():
            archive.writestr(f"archive/data/{key}", numbers)


def write_torch_legacy(path, body: bytes, storages: dict[str, np.ndarray]) -> None:
    """A `.pth` as torch wrote it before 1.6."""
    file = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "type_sizes": {}}):
        file.write(pickle.dumps(part, protocol=2))
    file.write(b"\x80\x02" + body + b".")
    file.write(pickle.dumps(list(storages), protocol=2))
    for numbers in storages.values():
        file.write(struct.pack("<q", numbers.size) + numbers.tobytes())
    path.write_bytes(file.getvalue())


def write_state_dict(path, arrays: dict[str, np.ndarray], *, legacy=False, under=None) -> None:
    """A state dict, alone or under a key of a checkpoint."""
    keys = {member: str(i) for i, member in enumerate(arrays)}
    body = dict_of(
        {
            member: tensor(array.shape, key=keys[member], dtype=array.dtype.name, legacy=legacy)
            for member, array in arrays.items()
        }
    )
    if under:
        body = dict_of({"epoch": number(3), under: body, "best": b"G" + struct.pack(">d", 0.5)})
    if legacy:
        write_torch_legacy(path, body, {keys[m]: a for m, a in arrays.items()})
    else:
        write_torch_zip(path, body, {keys[m]: a.tobytes() for m, a in arrays.items()})


def torch_arrays(layers: dict, seed: int = 0) -> dict[str, np.ndarray]:
    """A state dict of torchvision's names whose arrays fit `tiny_layers()`'s backbone."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.uniform(0.1, 1, shape).astype(np.float32)

    bands, width = layers["conv1"].kernel.shape[2], layers["res2a_branch2b"].kernel.shape[3]
    inner = layers["res2a_branch2b"].kernel.shape[2]
    found = {"conv1.weight": draw(8, bands, 7, 7)}
    for layer, channels in (("bn1", 8), ("layer1.0.bn2", width)):
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            found[f"{layer}.{leaf}"] = draw(channels)
        found[f"{layer}.num_batches_tracked"] = np.array(7, np.int64)
    found["layer1.0.conv2.weight"] = draw(width, inner, 3, 3)
    return found
