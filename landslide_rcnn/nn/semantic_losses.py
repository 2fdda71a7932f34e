"""The semantic networks' losses: logits, classes and valid pixels in, a scalar out. Always float32.

What `losses.py` has for the detector, from the same maths. Pixels that are not valid have no part
in any of them and get a gradient of exactly 0; without a valid pixel a loss is exactly 0.

`outputs` is a dict of "logits" [B, H, W, L], "class_map" [B, H, W] int in 0..K-1, and "valid_mask"
[B, H, W], 0 = not valid. L is 1 for landslide against background (sigmoid), otherwise K (softmax).
Shape letters: `landslide_rcnn.nn`.
"""

from collections.abc import Callable, Sequence
from functools import partial

from keras import ops

from landslide_rcnn.nn.losses import (
    class_weighted_mean,
    sigmoid_cross_entropy,
    sigmoid_focal_loss,
    soft_dice_loss,
    softmax_cross_entropy,
    softmax_focal_loss,
)


def cross_entropy_loss(outputs, class_weights: Sequence[float] | None = None):
    """Mean cross entropy of the valid pixels, each weighted by its true class."""
    return _pixel_mean(outputs, sigmoid_cross_entropy, softmax_cross_entropy, class_weights)


def focal_loss(outputs, class_weights: Sequence[float] | None = None):
    """Mean focal loss (alpha 0.25, gamma 1.75) of the valid pixels, weighted as above.

    Source: Lin et al. 2017, eq. 5, with the numbers of the FCN-FL paper.
    """
    return _pixel_mean(outputs, sigmoid_focal_loss, softmax_focal_loss, class_weights)


def semantic_dice_loss(outputs, class_weights: Sequence[float] | None = None):
    """1 - Dice coefficient over all valid pixels of the batch; the mean over the landslide classes.

    Over the batch and not tile by tile, so that a tile without landslides weighs by its false
    alarms alone. The background has no Dice of its own: with landslides as rare as they are, it is
    near 1 whatever is predicted.

    Args:
        outputs: See the module's head.
        class_weights: [K], of the mean over the classes; the background's is not used.
    """
    logits = ops.cast(outputs["logits"], "float32")
    classes = range(1, max(logits.shape[-1], 2))
    if logits.shape[-1] == 1:
        probabilities = [ops.sigmoid(logits[..., 0])]
    else:
        probabilities = [ops.softmax(logits, axis=-1)[..., k] for k in classes]
    used = _as_one_map(outputs["valid_mask"])
    losses = [
        soft_dice_loss(_as_one_map(outputs["class_map"] == k), _as_one_map(p), used)[0]
        for k, p in zip(classes, probabilities)
    ]
    weights = (
        [1.0] * len(losses) if class_weights is None else [float(w) for w in class_weights[1:]]
    )
    return sum(w * loss for w, loss in zip(weights, losses)) / max(sum(weights), 1e-7)


SEMANTIC_LOSSES: dict[str, Callable] = {
    "bce": cross_entropy_loss,
    "focal": focal_loss,
    "dice": semantic_dice_loss,
}


def build_semantic_components(
    *, class_weights: Sequence[float] | None = None
) -> dict[str, Callable]:
    """Return name -> loss (outputs -> scalar).

    Args:
        class_weights: [K], background first; None for all alike.
    """
    return {
        name: partial(loss, class_weights=class_weights) for name, loss in SEMANTIC_LOSSES.items()
    }


def _pixel_mean(outputs, of_one_logit: Callable, of_logits: Callable, class_weights):
    logits = ops.cast(outputs["logits"], "float32")
    classes = ops.cast(outputs["class_map"], "int32")
    if logits.shape[-1] == 1:
        losses = of_one_logit(ops.cast(classes > 0, "float32"), logits[..., 0])
    else:
        losses = of_logits(classes, logits)
    used = ops.cast(outputs["valid_mask"], "bool")
    return class_weighted_mean(losses, classes, used, class_weights)


def _as_one_map(values):
    """[B, H, W] -> [1, B H, W] float32."""
    return ops.reshape(ops.cast(values, "float32"), (1, -1, values.shape[2]))
