"""Heads: the box and mask heads on RoIAligned cuts.

Ren et al. 2015 (Faster R-CNN), He et al. 2017 (Mask R-CNN), with matterport's layers and names.
Fourth stage of `mask_rcnn.py`'s story. Shape letters: `landslide_rcnn.nn`.

The batch normalisations of the heads always use their stored statistics: the rois of an image
are no independent sample, and the padded ones are not rois at all.
"""

import keras
from keras import layers, ops

from landslide_rcnn.nn.batch_norm import BatchNorm
from landslide_rcnn.nn.conv_norm import ConvNorm, feature_input
from landslide_rcnn.nn.matrix_conv import MatrixConv2D

USUAL_ROIS = 256  # that a head is given at once; see `ConvNorm`


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
    cut = feature_input((pool_size, pool_size, size), name="roi_align_classifier")
    x = cut
    for i, kernel in ((1, pool_size), (2, 1)):
        # A fully connected layer, written as a convolution for the sake of old weight files.
        convolution = MatrixConv2D(units, kernel, name=f"mrcnn_class_conv{i}", **_HE)
        x = ConvNorm(convolution, _frozen_norm(f"mrcnn_class_bn{i}"), rows=USUAL_ROIS)(x)
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
    cut = feature_input((pool_size, pool_size, size), name="roi_align_mask")
    x = cut
    for i in (1, 2, 3, 4):
        convolution = layers.Conv2D(size, 3, padding="same", name=f"mrcnn_mask_conv{i}", **_HE)
        x = ConvNorm(convolution, _frozen_norm(f"mrcnn_mask_bn{i}"), rows=USUAL_ROIS)(x)
        x = layers.ReLU(name=f"mrcnn_mask_relu{i}")(x)
    x = layers.Conv2DTranspose(size, 2, 2, activation="relu", name="mrcnn_mask_deconv", **_HE)(x)
    logits = layers.Conv2D(num_classes, 1, name="mrcnn_mask")(x)
    logits = layers.Activation("linear", name="mrcnn_mask_logits", dtype="float32")(logits)
    return keras.Model(cut, logits, name="mask_head")


def own_class_masks(logits, class_ids):
    """Pick each mask's own class: logits [P, h, w, K], class_ids [P] int -> [P, h, w] float32."""
    own = ops.one_hot(class_ids, logits.shape[-1], dtype="float32")
    return ops.sum(ops.cast(logits, "float32") * own[:, None, None, :], axis=-1)


_HE = dict(kernel_initializer="he_normal")


def _frozen_norm(name: str) -> BatchNorm:
    return BatchNorm(batch_statistics=False, name=name)
