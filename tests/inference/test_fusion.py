"""Maps of one place: what several saw counts once, and the largest stays. Worked by hand."""

import logging

import geopandas as gpd
import numpy as np
import pytest
import shapely
from click.testing import CliRunner
from shapely import MultiPolygon, box

from landslide_rcnn.cli import main
from landslide_rcnn.errors import ConfigError, GeoReferenceError
from landslide_rcnn.geo.vector import read_polygons, write_polygons
from landslide_rcnn.inference.fusion import fuse

UTM = "EPSG:32648"


def map_of(*shapes, crs=UTM, **columns):
    return gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(list(shapes), crs=crs))


def test_what_both_saw_counts_once_and_the_largest_stays():
    ascending = map_of(
        box(0, 0, 10, 10),
        box(100, 0, 104, 4),
        box(200, 0, 201, 1),
        id=[1, 2, 3],
        score=[0.9, 0.8, 0.7],
    )
    descending = map_of(
        box(9, 9, 30, 30),
        box(101, 1, 103, 3),
        box(300, 0, 305, 5),
        id=[7, 8, 9],
        score=[0.6, 0.5, 0.4],
    )
    fused = fuse([ascending, descending], ["asc", "desc"])
    assert list(fused.columns) == "id score area_m2 source source_id stands_for geometry".split()
    assert fused["id"].tolist() == [1, 2, 3, 4]
    assert fused["area_m2"].tolist() == [441, 25, 16, 1]
    assert fused["score"].tolist() == [0.6, 0.4, 0.8, 0.7]
    assert fused["source"].tolist() == ["desc", "desc", "asc", "asc"]
    assert fused["source_id"].tolist() == [7, 9, 2, 3]
    assert fused["stands_for"].tolist() == ["asc:1", "", "desc:8", ""]
    assert fused.geometry[0].equals(box(9, 9, 30, 30))  # whole, not united
    assert fused.crs == UTM


def test_groups_are_transitive():
    """A chain a1 - b1 - a2 - c1 through three maps; a3 is alone."""
    first = map_of(box(0, 0, 4, 4), box(6, 0, 12, 4), box(50, 0, 51, 1))
    second = map_of(box(3, 0, 7, 4))
    third = map_of(box(11, 0, 14, 4))
    fused = fuse([first, second, third], ["a", "b", "c"])
    assert fused["source_id"].tolist() == [2, 3]
    assert fused["stands_for"].tolist() == ["a:1, b:1, c:1", ""]
    assert fused["area_m2"].tolist() == [24, 1]


def test_touching_is_not_intersecting():
    first = map_of(box(0, 0, 4, 4))
    second = map_of(box(4, 0, 9, 4), box(-3, 4, 0, 7), box(0, -1e-3, 4, 0))
    fused = fuse([first, second], ["a", "b"])
    assert len(fused) == 4 and (fused["stands_for"] == "").all()
    assert len(fuse([first, map_of(box(4 - 1e-6, 0, 9, 4))], ["a", "b"])) == 1


def test_polygons_of_one_map_are_left_as_they_are():
    first = map_of(box(0, 0, 4, 4), box(1, 1, 3, 3))
    assert len(fuse([first, map_of(box(90, 0, 91, 1))], ["a", "b"])) == 3


def test_holes_and_parts():
    """A landslide in the hole of another has nothing in common with it."""
    ring = box(0, 0, 9, 9) - box(2, 2, 7, 7)
    parts = MultiPolygon([box(20, 0, 21, 1), box(30, 0, 33, 3)])
    fused = fuse([map_of(ring, parts), map_of(box(3, 3, 5, 5), box(32, 2, 35, 5))], ["a", "b"])
    assert fused["area_m2"].tolist() == [56, 10, 4]
    assert fused["stands_for"].tolist() == ["", "b:2", ""]


def test_equals_and_empty_maps():
    same = map_of(box(0, 0, 2, 2))
    fused = fuse([same, same.copy()], ["a", "b"])
    assert (fused["source"].tolist(), fused["stands_for"].tolist()) == (["a"], ["b:1"])
    fused = fuse([map_of(), same], ["a", "b"])
    assert (len(fused), fused["source"][0]) == (1, "b")
    assert len(fuse([map_of(), map_of()], ["a", "b"])) == 0


def test_another_crs_is_reprojected_and_said(caplog):
    square = box(500_000, 3_000_000, 500_100, 3_000_100)
    first = map_of(square)
    second = map_of(shapely.affinity.translate(square, 50, 0), crs=UTM).to_crs("EPSG:4326")
    with caplog.at_level(logging.WARNING):
        fused = fuse([first, second], ["utm", "degrees"])
    assert "degrees reprojected from EPSG:4326 to the EPSG:32648 of utm" in caplog.text
    assert len(fused) == 1 and fused.crs == UTM
    assert fused["area_m2"][0] == pytest.approx(10_000)


def test_without_a_crs_areas_are_pixels():
    fused = fuse([map_of(box(0, 0, 2, 2), crs=None), map_of(box(1, 1, 4, 4), crs=None)], ["a", "b"])
    assert fused["area_px"].tolist() == [9] and fused.crs is None


def test_what_cannot_be_fused_is_refused():
    one = map_of(box(0, 0, 1, 1))
    with pytest.raises(ConfigError, match="needs two maps or more.*1 maps, names a"):
        fuse([one], ["a"])
    with pytest.raises(ConfigError, match="name of its own"):
        fuse([one, one], ["a", "a"])
    with pytest.raises(GeoReferenceError, match="all have a CRS, or none.*one for a of a, b"):
        fuse([one, map_of(box(0, 0, 1, 1), crs=None)], ["a", "b"])


def test_many_maps_against_pixels():
    """Random squares of three maps against groups that a flood fill over pixels finds."""
    rng = np.random.default_rng(4)
    maps = []
    for _ in range(3):
        # One square in each cell of a coarse grid: squares of one map never meet.
        place = np.stack(np.meshgrid(np.arange(6), np.arange(6)), -1).reshape(-1, 2) * 10
        low = place + rng.integers(0, 4, place.shape)
        high = low + rng.integers(1, 7, place.shape)
        maps.append(np.concatenate([low, high], axis=1))
    group = {(m, i): {(m, i)} for m in range(3) for i in range(36)}
    pixels = {}
    for m, i in list(group):
        x1, y1, x2, y2 = maps[m][i]
        for pixel in ((x, y) for x in range(x1, x2) for y in range(y1, y2)):
            other = pixels.setdefault(pixel, (m, i))
            if group[other] is not group[m, i]:
                group[other] |= group[m, i]
                for member in group[m, i]:
                    group[member] = group[other]
    expected = {frozenset(members) for members in group.values()}
    names = ["0", "1", "2"]
    fused = fuse([map_of(*shapely.box(*each.T)) for each in maps], names)
    found = set()
    for row in fused.itertuples():
        texts = [f"{row.source}:{row.source_id}", *filter(None, row.stands_for.split(", "))]
        members = [tuple(map(int, text.split(":"))) for text in texts]
        found.add(frozenset((m, i - 1) for m, i in members))
        largest = max(np.prod(maps[m][i - 1][2:] - maps[m][i - 1][:2]) for m, i in members)
        assert row.area_m2 == largest
    assert found == expected and 36 < len(found) < 108


def test_the_command_fuses_files(tmp_path):
    for folder, shape in (("asc", box(0, 0, 4, 4)), ("desc", box(2, 2, 9, 9))):
        (tmp_path / folder).mkdir()
        write_polygons(map_of(shape, id=[5]), tmp_path / folder / "landslides.gpkg", "landslides")
    paths = [str(tmp_path / folder / "landslides.gpkg") for folder in ("asc", "desc")]
    output = tmp_path / "fused.gpkg"
    done = CliRunner().invoke(main, ["fuse", *paths, "--output", str(output)])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"1 landslides, 1 of them in several maps: {output}\n"
    written = read_polygons(output)
    assert written["source"].tolist() == [paths[1]]
    assert written["stands_for"].tolist() == [f"{paths[0]}:5"]
    assert written["area_m2"].tolist() == [49]
    again = CliRunner().invoke(main, ["fuse", *paths, "--output", str(output)])
    assert again.exit_code == 1 and "--overwrite" in again.stderr
    alone = CliRunner().invoke(main, ["fuse", paths[0], "--output", str(tmp_path / "x.gpkg")])
    assert alone.exit_code == 1 and "needs two maps or more" in alone.stderr
