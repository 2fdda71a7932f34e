"""Grids of overlapping tiles over a scene, and what counts as a landslide in a tile.

The scene's size -> windows that training cuts and that `inference/` predicts. Windows are
rasterio's (offsets and sizes in pixels of the scene).

Shape letters: N landslides near a tile.
"""

from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window

from landslide_rcnn.errors import ConfigError

MIN_LANDSLIDE_PIXELS = 10  # smaller connected pieces are drawing accidents or slivers at an edge

# What the pixels of a landslide are in a tile where it is no instance: background, or a crowd,
# which is neither landslide nor background to training and to scores.
LEFT_OUT = ("background", "crowd")


@dataclass(frozen=True)
class InstanceRules:
    """Which landslides are instances of a tile, and what becomes of the others.

    Attributes:
        min_pixels: Of the part in the tile.
        min_area_m2: Of the whole landslide, on the ground.
        min_share: Of the part in the tile, for landslides that the tile's edge cuts: its share of
            the landslide or, for landslides larger than a tile, of the tile. 0 keeps every part.
        left_out: Of `LEFT_OUT`.

    Raises:
        ConfigError: A limit is negative, or there is no such `left_out`.
    """

    min_pixels: int = MIN_LANDSLIDE_PIXELS
    min_area_m2: float = 0.0
    min_share: float = 0.0
    left_out: str = "background"

    def __post_init__(self) -> None:
        if self.min_pixels < 0 or self.min_area_m2 < 0 or not 0 <= self.min_share <= 1:
            raise ConfigError(
                "Limits of landslides must not be negative, and a share at most 1. Received: "
                f"min_pixels={self.min_pixels}, min_area_m2={self.min_area_m2}, "
                f"min_share={self.min_share}. Use 0 for none."
            )
        if self.left_out not in LEFT_OUT:
            raise ConfigError(
                f"What is no instance is one of {', '.join(LEFT_OUT)}. Received: left_out="
                f"{self.left_out!r}. Use one of these."
            )

    def kept(
        self,
        pixels: np.ndarray,
        whole_pixels: np.ndarray,
        area_m2: np.ndarray,
        is_cut: np.ndarray,
        tile_pixels: int,
    ) -> np.ndarray:
        """Return [N] bool: which landslides are instances of a tile.

        Args:
            pixels: [N] of the parts in the tile.
            whole_pixels: [N] of the whole landslides.
            area_m2: [N] of the whole landslides.
            is_cut: [N] bool.
            tile_pixels: Of the tile.
        """
        share = np.where(is_cut, pixels / np.maximum(np.minimum(whole_pixels, tile_pixels), 1), 1)
        large = (pixels >= max(self.min_pixels, 1)) & (area_m2 >= self.min_area_m2)
        return large & (share >= self.min_share)


def tile_grid(height: int, width: int, tile_size: int, overlap: int) -> list[Window]:
    """Cover a scene with square tiles of one size.

    Tiles advance by `tile_size - overlap`; the last row and the last column move back to end at
    the scene's edge, so that they overlap their neighbours by more rather than reach beyond.
    Along a side shorter than a tile there is one tile, which starts at 0 and reaches beyond.

    Args:
        height: Of the scene, pixels.
        width: Of the scene, pixels.
        tile_size: Side of a tile, pixels.
        overlap: Of neighbouring tiles, pixels; 0 <= overlap < tile_size.

    Returns:
        The windows, row by row from the top, each row from the left.

    Raises:
        ConfigError: A size is not positive, or the overlap leaves no step.
    """
    if height < 1 or width < 1 or tile_size < 1:
        raise ConfigError(
            "A scene and its tiles must be at least 1 px wide and high. Received: "
            f"scene {height} x {width}, tile_size={tile_size}. Use a positive size."
        )
    if not 0 <= overlap < tile_size:
        raise ConfigError(
            "The overlap of tiles must be at least 0 and less than a tile. Received: "
            f"overlap={overlap}, tile_size={tile_size}. Use overlap={tile_size // 4}."
        )
    rows = _starts(height, tile_size, tile_size - overlap)
    columns = _starts(width, tile_size, tile_size - overlap)
    return [Window(column, row, tile_size, tile_size) for row in rows for column in columns]


def _starts(length: int, tile_size: int, step: int) -> list[int]:
    """Return where tiles start along one side of a scene."""
    last = max(length - tile_size, 0)
    return [*range(0, last, step), last]
