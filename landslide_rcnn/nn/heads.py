"""Heads: the RPN on every pyramid level; the box and mask heads on RoIAligned cuts.

Ren et al. 2015 (Faster R-CNN), He et al. 2017 (Mask R-CNN), with matterport's layers and names.
Third and fourth stage of `mask_rcnn.py`'s story. Shape letters: `landslide_rcnn.nn`.

The batch normalisations of the heads always use their stored statistics: the rois of an image
are no independent sample, and the padded ones are not rois at all.
"""

import keras
from keras import layers

from landslide_rcnn.nn.batch_norm import BatchNorm


def build_rpn(size: int, anchors_per_cell: int, anchor_stride: int = 1) -> keras.Model:
    """Build the RPN of one level; all levels share it.

    Args:
        size: Channels of a level. The shared convolution has twice as many.
        anchors_per_cell: Anchors at each cell.
        anchor_stride: Cells between anchors.

    Returns:
        A model from [B, h, w, size] to (logits [B, h w anchors_per_cell, (background,
        foreground)], deltas [B, h w anchors_per_cell, (dy, dx, log dh, log dw)]), float32.
    """
    level = keras.Input((None, None, size), name="input_rpn_feature_map")
    x = layers.Conv2D(
        2 * size, 3, anchor_stride, padding="same", activation="relu", name="rpn_conv_shared"
    )(level)
    logits = layers.Conv2D(2 * anchors_per_cell, 1, name="rpn_class_raw", dtype="float32")(x)
    # Small first answers: random anchors must not start as confident proposals.
    deltas = layers.Conv2D(
        4 * anchors_per_cell,
        1,
        name="rpn_bbox_pred",
        dtype="float32",
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
    )(x)
    logits = layers.Reshape((-1, 2), name="rpn_class_logits", dtype="float32")(logits)
    deltas = layers.Reshape((-1, 4), name="rpn_bbox", dtype="float32")(deltas)
    return keras.Model(level, [logits, deltas], name="rpn_model")


def build_box_head(size: int, pool_size: int, units: int, num_classes: int) -> keras.Model:
    """Build the box head.

    Args:
        size: Channels of a cut.
        pool_size: Cells a side of a cut.
        units: Of its two fully connected layers.
        num_classes: K, with the background.

    Returns:
        A model from [rois, pool_size, pool_size, size] to (class logits [rois, K], deltas
        [rois, K, (dy, dx, log dh, log dw)]), float32.
    """
    cut = keras.Input((pool_size, pool_size, size), name="roi_align_classifier")
    x = cut
    for i, kernel in ((1, pool_size), (2, 1)):
        # A fully connected layer, written as a convolution for the sake of old weight files.
        x = layers.Conv2D(units, kernel, name=f"mrcnn_class_conv{i}", **_HE)(x)
        x = _frozen_norm(f"mrcnn_class_bn{i}")(x)
        x = layers.ReLU(name=f"mrcnn_class_relu{i}")(x)
    x = layers.Reshape((units,), name="pool_squeeze")(x)
    small = keras.initializers.RandomNormal(stddev=0.01)
    logits = layers.Dense(
        num_classes, name="mrcnn_class_logits", dtype="float32", kernel_initializer=small
    )(x)
    deltas = layers.Dense(
        4 * num_classes,
        name="mrcnn_bbox_fc",
        dtype="float32",
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
    )(x)
    deltas = layers.Reshape((num_classes, 4), name="mrcnn_bbox", dtype="float32")(deltas)
    return keras.Model(cut, [logits, deltas], name="box_head")


def build_mask_head(size: int, pool_size: int, num_classes: int) -> keras.Model:
    """Build the mask head.

    Args:
        size: Channels of a cut and of its four convolutions.
        pool_size: Cells a side of a cut, 14 in the paper.
        num_classes: K, with the background.

    Returns:
        A model from [rois, pool_size, pool_size, size] to logits [rois, 2 pool_size, 2 pool_size,
        K], float32: one mask for each class.
    """
    cut = keras.Input((pool_size, pool_size, size), name="roi_align_mask")
    x = cut
    for i in (1, 2, 3, 4):
        x = layers.Conv2D(size, 3, padding="same", name=f"mrcnn_mask_conv{i}", **_HE)(x)
        x = _frozen_norm(f"mrcnn_mask_bn{i}")(x)
        x = layers.ReLU(name=f"mrcnn_mask_relu{i}")(x)
    x = layers.Conv2DTranspose(size, 2, 2, activation="relu", name="mrcnn_mask_deconv", **_HE)(x)
    logits = layers.Conv2D(num_classes, 1, name="mrcnn_mask", dtype="float32")(x)
    return keras.Model(cut, logits, name="mask_head")


_HE = dict(kernel_initializer="he_normal")


def _frozen_norm(name: str) -> BatchNorm:
    return BatchNorm(batch_statistics=False, name=name)
