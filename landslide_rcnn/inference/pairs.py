"""Which shapes share ground, and what they form together.

Used by `simplify.py` (borders of neighbours) and `fusion.py` (one landslide in several maps).

Shape letters: N shapes.
"""

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

INTERIORS_MEET = "T********"  # DE-9IM: the intersection has an area


def touching_pairs(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indexes of the pairs of shapes [N] that share a point, each pair once."""
    first, second = shapely.STRtree(shapes).query(shapes, "intersects")
    once = first < second
    return first[once], second[once]


def overlapping_pairs(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indexes of the pairs of polygons [N] that share an area, each pair once."""
    first, second = touching_pairs(shapes)
    overlap = shapely.relate_pattern(shapes[first], shapes[second], INTERIORS_MEET)
    return first[overlap], second[overlap]


def components(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the number [count] of the connected component of each thing.

    Args:
        count: Things.
        first, second: The indexes of those that are linked, pair by pair.
    """
    links = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    return connected_components(links, directed=False)[1]
