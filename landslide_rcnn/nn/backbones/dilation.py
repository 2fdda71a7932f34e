"""Strides turned into dilations, so that a plain backbone's weights see finer cells.

Chen et al. 2017 (DeepLab), Yu and Koltun 2016. Used by the backbones of PSPNet and DeepLabv3+.
"""

from landslide_rcnn.errors import ShapeError


def dilate(strides: list[int], output_stride: int) -> list[tuple[int, int, int]]:
    """Keep the strides of a chain of layers up to `output_stride`, and dilate what follows.

    Args:
        strides: Of the plain network's layers, in order, each 1 or 2.
        output_stride: Pixels a cell of the last layer may stand for.

    Returns:
        For each layer its stride, the dilation of what it takes in, and of what it gives out. A
        layer that loses its stride is itself dilated by the former.

    Raises:
        ShapeError: `output_stride` is none of 8, 16 and 32.
    """
    if output_stride not in (8, 16, 32):
        raise ShapeError(
            "The stride of a backbone's last features must be 8, 16 or 32. Received: "
            f"{output_stride}. Use one of these."
        )
    rows, reached, dilation = [], 1, 1
    for stride in strides:
        before = dilation
        if reached * stride <= output_stride:
            reached *= stride
            rows.append((stride, before, before))
        else:
            dilation *= stride
            rows.append((1, before, dilation))
    return rows
