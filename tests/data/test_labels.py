"""COCO, VIA and labelme files: every shape's pixels, the ways files differ, round trips."""

import base64
import json
import logging

import cv2
import numpy as np
import pytest

from landslide_rcnn.data.checking import check_images
from landslide_rcnn.data.coco import CocoWriter, write_coco_dataset
from landslide_rcnn.data.coco_polygons import coco_polygon, polygon_mask
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.readers import open_dataset
from landslide_rcnn.errors import DatasetError
from tests.helpers.outside import data_file, needs_data

HEIGHT, WIDTH = 40, 60
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]


def write_image(path, size=(HEIGHT, WIDTH), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), pixels)


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def box(y1, x1, y2, x2):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def kinds(dataset):
    """What is wrong, as the check of every image finds it."""
    facts = check_images(dataset, progress=False)
    found = [*dataset.problems, *(problem for one in facts for problem in one.problems)]
    return [(problem.kind, problem.text) for problem in found]


# --- COCO ---


def coco(annotations, images=("a.png",), categories=({"id": 7, "name": "slide"},), **more):
    return {
        "images": [
            {"id": i, "file_name": name, "height": HEIGHT, "width": WIDTH}
            for i, name in enumerate(images, 10)
        ],
        "categories": list(categories),
        "annotations": [
            {"id": i, "image_id": 10, "category_id": 7, "iscrowd": 0, **annotation}
            for i, annotation in enumerate(annotations, 1)
        ],
        **more,
    }


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


def test_cocos_polygons_are_painted_as_by_cocos_tools(rng):
    tools = pytest.importorskip("pycocotools.mask")
    for _ in range(300):
        height, width = (int(side) for side in rng.integers(5, 60, 2))
        ring = rng.uniform(-8, 65, (rng.integers(3, 9), 2)).round(int(rng.integers(0, 3)))
        theirs = tools.decode(tools.frPyObjects([ring.ravel().tolist()], height, width))[..., 0]
        np.testing.assert_array_equal(polygon_mask(ring, height, width), theirs > 0)
        mask = np.zeros((height, width), bool)
        try:
            coco_polygon(ring).paint(mask)  # by its part of the image only
        except DatasetError:
            continue  # without an area
        np.testing.assert_array_equal(mask, theirs > 0)


@pytest.fixture
def mixed(tmp_path):
    """Three images of different size with many instances, one of them empty, one a crowd."""
    rng = np.random.default_rng(4)

    class Mixed(Dataset):
        def load_mask(self, image_id):
            return self.image_info[image_id]["masks"], self.image_info[image_id]["class_ids"]

    dataset = Mixed()
    dataset.add_class("landslide", 1, "slide")
    dataset.add_class("landslide", 2, "flow")
    for index, (size, count) in enumerate((((37, 52), 5), ((64, 64), 0), ((20, 91), 3))):
        path = tmp_path / "pictures" / f"é {index}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imencode(".png", rng.integers(0, 255, (*size, 3), dtype=np.uint8))[1].tofile(path)
        masks = rng.random((*size, count)) > np.linspace(0.2, 0.999, max(count, 1))[:count]
        masks[0, 0] = masks[-1, -1] = True  # overlapping, at the corners
        class_ids = np.array([1, 2, -1, 2, 1][:count], np.int32)
        dataset.add_image("landslide", index, path, masks=masks, class_ids=class_ids)
    dataset.prepare()
    return dataset


def test_not_a_pixel_is_lost_on_the_way_to_coco_and_back(tmp_path, mixed):
    path = tmp_path / "labels" / "coco.json"
    write_coco_dataset(mixed, path, progress=False)
    content = json.loads(path.read_text())
    assert content["images"][0]["file_name"] == "../pictures/é 0.png"
    back = open_dataset(path)
    assert back.class_names == mixed.class_names and back.num_images == 3
    for image_id in range(3):
        np.testing.assert_array_equal(back.load_image(image_id), mixed.load_image(image_id))
        masks, class_ids = back.load_mask(image_id)
        np.testing.assert_array_equal(masks, mixed.load_mask(image_id)[0])
        np.testing.assert_array_equal(class_ids, mixed.load_mask(image_id)[1])
    write_coco_dataset(back, tmp_path / "labels" / "again.json", progress=False)
    assert json.loads((tmp_path / "labels" / "again.json").read_text()) == content


def test_cocos_own_tools_read_what_is_written(tmp_path, mixed):
    tools = pytest.importorskip("pycocotools.coco")
    write_coco_dataset(mixed, tmp_path / "coco.json", progress=False)
    read = tools.COCO(tmp_path / "coco.json")
    masks, class_ids = mixed.load_mask(0)
    for index, annotation in enumerate(read.loadAnns(read.getAnnIds(imgIds=1))):
        mask = read.annToMask(annotation)
        np.testing.assert_array_equal(mask > 0, masks[..., index])
        assert annotation["area"] == mask.sum()
        assert annotation["iscrowd"] == (class_ids[index] < 0)
        rows, columns = np.nonzero(mask)
        x, y, width, height = annotation["bbox"]
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)


def test_tiles_of_a_scene_are_no_files_for_coco(tmp_path, mixed):
    mixed.image_info[1]["path"] = None
    with pytest.raises(DatasetError, match="landslide-rcnn tile"):
        write_coco_dataset(mixed, tmp_path / "coco.json", progress=False)
    assert not (tmp_path / "coco.json").exists()


def test_more_entries_of_an_image(tmp_path):
    writer = CocoWriter(["slide"], "tiles")
    masks = np.zeros((4, 5, 1), bool)
    masks[1:3, 2] = True
    assert writer.add_image("a.tif", masks, np.array([1]), crs="EPSG:32648") == 1
    writer.write(tmp_path / "coco.json")
    content = json.loads((tmp_path / "coco.json").read_text())
    assert content["images"][0]["crs"] == "EPSG:32648"
    assert content["annotations"][0]["bbox"] == [2, 1, 1, 2]
    assert content["annotations"][0]["segmentation"] == {"size": [4, 5], "counts": "929"}


# --- VIA ---

VIA_SHAPES = [
    {"name": "rect", "x": 5, "y": 2, "width": 10, "height": 6},
    {"name": "circle", "cx": 30, "cy": 20, "r": 6.2},
    {"name": "ellipse", "cx": 30, "cy": 20, "rx": 12, "ry": 3},
    {"name": "ellipse", "cx": 30, "cy": 20, "rx": 12, "ry": 3, "theta": np.pi / 2},
    {"name": "polygon", "all_points_x": [50, 60, 60], "all_points_y": [0, 0, 10]},
]


def via(shapes, as_list, attributes=()):
    regions = [
        {"shape_attributes": shape, "region_attributes": dict(attribute)}
        for shape, attribute in zip(shapes, attributes or [{}] * len(shapes), strict=True)
    ]
    entry = {"filename": "a.png", "size": 123, "file_attributes": {}}
    if as_list:
        return {"a.png123": {**entry, "regions": regions}}
    by_number = {str(i): region for i, region in enumerate(regions)}
    return {"a.png123": {**entry, "fileref": "", "base64_img_data": "", "regions": by_number}}


@pytest.mark.parametrize("version", [1, 2, "2 project"])
def test_via(tmp_path, version):
    write_image(tmp_path / "a.png")
    content = via(VIA_SHAPES, as_list=version != 1)
    if version == "2 project":
        content = {"_via_settings": {}, "_via_img_metadata": content, "_via_attributes": {}}
    dataset = open_dataset(write_json(tmp_path / "via.json", content))
    masks, class_ids = dataset.load_mask(0)
    assert dataset.class_names == ["BG", "landslide"] and class_ids.tolist() == [1] * 5
    y, x = ROWS + 0.5, COLUMNS + 0.5
    expected = [
        box(2, 5, 8, 15),
        (x - 30) ** 2 + (y - 20) ** 2 < 6.2**2,
        (x - 30) ** 2 / 144 + (y - 20) ** 2 / 9 < 1,
        (x - 30) ** 2 / 9 + (y - 20) ** 2 / 144 < 1,
        (x > 50) & (y < x - 50),
    ]
    for index, mask in enumerate(expected):
        assert (masks[..., index] ^ mask).sum() <= (index == 4) * 10, index  # centres on the edge


def test_an_ellipse_turns_from_x_towards_y(tmp_path):
    write_image(tmp_path / "a.png")
    shape = {"name": "ellipse", "cx": 30, "cy": 20, "rx": 15, "ry": 2, "theta": np.pi / 4}
    dataset = open_dataset(write_json(tmp_path / "via.json", via([shape], as_list=True)))
    mask = dataset.load_mask(0)[0][..., 0]
    assert mask[28, 38] and mask[12, 22] and not mask[12, 38] and not mask[28, 22]


def test_an_attribute_of_via_names_the_class(tmp_path):
    write_image(tmp_path / "a.png")
    attributes = [
        {"kind": "slide"},
        {"kind": {"flow": True, "slide": False}},
        {"kind": {"flow": True, "slide": True}},
        {"other": "slide"},
        {"kind": " slide "},
    ]
    path = write_json(tmp_path / "via.json", via(VIA_SHAPES, True, attributes))
    dataset = open_dataset(f"{path}?class=kind")
    assert dataset.class_names == ["BG", "flow", "slide"]
    assert dataset.load_mask(0)[1].tolist() == [2, 1, 2]
    said = [text for kind, text in kinds(dataset) if kind == "annotation"]
    assert said == [f"region {i} has no single 'kind': left out" for i in (2, 3)]
    assert open_dataset(f"{path}?class=kind&classes=slide").load_mask(0)[1].tolist() == [1, 1]


def test_points_and_lines_of_via_are_left_out_and_said(tmp_path):
    write_image(tmp_path / "a.png")
    shapes = [{"name": "point", "cx": 3, "cy": 4}, {"name": "polyline"}, {"name": "circle"}]
    dataset = open_dataset(write_json(tmp_path / "via.json", via(shapes, False)))
    assert dataset.load_mask(0)[0].shape == (HEIGHT, WIDTH, 0)
    said = " ".join(text for _, text in kinds(dataset))
    assert "region 0 is a point, which has no area: left out" in said
    assert "region 1 is a polyline" in said and "KeyError: 'cx'" in said


# --- labelme ---


def labelme(shapes, image="a.png", **more):
    return {
        "version": "5.0.2",
        "flags": {},
        "shapes": [
            {"label": "landslide", "group_id": None, "shape_type": "polygon", "flags": {}, **shape}
            for shape in shapes
        ],
        "imagePath": image,
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
        **more,
    }


def png(mask):
    return base64.b64encode(cv2.imencode(".png", mask)[1]).decode()


def test_labelme_shapes_are_painted_as_labelme_paints_them(tmp_path):
    write_image(tmp_path / "images/a.png")
    pasted = np.eye(4, 6, dtype=np.uint8)
    shapes = [
        {"points": [[5.9, 2.2], [15.1, 2.8], [15.9, 8.4], [5.0, 8.0]]},
        {"points": [[33.5, 9.9], [20.2, 4.0]], "shape_type": "rectangle"},
        {"points": [[40, 20], [40, 23]], "shape_type": "circle"},
        {"points": [[50, 30], [55, 33]], "shape_type": "mask", "mask": png(pasted)},
        {"points": [[57, 37], [59, 37], [59, 39], [57, 39]], "shape_type": "oriented_rectangle"},
    ]
    content = labelme(shapes, "..\\images\\a.png")
    dataset = open_dataset(write_json(tmp_path / "labels/a.json", content))
    masks, _ = dataset.load_mask(0)
    np.testing.assert_array_equal(masks[..., 0], box(2, 5, 9, 16))  # outline and all
    np.testing.assert_array_equal(masks[..., 1], box(4, 20, 10, 34))
    assert [masks[20, 36:45, 2].sum(), masks[16:25, 40, 2].sum()] == [7, 7]
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[30:34, 50:56] = pasted > 0
    np.testing.assert_array_equal(masks[..., 3], expected)
    np.testing.assert_array_equal(masks[..., 4], box(37, 57, 40, 60))


@pytest.mark.parametrize("move", [0, 1, 7])
def test_the_part_of_the_image_does_not_change_what_labelme_paints(move):
    from landslide_rcnn.data.labelme import _polygon

    points = np.array([[-3.5, 2.3], [9.7, -1.5], [14.2, 9.9], [4.4, 12.6]]) + move
    small, large = np.zeros((11, 13), bool), np.zeros((60, 60), bool)
    shape = _polygon({"points": points.tolist()})
    shape.paint(small)
    shape.paint(large)
    assert small.any()
    np.testing.assert_array_equal(small, large[:11, :13])


def test_shapes_of_one_group_are_one_instance(tmp_path):
    write_image(tmp_path / "a.png")
    corners = [[[0, 0], [3, 3]], [[10, 0], [13, 3]], [[20, 0], [23, 3]], [[30, 0], [33, 3]]]
    shapes = [
        {"points": points, "shape_type": "rectangle", "group_id": group, "label": label}
        for points, group, label in zip(corners, (1, 1, None, 1), ("b", "b", "b", "a"))
    ]
    write_json(tmp_path / "a.json", labelme(shapes))
    dataset = open_dataset(tmp_path)
    masks, class_ids = dataset.load_mask(0)
    assert dataset.class_names == ["BG", "a", "b"] and class_ids.tolist() == [2, 2, 1]
    assert masks.sum(axis=(0, 1)).tolist() == [32, 16, 16]


def test_an_image_inside_of_the_labels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    content = labelme([], "gone.png", imageData=png(pixels))
    dataset = open_dataset(write_json(tmp_path / "a.json", content))
    np.testing.assert_array_equal(dataset.load_image(0), pixels[..., ::-1])
    assert dataset.describe_image(0) == str(tmp_path / "a.json")
    assert dataset.verify(progress=False)["images"] == 1
    write_json(tmp_path / "a.json", {**content, "imageData": png(pixels)[:300]})
    with pytest.raises(DatasetError, match="a.json"):
        open_dataset(tmp_path / "a.json").verify(progress=False)


def test_broken_labelme_files_are_named(tmp_path):
    write_image(tmp_path / "a.png")
    write_json(tmp_path / "a.json", labelme([{"points": [[1, 1]], "shape_type": "point"}]))
    (tmp_path / "b.json").write_text('{"shapes": [')
    write_json(tmp_path / "c.json", labelme([], "c.png"))
    write_json(tmp_path / "d.json", {"classes": []})
    with pytest.raises(DatasetError, match="3 that do not: .*b.json.*d.json.*c.json"):
        open_dataset(tmp_path)
    dataset = open_dataset(tmp_path, strict=False)
    assert [problem.kind for problem in dataset.problems] == [
        "unreadable", "unreadable", "missing_image",
    ]  # fmt: skip
    assert ("annotation", "shape 0 is a point, which has no area: left out") in kinds(dataset)


# --- What is wrong with outlines ---


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


@needs_data("hokkaido")
def test_hokkaidos_labelme_files_are_its_masks():
    labels, masks = open_dataset(data_file("hokkaido/labelme")), open_dataset(data_file("hokkaido"))
    assert labels.verify(progress=False)["instances"] == 305
    ious = []
    for image_id in range(15):
        ours = labels.load_mask(image_id)[0].any(axis=-1)
        theirs = masks.load_mask(image_id)[0].any(axis=-1)
        ious.append((ours & theirs).sum() / (ours | theirs).sum())
    assert np.mean(ious) > 0.999 and min(ious) > 0.999


@needs_data("hokkaido")
@pytest.mark.parametrize(
    "name",
    [
        "hokkaido",
        "hokkaido/labelme",
        "mars_mmls/val",
        "bijie#val",
        pytest.param("bijie", marks=pytest.mark.slow),
        pytest.param("landslide4sense_rgb", marks=pytest.mark.slow),
    ],
)
def test_real_sets_lose_no_pixel_on_the_way_to_coco_and_back(tmp_path, name):
    dataset = open_dataset(f"{data_file('')}/{name}")
    write_coco_dataset(dataset, tmp_path / "coco.json", progress=False)
    back = open_dataset(tmp_path / "coco.json")
    assert back.num_images == dataset.num_images
    for image_id in dataset.image_ids:
        assert back.describe_image(image_id).endswith(dataset.image_info[image_id]["path"].name)
        masks, class_ids = dataset.load_mask(image_id)
        masks_back, class_ids_back = back.load_mask(image_id)
        np.testing.assert_array_equal(masks_back, masks)
        np.testing.assert_array_equal(class_ids_back, class_ids)
