"""What a map's GeoPackage says besides its landslides: the tiles, and the area that was mapped.

Used at the end of `predict_scene`. CRS: the scene's.

Shape letters: H, W pixels of the scene; h, w steps of the coarser grid the outline is drawn on.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from rasterio.windows import Window

from landslide_rcnn.geo.measure import area_m2
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.vector import polygons_of_mask, repaired
from landslide_rcnn.geo.writing import Grid

OUTLINE_MAX_SIZE = 4096  # steps on the longer side: what is drawn with
OUTLINE_MAX_CORNERS = 500_000  # speckled validity would make an outline that no GIS can draw
SIMPLIFY_STEPS = 0.5  # how far the outline may be moved, in steps
READ_PIXELS = 2**24  # of validity that is read at once


class TileRecord(NamedTuple):
    """What became of one tile.

    Attributes:
        window: Its pixels of the scene; may reach beyond it.
        state: "predicted" or "skipped" (no valid pixel), or another word of the caller's.
        candidates: Landslides that the model saw in it, before merging and filtering.
    """

    window: Window
    state: str
    candidates: int


def tiles_table(tiles: Iterable[TileRecord], grid: Scene | Grid) -> gpd.GeoDataFrame:
    """Return the layer `tiles`: one frame a tile, the part of it that lies on the scene.

    Args:
        tiles: In any order.
        grid: The scene's.

    Returns:
        row, column (of the window's first pixel), height, width (pixels), state, candidates, and
        geometry. Neighbouring tiles overlap.
    """
    tiles = list(tiles)
    corners = np.array(
        [
            (w.col_off, w.row_off, w.col_off + w.width, w.row_off + w.height)
            for w in (tile.window for tile in tiles)
        ],
        float,
    ).reshape(-1, 4)
    inside = np.clip(corners, 0, [grid.width, grid.height] * 2)
    whole = corners.astype(np.int64)
    return gpd.GeoDataFrame(
        {
            "row": whole[:, 1],
            "column": whole[:, 0],
            "height": whole[:, 3] - whole[:, 1],
            "width": whole[:, 2] - whole[:, 0],
            "state": np.array([tile.state for tile in tiles], dtype=object),
            "candidates": np.array([tile.candidates for tile in tiles], np.int64),
        },
        geometry=_to_map(shapely.box(*inside.T), grid.transform),
        crs=grid.crs,
    )


def aoi_table(scene: Scene) -> gpd.GeoDataFrame:
    """Return the layer `aoi`: the outline of the valid area, holes kept.

    Read by bands of rows; memory does not grow with the scene. Scenes of more than 4096 pixels on
    a side are outlined on a coarser grid, of which a cell belongs to the area when at least half
    of it is valid; so are those whose validity is speckled. The outline is then moved by at most
    half a step, to have fewer corners.

    Args:
        scene: The mapped one, or a raster of the map, whose nodata is the invalid part.

    Returns:
        One row: valid_pixels; area_m2 of the outline (NaN without a CRS); outline_step_px, the
        pixels of the scene a step of the outline has; geometry. No row where nothing is valid.
    """
    step = math.ceil(max(scene.height, scene.width) / OUTLINE_MAX_SIZE)
    counts = _valid_counts(scene, step)  # [h, w]
    valid_pixels = int(counts.sum())
    while True:
        area = _mostly_valid(counts, scene, step)
        if _corner_count(area) <= OUTLINE_MAX_CORNERS:
            break
        counts, step = _pairs_summed(counts), step * 2
    if valid_pixels == 0:
        outlines = []
    elif area.any():
        outlines = [_outline(area, step, scene)]
    else:  # less than half of every cell: an outline of what there is, cell by cell
        outlines = [_outline(counts > 0, step, scene)]
    geometry = gpd.GeoSeries(outlines, crs=scene.crs)
    rows = len(outlines)
    return gpd.GeoDataFrame(
        {
            "valid_pixels": np.full(rows, valid_pixels, np.int64),
            "area_m2": area_m2(geometry, scene.crs),
            "outline_step_px": np.full(rows, step, np.int64),
        },
        geometry=geometry,
    )


def _valid_counts(scene: Scene, step: int) -> np.ndarray:
    """Return [h, w] int32: the valid pixels of each cell of step x step pixels."""
    height, width = math.ceil(scene.height / step), math.ceil(scene.width / step)
    counts = np.zeros((height, width), np.int32)
    rows = max(READ_PIXELS // (scene.width * step), 1)  # of cells
    starts = np.arange(0, scene.width, step)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        # Beyond the scene nothing is valid, so the last row of cells may be read whole.
        window = Window(0, top * step, scene.width, (bottom - top) * step)
        valid = scene.read_valid(window)
        by_columns = np.add.reduceat(valid, starts, axis=1, dtype=np.int32)
        counts[top:bottom] = by_columns.reshape(bottom - top, step, width).sum(axis=1)
    return counts


def _mostly_valid(counts: np.ndarray, scene: Scene, step: int) -> np.ndarray:
    """Return [h, w] bool: the cells of which half the pixels that the scene has are valid."""
    height, width = (
        np.minimum(step, full - step * np.arange(cells)).astype(np.int32)
        for full, cells in zip((scene.height, scene.width), counts.shape, strict=True)
    )
    return 2 * counts >= np.outer(height, width)


def _pairs_summed(counts: np.ndarray) -> np.ndarray:
    """Return [ceil(h / 2), ceil(w / 2)]: the counts of cells twice as large."""
    for axis, size in enumerate(counts.shape):
        counts = np.add.reduceat(counts, np.arange(0, size, 2), axis=axis)
    return counts


def _corner_count(area: np.ndarray) -> int:
    """Return how many corners the outline of [h, w] bool has, before simplifying."""
    padded = np.pad(area, 1)
    # A corner is a point around which one or three of four cells are inside, or two diagonal ones.
    odd = padded[:-1, :-1] ^ padded[1:, :-1] ^ padded[:-1, 1:] ^ padded[1:, 1:]
    diagonal = (padded[:-1, :-1] == padded[1:, 1:]) & (padded[:-1, :-1] != padded[1:, :-1])
    diagonal &= padded[1:, :-1] == padded[:-1, 1:]
    return int(np.count_nonzero(odd)) + 2 * int(np.count_nonzero(diagonal))


def _outline(area: np.ndarray, step: int, scene: Scene) -> shapely.Geometry:
    """Return the outline of [h, w] bool in map coordinates, cut at the scene's edge."""
    outline = polygons_of_mask(area, Affine.identity())
    # In steps, before rotation and units come in; topology is preserved ring by ring.
    outline = shapely.simplify(outline, SIMPLIFY_STEPS, preserve_topology=True)
    frame = shapely.box(0, 0, scene.width / step, scene.height / step)
    outline = shapely.intersection(outline, frame)
    placed = _to_map(np.array([outline]), scene.transform * Affine.scale(step))[0]
    return placed if placed.is_valid else repaired(placed)


def _to_map(shapes: np.ndarray, transform: Affine) -> np.ndarray:
    """Return pixel geometries in map coordinates."""

    def place(points: np.ndarray) -> np.ndarray:
        x, y = transform * (points[:, 0], points[:, 1])
        return np.column_stack([x, y])

    return shapely.transform(shapes, place)
