"""Greedy non-maximum suppression of each image's boxes, with static shapes.

TensorFlow has a compiled version; JAX and PyTorch run the same algorithm on `keras.ops`.
"""

import keras
from keras import ops

from landslide_rcnn.nn.ops.boxes import iou


def nms(boxes, scores, *, iou_threshold: float, max_output: int, min_score: float = 0.0):
    """Keep the best box, drop what overlaps it too much, and go on with the rest.

    Args:
        boxes: [B, R, (y1, x1, y2, x2)], float32.
        scores: [B, R], float32. Padding has a score below `min_score`.
        iou_threshold: A box that overlaps a kept one by more is dropped.
        max_output: Boxes kept of an image at most; static.
        min_score: Boxes that score less are not looked at.

    Returns:
        indices: [B, max_output] int32, into R, best first; 0 where there is none.
        kept: [B, max_output] bool, False for the padding.
    """
    if keras.backend.backend() == "tensorflow":
        return _tensorflow_nms(boxes, scores, iou_threshold, max_output, min_score)
    return greedy_nms(boxes, scores, iou_threshold, max_output, min_score)


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

    # Boxes that are dropped by score must not be reachable by a threshold of exactly 0.
    indices, counts = tf.map_fn(
        one_image, (boxes, scores), fn_output_signature=(tf.int32, tf.int32)
    )
    return indices, tf.range(max_output)[None] < counts[:, None]


def greedy_nms(boxes, scores, iou_threshold, max_output, min_score):
    """Run the algorithm on `keras.ops`, all images of the batch at once. Arguments as `nms`."""
    batch, count = ops.shape(scores)[0], ops.shape(scores)[1]
    position = ops.arange(count)[None]

    def keep_next(i, state):
        left, indices, kept = state
        best = ops.argmax(left, axis=1)[:, None]
        found = ops.take_along_axis(left, best, axis=1) > -1e30
        box = ops.take_along_axis(boxes, best[..., None], axis=1)
        overlap = iou(boxes, box)[..., 0]
        drop = (overlap > iou_threshold) | (position == best)
        left = ops.where(drop & found, -1e31, left)
        slot = ops.arange(max_output)[None] == i
        indices = ops.where(slot & found, ops.cast(best, "int32"), indices)
        return left, indices, kept | (slot & found)

    state = (
        ops.where(scores > min_score, scores, -1e31),
        ops.zeros((batch, max_output), "int32"),
        ops.zeros((batch, max_output), "bool"),
    )
    _, indices, kept = ops.fori_loop(0, max_output, keep_next, state)
    return indices, kept
