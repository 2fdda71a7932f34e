"""matterport's `utils` names lead to the one definition of each, without loading TensorFlow."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from landslide_rcnn import boxes, utils
from landslide_rcnn.data import dataset, masks, resize
from landslide_rcnn.evaluation import instances

HOMES = {
    "Dataset": dataset,
    "resize_image": resize,
    "resize_mask": resize,
    "extract_bboxes": masks,
    "minimize_mask": masks,
    "expand_mask": masks,
    "unmold_mask": masks,
    "resize": resize,
    "compute_overlaps": boxes,
    "trim_zeros": boxes,
    "compute_ap": instances,
    "compute_recall": instances,
}


@pytest.mark.parametrize("name", HOMES)
def test_names_are_reexported(name):
    assert getattr(utils, name) is getattr(HOMES[name], name)
    assert name in utils.__all__


def test_no_tensorflow_is_loaded():
    code = (
        "import sys; from landslide_rcnn import utils, visualize; "
        "from landslide_rcnn.data import batches, readers; "
        "print([m for m in ('tensorflow', 'keras', 'torch', 'jax', 'imgaug') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[1]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_resize_is_skimages_and_takes_bool():
    image = np.arange(8.0).reshape(2, 4)
    np.testing.assert_allclose(utils.resize(image, (1, 2), preserve_range=True), [[2.5, 4.5]])
    mask = np.array([[True, False], [True, False]])
    np.testing.assert_allclose(utils.resize(mask, (2, 1)), [[0.5], [0.5]])


def test_names_that_are_not_there_say_what_to_use():
    with pytest.raises(AttributeError, match="batch_slice is replaced. Use the functions of"):
        utils.batch_slice  # noqa: B018
    with pytest.raises(AttributeError, match="utils has no attribute 'nonsense'.$"):
        utils.nonsense  # noqa: B018
