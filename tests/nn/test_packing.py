"""Rows are packed and put back; padding never shows."""

import numpy as np
import pytest
from keras import ops

from landslide_rcnn.nn.ops.packing import ROUND_TO, pack, unpack


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_what_is_unpacked_is_what_was_packed(share):
    rng = np.random.default_rng(0)
    mask = rng.uniform(size=(3, 20)) < share
    values = rng.normal(size=(3, 20, 2)).astype(np.float32)
    indices, used = pack(mask)
    packed = ops.take(values.reshape(60, 2), indices, axis=0) + 0.0
    assert ops.convert_to_numpy(used).sum() == mask.sum()
    assert len(indices) % ROUND_TO == 0 and 0 < len(indices) < mask.sum() + ROUND_TO + 1
    found = unpack(packed, indices, used, 3, 20)
    np.testing.assert_array_equal(found, np.where(mask[..., None], values, 0))
