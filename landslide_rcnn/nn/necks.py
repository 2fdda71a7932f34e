"""Necks: C2..C5 -> P2..P6 (top-down) -> N2..N6 (bottom-up).

Lin et al. 2017 (FPN) and the improved FPN of Liu et al. 2021 (eq. 1, Figure 4). Second stage of
`mask_rcnn.py`'s story. Shape letters: `landslide_rcnn.nn`.
"""

import keras
from keras import layers

from landslide_rcnn.errors import ShapeError
from landslide_rcnn.nn.conv_norm import feature_input


def build_fpn(channels: dict[str, int], size: int) -> keras.Model:
    """Build the top-down pyramid.

    Args:
        channels: {"C2": channels, .., "C5": channels}.
        size: Channels of every level that comes out.

    Returns:
        A model from {"C2": [B, H/4, W/4, *], ..} to {"P2": [B, H/4, W/4, size], .., "P6": [B,
        H/64, W/64, size]}. H and W must be multiples of 64.

    Raises:
        ShapeError: `channels` does not name C2 to C5.
    """
    names = ["C2", "C3", "C4", "C5"]
    if sorted(channels) != names:
        raise ShapeError(
            f"An FPN needs the levels C2, C3, C4, C5. Received: {', '.join(sorted(channels))}. "
            "Use a backbone that emits them."
        )
    c = {name: feature_input((None, None, channels[name]), name=name) for name in names}
    merged = {5: layers.Conv2D(size, 1, name="fpn_c5p5")(c["C5"])}
    for i in (4, 3, 2):
        above = layers.UpSampling2D(2, name=f"fpn_p{i + 1}upsampled")(merged[i + 1])
        lateral = layers.Conv2D(size, 1, name=f"fpn_c{i}p{i}")(c[f"C{i}"])
        merged[i] = layers.Add(name=f"fpn_p{i}add")([above, lateral])
    p = {
        f"P{i}": layers.Conv2D(size, 3, padding="same", name=f"fpn_p{i}")(merged[i])
        for i in (2, 3, 4, 5)
    }
    p["P6"] = layers.MaxPooling2D(1, 2, name="fpn_p6")(p["P5"])
    return keras.Model(c, p, name="fpn")


def build_bottom_up_path(size: int) -> keras.Model:
    """Build the bottom-up path: N2 = P2; N(i+1) = conv3x3(conv3x3/2(N(i)) + P(i+1)).

    Args:
        size: Channels of the levels, in and out.

    Returns:
        A model from {"P2": [B, H/4, W/4, size], .., "P6"} to {"N2", .., "N6"} of the same shapes.

    Source: Liu et al. 2021, eq. 1, which has no activation between the convolutions, and none is
    added here. PANet (Liu et al. 2018) puts a ReLU after each.
    """
    p = {i: feature_input((None, None, size), name=f"P{i}") for i in range(2, 7)}
    n = {2: p[2]}
    for i in range(3, 7):
        down = layers.Conv2D(size, 3, 2, padding="same", name=f"fpn_n{i}_down")(n[i - 1])
        added = layers.Add(name=f"fpn_n{i}_add")([down, p[i]])
        n[i] = layers.Conv2D(size, 3, padding="same", name=f"fpn_n{i}")(added)
    return keras.Model(
        {f"P{i}": p[i] for i in p}, {f"N{i}": n[i] for i in n}, name="bottom_up_path"
    )
