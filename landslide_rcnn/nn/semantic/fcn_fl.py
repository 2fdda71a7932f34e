"""FCN-FL: FCN with score layers at all five downsamplings of VGG16, strides 32 to 2.

The FCN-FL paper (Bijie and Shuicheng) adds the scores of 1/2 and 1/4 of the size to FCN-8s', so
that small landslides keep their outlines, and trains with focal loss (alpha 0.25, gamma 1.75);
FCN-FLK is its 5-fold cross-validation. The loss and the folds belong to the training. The paper
is silent on the width of the converted dense layers; VGG16's 4096 are kept.
"""

import keras

from landslide_rcnn.nn.semantic.fcn import build_fcn

ALL = (4, 3, 2, 1)


def build_fcn_fl(**settings) -> keras.Model:
    """Build FCN-FL. Takes what `build_fcn` does, but for `poolings`, and returns the same."""
    return build_fcn(poolings=ALL, **settings)
