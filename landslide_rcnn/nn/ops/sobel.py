"""Sobel responses of masks, for the edge loss of Liu et al. 2021 (eqs. 2 and 3)."""

from keras import ops

# Not normalised: the response to a step from 0 to 1 along an axis is 4.
SOBEL_Y = ((1.0, 2.0, 1.0), (0.0, 0.0, 0.0), (-1.0, -2.0, -1.0))
SOBEL_X = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))


def sobel(masks):
    """Convolve masks with the two 3 x 3 Sobel kernels.

    Args:
        masks: [M, h, w], float.

    Returns:
        [M, h - 2, w - 2, (y, x)], float32. There is no padding, so a mask that is cut by its
        roi's border has no edge there.
    """
    kernel = ops.convert_to_tensor([SOBEL_Y, SOBEL_X], "float32")  # [2, 3, 3]
    kernel = ops.transpose(kernel, (1, 2, 0))[:, :, None, :]  # [3, 3, 1, 2]
    return ops.conv(ops.cast(masks, "float32")[..., None], kernel, strides=1, padding="valid")
