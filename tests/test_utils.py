"""matterport's `utils` names lead to the one definition of each, without loading TensorFlow."""

import subprocess
import sys
from pathlib import Path

import pytest

from landslide_rcnn import utils
from landslide_rcnn.data import dataset, masks, resize

HOMES = {
    "Dataset": dataset,
    "resize_image": resize,
    "resize_mask": resize,
    "extract_bboxes": masks,
    "minimize_mask": masks,
    "expand_mask": masks,
    "unmold_mask": masks,
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
