"""The detector's losses: outputs and targets in, scalars out. Always float32.

Every loss is a mean over the boxes that it concerns, and exactly 0 where there are none. The
names are matterport's; `build_components` makes the table that a training step adds up, and
`COMPONENTS` is matterport's own. The maths in front of them serves any map of classes;
`semantic_losses.py` makes the semantic networks' losses of it.
Shape letters: `landslide_rcnn.nn`.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from keras import ops

from landslide_rcnn.nn.heads import own_class_masks
from landslide_rcnn.nn.ops.sobel import sobel


def masked_mean(values, mask):
    """Mean of `values` where `mask` is True; 0 where it is nowhere. Broadcast from the left."""
    weights = ops.cast(mask, "float32")
    while len(weights.shape) < len(values.shape):
        weights = weights[..., None]
    each = ops.sum(ops.broadcast_to(weights, ops.shape(values)))
    return ops.sum(values * weights) / ops.maximum(each, 1.0)


def class_weighted_mean(values, class_ids, used, class_weights: Sequence[float] | None = None):
    """Mean of `values` [...] where `used` [...] is True, each weighted by its own class.

    Args:
        values: [...].
        class_ids: [...] int in 0..K-1.
        used: [...] bool.
        class_weights: [K]; None for all alike.

    Returns:
        A scalar; 0 where nothing is used.
    """
    if class_weights is None:
        return masked_mean(values, used)
    table = ops.convert_to_tensor(np.asarray(class_weights, np.float32))
    weights = ops.take(table, class_ids) * ops.cast(used, "float32")
    return ops.sum(weights * values) / ops.maximum(ops.sum(weights), 1e-7)


def smooth_l1(targets, outputs):
    """Element by element: 0.5 d^2 for |d| < 1, |d| - 0.5 beyond. Girshick 2015, eq. 3."""
    d = ops.abs(targets - outputs)
    return ops.where(d < 1.0, 0.5 * d * d, d - 0.5)


def softmax_cross_entropy(class_ids, logits):
    """Return [...]: the cross entropy of class_ids [...] int under logits [..., K]."""
    logits = ops.cast(logits, "float32")
    log_probs = logits - ops.logsumexp(logits, axis=-1, keepdims=True)
    picked = ops.one_hot(class_ids, logits.shape[-1], dtype="float32")
    # Classes that are switched off have a log probability of minus infinity.
    return -ops.sum(ops.where(picked > 0, log_probs, 0.0), axis=-1)


def sigmoid_cross_entropy(targets, logits):
    """Return the binary cross entropy of targets in [0, 1] under logits, element by element."""
    # One branch for both terms: at a logit of exactly 0 (a pixel without features), the slopes that
    # a backend gives to a maximum and to an absolute value do not add up to sigmoid(0).
    positive = logits >= 0
    above, negative = ops.where(positive, logits, 0.0), ops.where(positive, -logits, logits)
    return above - logits * targets + ops.log1p(ops.exp(negative))


def sigmoid_focal_loss(targets, logits, alpha=0.25, gamma=1.75):
    """Return the focal loss of targets in {0, 1} under logits, element by element.

    alpha (1 - p)^gamma of the cross entropy where the target is 1, and (1 - alpha) p^gamma of it
    where it is 0: what is easy counts little.

    Source: Lin et al. 2017, eq. 5; alpha and gamma of FCN-FL.
    """
    probabilities = ops.sigmoid(logits)
    missed = targets * (1.0 - probabilities) + (1.0 - targets) * probabilities
    balance = targets * alpha + (1.0 - targets) * (1.0 - alpha)
    return balance * _power(missed, gamma) * sigmoid_cross_entropy(targets, logits)


def softmax_focal_loss(class_ids, logits, alpha=0.25, gamma=1.75):
    """Return [...]: the focal loss of class_ids [...] int under logits [..., K].

    alpha is the share of every class but the background, 1 - alpha that of the background: with
    two classes it is `sigmoid_focal_loss` of the difference of the logits.
    """
    losses = softmax_cross_entropy(class_ids, logits)
    balance = ops.where(class_ids > 0, alpha, 1.0 - alpha)
    return balance * _power(-ops.expm1(-losses), gamma) * losses


def _power(missed, gamma):
    # The power's gradient is not finite at 0 for a gamma below 1.
    return ops.maximum(missed, 1e-7) ** gamma


def dice_loss(targets, logits):
    """Return 1 - Dice coefficient of targets in {0, 1} and sigmoid(logits), map by map.

    Args:
        targets: [M, h, w].
        logits: [M, h, w].

    Returns:
        [M] in [0, 1]; see `soft_dice_loss`.
    """
    return soft_dice_loss(targets, ops.sigmoid(logits))


def soft_dice_loss(targets, probabilities, used=1.0):
    """Return 1 - Dice coefficient of targets in {0, 1} and probabilities, map by map.

    Args:
        targets: [M, h, w].
        probabilities: [M, h, w].
        used: [M, h, w] or broadcastable to it: 0 where a pixel does not count.

    Returns:
        [M] in [0, 1]. One pixel is added to both sides of the fraction: an empty map that is
        answered by an empty one costs nothing.

    Source: Milletari et al. 2016 (V-Net), with plain sums instead of squares.
    """
    common = ops.sum(used * targets * probabilities, axis=(1, 2))
    sizes = ops.sum(used * targets, axis=(1, 2)) + ops.sum(used * probabilities, axis=(1, 2))
    return 1.0 - (2.0 * common + 1.0) / (sizes + 1.0)


def rpn_class_loss(outputs):
    """Softmax cross entropy of the drawn anchors, foreground against background."""
    targets = outputs["rpn_targets"]
    positive = ops.cast(targets.positive, "int32")
    losses = softmax_cross_entropy(positive, outputs["rpn_class_logits"])
    return masked_mean(losses, targets.used)


def rpn_bbox_loss(outputs):
    """Smooth L1 of the positive anchors' deltas."""
    targets = outputs["rpn_targets"]
    return masked_mean(smooth_l1(targets.deltas, outputs["rpn_bbox"]), targets.positive)


def mrcnn_class_loss(outputs, class_weights: Sequence[float] | None = None):
    """Softmax cross entropy of the rois' classes.

    Classes that an image's source does not have are left out of that image's softmax. Padded rois
    are left out of the mean. With `class_weights` [K] the mean is weighted by each roi's own class.
    """
    targets = outputs["roi_targets"]
    active = outputs["active_class_ids"][:, None, :] > 0
    logits = ops.where(active, ops.cast(outputs["mrcnn_class_logits"], "float32"), -1e9)
    losses = softmax_cross_entropy(targets.class_ids, logits)
    return class_weighted_mean(losses, targets.class_ids, targets.used, class_weights)


def mrcnn_bbox_loss(outputs):
    """Smooth L1 of the positive rois' deltas for their own class."""
    targets = outputs["roi_targets"]
    deltas = ops.cast(outputs["mrcnn_bbox"], "float32")  # [B, T, K, 4]
    own = ops.one_hot(targets.class_ids, deltas.shape[2], dtype="float32")
    deltas = ops.sum(deltas * own[..., None], axis=2)
    return masked_mean(smooth_l1(targets.deltas, deltas), targets.positive)


def mrcnn_mask_loss(outputs, kind: str = "bce"):
    """Loss of the positive rois' masks for their own class; `kind` of `MASK_LOSSES`."""
    targets, logits = outputs["mask_targets"], _own_masks(outputs)
    return masked_mean(MASK_LOSSES[kind](targets.masks, logits), targets.used)


def mrcnn_mask_edge_loss(outputs):
    """L_edge: mean squared error between the Sobel responses of predicted and true masks.

    The kernels are not normalised (`nn.ops.sobel`): a step edge answers with 4, so that an edge
    that is missed altogether costs 16 at its pixels. The masks' own border is no edge.

    Source: Liu et al. 2021, eqs. 2 to 4.
    """
    targets, logits = outputs["mask_targets"], _own_masks(outputs)
    difference = sobel(ops.sigmoid(logits)) - sobel(targets.masks)
    return masked_mean(difference**2, targets.used)


def _own_masks(outputs):
    """Return the positive rois' logits for their own class, [P, h, w]."""
    return own_class_masks(outputs["mrcnn_mask_logits"], outputs["mask_targets"].class_ids)


MASK_LOSSES = {"bce": sigmoid_cross_entropy, "focal": sigmoid_focal_loss, "dice": dice_loss}

COMPONENTS: dict[str, Callable] = {
    "rpn_class_loss": rpn_class_loss,
    "rpn_bbox_loss": rpn_bbox_loss,
    "mrcnn_class_loss": mrcnn_class_loss,
    "mrcnn_bbox_loss": mrcnn_bbox_loss,
    "mrcnn_mask_loss": mrcnn_mask_loss,
    "mrcnn_mask_edge_loss": mrcnn_mask_edge_loss,
}


def build_components(
    *, class_weights: Sequence[float] | None = None, mask_loss: str = "bce"
) -> dict[str, Callable]:
    """Return name -> loss (outputs -> scalar).

    Args:
        class_weights: [K], of `mrcnn_class_loss`; None for all alike.
        mask_loss: Of `MASK_LOSSES`.
    """
    return {
        **COMPONENTS,
        "mrcnn_class_loss": partial(mrcnn_class_loss, class_weights=class_weights),
        "mrcnn_mask_loss": partial(mrcnn_mask_loss, kind=mask_loss),
    }
