"""Where a map is right and where it errs: `error_map.tif` and `error_map.png`.

Written by `maps.evaluate_map` while it counts, band by band. In the papers' colours: green is a
landslide that was found, red one that was missed, blue a false alarm; background that is called
so stays empty.

Shape letters: H, W pixels of the map; h, w pixels of a window or of the picture.
CRS: the map's.
"""

import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image
from rasterio.windows import Window

from landslide_rcnn.files import atomic_path
from landslide_rcnn.geo.cog import write_cog
from landslide_rcnn.geo.raster import Scene
from landslide_rcnn.geo.source import overview_size
from landslide_rcnn.geo.writing import RasterWriter
from landslide_rcnn.palette import CORRECT_COLOR, FALSE_COLOR, MISSED_COLOR, rgb_of

ERROR_MAP_NAME, ERROR_PICTURE_NAME = "error_map.tif", "error_map.png"
PICTURE_MAX_SIZE = 2048  # pixels of the longer side

# What the pixels of the raster are.
BACKGROUND, CORRECT, MISSED, FALSE, NOT_JUDGED = 0, 1, 2, 3, 255

# (red, green, blue, alpha); a TIFF's colours have no alpha.
ERROR_COLORS = {
    BACKGROUND: (255, 255, 255, 0),
    NOT_JUDGED: (128, 128, 128, 96),
    CORRECT: (*rgb_of(CORRECT_COLOR), 255),
    MISSED: (*rgb_of(MISSED_COLOR), 255),
    FALSE: (*rgb_of(FALSE_COLOR), 255),
}
# What a pixel of a smaller picture shows is the first of these that lies in it: errors are not
# drawn smaller than they are, and a missed landslide is the worse one.
PRECEDENCE = (MISSED, FALSE, CORRECT, BACKGROUND, NOT_JUDGED)


def verdicts(predicted: np.ndarray, truth: np.ndarray, valid_mask: np.ndarray) -> np.ndarray:
    """Return [h, w] uint8: BACKGROUND, CORRECT, MISSED, FALSE or, where not valid, NOT_JUDGED.

    Args:
        predicted: [h, w] bool.
        truth: [h, w] bool.
        valid_mask: [h, w] bool, True = judged.
    """
    # Indexed by 2 * predicted + truth.
    table = np.array([BACKGROUND, MISSED, FALSE, CORRECT], np.uint8)
    kinds = table[2 * predicted.astype(np.uint8) + truth]
    return np.where(valid_mask, kinds, np.uint8(NOT_JUDGED))


class ErrorMap:
    """Both files of a map, in the making; a context manager.

    They appear in their folder when the block ends without an error.

    Args:
        folder: Gets both files; made if it is missing.
        scene: A raster of the map, for its grid.
    """

    def __init__(self, folder: str | Path, scene: Scene) -> None:
        self._folder, self._scene = Path(folder), scene
        size = overview_size(scene.height, scene.width, PICTURE_MAX_SIZE)
        self._factor = size[2]
        self._ranks = np.full(size[:2], PRECEDENCE.index(NOT_JUDGED), np.uint8)

    def __enter__(self) -> "ErrorMap":
        self._folder.mkdir(parents=True, exist_ok=True)
        self._work = tempfile.TemporaryDirectory(prefix=".partial-", dir=self._folder)
        self._work_path = Path(self._work.name) / ERROR_MAP_NAME
        self._writer = RasterWriter(
            self._work_path,
            like=self._scene,
            dtype="uint8",
            nodata=NOT_JUDGED,
            colormap={value: (*color[:3], 255) for value, color in ERROR_COLORS.items()},
            descriptions=("verdict",),
            tags={
                "VALUES": "0 = background, called so; 1 = landslide, found (correct); 2 = "
                "landslide, missed; 3 = background, called landslide (false); 255 = not judged"
            },
        ).__enter__()
        return self

    def write(
        self, window: Window, predicted: np.ndarray, truth: np.ndarray, valid_mask: np.ndarray
    ) -> None:
        """Write a band: [h, w] bool each, of a window inside the map."""
        kinds = verdicts(predicted, truth, valid_mask)
        self._writer.write(kinds, window)
        ranks = np.full(256, len(PRECEDENCE) - 1, np.uint8)
        ranks[list(PRECEDENCE)] = np.arange(len(PRECEDENCE))
        rows, columns = (
            np.minimum((np.arange(start, start + count) / self._factor).astype(int), size - 1)
            for start, count, size in zip(
                (window.row_off, window.col_off), kinds.shape, self._ranks.shape, strict=True
            )
        )
        # Rows and columns of the picture rise with those of the map: each is a run of them.
        first_row, first_column = (np.flatnonzero(np.diff(a, prepend=-1)) for a in (rows, columns))
        best = np.minimum.reduceat(ranks[kinds], first_row, axis=0)
        best = np.minimum.reduceat(best, first_column, axis=1)
        part = np.ix_(rows[first_row], columns[first_column])
        self._ranks[part] = np.minimum(self._ranks[part], best)

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._writer.__exit__(error_type, error, traceback)
            if error_type is None:
                write_cog(self._work_path, self._folder / ERROR_MAP_NAME, "classes")
                self._write_picture()
        finally:
            self._work.cleanup()

    def _write_picture(self) -> None:
        colors = np.array([ERROR_COLORS[value] for value in PRECEDENCE], np.uint8)
        with atomic_path(self._folder / ERROR_PICTURE_NAME) as partial:
            Image.fromarray(colors[self._ranks]).save(partial)
