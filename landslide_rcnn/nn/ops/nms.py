"""Greedy non-maximum suppression of each image's boxes, with static shapes.

TensorFlow has a compiled kernel; JAX and PyTorch, and several groups, run the same algorithm on
`keras.ops`, block by block. Both keep the same boxes in the same order, boxes of equal scores by
their index. Used by `nn/proposals.py`.
"""

import functools

import keras
from keras import ops

from landslide_rcnn.nn.ops.boxes import iou

# Below every score: a box that is out of the running.
OUT = -1e31
# Boxes decided at once. More cost overlaps that are not needed, fewer cost steps.
BLOCK = 128


def nms(
    boxes,
    scores,
    *,
    iou_threshold: float,
    max_output: int,
    min_score: float = 0.0,
    groups=None,
):
    """Keep the best box, drop what overlaps it too much, and go on with the rest.

    Args:
        boxes: [B, R, (y1, x1, y2, x2)], float32.
        scores: [B, R], float32. Padding has a score below `min_score`.
        iou_threshold: A box that overlaps a kept one by more is dropped.
        max_output: Boxes kept of an image at most; static.
        min_score: Boxes that do not score more are not looked at.
        groups: [B, R], classes: only a box of the same group is dropped. None: one group.

    Returns:
        indices: [B, max_output] int32, into R, best first; 0 where there is none.
        kept: [B, max_output] bool, False for the padding.
    """
    arguments = (iou_threshold, max_output, min_score)
    if keras.backend.backend() != "tensorflow":
        return greedy_nms(boxes, scores, *arguments, groups)
    if groups is None:
        return _tensorflow_nms(boxes, scores, *arguments)
    # The kernel knows no groups. (To move their boxes apart, as is often done, costs the boxes
    # digits, and leaves overlaps near the threshold to chance.)
    return _compiled_greedy_nms(*arguments)(boxes, scores, groups)


def _tensorflow_nms(boxes, scores, iou_threshold, max_output, min_score):
    import tensorflow as tf

    def one_image(image):
        indices, count = tf.raw_ops.NonMaxSuppressionV4(
            boxes=image[0],
            scores=image[1],
            max_output_size=max_output,
            iou_threshold=float(iou_threshold),
            score_threshold=float(min_score),
            pad_to_max_output_size=True,
        )
        # The kernel pads only up to the number of boxes that it was given.
        indices = tf.pad(indices, [[0, max_output - tf.shape(indices)[0]]])
        return tf.ensure_shape(indices, [max_output]), count

    indices, counts = tf.map_fn(
        one_image, (boxes, scores), fn_output_signature=(tf.int32, tf.int32)
    )
    return indices, tf.range(max_output)[None] < counts[:, None]


@functools.cache
def _compiled_greedy_nms(iou_threshold, max_output, min_score):
    """Compile `greedy_nms` by XLA: its many small steps are slow one by one."""
    import tensorflow as tf

    def run(boxes, scores, groups):
        return greedy_nms(boxes, scores, iou_threshold, max_output, min_score, groups)

    # A trace for each shape: with a number of boxes that is left open there are no blocks.
    return tf.function(run, jit_compile=True, autograph=False)


def greedy_nms(boxes, scores, iou_threshold, max_output, min_score, groups=None):
    """Run the algorithm on `keras.ops`, all images of the batch at once. Arguments as `nms`.

    The boxes are gone through best first, a block at a time: what overlaps a kept box is out,
    then the block is decided among itself.
    """
    count = scores.shape[1]
    blocks = -(-count // BLOCK)
    scores = ops.stop_gradient(ops.convert_to_tensor(scores, "float32"))
    scores = ops.where(scores > min_score, scores, OUT)
    order = ops.cast(ops.argsort(-scores, axis=1), "int32")  # stable
    left = ops.take_along_axis(scores, order, axis=1) > OUT
    padding = [[0, 0], [0, blocks * BLOCK - count]]
    order, left = ops.pad(order, padding), ops.pad(left, padding, constant_values=False)
    # A box carries its group as a fifth number.
    group = ops.zeros_like(scores) if groups is None else ops.cast(groups, "float32")
    boxes = ops.stop_gradient(ops.convert_to_tensor(boxes, "float32"))
    items = ops.concatenate([boxes, group[..., None]], axis=-1)
    items = ops.take_along_axis(items, order[..., None], axis=1)
    slots = ops.arange(max_output, dtype="int32")[None]

    def goes_on(block, kept_items, indices, kept_count):
        return (block < blocks) & ops.any(kept_count < max_output)

    def decide_block(block, kept_items, indices, kept_count):
        here = ops.arange(BLOCK, dtype="int32") + block * BLOCK
        block_items = ops.take(items, here, axis=1)
        is_filled = (slots < kept_count)[:, None, :]
        beaten = _suppresses(block_items, kept_items, iou_threshold) & is_filled
        candidates = ops.take(left, here, axis=1) & ~ops.any(beaten, axis=2)
        keep = _decide(candidates, _suppresses(block_items, block_items, iou_threshold))
        slot = kept_count + ops.cumsum(ops.cast(keep, "int32"), axis=1) - 1
        goes_to = keep[..., None] & (slot[..., None] == slots[:, None, :])  # [B, BLOCK, slots]
        is_new = ops.any(goes_to, axis=1)
        source = ops.argmax(ops.cast(goes_to, "int32"), axis=1)
        new_items = ops.take_along_axis(block_items, source[..., None], axis=1)
        new_indices = ops.take_along_axis(ops.take(order, here, axis=1), source, axis=1)
        kept_here = ops.sum(ops.cast(keep, "int32"), axis=1, keepdims=True)
        return (
            block + 1,
            ops.where(is_new[..., None], new_items, kept_items),
            ops.where(is_new, new_indices, indices),
            ops.minimum(kept_count + kept_here, max_output),
        )

    batch = ops.shape(scores)[0]
    state = (
        ops.convert_to_tensor(0, "int32"),
        ops.zeros((batch, max_output, 5)),
        ops.zeros((batch, max_output), "int32"),
        ops.zeros((batch, 1), "int32"),
    )
    _, _, indices, kept_count = ops.while_loop(goes_on, decide_block, state)
    return indices, slots < kept_count


def _suppresses(items, others, iou_threshold):
    """Return [B, I, O] bool: the overlap is too large, and the group is the same."""
    too_much = iou(items[..., :4], others[..., :4]) > iou_threshold
    return too_much & (items[..., :, None, 4] == others[..., None, :, 4])


def _decide(candidates, suppresses):
    """Which of a block's candidates [B, I] greedy suppression keeps; the best come first.

    Guess that all are kept; drop whom a kept better one suppresses; repeat. After n rounds at
    least the first n are as in the sequential algorithm, and what no longer changes is its result.
    """
    position = ops.arange(BLOCK)
    by_better = suppresses & (position[:, None] < position[None, :])

    def next_guess(guess, _):
        beaten = ops.any(by_better & guess[:, :, None], axis=1)
        better_guess = candidates & ~beaten
        return better_guess, ops.any(better_guess != guess)

    state = (candidates, ops.convert_to_tensor(True))
    return ops.while_loop(lambda _, changed: changed, next_guess, state)[0]
