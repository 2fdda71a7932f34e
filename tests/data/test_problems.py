"""Every defect at once is found in one run and named; the report's numbers are the data's."""

import json
import logging

import cv2
import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from landslide_rcnn.cli import main
from landslide_rcnn.data.image_files import read_image_file
from landslide_rcnn.data.problems import KINDS
from landslide_rcnn.data.readers import open_dataset
from landslide_rcnn.errors import DatasetError
from landslide_rcnn.visualize.sheets import SheetTile, contact_sheet

SIZE = (40, 60)


def noise(seed, size=SIZE, channels=3, dtype=np.uint8):
    high = 255 if dtype == np.uint8 else 4000
    return np.random.default_rng(seed).integers(1, high, (*size, channels)).astype(dtype)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


def cut(path, share=0.5, end=b""):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)] + end)


def landslide(*boxes, size=SIZE, value=255):
    mask = np.zeros(size, np.uint8)
    for y1, x1, y2, x2 in boxes:
        mask[y1:y2, x1:x2] = value
    return mask


@pytest.fixture
def bad_masks(tmp_path, write_raster):
    """A folder of tiles with masks, with every defect that such a folder can have."""
    root = tmp_path / "bad"
    (root / "image").mkdir(parents=True)

    def add(name, pixels, mask=None):
        if isinstance(pixels, np.ndarray):
            save(root / "image" / name, pixels)
        stem = name.partition(".")[0]
        save(root / f"mask/{stem}.png", landslide((5, 5, 15, 25)) if mask is None else mask)
        return root / "image" / name

    for index in range(6):
        add(f"good{index}.png", noise(index))
    cut(add("cut.png", noise(10)))
    cut(add("grey.jpg", noise(11)), end=b"\xff\xd9")  # decoders complete it with grey
    cut(add("half.jpg", noise(12)))
    cut(add("broken.tif", noise(13)))
    (add("nothing.png", noise(14))).write_bytes(b"")
    add("text.png", noise(15)).write_text("no image")
    add("cutmask.png", noise(16))
    cut(root / "mask/cutmask.png")
    add("size.png", noise(17), landslide((5, 5, 15, 15), size=(20, 30)))
    add("soft.png", noise(18), cv2.GaussianBlur(landslide((5, 5, 25, 45)), (0, 0), 2))
    add("same.png", noise(0))
    add("mirrored.png", noise(1)[:, ::-1])
    add("turned.png", np.rot90(noise(2)), landslide((5, 5, 15, 25), size=SIZE[::-1]))
    add("black.png", np.zeros((*SIZE, 3), np.uint8))
    add("peaceful.png", noise(19), landslide())
    add("specks.png", noise(20), landslide((5, 5, 15, 25), (30, 30, 31, 33)))
    add("fourbands.tif", None)
    write_raster(noise(21, channels=4), "fourbands.tif", photometric="MINISBLACK").rename(
        root / "image/fourbands.tif"
    )
    add("sixteen.png", noise(22, dtype=np.uint16))
    numbers = noise(23).astype(np.float32)
    numbers[3, 3] = np.inf
    with h5py.File(add("nan.h5", None), "w") as file:
        file["img"] = numbers
    save(root / "image/alone.png", noise(24))
    save(root / "image/good5.bmp", noise(25))
    save(root / "mask/lonely.png", landslide((5, 5, 15, 25)))
    return root


# File -> the kind of each of its problems.
IN_MASKS = {
    "cut.png": {"unreadable"},
    "grey.jpg": {"unreadable"},
    "half.jpg": {"unreadable"},
    "broken.tif": {"unreadable"},
    "nothing.png": {"unreadable"},
    "text.png": {"unreadable"},
    "cutmask.png": {"unreadable"},
    "size.png": {"size"},
    "soft.png": {"mask_values"},
    "same.png": {"duplicate"},
    "mirrored.png": {"duplicate"},
    "turned.png": {"duplicate"},
    "black.png": {"empty"},
    "peaceful.png": {"background"},
    "specks.png": {"fragments"},
    "fourbands.tif": {"bands"},
    "sixteen.png": {"dtype"},
    "nan.h5": {"values"},
    "alone.png": {"missing_mask"},
    "good5.png": {"names"},
    "lonely.png": {"missing_image"},
}


def inspect(*arguments):
    done = CliRunner().invoke(main, ["dataset", *map(str, arguments), "-q"])
    return done


def kinds_by_file(report):
    found = {}
    for problem in report["problems"]:
        file = problem["name"].replace("\\", "/").rpartition("/")[2]
        found.setdefault(file, set()).add(problem["kind"])
    return found


def test_every_defect_of_a_folder_of_masks_in_one_run(bad_masks, tmp_path):
    sheet, report = tmp_path / "sheet.png", tmp_path / "report.json"
    done = inspect(bad_masks, "--json", report, "--sheet", sheet)
    assert done.exit_code == 0, done.output
    assert kinds_by_file(json.loads(report.read_text())) == IN_MASKS
    for file, kinds in IN_MASKS.items():
        assert file in done.output
        assert all(KINDS[kind].title in done.output for kind in kinds)
    assert "14 of which stop training" in done.output
    assert cv2.imread(str(sheet)).shape[0] > 500


def test_training_stops_before_it_begins_and_names_all(bad_masks):
    with pytest.raises(DatasetError) as caught:
        open_dataset(bad_masks, strict=False).verify(progress=False, channel_count=3)
    named = {file for file in IN_MASKS if file in str(caught.value)}
    assert named == {
        file for file, kinds in IN_MASKS.items() if any(KINDS[kind].stops for kind in kinds)
    }
    assert "14 of 24 that do not" in str(caught.value)
    with pytest.raises(DatasetError, match="good5.bmp and good5.png"):
        open_dataset(bad_masks)
    (bad_masks / "image/good5.bmp").unlink()
    with pytest.raises(DatasetError, match="alone.png"):
        open_dataset(bad_masks)


def test_training_warns_of_the_rest(tmp_path, caplog):
    for index in (0, 1, 0):
        name = f"{len(list(tmp_path.glob('image/*')))}.png"
        save(tmp_path / "image" / name, noise(index))
        save(tmp_path / "mask" / name, landslide((5, 5, 15, 25)))
    with caplog.at_level(logging.WARNING):
        open_dataset(tmp_path).verify(progress=False)
    assert "1 duplicate samples: " in caplog.text and "2.png: the same pixels as" in caplog.text


def test_every_defect_of_labels_in_one_run(tmp_path):
    for index, name in enumerate(("good", "crossing", "outside", "twin", "odd")):
        save(tmp_path / f"{name}.png", noise(0 if name == "twin" else index))
    cut(save(tmp_path / "cut.png", noise(9)))
    save(tmp_path / "quiet.png", noise(10))
    square = [5, 5, 15, 5, 15, 15, 5, 15]
    rings = {
        "good.png": square,
        "crossing.png": [10, 10, 20, 20, 20, 10, 10, 20],
        "outside.png": [50, 10, 80, 10, 80, 20, 50, 20],
        "twin.png": square,
        "odd.png": square,
        "cut.png": square,
        "gone.png": square,
        "quiet.png": None,
    }
    sizes = {"odd.png": (30, 30)}
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "landslide"}]}
    for number, (name, ring) in enumerate(rings.items()):
        height, width = sizes.get(name, SIZE)
        content["images"].append(
            {"id": number, "file_name": name, "height": height, "width": width}
        )
        if ring is not None:
            content["annotations"].append(
                {"id": number, "image_id": number, "category_id": 1, "segmentation": [ring]}
            )
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    done = inspect(path, "--json", tmp_path / "report.json")
    assert done.exit_code == 0, done.output
    assert kinds_by_file(json.loads((tmp_path / "report.json").read_text())) == {
        "crossing.png": {"crossing"},
        "outside.png": {"outside"},
        "twin.png": {"duplicate"},
        "odd.png": {"size"},
        "cut.png": {"unreadable"},
        "labels.json": {"missing_image"},
        "quiet.png": {"background"},
    }
    assert "'gone.png' is not beside it" in done.output


def test_numbers_of_the_report(tmp_path):
    low, high = np.full((*SIZE, 2), 10.0), np.full((*SIZE, 2), 30.0)
    low[0, 0] = (2, 11)
    for name, pixels, boxes in (
        ("a", low, [(0, 0, 10, 10), (20, 20, 40, 40)]),
        ("b", high + np.arange(2), []),
    ):
        pixels = np.concatenate([pixels, noise(1)[..., :1]], axis=-1).astype(np.uint8)
        save(tmp_path / f"image/{name}.png", pixels[..., ::-1])
        save(tmp_path / f"mask/{name}.png", landslide(*boxes))
    done = inspect(tmp_path, "--json", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["images"], report["images_without_instances"]) == (2, 1)
    assert report["instances"] == 2 and report["classes"] == {"landslide": 2}
    assert report["landslide_px"] == 500 and report["background_px"] == 2 * 2400 - 500
    assert report["imbalance_ratio"] == pytest.approx(8.6)
    assert report["sizes"] == {"40 x 60": 2} and report["crs"] == {"none": 2}
    assert report["dtypes"] == [{"bands": 3, "dtype": "uint8", "images": 2}]
    (areas,) = report["areas"]
    assert areas["unit"] == "px" and areas["limits"] == [100, 300, 1000]
    assert areas["counts"] == [1, 1] and areas["median"] == 250 and areas["total"] == 500
    first = report["bands"][0]
    values = np.array([10] * 2399 + [2] + [30] * 2400)
    assert (first["min"], first["max"]) == (2, 30)
    assert first["mean"] == pytest.approx(values.mean())
    assert first["std"] == pytest.approx(values.std())
    assert "8.60 non-landslide pixels to one" in done.output and "100 - 300" in done.output


def test_a_scene_in_square_metres_and_its_polygons(tmp_path, write_raster):
    import geopandas as gpd
    import shapely

    write_raster(noise(3, (100, 100)), "scene.tif")
    left, top = 500_000, 4_000_000
    square = shapely.box(left + 20, top - 60, left + 60, top - 20)  # 20 x 20 px of 2 m
    beyond = shapely.box(left + 180, top - 60, left + 240, top - 20)
    tie = shapely.Polygon(
        [(left + x, top - y) for x, y in ((100, 100), (140, 140), (140, 100), (100, 140))]
    )
    table = gpd.GeoDataFrame(
        {"kind": ["slide", "flow", "slide"]}, geometry=[square, beyond, tie], crs=32648
    )
    table.to_file(tmp_path / "map.gpkg")
    spec = f"{tmp_path}/scene.tif:{tmp_path}/map.gpkg"
    done = inspect(f"{spec}?class=kind", "--tile-size", 50, "--json", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    # The bow tie is cut into four by the tiles' edges.
    assert report["images"] == 4 and report["crs"] == {"EPSG:32648": 4}
    assert report["classes"]["flow"] == 1 and report["pixel_size_m"] == pytest.approx(
        (2, 2), rel=1e-3
    )
    assert [areas["unit"] for areas in report["areas"]] == ["px", "m2"]
    pixels, metres = (areas["total"] for areas in report["areas"])
    assert metres == pytest.approx(4 * pixels, rel=1e-3)
    assert kinds_by_file(report) == {"map.gpkg": {"crossing", "outside"}}
    assert "rows 2 cross themselves" in done.output
    assert report["from_scene"] and "counts in each tile" in done.output
    dataset = open_dataset(f"{spec}?class=kind&classes=slide", tile_size=100)
    assert dataset.class_names == ["BG", "slide"] and dataset.load_mask(0)[1].tolist() == [1, 1]
    both = open_dataset(f"{spec}?class=kind", tile_size=100)
    assert both.class_names == ["BG", "flow", "slide"]
    assert both.load_mask(0)[1].tolist() == [2, 1, 2]
    with pytest.raises(DatasetError, match="Received: 'sort'. Its columns are kind"):
        open_dataset(f"{spec}?class=sort")


def test_data_that_cannot_be_opened_end_with_1(tmp_path):
    done = inspect(tmp_path / "nothing")
    assert done.exit_code == 1 and "Training data are a folder or a scene" in done.output
    (tmp_path / "empty/image").mkdir(parents=True)
    (tmp_path / "empty/mask").mkdir()
    assert inspect(tmp_path / "empty").exit_code == 1
    save(tmp_path / "data/image/a.png", noise(0))
    save(tmp_path / "data/mask/a.png", landslide())
    (tmp_path / "sheet.png").write_text("mine")
    done = inspect(tmp_path / "data", "--sheet", tmp_path / "sheet.png")
    assert done.exit_code == 1 and (tmp_path / "sheet.png").read_text() == "mine"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_half_of_an_image_is_no_image(tmp_path, suffix, share):
    path = save(tmp_path / f"a{suffix}", noise(0))
    cut(path, share)
    with pytest.raises(DatasetError, match=f"a{suffix}"):
        read_image_file(path)


def test_memory_does_not_grow_with_the_dataset(tmp_path):
    import tracemalloc

    save(tmp_path / "few/image/0.png", noise(0, (200, 200)))
    save(tmp_path / "few/mask/0.png", landslide((5, 5, 15, 25), size=(200, 200)))
    for index in range(60):
        save(tmp_path / f"many/image/{index}.png", noise(index, (200, 200)))
        save(tmp_path / f"many/mask/{index}.png", landslide((5, 5, 15, 25), size=(200, 200)))

    def peak(folder):
        tracemalloc.start()
        inspect(tmp_path / folder)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak("few")  # imports
    # At most what 8 workers hold (3.5 MB each), not the 60 images (7 MB as they are, 58 as floats).
    assert peak("many") < peak("few") + 8 * 3.5e6


def test_a_sheet_of_pictures_of_any_kind(tmp_path):
    tiles = [
        SheetTile("rgb", noise(0)[..., :3], np.ones((*SIZE, 2), bool), np.array([1, -1])),
        SheetTile("14 bands", np.random.default_rng(0).normal(size=(8, 90, 14))),
        SheetTile("unreadable", None, faulty=True),
        SheetTile("a very long name that does not fit below one picture.tif", noise(1, (900, 5))),
        SheetTile("grey", noise(2, channels=1)),
    ]
    figure = contact_sheet(tiles, title="five", band_names=["B4", "B3", "B2"])
    assert len(figure.axes) == 5
    captions = [axes.get_xlabel() for axes in figure.axes]
    assert captions[0] == "rgb" and captions[3].startswith("…") and len(captions[3]) == 28
    assert len(figure.axes[0].collections) == 2 and not figure.axes[2].images
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), noise(0))
    figure.savefig(tmp_path / "sheet.png")


def test_a_sheet_shows_the_bands_that_are_colours():
    image = noise(0, channels=4)
    (axes,) = contact_sheet([SheetTile("", image)], band_names=["dem", "B2", "B3", "B4"]).axes
    np.testing.assert_array_equal(axes.images[0].get_array(), image[..., [3, 2, 1]])
