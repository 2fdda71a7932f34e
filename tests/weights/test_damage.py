"""Files with random bytes changed: read or refused in one line, and never half-loaded."""

import random

import numpy as np
import pytest

from landslide_rcnn.errors import WeightsError
from landslide_rcnn.weights import assign, read_weights
from tests.helpers import weight_files as w


def write_npz(path, arrays):
    np.savez(path, **arrays)


def write_tensors(path, arrays):
    floats = {k: a for k, a in arrays.items() if a.dtype == np.float32}
    w.write_safetensors(path, {k: ("F32", list(a.shape), a.tobytes()) for k, a in floats.items()})


def write_legacy(path, arrays):
    w.write_state_dict(path, arrays, legacy=True)


WRITERS = {
    "a.pth": w.write_state_dict,
    "b.pth": write_legacy,
    "c.safetensors": write_tensors,
    "d.npz": write_npz,
}


@pytest.mark.parametrize("name", WRITERS)
def test_damaged_bytes(tmp_path, name):
    layers = w.tiny_layers("torchvision")
    path = tmp_path / name
    WRITERS[name](path, w.torch_arrays(layers))
    whole = path.read_bytes()
    assign(layers, read_weights(path))
    draw = random.Random(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(draw.choice([1, 2, 8])):
            # What describes the arrays lies at the ends.
            near = draw.randrange(min(3000, len(damaged)))
            place = draw.choice([near, len(damaged) - 1 - near])
            damaged[place] = draw.choice([0, 255, draw.randrange(256)])
        path.write_bytes(damaged)
        before = w.snapshot(layers)
        try:
            with read_weights(path) as named:
                assign(layers, named)
        except WeightsError as error:
            refused += 1
            assert "\n" not in str(error) and name in str(error)
            for layer, arrays in w.snapshot(layers).items():
                for now, then in zip(arrays, before[layer], strict=True):
                    np.testing.assert_array_equal(now, then)
    assert refused > 10
