"""Several landslide maps -> one inventory: `landslide-rcnn fuse`."""

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd

from landslide_rcnn.files import refuse_to_overwrite
from landslide_rcnn.geo.vector import DEFAULT_LAYER, read_polygons, write_polygons
from landslide_rcnn.inference.fusion import fuse


def fuse_files(
    paths: Sequence[str | Path], output: str | Path, *, overwrite: bool = False
) -> gpd.GeoDataFrame:
    """Fuse the landslides of several results, such as those of ascending and descending orbits.

    Polygons of different files that have an area in common count once; see `inference.fusion`.

    Args:
        paths: Two or more vector files of polygons.
        output: A GeoPackage, in the first file's CRS.
        overwrite: Replace a result that is there.

    Returns:
        What was written. `source` says the file of each landslide: its name without ending, or
        its whole path where two files have the same name.

    Raises:
        OutputExistsError: The result is there and `overwrite` is not set.
        RasterError, DatasetError: A file cannot be used.
        ConfigError: There are fewer than two files, or one of them twice.
        GeoReferenceError: Some have a CRS and others have none.
    """
    refuse_to_overwrite(output, overwrite=overwrite)
    paths = [Path(path) for path in paths]
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    fused = fuse([read_polygons(path, allow_empty=True) for path in paths], names)
    write_polygons(fused, output, DEFAULT_LAYER)
    return fused
