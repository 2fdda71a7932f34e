"""RoIAlign: a fixed-size cut of a feature map inside a box of any size, without rounding.

`roi_align` cuts from one map, `pyramid_roi_align` from the level that fits each roi. Both sample
by bilinear interpolation at points that never snap to cells. Source: He et al. 2017 (Mask R-CNN),
section 3; Liu et al. 2021 sample four points a bin and take their maximum.
"""

import functools

import keras
from keras import ops

# The roi size that belongs to level 4: ImageNet crops on which backbones were trained.
CANONICAL_SIZE_PX = 224.0


def sample_positions(low, high, size, *, bins: int, samples: int, grid: str):
    """Return where one axis of each roi is sampled, in cells of its feature map.

    Args:
        low: [R], first edge of the rois, in the grid's own frame.
        high: [R], second edge.
        size: [R] or scalar, cells of the map along the axis.
        bins: Bins of the output along the axis.
        samples: Sampling points in each bin.
        grid: A key of `GRIDS`.

    Returns:
        [R, bins x samples], float32; 0 is the centre of the first cell.
    """
    size = ops.reshape(ops.cast(size, "float32"), (-1, 1))
    low, high = ops.cast(low, "float32")[:, None], ops.cast(high, "float32")[:, None]
    return GRIDS[grid](low, high, size, bins, samples)


def _corner_points(low, high, size, bins, samples):
    points = bins * samples
    steps = ops.arange(points, dtype="float32")[None] / max(points - 1, 1)
    return (low + (high - low) * steps) * (size - 1)


def _bin_points(low, high, size, bins, samples):
    # In edge coordinates the box reaches from low x (size - 1) to high x (size - 1) + 1.
    return _cell_bin_points(low * (size - 1), high * (size - 1) + 1.0, size, bins, samples)


def _cell_bin_points(low, high, size, bins, samples):
    return _points_in_bins(low - 0.5, (high - 0.5) - (low - 0.5), bins, samples)


def _unaligned_cell_bin_points(low, high, size, bins, samples):
    return _points_in_bins(low, ops.maximum(high - low, 1.0), bins, samples)


def _points_in_bins(first, length, bins, samples):
    """Centres of equal parts of each bin; added up in torchvision's order, to its last digit."""
    bin_length = length / bins
    bin_index = ops.repeat(ops.arange(bins, dtype="float32"), samples)[None]
    part = ops.tile(ops.arange(samples, dtype="float32") + 0.5, bins)[None]
    return first + bin_index * bin_length + part * bin_length / samples


# How a roi's points lie. Normalised boxes (0 and 1 are the outer cells' centres):
# "corners" puts the outer points on the box's edges, one sample a bin: matterport's
# crop-and-resize. "bins" puts the points at the centres of equal parts of each bin, a cell's
# centre being half a cell from its edge. Half-open boxes in cells of the map: "cell bins" is the
# same, torchvision's RoIAlign with aligned=True; "unaligned cell bins" is its aligned=False, half
# a cell off, and with boxes of one cell at least (Detectron's first version).
GRIDS = {
    "corners": _corner_points,
    "bins": _bin_points,
    "cell bins": _cell_bin_points,
    "unaligned cell bins": _unaligned_cell_bin_points,
}


def bilinear_gather(table, base, height, width, y, x, *, outside_is_zero: bool):
    """Interpolate maps that lie one after another in a table of cells.

    Args:
        table: [cells, C], maps flattened row by row.
        base: [R] int32, each roi's first cell.
        height: [R] int32, rows of each roi's map.
        width: [R] int32, columns of each roi's map.
        y: [R, Sy], float32, rows.
        x: [R, Sx], float32, columns.
        outside_is_zero: Points outside the outer cells' centres are 0 (crop-and-resize). Else
            they take the nearest cell's value up to one cell away, and 0 beyond (RoIAlign).

    Returns:
        [R, Sy, Sx, C], the table's dtype.
    """
    y0, y1, wy0, wy1 = _corners(y, height, outside_is_zero)
    x0, x1, wx0, wx1 = _corners(x, width, outside_is_zero)
    row0 = base[:, None] + y0 * width[:, None]
    row1 = base[:, None] + y1 * width[:, None]

    def corner(row, column, weight_y, weight_x):
        values = ops.take(table, row[:, :, None] + column[:, None, :], axis=0)
        weight = weight_y[:, :, None] * weight_x[:, None, :]
        return values * ops.cast(weight, table.dtype)[..., None]

    return (
        corner(row0, x0, wy0, wx0)
        + corner(row0, x1, wy0, wx1)
        + corner(row1, x0, wy1, wx0)
        + corner(row1, x1, wy1, wx1)
    )


def _corners(position, size, outside_is_zero):
    """Return the two cells around each position and their weights, all [R, S]."""
    last = ops.cast(size, "float32")[:, None] - 1.0
    slack = 0.0 if outside_is_zero else 1.0
    # Rounding of normalised coordinates must not push an edge of the image outside it.
    inside = (position >= -slack - 1e-4) & (position <= last + slack + 1e-4)
    position = ops.clip(position, 0.0, last)
    low = ops.floor(position)
    fraction = position - low
    low_index = ops.cast(low, "int32")
    high_index = ops.minimum(low_index + 1, size[:, None] - 1)
    weight = ops.cast(inside, "float32")
    return low_index, high_index, (1.0 - fraction) * weight, fraction * weight


def gather_bins(table, base, height, width, y, x, *, samples, pooling, outside_is_zero):
    """Interpolate each bin's sampling points and reduce them to one value.

    Arguments as `bilinear_gather`, and y, x: [R, bins x samples]. The points are reduced one after
    another, which never holds more than one of them and lets a compiler make one pass of all.

    Returns:
        [R, bins, bins, C], the table's dtype.
    """
    reduced = None
    for i in range(samples):
        for j in range(samples):
            values = bilinear_gather(
                table,
                base,
                height,
                width,
                y[:, i::samples],
                x[:, j::samples],
                outside_is_zero=outside_is_zero,
            )
            reduced = values if reduced is None else REDUCE[pooling](reduced, values)
    return reduced / samples**2 if pooling == "average" and samples > 1 else reduced


def _larger(first, second):
    """Maximum whose gradient goes to the larger value, on every backend."""
    if keras.backend.backend() != "jax":
        return ops.maximum(first, second)
    # JAX finds the larger one again by comparing with the result for equality, and XLA may have
    # rounded the two sides differently: whole gradients get lost. A choice is no such comparison.
    return ops.where(first >= second, first, second)


REDUCE = {"max": _larger, "average": ops.add}


def pyramid_roi_align(
    levels,
    rois,
    images,
    image_height: int,
    image_width: int,
    *,
    bins: int,
    samples: int,
    pooling: str,
    with_gradient: bool = True,
):
    """Cut every roi from the pyramid level that fits its size.

    Args:
        levels: List of [B, h, w, C], strides 4, 8, 16, 32.
        rois: [R, (y1, x1, y2, x2)], normalised; padding of zeros is cut too.
        images: [R] int32, the image of each roi.
        image_height: Pixels of the image.
        image_width: Pixels of the image.
        bins: Cells a side of the cut.
        samples: Sampling points a bin and side; 1 is matterport's crop-and-resize.
        pooling: "max" or "average" over a bin's points.
        with_gradient: Set it to False where none is wanted; faster on TensorFlow.

    Returns:
        [R, bins, bins, C]. No gradient reaches `rois`.

    Source: Lin et al. 2017 (FPN), eq. 1: level = 4 + log2(sqrt(h w) / 224), rounded.
    """
    rois = ops.stop_gradient(ops.cast(rois, "float32"))
    images = ops.cast(images, "int32")
    batch = ops.shape(levels[0])[0]
    level = roi_levels(rois, image_height, image_width, len(levels))

    channels = levels[0].shape[-1]
    table = ops.concatenate([ops.reshape(x, (-1, channels)) for x in levels], axis=0)
    heights = [x.shape[1] for x in levels]
    widths = [x.shape[2] for x in levels]
    first_cell, start = [], 0
    for h, w in zip(heights, widths):
        first_cell.append(start)
        start = start + batch * h * w
    height = ops.take(ops.convert_to_tensor(heights, "int32"), level)
    width = ops.take(ops.convert_to_tensor(widths, "int32"), level)
    base = ops.take(ops.cast(ops.stack(first_cell), "int32"), level) + images * height * width

    grid = "corners" if samples == 1 else "bins"
    spec = dict(bins=bins, samples=samples, grid=grid)
    y = sample_positions(rois[:, 0], rois[:, 2], height, **spec)
    x = sample_positions(rois[:, 1], rois[:, 3], width, **spec)
    return _gatherer(samples, pooling, samples == 1, with_gradient)(
        table, base, height, width, y, x
    )


def roi_levels(rois, image_height: int, image_width: int, count: int):
    """Return [R] int32: which of `count` levels, the first of stride 4, fits each roi [R, 4]."""
    y1, x1, y2, x2 = ops.unstack(rois, 4, axis=-1)
    area_px = (y2 - y1) * (x2 - x1) * float(image_height * image_width)
    size = ops.sqrt(ops.maximum(area_px, 1e-6))
    level = ops.round(4.0 + ops.log(size / CANONICAL_SIZE_PX) / ops.log(2.0))
    return ops.cast(ops.clip(level, 2.0, 1.0 + count), "int32") - 2


def roi_align(features, boxes, box_indices, *, bins: int, samples: int, pooling: str, grid: str):
    """Cut boxes from one feature map.

    Args:
        features: [B, h, w, C].
        boxes: [R, (y1, x1, y2, x2)], in the grid's frame: normalised, or in cells.
        box_indices: [R] int32, the image of each box.
        bins: Cells a side of the cut.
        samples: Sampling points a bin and side.
        pooling: "max" or "average".
        grid: A key of `GRIDS`.

    Returns:
        [R, bins, bins, C].
    """
    _, h, w, channels = features.shape
    count = ops.shape(boxes)[0]
    height = ops.full((count,), h, "int32")
    width = ops.full((count,), w, "int32")
    spec = dict(bins=bins, samples=samples, grid=grid)
    y = sample_positions(boxes[:, 0], boxes[:, 2], height, **spec)
    x = sample_positions(boxes[:, 1], boxes[:, 3], width, **spec)
    table = ops.reshape(features, (-1, channels))
    base = ops.cast(box_indices, "int32") * (h * w)
    return gather_bins(
        table,
        base,
        height,
        width,
        y,
        x,
        samples=samples,
        pooling=pooling,
        outside_is_zero=grid == "corners",
    )


@functools.cache
def _gatherer(samples: int, pooling: str, outside_is_zero: bool, with_gradient: bool):
    """Return `gather_bins` with these settings: table, base, height, width, y, x -> the cuts.

    Where no gradient is wanted, XLA makes one pass of it inside a TensorFlow graph: three to ten
    times as fast on a CPU. XLA's own gradient would be slower than TensorFlow's.
    """
    gather = functools.partial(
        gather_bins, samples=samples, pooling=pooling, outside_is_zero=outside_is_zero
    )
    if with_gradient or keras.backend.backend() != "tensorflow":
        return gather
    import tensorflow as tf

    compiled = tf.function(gather, jit_compile=True)  # traced anew for other shapes
    return lambda *arguments: (compiled if tf.inside_function() else gather)(*arguments)
