"""Models side by side: every pixel's verdict, every row's F1."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb as color_of

from landslide_rcnn import visualize
from landslide_rcnn.errors import ShapeError
from landslide_rcnn.visualize import comparison


def area(name="one", *, valid=None, **options):
    """Truth of 4 x 4 px; A finds all of it and 4 px more, B half of it."""
    truth = np.zeros((20, 30), bool)
    truth[4:8, 4:8] = True
    more, half = truth.copy(), truth.copy()
    more[4:8, 8] = True
    half[4:8, 4:6] = False
    image = np.full((20, 30, 3), 100, np.uint8)
    return visualize.ComparedArea(name, image, truth, {"A": more, "B": half}, valid, **options)


def labels(figure):
    return [axes.get_xlabel() for axes in figure.axes]


def test_pixels_are_coloured_and_scores_stand_below():
    figure = visualize.display_comparison([area(pixel_size_m=1.0)])
    assert labels(figure) == ["", "", "F1 0.889", "F1 0.667"]  # 32 / 36, 16 / 24
    weights = [axes.xaxis.label.get_weight() for axes in figure.axes[2:]]
    assert weights == ["bold", "normal"]
    grey = 40 + 0.75 * 100
    a, b = (axes.images[0].get_array().astype(int) for axes in figure.axes[2:])
    for picture, pixel, color in (
        (a, (5, 5), visualize.CORRECT_COLOR),
        (a, (5, 8), visualize.FALSE_COLOR),
        (b, (5, 5), visualize.MISSED_COLOR),
        (b, (5, 7), visualize.CORRECT_COLOR),
    ):
        expected = 0.72 * np.array(color_of(color)) * 255 + 0.28 * grey
        np.testing.assert_allclose(picture[pixel], expected, atol=1.5)
    assert (a[12, 12] == 115).all()
    headings = [axes.texts[-2].get_text() for axes in figure.axes]
    assert headings == ["Image", "Truth", "A", "B"]
    assert [t.get_text() for t in figure.axes[0].texts][0] == "5 m"
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert legend == ["landslide (truth)", "correct", "missed", "false"]


def test_rows_have_names_and_columns_their_sum():
    empty = area("two")
    nothing = np.zeros_like(empty.truth)
    empty = visualize.ComparedArea("two", empty.image, nothing, {"B": nothing, "A": nothing})
    figure = visualize.display_comparison([area(), empty], title="Both")
    assert [axes.get_ylabel() for axes in figure.axes] == ["one", "", "", "", "two", "", "", ""]
    # Without a true landslide pixel F1 says nothing, but its pixels count in the sum.
    assert labels(figure)[4:] == ["", "", "F1 –", "F1 –"]
    notes = [axes.texts[-1].get_text() for axes in figure.axes[:4]]
    assert notes == ["", "", "F1 0.889 over all", "F1 0.667 over all"]
    assert figure.texts[0].get_text() == "Both"


def test_pixels_that_are_not_judged_do_not_count():
    valid = np.ones((20, 30), bool)
    valid[:, 8] = False
    figure = visualize.display_comparison([area(valid=valid)])
    assert labels(figure)[2] == "F1 1.000"
    picture = figure.axes[2].images[0].get_array()
    assert picture[5, 8].tolist() == picture[15, 8].tolist() == [0xD6, 0xD3, 0xCC]
    assert figure.legends[0].get_texts()[-1].get_text() == "not judged"


def test_large_areas_are_thinned_but_all_pixels_count(monkeypatch):
    monkeypatch.setattr(comparison, "MAX_CELL_PIXELS", 10)
    figure = visualize.display_comparison([area()])
    assert figure.axes[2].images[0].get_array().shape == (7, 10, 3)
    assert labels(figure)[2:] == ["F1 0.889", "F1 0.667"]


def test_bands_by_name():
    one = area()
    image = np.concatenate([np.zeros_like(one.image), one.image], -1)
    image[..., 3] = 50
    swapped = visualize.ComparedArea("x", image, one.truth, one.predictions)
    names = ["dem", "slope", "ndvi", "red", "green", "blue"]
    figure = visualize.display_comparison([swapped], band_names=names)
    assert figure.axes[0].images[0].get_array()[0, 0].tolist() == [50, 100, 100]


def test_what_cannot_be_compared():
    with pytest.raises(ShapeError, match="0 areas, 0 models"):
        visualize.display_comparison([])
    one = area()
    other = visualize.ComparedArea("x", one.image, one.truth, {"A": one.truth})
    with pytest.raises(ShapeError, match=r"same models. Received: \['A'\] of 'x'"):
        visualize.display_comparison([one, other])
    cut = visualize.ComparedArea("x", one.image, one.truth[1:], one.predictions)
    with pytest.raises(ShapeError, match=r"\(19, 30\).*of 'x'"):
        visualize.display_comparison([cut])
