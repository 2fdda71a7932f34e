"""COCO's run lengths: a mask as the lengths of its runs of 0, 1, 0, 1, ... down the columns.

Used by `geo/coco.py` for the polygons of a scene and by `data/coco.py` for the masks of tiles.
Two spellings are in use: a list of numbers ("uncompressed"), and a text in which each number is
the difference to the one two before it, in groups of five bits ("compressed").

Shape letters: H, W pixels of the image; h, w pixels of the part of it that a mask covers.
Source: the COCO data format, as its own tools (`maskApi`) read and write it.
"""

import numpy as np

from landslide_rcnn.errors import DatasetError

DIGIT_BITS, DIGIT_MASK, SIGN_BIT, MORE_BIT, FIRST_LETTER = 5, 0x1F, 0x10, 0x20, 48
FIRST_DIFFERENCE = 3  # the first three lengths are written as they are


def encode_mask(
    mask: np.ndarray, height: int, width: int, first_row: int = 0, first_col: int = 0
) -> list[int]:
    """Return the run lengths of an image in which a mask is the only thing.

    Args:
        mask: [h, w] bool or 0/1: a part of the image; the rest is 0.
        height: H, pixels.
        width: W, pixels.
        first_row: Where in the image the part begins, pixels.
        first_col: The same, along the columns.

    Returns:
        Lengths whose sum is H x W. Only the first may be 0.
    """
    columns = np.zeros((mask.shape[1], mask.shape[0] + 2), np.int8)  # each with a 0 at both ends
    columns[:, 1:-1] = np.asarray(mask, bool).T
    change = np.diff(columns, axis=1)
    starts, ends = (
        (first_col + column) * int(height) + first_row + row
        for column, row in (np.nonzero(change == 1), np.nonzero(change == -1))
    )
    # A run down to the last row goes on in the next column where that begins with the first row.
    goes_on = starts[1:] == ends[:-1]
    starts = starts[np.concatenate([[True], ~goes_on])] if starts.size else starts
    ends = ends[np.concatenate([~goes_on, [True]])] if ends.size else ends
    total = int(height) * int(width)
    borders = np.concatenate([[0], np.column_stack([starts, ends]).ravel(), [total]])
    lengths = np.diff(borders).astype(np.int64).tolist()
    return lengths[:-1] if lengths[-1] == 0 else lengths


def decode_mask(counts: list[int] | str | bytes, height: int, width: int) -> np.ndarray:
    """Return the mask [H, W] bool of run lengths in either spelling.

    Raises:
        DatasetError: They are not run lengths of an image of this size.
    """
    if isinstance(counts, str | bytes):
        counts = expand_text(counts)
    is_whole = isinstance(counts, list) and all(isinstance(count, int) for count in counts)
    lengths = np.array(counts if is_whole else [], object)  # sums of any size
    if not is_whole or (lengths < 0).any() or lengths.sum() != int(height) * int(width):
        raise DatasetError(
            "Run lengths must be whole numbers that add up to height x width. Received: "
            f"{f'{len(lengths)} numbers, sum {lengths.sum()}' if is_whole else 'something else'}, "
            f"for {height} x {width} px. Export the annotation again."
        )
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths.astype(np.int64)).reshape(int(width), int(height)).T


def compress_counts(counts: list[int]) -> str:
    """Return the compressed spelling of run lengths."""
    letters = []
    for index, count in enumerate(counts):
        left = count - counts[index - 2] if index >= FIRST_DIFFERENCE else count
        more = True
        while more:
            digit = left & DIGIT_MASK
            left >>= DIGIT_BITS
            # The last digit's highest bit is the sign: stop when what is left only repeats it.
            more = left != (-1 if digit & SIGN_BIT else 0)
            letters.append(chr((digit | MORE_BIT if more else digit) + FIRST_LETTER))
    return "".join(letters)


def expand_text(text: str | bytes) -> list[int]:
    """Return the run lengths of the compressed spelling.

    Raises:
        DatasetError: The text breaks off, or holds letters that the spelling does not have.
    """
    codes = text.encode() if isinstance(text, str) else text
    counts: list[int] = []
    value, shift = 0, 0
    for code in codes:
        digit = code - FIRST_LETTER
        if not 0 <= digit < 2 * MORE_BIT:
            raise DatasetError(
                "Compressed run lengths are made of the letters '0' to 'o'. Received: "
                f"{chr(code)!r} as letter {len(counts) + 1}. Export the annotation again."
            )
        value |= (digit & DIGIT_MASK) << shift
        shift += DIGIT_BITS
        if not digit & MORE_BIT:
            if digit & SIGN_BIT:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) >= FIRST_DIFFERENCE else value)
            value, shift = 0, 0
    if shift:
        raise DatasetError(
            f"Compressed run lengths must be complete. Received: {len(codes)} letters, the last "
            "of which announces more. Export the annotation again."
        )
    return counts
