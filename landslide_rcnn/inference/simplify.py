"""Pixel outlines -> map polygons, simplified and smoothed without gaps or overlaps.

Between `PolygonTable` and its attributes. A landslide that stands alone is simplified ring by
ring. Landslides that touch, be it at a corner, are taken apart into arcs, the pieces of border
between two junctions; each arc is simplified and smoothed once, with its ends held, and the
polygons are put together again from the faces that the arcs enclose. So neighbours keep one
border. At the end no two polygons overlap: where moved borders of neighbours would cross, both
are done again by their arcs, which split what both claim.

The tolerance is a distance (Douglas and Peucker): no point of a border moves farther than that.
Smoothing cuts corners (Chaikin): at most a quarter of the edges that meet there, twice.

Shape letters: N outlines; P points. Units: the outlines' in pixels, the tolerance in metres.
CRS: the scene's; in degrees a tolerance is scaled to metres at each landslide.
Source: Douglas and Peucker 1973; Chaikin 1974, "An algorithm for high-speed curve generation".
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine

from landslide_rcnn.geo.measure import Ruler, scaled
from landslide_rcnn.geo.vector import repaired
from landslide_rcnn.inference.outlines import polygons_of_rings, rings_of
from landslide_rcnn.inference.pairs import components, overlapping_pairs, touching_pairs

# A landslide whose area would change by more than this share keeps its pixel outline: it is so
# small that the tolerance would make another shape of it, or nothing at all.
MAX_AREA_CHANGE = 0.1

SMOOTHING_ROUNDS = 2
# Landslides that are refined at once: all their coordinates are held several times.
CHUNK = 1000
# How often a group's arcs are done again with more of them held, before all are.
GROUP_ROUNDS = 4


@dataclass(frozen=True)
class Refined:
    """Polygons and what making them changed.

    Attributes:
        shapes: [N] polygons and multipolygons in map coordinates, valid, not overlapping.
        kept_exact: How many keep their pixel outline, because it would have changed too much.
        area_change: New area over old, all together, less 1.
    """

    shapes: np.ndarray
    kept_exact: int
    area_change: float


def refine(
    outlines: np.ndarray, transform: Affine, ruler: Ruler, tolerance_m: float, smooth: bool
) -> Refined:
    """Simplify and smooth outlines.

    Args:
        outlines: [N] polygons in pixel coordinates that do not overlap.
        transform: From pixel to map coordinates.
        ruler: Of the map's CRS.
        tolerance_m: Farthest that a border may move, metres; 0 = not simplified.
        smooth: Whether corners are cut.
    """
    outlines = np.asarray(outlines, object)
    linear = np.array([[transform.a, transform.b], [transform.d, transform.e]])
    origin = np.array([transform.c, transform.f])
    exact = _moved(outlines, linear)
    on_map = _placed(exact, origin)
    if not len(outlines) or not (tolerance_m > 0 or smooth):
        return Refined(on_map, 0, 0.0)
    step = ruler.metres_per_unit(shapely.get_coordinates(shapely.centroid(on_map)))
    work = _Refiner(tolerance_m, smooth)
    groups = components(len(outlines), *touching_pairs(outlines))
    by_arcs = np.bincount(groups)[groups] > 1
    todo = np.ones(len(outlines), bool)
    shapes, kept = exact.copy(), np.zeros(len(outlines), bool)
    while todo.any():
        for alone in _chunks(np.flatnonzero(todo & ~by_arcs)):
            metric, kept[alone], valid = work.alone(scaled(exact[alone], step[alone]))
            shapes[alone] = scaled(metric, 1 / step[alone])
            by_arcs[alone[~valid]] = True
        for members in _members(groups, todo & by_arcs):
            common = step[members].mean(axis=0)  # one scale a group: a border has one place
            metric, kept[members] = work.by_arcs(outlines[members], linear * common[:, None])
            shapes[members] = scaled(metric, np.tile(1 / common, (len(members), 1)))
        groups, todo = _conflicts(shapes, groups)
        by_arcs |= todo
    shapes = _placed(shapes, origin)
    areas = [ruler.area_and_perimeter(each)[0].sum() for each in (on_map, shapes)]
    return Refined(shapes, int(kept.sum()), float(areas[1] / areas[0] - 1))


@dataclass(frozen=True)
class _Refiner:
    """The two ways to refine shapes that are in metres."""

    tolerance_m: float
    smooth: bool

    def alone(self, exact: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Refine shapes [N] that touch nothing.

        Returns:
            shapes: [N]; the exact one where it would change too much.
            kept: [N] bool, where that is so.
            valid: [N] bool; False where the shape came out invalid.
        """
        # Simplifying by nothing at least removes the points on straight edges.
        shapes = shapely.simplify(exact, self.tolerance_m, preserve_topology=True)
        if self.smooth:
            shapes = _with_rings(shapes, _chaikin)
        valid = shapely.is_valid(shapes)
        kept = valid & _changed(exact, shapes)
        shapes[kept] = exact[kept]
        return shapes, kept, valid

    def by_arcs(self, outlines: np.ndarray, to_metres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Refine shapes [N] that may share borders, by their arcs.

        Args:
            outlines: In pixel coordinates, whose whole numbers make the arcs exact.
            to_metres: [2, 2], from pixels.

        Returns:
            shapes: [N] in metres.
            kept: [N] bool, where all arcs of the shape were held.
        """
        borders = shapely.boundary(outlines)
        arcs = shapely.get_parts(shapely.line_merge(shapely.union_all(borders)))
        # The middle of an arc's first segment lies on the borders that the arc belongs to.
        first = [shapely.get_coordinates(arc)[:2].mean(axis=0) for arc in arcs]
        on_border = shapely.STRtree(borders).query(shapely.points(first), "intersects")
        exact, arcs = _moved(outlines, to_metres), _moved(arcs, to_metres)
        kept = np.zeros(len(outlines), bool)
        for _ in range(GROUP_ROUNDS):
            held = np.zeros(len(arcs), bool)
            held[on_border[0][kept[on_border[1]]]] = True
            shapes = _enclosed(self._lines(arcs, held), exact)
            changed = ~kept & _changed(exact, shapes)
            if not changed.any():
                return shapes, kept
            kept |= changed
        return exact, np.ones(len(outlines), bool)

    def _lines(self, arcs: np.ndarray, held: np.ndarray) -> np.ndarray:
        """Return lines of refined and of held arcs."""
        # Together, so that no arc is moved across another. What is held goes in as single
        # segments: of those nothing can be left out.
        segments = [line for arc in arcs[held] for line in _segments(shapely.get_coordinates(arc))]
        together = shapely.multilinestrings([*arcs[~held], *segments])
        lines = shapely.get_parts(shapely.simplify(together, self.tolerance_m))
        if self.smooth:
            free = np.count_nonzero(~held)
            lines = np.concatenate([_chaikin(lines[:free]), lines[free:]])
        return lines


def _segments(points: np.ndarray) -> np.ndarray:
    return shapely.linestrings(np.stack([points[:-1], points[1:]], axis=1))


def _enclosed(lines: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Return what the lines enclose of each exact shape.

    Each face between the lines goes to the shape that covers most of it, or to none of them
    where most of it is outside of all. A shape that gets no face is empty.
    """
    faces = shapely.get_parts(shapely.polygonize([shapely.union_all(lines)]))
    face, shape = shapely.STRtree(exact).query(faces, "intersects")
    common = shapely.area(shapely.intersection(faces[face], exact[shape]))
    # Column 0 is the outside. A face meets few shapes: sparse.
    outside = shapely.area(faces) - np.bincount(face, common, minlength=len(faces))
    order = np.argsort(common, kind="stable")
    best, owner = np.zeros(len(faces)), np.full(len(faces), -1)
    best[face[order]], owner[face[order]] = common[order], shape[order]  # the last one stays
    owner[best <= outside] = -1
    return np.array(
        [shapely.union_all(faces[owner == index]) for index in range(len(exact))], object
    )


def _changed(exact: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Return which shapes have another area than the exact ones, by more than is allowed."""
    areas = shapely.area(exact)
    return np.abs(shapely.area(shapes) - areas) > MAX_AREA_CHANGE * areas


def _chaikin(lines: np.ndarray) -> np.ndarray:
    """Cut the corners of lines; ends are held, closed lines are cut all around."""
    for _ in range(SMOOTHING_ROUNDS):
        points, owner = shapely.get_coordinates(lines, return_index=True)
        closed = shapely.is_closed(lines)[owner]
        first = np.diff(owner, prepend=-1) > 0
        last = np.append(first[1:], True)[: len(points)]
        ahead = np.where(last[:, None], points, np.roll(points, -1, axis=0))
        # Of every edge the points at a quarter and at three quarters; of an open line's first
        # and last edge the line's ends instead.
        near = np.where((first & ~closed)[:, None], points, 0.75 * points + 0.25 * ahead)
        far = np.where(
            (np.append(last[1:], True)[: len(points)] & ~closed)[:, None],
            ahead,
            0.25 * points + 0.75 * ahead,
        )
        cut = np.stack([near, far], axis=1)[~last].reshape(-1, 2)
        cut_owner = np.repeat(owner[~last], 2)
        # A ring ends where it now begins.
        starts = np.flatnonzero(np.diff(cut_owner, prepend=-1) > 0)
        rings = starts[shapely.is_closed(lines)[cut_owner[starts]]]
        cut = np.concatenate([cut, cut[rings]])
        cut_owner = np.concatenate([cut_owner, cut_owner[rings]])
        order = np.argsort(cut_owner, kind="stable")
        lines = shapely.linestrings(cut[order], indices=cut_owner[order])
    return lines


def _with_rings(shapes: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return polygons and multipolygons with all rings changed as closed lines."""
    rings, part, owner = rings_of(shapes)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    points, ring = shapely.get_coordinates(
        change(shapely.linestrings(points, indices=ring)), return_index=True
    )
    return polygons_of_rings(shapely.linearrings(points, indices=ring), part, owner)


def _conflicts(shapes: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unite the groups whose shapes overlap; return the groups and the shapes to do again."""
    first, second = overlapping_pairs(shapes)
    other = groups[first] != groups[second]
    count = int(groups.max()) + 1
    united = components(count, groups[first[other]], groups[second[other]])
    todo = np.bincount(united[groups[first[other]]], minlength=count) > 0
    return united[groups], todo[united[groups]]


def _members(groups: np.ndarray, wanted: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the indexes of the members of each group that are wanted."""
    wanted = np.flatnonzero(wanted)
    order = wanted[np.argsort(groups[wanted], kind="stable")]
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    yield from np.split(order, starts[1:]) if len(order) else ()


def _chunks(indexes: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(indexes), CHUNK):
        yield indexes[start : start + CHUNK]


def _moved(shapes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return shapely.transform(shapes, lambda points: points @ matrix.T)


def _placed(shapes: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Add the map's origin; whatever rounding spoils is repaired."""
    shapes = shapely.transform(shapes, lambda points: points + origin)
    spoilt = ~shapely.is_valid(shapes)
    shapes[spoilt] = [repaired(shape) for shape in shapes[spoilt]]
    return shapes
