"""Predicted and true landslides -> how many pixels each pair shares, band by band.

First step of everything that is counted in landslides: `matching` and `average_precision` take the
`Overlaps` that are made here.

An object is a set of valid pixels of the map's grid: those whose centres a polygon covers, or a
4-connected region of a mask. Both sides are taken to the grid because there the two kinds of truth
mean the same, pixels without prediction or truth can be left out of both sides, and intersections
are whole numbers: exact, and the same in bands of any height. What polygons gain beyond the grid
is less than a pixel along the border. Polygons that overlap are painted in layers, so that
each keeps all of its pixels. An object without a valid pixel is not there; one that reaches
beyond the evaluated part is there with its pixels inside.

Shape letters: h, w pixels of a window; P predicted and T true objects; E pairs of them that share
a pixel. Units: pixels, square metres on the ground.
"""

from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from rasterio.windows import Window
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from landslide_rcnn.errors import ShapeError
from landslide_rcnn.evaluation.instances import compute_shared_pixels
from landslide_rcnn.geo.vector import rasterize_instances

PAIR_BASE = 1 << 32  # a pair of ids as one number: predicted * PAIR_BASE + true


@dataclass(frozen=True)
class Overlaps:
    """The objects of a scene or an image, and which of them share pixels.

    Attributes:
        predicted_pixels: [P] int64, pixels of each predicted object.
        true_pixels: [T] int64.
        pairs: [E, (predicted, true)] int64, indices, rising.
        shared: [E] int64, pixels that the two have in common, 1 or more.
        predicted_m2: [P] float64, ground area; None where it is not known.
        true_m2: [T].
        predicted_ids: [P] int64, what each object is in its source: the row of the polygons, the
            number of the region. None: its own index.
        true_ids: [T].
    """

    predicted_pixels: np.ndarray
    true_pixels: np.ndarray
    pairs: np.ndarray
    shared: np.ndarray
    predicted_m2: np.ndarray | None = None
    true_m2: np.ndarray | None = None
    predicted_ids: np.ndarray | None = None
    true_ids: np.ndarray | None = None

    def iou(self) -> np.ndarray:
        """Return the intersection over union of each pair, [E] float64."""
        predicted, true = self.pairs.T
        union = self.predicted_pixels[predicted] + self.true_pixels[true] - self.shared
        return self.shared / union


def overlaps_of_masks(predicted_masks: np.ndarray, true_masks: np.ndarray) -> Overlaps:
    """Compare the instances of one image, which may overlap.

    Args:
        predicted_masks: [H, W, P], as of `instances.compute_overlaps_masks`.
        true_masks: [H, W, T].

    Raises:
        ShapeError: The masks are not of one height and width.
    """
    shared, predicted_pixels, true_pixels = compute_shared_pixels(predicted_masks, true_masks)
    pairs = np.argwhere(shared)
    return Overlaps(predicted_pixels, true_pixels, pairs, shared[tuple(pairs.T)])


class PolygonObjects:
    """Polygons as objects; a pixel belongs to every polygon that covers its centre.

    Args:
        polygons: In the map's CRS.
        transform: The map's.
    """

    def __init__(self, polygons: gpd.GeoDataFrame, transform: Affine) -> None:
        self._polygons, self._transform = polygons, transform
        layer_of = _layers(np.asarray(polygons.geometry.array, object))
        self._layers = [np.flatnonzero(layer_of == n) for n in range(layer_of.max(initial=-1) + 1)]

    def labels(self, window: Window) -> list[np.ndarray]:
        """Return layers [h, w] int32 of a window: 0 = no polygon, i + 1 = row i.

        One layer where polygons do not overlap; none without polygons.
        """
        return [
            rasterize_instances(self._polygons, window, self._transform, rows)
            for rows in self._layers
        ]

    def owners(self) -> np.ndarray:
        """Return what each label is in the end, [labels + 1]: itself."""
        return np.arange(len(self._polygons) + 1)


class RegionObjects:
    """The 4-connected regions of a mask as objects, while its bands stream by.

    A region that goes on in the next band has several labels until `owners` unites them.
    """

    def __init__(self) -> None:
        self._count = 0
        self._above: np.ndarray | None = None
        self._joints: list[np.ndarray] = []  # [n, 2] labels of one region

    def labels(self, mask: np.ndarray) -> list[np.ndarray]:
        """Return the one layer [h, w] int32 of the next band below: 0 = background.

        Args:
            mask: [h, w] bool, of whole rows of the evaluated part.
        """
        labels, count = ndimage.label(mask)
        labels[labels > 0] += self._count
        self._count += count
        if len(labels):
            if self._above is not None:
                touching = (self._above > 0) & (labels[0] > 0)
                joints = np.stack([self._above[touching], labels[0, touching]], axis=1)
                self._joints.append(np.unique(joints, axis=0))
            self._above = labels[-1].copy()
        return [labels]

    def owners(self) -> np.ndarray:
        """Return what each label is in the end, [labels + 1]: the number of its region, from 1.

        Regions are numbered in the order in which their first pixels come.
        """
        joints = np.concatenate([np.zeros((0, 2), int), *self._joints])
        size = self._count + 1
        links = sparse.coo_array((np.ones(len(joints), bool), tuple(joints.T)), shape=(size, size))
        _, region = csgraph.connected_components(links, directed=False)
        _, first, region = np.unique(region, return_index=True, return_inverse=True)
        number = np.empty(len(first), np.int64)
        number[np.argsort(first)] = np.arange(len(first))
        return number[region]  # the background, label 0, comes first


@dataclass
class OverlapCounter:
    """Counts the pixels of objects and of their pairs, band by band.

    Memory grows with the number of objects, and of regions' pieces in bands, not with the scene.
    """

    _pixels: tuple["_Sums", "_Sums"] = field(
        init=False, default_factory=lambda: (_Sums(np.int64), _Sums(np.int64))
    )
    _areas: tuple["_Sums", "_Sums"] = field(
        init=False, default_factory=lambda: (_Sums(np.float64), _Sums(np.float64))
    )
    _pairs: list[tuple[np.ndarray, np.ndarray]] = field(init=False, default_factory=list)
    _measured: bool = field(init=False, default=True)

    def add(
        self,
        predicted: list[np.ndarray],
        true: list[np.ndarray],
        valid_mask: np.ndarray,
        row_areas_m2: np.ndarray | None = None,
    ) -> None:
        """Count one band.

        Args:
            predicted: Layers [h, w] of labels, of `PolygonObjects` or `RegionObjects`. No label
                may be at one pixel in two layers.
            true: Likewise.
            valid_mask: [h, w] bool, True = count this pixel.
            row_areas_m2: [h], the ground area of a pixel of each row; see
                `ground.row_areas_m2`. None once: no areas at all.

        Raises:
            ShapeError: The layers are not of the mask's shape.
        """
        for layer in (*predicted, *true):
            if layer.shape != valid_mask.shape:
                raise ShapeError(
                    "Layers of labels and valid_mask must have one shape. Received: "
                    f"{layer.shape} and {valid_mask.shape}. Cut them to the same window."
                )
        self._measured &= row_areas_m2 is not None
        valid = np.ravel(valid_mask)
        for side, layers in enumerate((predicted, true)):
            for layer in layers:
                place, labels = _labelled(layer, valid)
                self._pixels[side].add(labels)
                if row_areas_m2 is not None:
                    rows = place // valid_mask.shape[1]
                    self._areas[side].add(labels, np.asarray(row_areas_m2, float)[rows])
        for layer in predicted:
            place, labels = _labelled(layer, valid)
            for other in true:
                partners = np.ravel(other)[place]
                both = partners > 0
                if both.any():
                    keys = labels[both] * np.int64(PAIR_BASE) + partners[both]
                    self._pairs.append(_count_runs(keys))

    def finish(self, predicted_owners: np.ndarray, true_owners: np.ndarray) -> Overlaps:
        """Return what was counted; objects without a counted pixel are left out.

        Args:
            predicted_owners: `owners()` of what gave the predicted labels.
            true_owners: Of what gave the true ones.
        """
        owners = predicted_owners, true_owners
        pixels = [sums.of(owner) for sums, owner in zip(self._pixels, owners, strict=True)]
        areas = [sums.of(owner) for sums, owner in zip(self._areas, owners, strict=True)]
        seen = [np.flatnonzero(each) for each in pixels]  # never 0, the background
        index = [np.searchsorted(numbers, owner) for numbers, owner in zip(seen, owners)]
        keys = np.concatenate([np.zeros(0, np.int64), *(key for key, _ in self._pairs)])
        counts = np.concatenate([np.zeros(0, np.int64), *(count for _, count in self._pairs)])
        first, second = index[0][keys // PAIR_BASE], index[1][keys % PAIR_BASE]
        keys, place = np.unique(first * PAIR_BASE + second, return_inverse=True)
        shared = np.zeros(len(keys), np.int64)
        np.add.at(shared, place, counts)
        return Overlaps(
            *(each[numbers] for each, numbers in zip(pixels, seen, strict=True)),
            np.stack([keys // PAIR_BASE, keys % PAIR_BASE], axis=1),
            shared,
            *(each[n] if self._measured else None for each, n in zip(areas, seen, strict=True)),
            *(numbers - 1 for numbers in seen),
        )


class _Sums:
    """A sum for each label, of labels that become more."""

    def __init__(self, dtype: type) -> None:
        self._values = np.zeros(1, dtype)

    def add(self, labels: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Add 1, or a weight, to each label [N] > 0."""
        if not labels.size:
            return
        first = int(labels.min())
        sums = np.bincount(labels - first, weights)  # not over the labels of earlier bands
        end = first + len(sums)
        if end > len(self._values):
            grown = np.zeros(max(end, 2 * len(self._values)), self._values.dtype)
            grown[: len(self._values)] = self._values
            self._values = grown
        self._values[first:end] += sums.astype(self._values.dtype)

    def of(self, owners: np.ndarray) -> np.ndarray:
        """Return the sum for each owner, [owners' largest + 1]."""
        sums = np.zeros(int(owners.max(initial=0)) + 1, self._values.dtype)
        count = min(len(owners), len(self._values))
        np.add.at(sums, owners[:count], self._values[:count])
        return sums


def _labelled(layer: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat indices of a layer's counted pixels, and their labels."""
    place = np.flatnonzero(layer)
    place = place[valid[place]]
    return place, np.ravel(layer)[place]


def _count_runs(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different keys and how often each comes; quick where equal ones are neighbours."""
    starts = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
    lengths = np.diff(starts, append=len(keys))
    different, place = np.unique(keys[starts], return_inverse=True)
    counts = np.zeros(len(different), np.int64)
    np.add.at(counts, place, lengths)
    return different, counts


def _layers(shapes: np.ndarray) -> np.ndarray:
    """Deal shapes [N] into layers in which none overlap: the number of each one's layer, [N]."""
    layer_of = np.zeros(len(shapes), np.int64)
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    earlier = second < first
    first, second = first[earlier], second[earlier]
    overlapping = ~shapely.touches(shapes[first], shapes[second])  # beyond a common border
    first, second = first[overlapping], second[overlapping]
    order = np.argsort(first, kind="stable")
    first, second = first[order], second[order]
    shapes_with, starts = np.unique(first, return_index=True)
    for shape, earlier_ones in zip(shapes_with, np.split(second, starts[1:])):
        taken = set(layer_of[earlier_ones].tolist())
        layer_of[shape] = next(n for n in range(len(taken) + 1) if n not in taken)
    return layer_of
