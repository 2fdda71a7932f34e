"""VIA 1 and 2: every shape's pixels, classes by an attribute."""

import numpy as np
import pytest

from landslide_rcnn.data.readers import open_dataset
from tests.helpers.labels import HEIGHT, WIDTH, box, kinds, write_image, write_json

ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]

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
