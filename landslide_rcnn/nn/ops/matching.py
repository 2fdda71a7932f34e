"""Which ground-truth instance a box answers for, and the drawing of a fixed number of boxes.

Shared by the RPN's targets and the heads'. Static shapes throughout: a choice of boxes is a mask
or a list of indices with a validity mask, never a ragged tensor.
"""

import keras
from keras import ops

from landslide_rcnn.nn.ops.boxes import iou


def match_boxes(boxes, gt_boxes, is_instance, is_crowd):
    """Find every box's best instance.

    Args:
        boxes: [A, 4] or [B, A, 4], normalised.
        gt_boxes: [B, N, 4], normalised; padding may hold anything.
        is_instance: [B, N] bool, True for a real instance that is not a crowd.
        is_crowd: [B, N] bool, True for a box around many instances.

    Returns:
        overlaps: [B, A, N] IoU, -1 where N is not an instance.
        best_iou: [B, A], -1 where an image has no instance.
        best_instance: [B, A] int, its index; 0 where there is none.
        in_crowd: [B, A] bool, IoU with a crowd above 0.001: neither positive nor negative.
    """
    if len(boxes.shape) == 2:
        boxes = ops.broadcast_to(boxes[None], (ops.shape(gt_boxes)[0], *boxes.shape))
    overlaps = iou(boxes, gt_boxes)
    in_crowd = ops.any((overlaps > 0.001) & is_crowd[:, None, :], axis=-1)
    overlaps = ops.where(is_instance[:, None, :], overlaps, -1.0)
    return overlaps, ops.max(overlaps, axis=-1), ops.argmax(overlaps, axis=-1), in_crowd


def is_best_of_an_instance(overlaps):
    """Mark the boxes with the largest overlap of some instance, ties included.

    Args:
        overlaps: [B, A, N] from `match_boxes`.

    Returns:
        [B, A] bool. An instance that no box touches marks none.
    """
    best = ops.max(overlaps, axis=1, keepdims=True)
    # Not "equal": a compiler may compute the two sides apart, and round them apart.
    return ops.any((overlaps >= best * (1 - 1e-6)) & (best > 0), axis=-1)


def sample(candidates, count: int, seed: keras.random.SeedGenerator):
    """Draw up to `count` candidates of each image at random.

    Args:
        candidates: [B, A] bool.
        count: The size of the draw; static.
        seed: State of the random numbers.

    Returns:
        indices: [B, count] int32, into A; candidates come first.
        drawn: [B, count] bool, False where an image has fewer candidates than `count`.
    """
    noise = keras.random.uniform(ops.shape(candidates), seed=seed, dtype="float32")
    ranks = ops.where(candidates, noise, noise - 2.0)
    count_there = min(count, candidates.shape[1])
    top, indices = ops.top_k(ranks, count_there)
    missing = count - count_there
    indices = ops.pad(ops.cast(indices, "int32"), [[0, 0], [0, missing]])
    return indices, ops.pad(top > -0.5, [[0, 0], [0, missing]], constant_values=False)


def best_first(scores, count: int):
    """Return the `count` largest of each row [B, A] and their indices, equal ones by their index.

    Returns:
        scores: [B, count].
        indices: [B, count] int32.
    """
    if keras.backend.backend() == "torch":  # whose top_k takes equal values in any order
        indices = ops.argsort(-scores, axis=1)[:, :count]
        return ops.take_along_axis(scores, indices, axis=1), ops.cast(indices, "int32")
    return ops.top_k(scores, count)


def take_rows(values, indices):
    """Gather rows of each image: values [B, A, ...], indices [B, S] -> [B, S, ...]."""
    extra = len(values.shape) - 2
    index = ops.reshape(indices, (*ops.shape(indices), *([1] * extra)))
    return ops.take_along_axis(values, ops.cast(index, "int32"), axis=1)
