"""Figures stay outside pyplot, notebooks show them once, and colours differ for everyone."""

import ast
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb as color_of
from skimage.color import deltaE_ciede2000, rgb2lab

from landslide_rcnn import palette, visualize
from landslide_rcnn.visualize.canvas import on_axes

ROOM = Path(visualize.__file__).parent
# Machado et al. 2009, severity 1: linear RGB as people with the deficiency see it.
VISION = {
    "usual": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=lambda path: path.name)
def test_no_function_touches_pyplot(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute):
            names.add(f".{node.attr}")
    assert "matplotlib.figure.Figure" in names or path.name in ("__init__.py", "tables.py")
    assert not names & {"matplotlib.pyplot", ".show"}


def test_notebooks_get_a_picture_and_pyplot_nothing():
    figure = visualize.plot_precision_recall(0.5, [1, 0.5], [0, 1])
    assert figure._repr_png_().startswith(b"\x89PNG") and not plt.get_fignums()
    own, axes = plt.subplots()
    assert on_axes(axes, (1, 1)) == (own, axes)
    made, _ = on_axes(None, (3, 2))
    assert made.get_size_inches().tolist() == [3, 2] and plt.get_fignums() == [own.number]


def lab(color: str, seen: np.ndarray) -> np.ndarray:
    rgb = np.array(color_of(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(seen) @ linear, 0, 1)
    rgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb2lab(rgb[None, None])[0, 0]


@pytest.mark.parametrize("vision", VISION)
def test_verdicts_differ_for_every_kind_of_vision(vision):
    colors = palette.CORRECT_COLOR, palette.MISSED_COLOR, palette.FALSE_COLOR
    seen = [lab(color, VISION[vision]) for color in colors]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert deltaE_ciede2000(seen[first], seen[second]) > 20
    assert deltaE_ciede2000(*(lab(c, VISION["deuteranopia"]) for c in ("#35c46a", "#ef3b3b"))) < 20
