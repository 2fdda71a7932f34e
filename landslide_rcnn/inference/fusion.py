"""Several maps of one place -> one: what more than one saw counts once, and the largest is kept.

For results of ascending and descending orbits, of several dates or models. Polygons of different
maps that have an area in common belong together, transitively; touching at a line or a point is
not enough. Of each group only the largest polygon stays, whole and unchanged, with a note of its
source and of those that it stands for.

Source: Chen et al. 2022 (DRs-UNet), fusion of ascending and descending results. Differs: any
number of maps; groups are transitive.
"""

import itertools
import logging
from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pandas as pd

from landslide_rcnn.errors import ConfigError, GeoReferenceError
from landslide_rcnn.geo.measure import Ruler
from landslide_rcnn.geo.vector import same_crs
from landslide_rcnn.inference.pairs import components, overlapping_pairs

logger = logging.getLogger(__name__)


def fuse(maps: Sequence[gpd.GeoDataFrame], names: Sequence[str]) -> gpd.GeoDataFrame:
    """Fuse maps of one place.

    Args:
        maps: Two or more tables of valid polygons. Those in another CRS than the first are
            reprojected, with a warning.
        names: Of the maps, each once; what the column `source` says.

    Returns:
        In the first map's CRS, largest first, numbered from 1 in `id`; all columns of the maps,
        `area_m2` measured anew (`area_px` without a CRS), and

        - source: the name of the map that the polygon is from;
        - source_id: its id there, or its row, counted from 1, where there is no such column;
        - stands_for: "name:id" of the others of its group, separated by ", "; empty without any.

    Raises:
        ConfigError: There are fewer than two maps, or names that are not one each.
        GeoReferenceError: Some have a CRS and others have none.
    """
    if len(maps) < 2 or len(names) != len(maps) or len(set(names)) != len(names):
        raise ConfigError(
            "Fusing needs two maps or more, each with a name of its own. Received: "
            f"{len(maps)} maps, names {', '.join(names)}. Give each map once."
        )
    aligned = _aligned(maps, names)
    crs = aligned[0].crs
    source = np.repeat(np.arange(len(maps)), [len(table) for table in aligned])
    source_id = np.concatenate(
        [table.get("id", pd.RangeIndex(1, len(table) + 1)) for table in aligned]
    )
    shapes = np.concatenate([np.asarray(table.geometry.array, object) for table in aligned])
    areas = Ruler(crs).area_and_perimeter(shapes)[0]
    first, second = overlapping_pairs(shapes)
    between = source[first] != source[second]
    groups = components(len(shapes), first[between], second[between])
    # Largest first; of equals the one of the first map.
    order = np.argsort(-areas, kind="stable")
    kept = order[np.sort(np.unique(groups[order], return_index=True)[1])]
    labels = np.array([f"{names[s]}:{i}" for s, i in zip(source, source_id)], object)
    table = _columns(aligned).iloc[kept].reset_index(drop=True)
    table.insert(0, "id", np.arange(1, len(kept) + 1, dtype=np.int32))
    table["area_px" if crs is None else "area_m2"] = areas[kept]
    table["source"] = np.array(names, object)[source[kept]]
    table["source_id"] = source_id[kept]
    table["stands_for"] = _others(labels, groups, kept)
    return gpd.GeoDataFrame(table, geometry=gpd.GeoSeries(shapes[kept], crs=crs))


def _columns(maps: Sequence[gpd.GeoDataFrame]) -> pd.DataFrame:
    """Return the rows of all maps with all their columns, but for those that fusing makes."""
    # As objects: where a map lacks a column its rows are empty, whatever the column's type.
    rows = [pd.DataFrame(table.drop(columns=table.geometry.name)).astype(object) for table in maps]
    made = ["id", "source", "source_id", "stands_for"]
    return pd.concat(rows, ignore_index=True).infer_objects().drop(columns=made, errors="ignore")


def _others(labels: np.ndarray, groups: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return for each kept row the labels of the other members of its group, as one text."""
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    texts = [", ".join(labels[members[groups[row]][members[groups[row]] != row]]) for row in kept]
    return np.array(texts, object)


def _aligned(maps: Sequence[gpd.GeoDataFrame], names: Sequence[str]) -> list[gpd.GeoDataFrame]:
    """Bring all maps into the first one's CRS."""
    crs = maps[0].crs
    with_crs = [name for name, table in zip(names, maps) if table.crs is not None]
    if 0 < len(with_crs) < len(maps):
        raise GeoReferenceError(
            "Maps to fuse must all have a CRS, or none. Received: one for "
            f"{', '.join(with_crs)} of {', '.join(names)}. Set that of the others "
            "(QGIS: Assign Projection)."
        )
    aligned = list(maps)
    for number, name in itertools.islice(enumerate(names), 1, None):
        if crs is not None and not same_crs(aligned[number].crs, crs):
            logger.warning(
                "%s reprojected from %s to the %s of %s",
                name,
                aligned[number].crs.to_string(),
                crs.to_string(),
                names[0],
            )
            aligned[number] = aligned[number].to_crs(crs)
    return aligned
