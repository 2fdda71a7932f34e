"""labelme: shapes as labelme paints them, groups, images inside of the labels."""

import base64

import cv2
import numpy as np
import pytest

from landslide_rcnn.data.readers import open_dataset
from landslide_rcnn.errors import DatasetError
from tests.helpers.labels import HEIGHT, WIDTH, box, kinds, write_image, write_json
from tests.helpers.outside import data_file, needs_data


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
