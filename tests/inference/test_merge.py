"""Uniting candidates while tiles stream by, against whole-scene twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from landslide_rcnn.data.tiles import tile_grid
from landslide_rcnn.inference.candidates import Candidate, PackedMask, candidates_of
from landslide_rcnn.inference.merge import InstanceMerger
from landslide_rcnn.prediction import Instances, TilePrediction
from tests.reference import merging

BAND = 4


def run_merger(mask, probability, tile_size, overlap, candidates_in):
    """Feed all tiles of a scene; return the merger and the results.

    A result is (pixels, score, class_id, tiles that saw it).

    Args:
        mask: [H, W] bool, the final mask.
        probability: [H, W].
        candidates_in: window -> list of candidates.
    """
    height, width = mask.shape
    merger = InstanceMerger(tile_size + BAND, width)
    merged, done = [], 0

    def close(row_end):
        merged.extend(merger.close_band(mask[done:row_end], probability[done:row_end]))

    for window in tile_grid(height, width, tile_size, overlap):
        while done + BAND <= window.row_off:
            close(done + BAND)
            done += BAND
        merger.add_tile(window, candidates_in(window))
    while done < height:
        row_end = min(done + BAND, height)
        close(row_end)
        done = row_end
    merged += merger.finish()
    found = []
    for each in merged:
        pixels = set()
        for part in each.parts:
            y1, x1 = part.box[:2]
            pixels |= {(y + y1, x + x1) for y, x in merging.pixels_of(part.cut(part.box))}
        assert len(pixels) == each.pixel_count  # parts have none in common
        assert each.box == (
            min(y for y, _ in pixels),
            min(x for _, x in pixels),
            max(y for y, _ in pixels) + 1,
            max(x for _, x in pixels) + 1,
        )
        found.append((pixels, each.score, each.class_id, each.tile_count))
    return merger, found


def inside(window, y, x):
    """Whether a pixel lies in a window."""
    return (
        window.row_off <= y < window.row_off + window.height
        and window.col_off <= x < window.col_off + window.width
    )


def regions_as_instances(mask, window) -> list[Candidate]:
    """What a detector that cannot err says: each 4-connected region inside the tile."""
    tile = np.zeros((window.height, window.width), bool)
    seen = mask[window.row_off :, window.col_off :][: window.height, : window.width]
    tile[: seen.shape[0], : seen.shape[1]] = seen
    labels, count = ndimage.label(tile)
    boxes = [
        (rows.start, cols.start, rows.stop, cols.stop)
        for rows, cols in ndimage.find_objects(labels)
    ]
    instances = Instances(
        np.array(boxes, np.int32).reshape(-1, 4),
        np.full(count, 0.9, np.float32),
        np.ones(count, np.int32),
        tuple(
            (labels[y1:y2, x1:x2] == index + 1).astype(np.float32)
            for index, (y1, x1, y2, x2) in enumerate(boxes)
        ),
    )
    everywhere = np.ones(tile.shape, bool)
    return candidates_of(
        TilePrediction(tile.astype(np.float32), instances), everywhere, window, 0.5
    )


@st.composite
def scenes(draw):
    """(mask, tile_size, overlap): coarse blobs, so that regions cross many tiles."""
    tile_size = draw(st.integers(2, 9))
    overlap = draw(st.integers(1, tile_size - 1))
    height, width = draw(st.integers(1, 22)), draw(st.integers(1, 22))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    block = draw(st.integers(1, 3))
    coarse = rng.random((height, width)) < draw(st.floats(0.2, 0.8))
    mask = np.kron(coarse, np.ones((block, block), bool)).astype(bool)[:height, :width]
    return mask, tile_size, overlap


@settings(max_examples=100, deadline=None)
@given(scenes())
def test_a_perfect_detector_gives_the_connected_regions_of_the_scene(scene):
    mask, tile_size, overlap = scene
    _, found = run_merger(
        mask,
        mask.astype(np.float32),
        tile_size,
        overlap,
        lambda window: regions_as_instances(mask, window),
    )
    expected = merging.connected_regions(mask)
    assert sorted(map(sorted, (each[0] for each in found))) == sorted(map(sorted, expected))
    assert all(score == pytest.approx(0.9) for _, score, _, _ in found)


@settings(max_examples=100, deadline=None)
@given(scenes(), st.integers(0, 2**32 - 1))
def test_without_instances_the_regions_of_the_mask_come_out(scene, seed):
    mask, tile_size, overlap = scene
    probability = np.random.default_rng(seed).random(mask.shape).astype(np.float32)
    merger, found = run_merger(mask, probability, tile_size, overlap, lambda window: [])
    expected = {
        tuple(sorted(region)): np.mean([probability[pixel] for pixel in region])
        for region in merging.connected_regions(mask)
    }
    assert {tuple(sorted(each[0])) for each in found} == set(expected)
    windows = list(tile_grid(*mask.shape, tile_size, overlap))
    for pixels, score, class_id, tiles in found:
        assert score == pytest.approx(expected[tuple(sorted(pixels))], abs=1e-5)
        assert class_id == 1
        assert tiles == sum(any(inside(window, *pixel) for pixel in pixels) for window in windows)
    assert merger.dissolved_count == 0


def random_candidates(rng, window, height, width) -> list[Candidate]:
    """Blobs with holes anywhere in the tile, of two classes, that contradict each other."""
    candidates = []
    bottom = min(window.row_off + window.height, height)
    right = min(window.col_off + window.width, width)
    for _ in range(rng.integers(0, 4)):
        y1, x1 = rng.integers(window.row_off, bottom), rng.integers(window.col_off, right)
        shape = rng.integers(1, bottom - y1 + 1), rng.integers(1, right - x1 + 1)
        hits = rng.random(shape) < 0.8
        hits[rng.integers(shape[0]), rng.integers(shape[1])] = True
        mask = PackedMask.pack(hits, y1, x1)
        top, left = mask.box[0], mask.box[1]
        evidence = rng.choice(
            np.linspace(0.5, 1, 9, dtype=np.float32), (mask.box[2] - top, mask.box[3] - left)
        )
        score, class_id = float(rng.integers(1, 10)) / 10, int(rng.integers(1, 3))
        candidates.append(Candidate(mask, evidence, score, class_id))
    return candidates


@settings(max_examples=100, deadline=None)
@given(scenes(), st.integers(0, 2**32 - 1))
def test_contradicting_candidates_are_merged_as_by_the_slow_twin(scene, seed):
    mask, tile_size, overlap = scene
    height, width = mask.shape
    rng = np.random.default_rng(seed)
    probability = rng.random(mask.shape).astype(np.float32)
    tiles = []

    def candidates_in(window):
        candidates = random_candidates(rng, window, height, width)
        plain = []
        for each in candidates:
            top, left = each.mask.box[:2]
            inside = merging.pixels_of(each.mask.cut(each.mask.box))
            evidence = {(y + top, x + left): each.evidence[y, x] for y, x in inside}
            plain.append({"evidence": evidence, "score": each.score, "class_id": each.class_id})
        rows = range(window.row_off, window.row_off + window.height)
        cols = range(window.col_off, window.col_off + window.width)
        tiles.append(({(y, x) for y in rows for x in cols}, plain))
        return candidates

    merger, found = run_merger(mask, probability, tile_size, overlap, candidates_in)
    expected = merging.merge_candidates(tiles, mask, probability)
    found.sort(key=lambda each: sorted(each[0]))
    expected.sort(key=lambda each: sorted(each[0]))
    assert [each[0] for each in found] == [each[0] for each in expected]
    assert [each[2] for each in found] == [each[2] for each in expected]
    assert [each[3] for each in found] == [each[3] for each in expected]
    np.testing.assert_allclose([each[1] for each in found], [each[1] for each in expected], 1e-5)
    # Disjoint, and together the mask: polygons and mask raster tell one story.
    assert sum(len(each[0]) for each in found) == mask.sum()
    assert set().union(*(each[0] for each in found)) == merging.pixels_of(mask)


def candidate(mask, row_off, col_off, score=0.9, evidence=None, class_id=1) -> Candidate:
    kept = PackedMask.pack(np.asarray(mask, bool), row_off, col_off)
    return Candidate(kept, np.full(np.shape(mask), evidence or score, np.float32), score, class_id)


def merged_single_tile(*candidates, size=8):
    mask = np.zeros((size, size), bool)
    for each in candidates:
        each.mask.paint(mask, 0, 0)
    return run_merger(mask, mask.astype(np.float32), size, 1, lambda window: list(candidates))


def test_a_landslide_larger_than_many_tiles_is_one():
    """A ring over the whole scene, 36 tiles; its hole stays a hole."""
    mask = np.zeros((40, 40), bool)
    mask[2:38, 2:38] = True
    mask[10:30, 10:30] = False
    _, found = run_merger(
        mask, mask.astype(np.float32), 8, 2, lambda window: regions_as_instances(mask, window)
    )
    ((pixels, score, _, tiles),) = found
    assert pixels == merging.pixels_of(mask)
    assert score == pytest.approx(0.9)
    # 7 x 7 tiles of 8, one every 6 pixels; the four at 12 and 18 lie wholly in the hole.
    assert tiles == 49 - 4


def test_landslides_that_touch_at_a_corner_stay_two():
    mask = np.zeros((12, 12), bool)
    mask[1:6, 1:6] = mask[6:11, 6:11] = True
    _, found = run_merger(
        mask, mask.astype(np.float32), 8, 4, lambda window: regions_as_instances(mask, window)
    )
    assert sorted(len(each[0]) for each in found) == [25, 25]


def test_duplicates_and_nested_detections_of_one_tile_collapse():
    whole = candidate(np.ones((6, 6)), 1, 1, score=0.9)
    shifted = candidate(np.ones((6, 5)), 1, 2, score=0.5)
    nested = candidate(np.ones((2, 2)), 3, 3, score=0.7)
    _, ((pixels, score, _, tiles),) = merged_single_tile(whole, shifted, nested)
    assert len(pixels) == 36
    assert score == pytest.approx((0.9 * 36 + 0.5 * 30 + 0.7 * 4) / 70)
    assert tiles == 1


def test_a_landslide_along_thirty_tiles_is_one():
    """A band from the first to the last of 30 tiles in a row, each of which sees a part."""
    mask = np.zeros((8, 30 * 6 + 2), bool)
    mask[2:6, 1:-1] = True
    _, ((pixels, score, _, tiles),) = run_merger(
        mask, mask.astype(np.float32), 8, 2, lambda window: regions_as_instances(mask, window)
    )
    assert pixels == merging.pixels_of(mask)
    assert (score, tiles) == (pytest.approx(0.9), 30)


def test_a_detection_inside_one_of_the_neighbouring_tile_collapses():
    """The left tile sees a landslide whole; the right one only a spot in the middle of it."""
    mask = np.zeros((8, 12), bool)
    mask[1:7, 1:8] = True
    whole = candidate(np.ones((6, 7)), 1, 1, score=0.9)
    spot = candidate(np.ones((2, 2)), 3, 5, score=0.6)
    other_class = candidate(np.ones((2, 2)), 3, 5, score=0.3, class_id=2)

    def candidates_in(window):
        return [whole] if window.col_off == 0 else [spot, other_class]

    merger, found = run_merger(mask, mask.astype(np.float32), 8, 4, candidates_in)
    ((pixels, score, class_id, tiles),) = found
    assert pixels == merging.pixels_of(mask)
    assert score == pytest.approx((0.9 * 42 + 0.6 * 4) / 46)
    assert (class_id, tiles) == (1, 2)
    assert merger.dissolved_count == 1  # the other class had the weaker claim everywhere


def test_one_pixel_belongs_to_the_stronger_of_two_landslides():
    left = candidate(np.ones((4, 5)), 0, 0, score=0.6)
    right = candidate(np.ones((4, 4)), 0, 4, score=0.9)
    _, found = merged_single_tile(left, right)
    sizes = {score: len(pixels) for pixels, score, _, _ in found}
    assert sizes == {0.6: 16, 0.9: 16}


def test_classes_are_not_mixed():
    first = candidate(np.ones((4, 4)), 0, 0, score=0.9, class_id=1)
    second = candidate(np.ones((4, 4)), 0, 0, score=0.8, class_id=2)
    merger, ((pixels, _, class_id, _),) = merged_single_tile(first, second)
    assert (len(pixels), class_id) == (16, 1)
    assert merger.dissolved_count == 1


def test_a_candidate_that_blending_outvotes_is_counted():
    alone = candidate(np.ones((2, 2)), 3, 3)
    nothing = np.zeros((8, 8), bool)
    merger, found = run_merger(nothing, np.zeros((8, 8)), 8, 1, lambda window: [alone])
    assert found == []
    assert merger.dissolved_count == 1


def test_landslides_leave_as_soon_as_the_front_has_passed():
    """A column of separate landslides in a long scene: memory holds only those near the front."""
    height, width = 400, 16
    mask = np.zeros((height, width), bool)
    mask[1::8, 2:6] = mask[2::8, 2:6] = True
    merger = InstanceMerger(8 + BAND, width)
    done, left = 0, 0
    for window in tile_grid(height, width, 8, 4):
        while done + BAND <= window.row_off:
            band = mask[done : done + BAND]
            left += len(merger.close_band(band, band.astype(np.float32)))
            done += BAND
        merger.add_tile(window, regions_as_instances(mask, window))
        assert len(merger._groups._parents) < 20
        assert len(merger._tiles) <= 6
    assert left > 40


def test_regions_leave_with_the_first_band_that_does_not_continue_them():
    merger = InstanceMerger(4, 6)
    row = np.array([[1, 1, 0, 0, 0, 1]], bool)
    for repeat in range(20):
        assert merger.close_band(row, np.full((1, 6), 0.75)) == []
        assert merger.close_band(row, np.full((1, 6), 0.25)) == []
        gone = merger.close_band(np.zeros((1, 6), bool), np.zeros((1, 6)))
        assert sorted(each.pixel_count for each in gone) == [2, 4]
        assert {(each.box[0], each.score) for each in gone} == {(3 * repeat, 0.5)}
        assert merger._groups._parents == {}
