"""Grids of overlapping tiles over a scene.

The scene's size -> windows that training cuts and that `inference/` predicts. Windows are
rasterio's (offsets and sizes in pixels of the scene).
"""

from rasterio.windows import Window

from landslide_rcnn.errors import ConfigError


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
