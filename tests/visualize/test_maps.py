"""The map of a result shows what is right and what is wrong, to scale."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb as color_of
from matplotlib.figure import Figure

from landslide_rcnn import visualize
from landslide_rcnn.errors import ShapeError
from landslide_rcnn.visualize import maps


def texts(figure):
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts]
        found += [axes.get_title(), axes.get_title(loc="left")]
    return found


@pytest.fixture
def layers():
    """A map of 40 x 60 px: truth and prediction overlap in a quarter."""
    rgb = np.full((40, 60, 3), 120, np.uint8)
    truth, predicted = np.zeros((2, 40, 60), bool)
    truth[10:20, 10:30] = True
    predicted[10:20, 20:40] = True
    return rgb, truth, predicted * 0.9, predicted


def test_map_figure_shows_right_and_wrong(layers, tmp_path):
    metrics = {"precision": 0.5, "recall": 0.512345, "F1": None, "landslides": 3}
    figure = visualize.map_figure(
        *layers, pixel_size_m=2.0, metrics=metrics, title="Ludian", subtitle="held out"
    )
    errors = figure.axes[2].images[0].get_array().astype(int)
    assert (np.ptp(errors[30, 50]) == 0) and errors.shape == (40, 60, 3)
    for pixel, color in (
        (errors[15, 25], visualize.CORRECT_COLOR),
        (errors[15, 15], visualize.MISSED_COLOR),
        (errors[15, 35], visualize.FALSE_COLOR),
    ):
        # 72 % of the colour over the same pale grey.
        expected = 0.72 * np.array(color_of(color)) * 255 + 0.28 * errors[30, 50]
        np.testing.assert_allclose(pixel, expected, atol=1.5)
    overlay = figure.axes[1].images[1].get_array()
    assert not overlay[truth_only(layers)][:, 3].any()
    assert (overlay[layers[3]][:, 3] > 0.7).all()
    found = texts(figure)
    for text in ("Ludian", "held out", "0.500", "0.512", "–", "3", "F1", "20 m"):
        assert text in found
    figure.savefig(tmp_path / "map.png", dpi=50)
    assert (tmp_path / "map.png").stat().st_size > 5000
    assert not plt.get_fignums()  # pyplot keeps no hold of it


def truth_only(layers):
    return layers[1] & ~layers[3]


@pytest.mark.parametrize(
    "pixel_size_m, label, bar_px",
    [(2.0, "20 m", 10), (0.05, "0.5 m", 10), (300.0, "2 km", 2000 / 300), (None, "10 px", 10)],
)
def test_scale_bar_is_as_long_as_it_says(layers, pixel_size_m, label, bar_px):
    figure = visualize.map_figure(*layers, pixel_size_m=pixel_size_m)
    (bar,) = figure.axes[0].lines
    assert np.ptp(bar.get_xdata()) == pytest.approx(bar_px)
    assert label in texts(figure)


def test_large_maps_are_thinned_and_keep_their_scale(monkeypatch, layers):
    monkeypatch.setattr(maps, "MAX_PANEL_PIXELS", 30)
    figure = visualize.map_figure(*layers, pixel_size_m=2.0)
    assert figure.axes[2].images[0].get_array().shape == (20, 30, 3)
    (bar,) = figure.axes[0].lines
    assert np.ptp(bar.get_xdata()) == pytest.approx(5) and "20 m" in texts(figure)


def test_maps_without_landslides_and_of_unequal_layers(layers):
    rgb, truth, probability, predicted = layers
    nothing = np.zeros_like(truth)
    figure = visualize.map_figure(rgb, nothing, nothing * 0.0, nothing)
    assert isinstance(figure, Figure)
    assert not figure.axes[1].images[1].get_array()[..., 3].any()
    with pytest.raises(ShapeError, match=r"one height and width.*\(40, 59\)"):
        visualize.map_figure(rgb, truth[:, 1:], probability, predicted)


@pytest.mark.parametrize(
    "length, expected", [(1, 1), (1.99, 1), (2, 2), (7, 5), (99, 50), (100, 100), (0.3, 0.2)]
)
def test_round_lengths(length, expected):
    assert maps._round_down(length) == pytest.approx(expected)
