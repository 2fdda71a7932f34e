"""RoIAlign and crop-and-resize, one point at a time."""

import numpy as np


def bilinear(feature, y, x):
    """feature [h, w, C] at one point inside it."""
    h, w, _ = feature.shape
    y0, x0 = int(np.floor(y)), int(np.floor(x))
    y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
    fy, fx = y - y0, x - x0
    return (
        feature[y0, x0] * (1 - fy) * (1 - fx)
        + feature[y0, x1] * (1 - fy) * fx
        + feature[y1, x0] * fy * (1 - fx)
        + feature[y1, x1] * fy * fx
    )


def roi_align_pixels(feature, box, bins, samples, pooling):
    """Aligned RoIAlign of a half-open pixel box (centres at half pixels)."""
    h, w, channels = feature.shape
    y1, x1, y2, x2 = box
    reduce = {"max": np.max, "average": np.mean}[pooling]
    out = np.zeros((bins, bins, channels))
    for i in range(bins):
        for j in range(bins):
            points = []
            for si in range(samples):
                for sj in range(samples):
                    y = y1 + (y2 - y1) / bins * (i + (si + 0.5) / samples) - 0.5
                    x = x1 + (x2 - x1) / bins * (j + (sj + 0.5) / samples) - 0.5
                    if y < -1 or y > h or x < -1 or x > w:
                        points.append(np.zeros(channels))
                    else:
                        y, x = np.clip(y, 0, h - 1), np.clip(x, 0, w - 1)
                        points.append(bilinear(feature, y, x))
            out[i, j] = reduce(points, axis=0)
    return out


def crop_and_resize(feature, box, bins):
    """matterport's: a normalised box, one point a bin, the outer points on the box's edges."""
    h, w, channels = feature.shape
    y1, x1, y2, x2 = box
    out = np.zeros((bins, bins, channels))
    for i in range(bins):
        for j in range(bins):
            y = (y1 + (y2 - y1) * i / (bins - 1)) * (h - 1)
            x = (x1 + (x2 - x1) * j / (bins - 1)) * (w - 1)
            if 0 <= y <= h - 1 and 0 <= x <= w - 1:
                out[i, j] = bilinear(feature, y, x)
    return out
