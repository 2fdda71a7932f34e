"""Splits: no pixel in two parts, shares kept, whole groups; files and parts of them."""

import csv
import logging

import cv2
import geopandas as gpd
import numpy as np
import pytest
from click.testing import CliRunner
from shapely.geometry import box

from landslide_rcnn.cli import main
from landslide_rcnn.data.readers import open_dataset
from landslide_rcnn.data.split_files import (
    PartOfSplit,
    copy_splits,
    kind_of,
    parse_part,
    read_split,
    write_split,
)
from landslide_rcnn.data.splits import GAP, Samples, block_names, deal, make_split
from landslide_rcnn.data.tiles import tile_grid
from landslide_rcnn.errors import ConfigError, DatasetError
from landslide_rcnn.files import OutputExistsError
from landslide_rcnn.workflows.split import split_dataset
from tests.helpers.outside import data_file, needs_data


def tiles(height, width, size, overlap, landslide_px=None, metres=2.0):
    """Samples that are the tiles of a scene of pixels."""
    windows = tile_grid(height, width, size, overlap)
    outlines = np.empty(len(windows), object)
    outlines[:] = [
        box(w.col_off, w.row_off, w.col_off + w.width, w.row_off + w.height) for w in windows
    ]
    count = len(windows)
    landslide_px = np.zeros(count) if landslide_px is None else landslide_px(count)
    keys = [f"{w.row_off} {w.col_off}" for w in windows]
    background_px = size**2 - landslide_px
    return Samples(
        keys, landslide_px, background_px, outlines, ["map"] * count, {"map": (metres, metres)}
    ), windows


def painted(windows, split, shape):
    """For every pixel of a scene, the set of parts that it is in, as bits."""
    bits = np.zeros(shape, int)
    for window, part in zip(windows, split.part_of.values()):
        if part != GAP:
            bits[window.toslices()] |= 1 << split.parts.index(part)
    return bits


@pytest.mark.parametrize("by", ["blocks", "blocks=3", "blocks=300m", "kfold=4"])
@pytest.mark.parametrize("overlap", [0, 16, 40])
def test_no_pixel_is_in_two_parts(by, overlap):
    rare = lambda count: np.where(np.arange(count) % 7, 0.0, 900.0)  # noqa: E731
    samples, windows = tiles(1000, 1300, 64, overlap, rare)
    split = make_split(samples, by)
    bits = painted(windows, split, (1000, 1300))
    assert np.isin(bits, [0, 1, 2, 4, 8, 16]).all()
    parts = [part for part in split.part_of.values() if part != GAP]
    # Blocks are whole: what is not left out of a block is in one part.
    for group in set(split.group_of.values()):
        inside = {split.part_of[key] for key, its in split.group_of.items() if its == group}
        assert len(inside - {GAP}) <= 1
    # A gap costs tiles, but not most of them.
    assert len(parts) > 0.45 * len(windows)


@pytest.mark.parametrize("seed", range(12))
def test_no_pixel_is_in_two_parts_of_any_scene(seed):
    rng = np.random.default_rng(seed)
    (height, width), overlap = rng.integers(90, 200, 2).tolist(), int(rng.integers(20))
    samples, windows = tiles(height, width, 24, overlap)
    split = make_split(samples, "blocks=2", {"a": 0.5, "b": 0.5}, seed)
    assert split.parts[:2] == ("a", "b")
    assert np.isin(painted(windows, split, (height, width)), [0, 1, 2]).all()


def test_shares_of_everything_are_kept():
    some = lambda count: np.random.default_rng(5).pareto(1.5, count) * (np.arange(count) % 9 == 0)  # noqa: E731
    samples, _ = tiles(3200, 3200, 64, 0, some)
    split = make_split(samples, "blocks=2")
    part = np.array(list(split.part_of.values()))
    has = samples.landslide_px > 0
    for name, share in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        assert (part == name).mean() == pytest.approx(share, abs=0.02)
        assert has[part == name].sum() / has.sum() == pytest.approx(share, abs=0.02)
        px = samples.landslide_px[part == name].sum() / samples.landslide_px.sum()
        assert px == pytest.approx(share, abs=0.03)
    assert make_split(samples, "blocks=2").part_of == split.part_of
    assert make_split(samples, "blocks=2", seed=1).part_of != split.part_of
    assert split.kind == "blocks of 2 tiles, seed 0" and split.parts == ("train", "val", "test")


def test_folds_are_stratified(rng):
    """FCN-FLK: each fold has the same share of landslide and of other images."""
    count = 203
    landslide_px = np.where(np.arange(count) < 41, rng.integers(50, 90, count), 0).astype(float)
    nowhere = np.full(count, None, object)
    keys = [str(i) for i in range(count)]
    samples = Samples(keys, landslide_px, 900 - landslide_px, nowhere, [""] * count, {})
    split = make_split(samples, "kfold=5")
    fold = np.array(list(split.part_of.values()))
    assert set(fold) == {"1", "2", "3", "4", "5"} and split.parts == ("1", "2", "3", "4", "5")
    landslides = [int((fold[:41] == name).sum()) for name in "12345"]
    others = [int((fold[41:] == name).sum()) for name in "12345"]
    assert max(landslides) - min(landslides) <= 1 and max(others) - min(others) <= 2
    assert split.kind == "5 folds of single samples, seed 0"


def test_blocks_by_hand():
    samples, _ = tiles(64, 96, 16, 0)
    in_tiles = block_names(samples, 2, in_metres=False)
    assert in_tiles[:6] == ["0 0", "0 0", "1 0", "1 0", "2 0", "2 0"]
    # 100 m are 50 pixels of 2 m: the centres 8, 24, 40 lie in one block, less the first edge 0.
    in_metres = block_names(samples, 100, in_metres=True)
    assert in_metres[:6] == ["0 0", "0 0", "0 0", "1 0", "1 0", "1 0"]
    assert len(set(in_metres)) == 4


def test_groups_are_dealt_whole_the_richest_first(rng):
    groups = ["a"] * 6 + ["b"] * 3 + ["c"] * 3
    has = np.array([True] * 6 + [True] * 3 + [True] * 3)
    dealt = deal(groups, has, has * 10.0, [0.5, 0.5], rng)
    assert len(set(dealt[:6])) == len(set(dealt[6:])) == 1 and dealt[0] != dealt[11]


def test_random_is_said_to_be_optimistic(caplog):
    samples, _ = tiles(640, 640, 64, 0)
    with caplog.at_level(logging.WARNING):
        split = make_split(samples, "random", {"train": 8, "val": 2})
    assert "A random split is optimistic" in caplog.text and "optimistic" in split.kind
    parts = list(split.part_of.values())
    assert parts.count("train") == 80 and parts.count("val") == 20
    assert parts[:80] != ["train"] * 80


def test_what_cannot_be_split():
    samples, _ = tiles(64, 64, 32, 0)
    with pytest.raises(ConfigError, match="by blocks, .*Received: 'county'"):
        make_split(samples, "county")
    with pytest.raises(ConfigError, match=r"tiles \(4\) or metres \(500m\). Received: '4km'"):
        make_split(samples, "blocks=4km")
    with pytest.raises(ConfigError, match="Folds are at least 2"):
        make_split(samples, "kfold=1")
    with pytest.raises(ConfigError, match="Shares of parts must be positive"):
        make_split(samples, "blocks", {"train": 1, "val": 0})
    with pytest.raises(DatasetError, match="Received: 1 groups for 3 parts"):
        make_split(samples, "blocks=9")
    with pytest.raises(DatasetError, match=r"400 parts \(1, 2, [^)]* and \d+ more\)") as error:
        make_split(samples, "kfold=400")
    assert len(str(error.value)) < 200
    with pytest.raises(DatasetError, match="by attribute needs it.*'county' without a table"):
        make_split(samples, "attribute=county")
    overlapping, _ = tiles(40, 40, 32, 30)
    with pytest.raises(DatasetError, match="Every part needs samples"):
        make_split(overlapping, "blocks=0.1")
    nowhere = Samples(["a"], np.zeros(1), np.ones(1), np.array([None], object), [""], {})
    with pytest.raises(DatasetError, match="1 of 1 without a place. Split by attribute"):
        make_split(nowhere, "blocks")
    in_pixels, _ = tiles(640, 640, 64, 0, metres=np.nan)
    with pytest.raises(DatasetError, match="Blocks in metres need tiles with a CRS"):
        make_split(in_pixels, "blocks=100m")


# Files.


@pytest.fixture
def folder(tmp_path, rng):
    """Twelve tiles without a place, of four counties."""
    rows = ["file,county"]
    for index in range(12):
        for kind in ("image", "mask"):
            (tmp_path / "tiles" / kind).mkdir(parents=True, exist_ok=True)
            array = rng.integers(0, 255, (20, 20, 3), np.uint8)
            if kind == "mask":
                array = np.zeros((20, 20), np.uint8)
                array[3:9, 3:9] = 255 * (index % 2)
            cv2.imwrite(str(tmp_path / "tiles" / kind / f"t{index}.png"), array)
        rows.append(f"t{index}.png,county {index // 3}")
    (tmp_path / "tiles" / "split.csv").write_text("\n".join(rows))
    return tmp_path / "tiles"


def test_a_split_by_county_and_its_parts(folder, tmp_path):
    out = tmp_path / "by_county.csv"
    split, counts = split_dataset(
        open_dataset(folder), out, "attribute=county", parts={"train": 2, "test": 2}, progress=False
    )
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == sorted(f"t{i}.png" for i in range(12))
    county_of = {f"t{i}.png": f"county {i // 3}" for i in range(12)}
    assert all(row["group"] == county_of[row["file"]] for row in rows)
    parts = {row["group"]: {r["part"] for r in rows if r["group"] == row["group"]} for row in rows}
    assert all(len(each) == 1 for each in parts.values())
    assert kind_of(out) == split.kind == "attribute county"
    assert [(one.part, one.samples) for one in counts] == [("train", 6), ("test", 6)]
    assert sum(one.with_landslides for one in counts) == 6
    train = open_dataset(f"{folder}#train@{out}")
    both = open_dataset(f"{folder}#train+test@{out}")
    assert train.num_images == 6 and both.num_images == 12
    assert {read_split(out)[f"{info['id']}.png"] for info in train.image_info} == {"train"}
    assert train.load_image(5).shape == (20, 20, 3) and len(train.image_ids) == 6
    assert train.split.record()["kind"] == "attribute county"
    assert train.split.record()["parts"] == ["train"] and len(train.split.record()["sha256"]) == 64
    with pytest.raises(OutputExistsError):
        split_dataset(open_dataset(folder), out, "random")


def test_parts_that_are_not_there(folder, tmp_path, caplog):
    out = tmp_path / "split.csv"
    out.write_text("file,part\nt1.png,train\nt99.png,val\nt2.png,train\n")
    with pytest.raises(DatasetError, match="one of train, val. Received: test"):
        open_dataset(f"{folder}#test@{out}")
    with pytest.raises(DatasetError, match="1 missing of part val: t99.png. Use the data"):
        open_dataset(f"{folder}#val@{out}")
    assert open_dataset(f"{folder}#train@{out}").num_images == 2
    assert "10 images are in no part" in caplog.text and kind_of(out) == "given"
    with pytest.raises(DatasetError, match="columns file and part. Received: no .*gone.csv"):
        open_dataset(f"{folder}#train@{tmp_path / 'gone.csv'}")
    out.write_text("name,part\n")
    with pytest.raises(DatasetError, match="needs the columns file and part"):
        open_dataset(f"{folder}#train@{out}")
    with pytest.raises(DatasetError, match="Every sample needs its county.*3 of 12 without"):
        table = tmp_path / "table.csv"
        table.write_text("file,county\n" + "".join(f"t{i}.png,x\n" for i in range(9)))
        split_dataset(
            open_dataset(folder), tmp_path / "o.csv", "attribute=county", table=table,
            progress=False,
        )  # fmt: skip


def test_the_forms_of_a_part():
    assert parse_part("a/b.tif:c.gpkg")[1] is None and parse_part("folder#train")[1] is None
    spec, part = parse_part("me@home/x#1/s.tif:p.gpkg#train+val@out/split.csv?class=kind")
    assert spec == "me@home/x#1/s.tif:p.gpkg?class=kind"
    assert part.parts == ("train", "val") and str(part.path) == "out/split.csv"


@pytest.fixture
def scene(tmp_path, write_raster, rng):
    path = write_raster(rng.integers(1, 255, (640, 800, 3), np.uint8))
    shapes = [
        box(500_000 + 2 * x, 4_000_000 - 2 * y - 40, 500_000 + 2 * x + 40, 4_000_000 - 2 * y)
        for x, y in zip(rng.integers(0, 780, 40), rng.integers(0, 620, 40))
    ]
    gpd.GeoDataFrame(geometry=shapes, crs="EPSG:32648").to_file(tmp_path / "truth.gpkg")
    return f"{path}:{tmp_path / 'truth.gpkg'}"


def test_the_command_splits_a_scene(scene, tmp_path):
    out = tmp_path / "split.csv"
    arguments = ["split", scene, "-o", str(out), "--tile-size", "64", "--by", "blocks=2", "-q"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].endswith("blocks of 2 tiles, seed 0")
    assert [line.split()[0] for line in lines[1:]] == ["train", "val", "test", "gap"]
    options = dict(tile_size=64, overlap=16)
    covered = np.zeros((640, 800), int)
    for bit, part in enumerate(("train", "val", "test")):
        dataset = open_dataset(f"{scene}#{part}@{out}", **options)
        assert dataset.num_images == int(lines[bit + 1].split()[1])
        for info in dataset.image_info:
            covered[info["tile"].toslices()] |= 1 << bit
        assert dataset.load_image(0).shape == (64, 64, 3)
    assert np.isin(covered, [0, 1, 2, 4]).all() and (covered > 0).mean() > 0.5
    with pytest.raises(DatasetError, match="size and overlap of tiles, that the split was made"):
        open_dataset(f"{scene}#train@{out}", tile_size=128)
    bad = CliRunner().invoke(main, [*arguments, "--parts", "train"])
    assert bad.exit_code == 2 and "Parts are NAME=SHARE" in bad.stderr


def test_a_split_comes_back_from_its_file(tmp_path):
    samples, _ = tiles(640, 640, 64, 8)
    split = make_split(samples, "blocks")
    path = tmp_path / "s.csv"
    write_split(split, path)
    assert read_split(path) == split.part_of and kind_of(path) == split.kind


@pytest.mark.slow
@needs_data("bijie")
def test_counties_of_bijie(tmp_path):
    bijie = open_dataset(data_file("bijie"))
    _, counts = split_dataset(bijie, tmp_path / "s.csv", "attribute=county", progress=False)
    assert sum(one.samples for one in counts) == bijie.num_images == 727
    with_landslides = sum(one.with_landslides for one in counts)
    for one, share in zip(counts, (0.7, 0.15, 0.15)):
        assert one.samples / 727 == pytest.approx(share, abs=0.12)
        assert one.with_landslides / with_landslides == pytest.approx(share, abs=0.12)


def test_split_files_travel_with_weights(folder, tmp_path):
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("file,part,group,split\nt1.png,train,0 0,blocks\nt2.png,val,0 1,blocks\n")
    second.write_text("file,part\nt3.png,val\n")
    stem = tmp_path / "out" / "model"
    one, other = (PartOfSplit(path, ("val",)) for path in (first, second))
    assert copy_splits({"train": None, "val": None}, stem) == {} and not stem.parent.exists()
    same = copy_splits({"train": PartOfSplit(first, ("train",)), "val": one}, stem)
    assert [same[role]["file"] for role in same] == ["model.split.csv"] * 2
    assert (stem.parent / "model.split.csv").read_bytes() == first.read_bytes()
    two = copy_splits({"train": one, "val": other}, stem)
    assert two["val"]["file"] == "model.val.split.csv" and two["val"]["kind"] == "given"
    assert two["train"]["kind"] == "blocks" and two["train"]["sha256"] != two["val"]["sha256"]
    assert (stem.parent / "model.val.split.csv").read_bytes() == second.read_bytes()
    # Trained again from the copy: it is not copied onto itself.
    copied = PartOfSplit(stem.parent / "model.split.csv", ("val",))
    assert copy_splits({"train": copied}, stem)["train"]["sha256"] == two["train"]["sha256"]
