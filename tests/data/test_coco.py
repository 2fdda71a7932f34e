"""COCO files: their shapes, classes and faults, and where images are looked for."""

import logging

import numpy as np
import pytest

from landslide_rcnn.data.readers import open_dataset
from landslide_rcnn.errors import DatasetError
from tests.helpers.labels import HEIGHT, WIDTH, box, coco, kinds, write_image, write_json


def test_coco_polygons_run_lengths_and_crowds(tmp_path):
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png", seed=1)
    # Compressed by pycocotools 2.0.11: a disc of radius below 4.1 around (20, 30), of 50 x 70 px.
    disc = {"size": [50, 70], "counts": "XY11_14M2O0O20N101N3LTf1"}
    content = coco(
        [
            {"segmentation": [[5, 2, 15, 2, 15, 8, 5, 8]]},
            {"segmentation": [[0, 0, 3, 0, 3, 3, 0, 3], [20, 20, 30, 20, 30, 30, 20, 30]]},
            {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [2001, 2, 397]}, "iscrowd": 1},
            {"segmentation": disc, "image_id": 11},
        ],
        images=("a.png", "b.png"),
    )
    content["images"][1].update(height=50, width=70)
    write_image(tmp_path / "b.png", (50, 70), seed=1)
    dataset = open_dataset(write_json(tmp_path / "labels.json", content))
    assert dataset.class_names == ["BG", "slide"]
    masks, class_ids = dataset.load_mask(0)
    assert class_ids.tolist() == [1, 1, -1]
    np.testing.assert_array_equal(masks[..., 0], box(2, 5, 8, 15))
    np.testing.assert_array_equal(masks[..., 1], box(0, 0, 3, 3) | box(20, 20, 30, 30))
    assert np.argwhere(masks[..., 2]).tolist() == [[1, 50], [2, 50]]
    masks, _ = dataset.load_mask(1)
    rows, columns = np.mgrid[:50, :70]
    np.testing.assert_array_equal(masks[..., 0], (rows - 20) ** 2 + (columns - 30) ** 2 < 17)
    assert dataset.verify(progress=False)["instances"] == 4
    assert dataset.facts[0].landslide_px == 60 + 9 + 100  # a crowd is no landslide
    assert dataset.facts[0].background_px == HEIGHT * WIDTH - 169 - 2


def test_coco_classes_are_in_the_order_of_their_ids_and_may_be_joined(tmp_path):
    write_image(tmp_path / "a.png")
    square = {"segmentation": [[5, 2, 15, 2, 15, 8, 5, 8]]}
    categories = [{"id": 9, "name": "flow"}, {"id": 7, "name": "slide"}, {"id": 8, "name": "rock"}]
    content = coco([square, {**square, "category_id": 9}], categories=categories)
    path = write_json(tmp_path / "labels.json", content)
    dataset = open_dataset(path)
    assert dataset.class_names == ["BG", "slide", "rock", "flow"]
    assert dataset.load_mask(0)[1].tolist() == [1, 3]
    assert open_dataset(f"{path}?classes=flow,slide").load_mask(0)[1].tolist() == [2, 1]
    joined = open_dataset(f"{path}?classes=slide:landslide,flow:landslide")
    assert joined.class_names == ["BG", "landslide"] and joined.load_mask(0)[1].tolist() == [1, 1]
    chosen = open_dataset(f"{path}?classes=flow")
    assert chosen.load_mask(0)[1].tolist() == [1]
    assert ("annotation", "1 of classes that were not chosen (slide)") in kinds(chosen)


def test_coco_labels_that_cannot_be_used_are_said(tmp_path):
    write_image(tmp_path / "a.png")
    good = {"segmentation": [[5, 2, 15, 2, 15, 8, 5, 8]]}
    content = coco(
        [
            good,
            {"bbox": [1, 2, 3, 4]},
            {"segmentation": [[1, 2, 3, 4]]},
            {"segmentation": [[1, 2, 3]]},
            {"segmentation": [[1, 2, 3, "x", 5, 6]]},
            {"segmentation": [[1, 2, 3, 4, 5, 6]]},
            {"segmentation": [[0, 0, 1e9, 0, 1e9, 9]]},
            {**good, "category_id": 3},
            {**good, "image_id": 99},
        ]
    )
    dataset = open_dataset(write_json(tmp_path / "labels.json", content), strict=False)
    assert dataset.load_mask(0)[0].shape == (HEIGHT, WIDTH, 1)
    found = kinds(dataset)
    said = [text for kind, text in found if kind == "annotation"]
    for number, text in (
        (2, "no segmentation, only a box"),
        (3, "needs three points"),
        (4, "an odd count"),
        (6, "must enclose an area"),
        (7, "1e"),
        (8, "category 3, which the file does not list"),
    ):
        assert any(f"annotation {number}" in one and text in one for one in said), text
    assert any("could not convert string" in one for one in said) and len(said) == 7
    assert found[0][0] == "missing_image" and "1 annotations of image id 99" in found[0][1]
    with pytest.raises(DatasetError, match="image id 99"):
        open_dataset(tmp_path / "labels.json")


def test_broken_run_lengths_and_sizes_are_problems_of_their_image(tmp_path):
    write_image(tmp_path / "a.png")
    for counts, size, kind, text in (
        ([41, 2], (HEIGHT, WIDTH), "unreadable", "add up"),
        ("###", (HEIGHT, WIDTH), "unreadable", "letters"),
        ([0, 100], (10, 10), "size", "10 x 10 px in an image of 40 x 60"),
    ):
        content = coco([{"segmentation": {"size": list(size), "counts": counts}}])
        dataset = open_dataset(write_json(tmp_path / "labels.json", content))
        with pytest.raises(DatasetError, match=f"a.png: annotation 1: .*{text}"):
            dataset.verify(progress=False)
        assert {problem.kind for problem in dataset.facts[0].problems} == {kind}
    content = coco([{"segmentation": [[5, 2, 15, 2, 15, 8, 5, 8]]}])
    content["images"][0]["height"] = 39
    dataset = open_dataset(write_json(tmp_path / "labels.json", content))
    with pytest.raises(DatasetError, match=r"image \(40, 60\), masks \(39, 60, 1\)"):
        dataset.verify(progress=False)


@pytest.mark.parametrize(
    "labels, image",
    [
        ("labels.json", "a.png"),
        ("labels.json", "images/a.png"),
        ("annotations/instances_val.json", "val/a.png"),
        ("annotations/labels.json", "images/a.png"),
    ],
)
def test_images_are_found_where_tools_put_them(tmp_path, labels, image):
    write_image(tmp_path / image)
    path = write_json(tmp_path / labels, coco([]))
    assert open_dataset(path).image_info[0]["path"] == tmp_path / image


def test_only_image_files_on_this_computer_are_opened(tmp_path):
    for name in ("gone.png", "https://example.org/a.png", "notes.txt", "../../etc/passwd"):
        (tmp_path / "notes.txt").write_text("no image")
        path = write_json(tmp_path / "labels.json", coco([], images=(name,)))
        with pytest.raises(DatasetError, match="is not beside it. Add it, or name its folder"):
            open_dataset(path)
    write_image(tmp_path / "elsewhere/gone.png")
    write_json(path, coco([], images=("C:\\photos\\gone.png",)))
    assert open_dataset(f"{path}?images={tmp_path}/elsewhere").num_images == 1


def test_a_folder_with_one_file_of_labels(tmp_path):
    write_image(tmp_path / "a.png")
    write_json(tmp_path / "via_export.json", coco([]))
    assert open_dataset(tmp_path).num_images == 1


@pytest.mark.parametrize("content", ["{", "[1, 2]", '{"a": 1}', "", "[" * 100_000])
def test_other_json_is_refused(tmp_path, content):
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(DatasetError, match="labels.json"):
        open_dataset(tmp_path / "labels.json")


def test_broken_coco_files_are_refused(tmp_path):
    path = write_json(tmp_path / "labels.json", {"images": [{"id": 1}], "annotations": []})
    with pytest.raises(DatasetError, match="holds images with id and file_name.*KeyError"):
        open_dataset(path)
    with pytest.raises(DatasetError, match="at least one image that is there. Received: none"):
        open_dataset(write_json(path, coco([], images=("gone.png",))), strict=False)


def test_crossing_and_leaving_polygons_are_repaired_cut_and_said(tmp_path, caplog):
    write_image(tmp_path / "a.png")
    bow_tie = [10, 10, 20, 20, 20, 10, 10, 20]
    leaving = [50, 30, 75, 30, 75, 35, 50, 35]
    outside = [70, 50, 80, 50, 80, 60, 70, 60]
    content = coco([{"segmentation": [ring]} for ring in (bow_tie, leaving, outside)])
    dataset = open_dataset(write_json(tmp_path / "labels.json", content))
    masks, _ = dataset.load_mask(0)
    assert masks.shape[-1] == 2 and masks[..., 1].sum() == 5 * 10
    tie = masks[..., 0]
    assert tie[15, 10] and tie[15, 19] and not tie[10, 15] and not tie[19, 15]
    found = kinds(dataset)
    with caplog.at_level(logging.WARNING):
        dataset.verify(progress=False)
    assert ("crossing", "annotation 1 crosses itself") in found
    assert ("outside", "annotation 2 reaches 15 px outside of 40 x 60 px") in found
    assert ("annotation", "annotation 3 covers no pixel") in found
    assert "polygons that cross themselves: repaired" in caplog.text and "a.png" in caplog.text


@pytest.mark.parametrize(
    "query, text",
    [
        ("class", "Options are class="),
        ("colour=red", "Received: 'colour=red'"),
        ("instances=ids", "Options of a file of labels are class, classes, images"),
        ("classes=,", "needs at least one class, each with a name"),
    ],
)
def test_wrong_options_are_refused(tmp_path, query, text):
    write_image(tmp_path / "a.png")
    path = write_json(tmp_path / "labels.json", coco([]))
    with pytest.raises(DatasetError, match=text):
        open_dataset(f"{path}?{query}")


@pytest.mark.parametrize("size", [(-1, 60), (10**12, 60)])
def test_impossible_sizes_are_a_problem_before_memory_is_asked_for(tmp_path, size):
    write_image(tmp_path / "a.png")
    content = coco([{"segmentation": [[5, 2, 15, 2, 15, 8, 5, 8]]}])
    content["images"][0].update(height=size[0], width=size[1])
    dataset = open_dataset(write_json(tmp_path / "labels.json", content))
    with pytest.raises(DatasetError, match=f"a.png: its labels say {size[0]} x 60 px"):
        dataset.verify(progress=False)
