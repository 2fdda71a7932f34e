"""Small images and label files, and what is found wrong with them."""

import json

import cv2
import numpy as np

from landslide_rcnn.data.checking import check_images

HEIGHT, WIDTH = 40, 60


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
