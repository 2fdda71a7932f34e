"""COCO's run lengths in both spellings, by hand, at random, and against COCO's own tools."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from landslide_rcnn.errors import DatasetError
from landslide_rcnn.geo.run_lengths import (
    compress_counts,
    decode_mask,
    encode_mask,
    expand_text,
)

MASKS = arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))

# Written by pycocotools 2.0.11: (mask, counts).
ROWS, COLUMNS = np.mgrid[:50, :70]
BY_PYCOCOTOOLS = [
    (np.array([[0, 1, 1], [0, 1, 0]]), "231"),
    (np.ones((3, 4)), "0<"),
    (np.zeros((3, 4)), "<"),
    ((ROWS - 20) ** 2 + (COLUMNS - 30) ** 2 < 17, "XY11_14M2O0O20N101N3LTf1"),
]


def test_runs_go_down_the_columns():
    mask = np.array([[0, 1, 1], [0, 1, 0]])
    assert encode_mask(mask, 2, 3) == [2, 3, 1]
    assert encode_mask(np.ones((1, 1)), 4, 5, first_row=3, first_col=2) == [11, 1, 8]
    assert encode_mask(np.zeros((0, 0)), 4, 5) == [20]
    np.testing.assert_array_equal(decode_mask([2, 3, 1], 2, 3), mask)
    np.testing.assert_array_equal(decode_mask([0, 6], 2, 3), np.ones((2, 3)))


@given(MASKS)
def test_every_mask_comes_back_in_both_spellings(mask):
    counts = encode_mask(mask, *mask.shape)
    assert all(isinstance(count, int) for count in counts)
    np.testing.assert_array_equal(decode_mask(counts, *mask.shape), mask)
    text = compress_counts(counts)
    assert expand_text(text) == counts
    np.testing.assert_array_equal(decode_mask(text.encode(), *mask.shape), mask)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=9))
def test_long_runs_come_back(counts):
    assert expand_text(compress_counts(counts)) == counts


@pytest.mark.parametrize("mask, text", BY_PYCOCOTOOLS)
def test_the_letters_are_those_of_cocos_tools(mask, text):
    assert compress_counts(encode_mask(mask, *mask.shape)) == text
    np.testing.assert_array_equal(decode_mask(text, *mask.shape), mask.astype(bool))


@given(MASKS)
def test_cocos_own_tools_agree(mask):
    tools = pytest.importorskip("pycocotools.mask")
    text = compress_counts(encode_mask(mask, *mask.shape))
    theirs = tools.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert text == theirs
    np.testing.assert_array_equal(
        tools.decode({"size": list(mask.shape), "counts": text}), mask.astype(np.uint8)
    )


def test_broken_run_lengths_are_refused():
    with pytest.raises(DatasetError, match="3 numbers, sum 7, for 2 x 3 px"):
        decode_mask([2, 3, 2], 2, 3)
    with pytest.raises(DatasetError, match="add up to height x width"):
        decode_mask([8, -2], 2, 3)
    with pytest.raises(DatasetError, match="whole numbers"):
        decode_mask([1.5, 4.5], 2, 3)
    with pytest.raises(DatasetError, match="letters '0' to 'o'. Received: '!'"):
        expand_text("22!")
    with pytest.raises(DatasetError, match="must be complete"):
        expand_text("2" + chr(48 + 0x20))
