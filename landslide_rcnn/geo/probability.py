"""How probabilities lie in a raster: as percent in one byte, or as float32; one reader for both.

Written by `inference/`, read by `evaluation/` and the pictures. Percent are rounded down, not to
the nearest: so `percent >= 50` holds exactly where `probability >= 0.5` does, and the same for
every threshold of a whole percent. A threshold between two of them cannot be told from percent:
`mask.tif` says where it was reached.

Shape letters: h, w pixels of a window.
Units: probabilities in [0, 1], NaN = invalid; percent 0 to 100, 255 = invalid.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rasterio.windows import Window

from landslide_rcnn.errors import RasterError, ShapeError
from landslide_rcnn.geo.opening import open_raster
from landslide_rcnn.geo.raster import Scene

PERCENT_NODATA = 255
PERCENT_SCALE = 0.01
ROUNDING = 1e-5  # by which blending may leave [0, 1]

# The probability of each percent, as float32: where a map is made, a threshold is compared as
# float32 too, so that both comparisons agree to the last bit.
_PROBABILITIES = (np.arange(101) / 100).astype(np.float32)


def encode_percent(probability: np.ndarray) -> np.ndarray:
    """Return whole percent, rounded down.

    Args:
        probability: [h, w] float, in [0, 1]; NaN = invalid.

    Returns:
        [h, w] uint8; the largest n with `probability >= n / 100` (as float32), 255 = invalid.

    Raises:
        ShapeError: A value lies outside [0, 1].
    """
    probability = np.asarray(probability, np.float32)
    valid = ~np.isnan(probability)
    known = np.where(valid, probability, 0)
    if known.size and not (known.min() >= -ROUNDING and known.max() <= 1 + ROUNDING):
        raise ShapeError(
            "Probabilities must lie in [0, 1]. "
            f"Received: values from {known.min()} to {known.max()}. Scale them first."
        )
    percent = np.clip(known * 100, 0, 100).astype(np.uint8)
    # The product is rounded: it may have reached the next percent, or missed its own.
    percent -= known < np.where(percent > 0, _PROBABILITIES[percent], -1)
    percent += (percent < 100) & (known >= _PROBABILITIES[np.minimum(percent + 1, 100)])
    return np.where(valid, percent, np.uint8(PERCENT_NODATA))


def decode_percent(percent: np.ndarray) -> np.ndarray:
    """Return probabilities: the inverse of `encode_percent` up to the rounding down.

    Args:
        percent: [h, w] uint8.

    Returns:
        [h, w] float32; NaN where percent is above 100, which is no percentage.
    """
    table = np.full(256, np.nan, np.float32)
    table[:101] = _PROBABILITIES
    return table[percent]


class ProbabilityKind(NamedTuple):
    """One way to store probabilities.

    Attributes:
        raster: Keyword arguments of `RasterWriter`.
        encode: From float probabilities (NaN = invalid) to what is written.
    """

    raster: dict[str, Any]
    encode: Callable[[np.ndarray], np.ndarray]


_NAMED = {"descriptions": ("landslide probability",), "unit": "1"}

PROBABILITY_KINDS = {
    "percent": ProbabilityKind(
        {
            "dtype": "uint8",
            "nodata": PERCENT_NODATA,
            "scale": PERCENT_SCALE,
            "tags": {
                "VALUES": "landslide probability in percent, 0 to 100, rounded down: a value of n "
                "or more means a probability of n/100 or more; 255 = no data"
            },
            **_NAMED,
        },
        encode_percent,
    ),
    "float32": ProbabilityKind(
        {
            "dtype": "float32",
            "nodata": float("nan"),
            "tags": {"VALUES": "landslide probability, 0 to 1; NaN = no data"},
            **_NAMED,
        },
        lambda probability: np.asarray(probability, np.float32),
    ),
}


class ProbabilityMap:
    """A probability raster of either kind, open to read; a context manager.

    Args:
        path: A raster of one band, as `PROBABILITY_KINDS` describes them.

    Attributes:
        scene: Its grid.
        steps: Thresholds that its values can tell apart: 100 for percent, else None.

    Raises:
        RasterError: It is missing, unreadable, or not of one of the kinds.
    """

    def __init__(self, path: str | Path) -> None:
        with closing(open_raster(path)) as dataset:
            found = dataset.count, dataset.dtypes[0], dataset.scales[0]
        kinds = {(1, "uint8", PERCENT_SCALE): 100, (1, "float32", 1.0): None}
        if found not in kinds:
            raise RasterError(
                "A probability raster must hold one band of uint8 percent with scale 0.01, or of "
                f"float32. Received: {path} with {found[0]} bands of {found[1]}, scale "
                f"{found[2]:g}. Name the probability.tif of a map."
            )
        self.steps = kinds[found]
        self.scene = Scene(path, allow_no_crs=True)

    def read(self, window: Window) -> np.ndarray:
        """Return [h, w] float32 in [0, 1]; NaN where the map is invalid, and beyond it."""
        values = self.scene.read(window)[..., 0]
        probability = values if self.steps is None else decode_percent(values)
        return np.where(self.scene.read_valid(window), probability, np.float32("nan"))

    def close(self) -> None:
        """Close the file."""
        self.scene.close()

    def __enter__(self) -> "ProbabilityMap":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
