"""Mean, deviation and range of each band, gathered piece by piece.

Pieces are joined exactly, in any order, so that workers can share the images of a dataset and
memory does not grow with it.

Source: Chan, Golub and LeVeque 1979, joining means and squared deviations of two samples.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BandStatistics:
    """Of some pixels; all arrays are [C] float64, in the bands' own units.

    Attributes:
        count: Pixels.
        mean: Of each band; 0 without pixels.
        squares: Sum of squared differences from the mean.
        minimum: Infinity without pixels.
        maximum: Minus infinity without pixels.
    """

    count: int
    mean: np.ndarray
    squares: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray

    @property
    def deviation(self) -> np.ndarray:
        """[C] standard deviation of these pixels, as a population."""
        return np.sqrt(self.squares / max(self.count, 1))

    def joined(self, other: "BandStatistics") -> "BandStatistics":
        """Return the statistics of both together."""
        count = self.count + other.count
        share = other.count / max(count, 1)
        step = other.mean - self.mean
        return BandStatistics(
            count,
            self.mean + step * share,
            self.squares + other.squares + step**2 * self.count * share,
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
        )


def statistics_of(image: np.ndarray, valid: np.ndarray) -> BandStatistics:
    """Return the statistics of an image's usable pixels.

    Args:
        image: [H, W, C], any number type.
        valid: [H, W] bool.
    """
    pixels = image[valid].astype(np.float64)  # [P, C]
    if not len(pixels):
        nothing = np.zeros(image.shape[-1])
        return BandStatistics(0, nothing, nothing, nothing + np.inf, nothing - np.inf)
    mean = pixels.mean(axis=0)
    squares = ((pixels - mean) ** 2).sum(axis=0)
    return BandStatistics(len(pixels), mean, squares, pixels.min(axis=0), pixels.max(axis=0))
