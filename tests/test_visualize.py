"""Figures hold what they should, and nothing is ever shown."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from matplotlib.colors import to_rgb as color_of  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from landslide_rcnn import visualize  # noqa: E402
from landslide_rcnn.errors import ShapeError  # noqa: E402


@pytest.fixture(autouse=True)
def never_shown(monkeypatch):
    def show(*args, **kwargs):
        raise AssertionError("a figure was shown")

    monkeypatch.setattr(plt, "show", show)
    yield
    plt.close("all")


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


def test_random_colors_differ_and_stay():
    colors = visualize.random_colors(20)
    assert len(set(colors)) == 20 and colors == visualize.random_colors(20)
    assert all(max(color) == 1 for color in colors)
    assert all(max(color) == pytest.approx(0.7) for color in visualize.random_colors(5, False))
    assert visualize.random_colors(0) == []


def test_apply_mask_by_hand():
    image = np.full((2, 2, 4), 100, np.uint8)
    mask = np.array([[1, 0], [0, 0]])
    tinted = visualize.apply_mask(image, mask, (1.0, 0.0, 0.5), alpha=0.25)
    assert tinted is image
    assert image[0, 0].tolist() == [138, 75, 106, 100]
    assert (image[mask == 0] == 100).all()


def test_to_rgb():
    assert visualize.to_rgb(np.full((2, 3), 7, np.uint8)).tolist() == [[[7] * 3] * 3] * 2
    seven = np.random.default_rng(0).integers(0, 255, (4, 4, 7), np.uint8)
    np.testing.assert_array_equal(visualize.to_rgb(seven), seven[..., :3])
    ramp = visualize.to_rgb(np.linspace(0, 10000, 101, dtype=np.uint16)[None])
    assert ramp[0, :3].max() == 0 and ramp[0, -3:].min() == 255 and ramp[0, 50, 0] == 128
    assert visualize.to_rgb(np.full((2, 2, 3), np.nan)).tolist() == [[[0] * 3] * 2] * 2


def test_display_images():
    images = [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), np.zeros((4, 4, 6), np.float32)]
    figure = visualize.display_images(images, titles=["a", "b", "c"], cols=2, cmap="gray")
    assert isinstance(figure, Figure) and len(figure.axes) == 4
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c", ""]
    assert [len(axes.images) for axes in figure.axes] == [1, 1, 1, 0]
    assert figure.axes[1].images[0].cmap.name == "gray"


def test_display_instances():
    masks = np.zeros((20, 30, 3), bool)
    masks[2:8, 3:9, 0] = masks[10:18, 10:20, 1] = True
    figure = visualize.display_instances(
        np.full((20, 30, 3), 100, np.uint8),
        np.array([[2, 3, 8, 9], [10, 10, 18, 20], [0, 0, 0, 0]]),
        masks,
        np.array([1, 1, 1]),
        ["BG", "landslide"],
        scores=np.array([0.9, 0.876, 0.5]),
        title="found",
        colors=[(1, 0, 0), (0, 1, 0), (0, 0, 1)],
    )
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["landslide 0.900", "landslide 0.876"]
    assert [patch.get_bbox().bounds for patch in axes.patches] == [
        (2.5, 1.5, 6, 6),
        (9.5, 9.5, 10, 8),
    ]
    picture = axes.images[0].get_array()
    assert picture[5, 5].tolist() == [177, 50, 50] and picture[0, 0].tolist() == [100] * 3
    assert axes.get_title() == "found"


def test_display_instances_on_given_axes_and_without_instances():
    figure, axes = plt.subplots()
    nothing = visualize.display_instances(
        np.zeros((8, 8, 3)), np.zeros((0, 4)), np.zeros((8, 8, 0), bool), [], ["BG"], ax=axes
    )
    assert nothing is figure and not axes.patches and not axes.texts
    captioned = visualize.display_instances(
        np.zeros((8, 8, 3), np.uint8), np.array([[0, 0, 8, 8]]), np.ones((8, 8, 1)), [1],
        ["BG", "x"], captions=["mine"], show_bbox=False, show_mask=False,
    )  # fmt: skip
    assert [text.get_text() for text in captioned.axes[0].texts] == ["mine"]
    assert not captioned.axes[0].patches and not captioned.axes[0].images[0].get_array().any()
    with pytest.raises(ShapeError, match=r"boxes \(2, 4\), masks \(8, 8, 1\)"):
        visualize.display_instances(
            np.zeros((8, 8, 3)), np.zeros((2, 4)), np.zeros((8, 8, 1)), [1, 1], ["BG", "x"]
        )


def test_outlines_close_at_the_edge():
    figure, axes = plt.subplots()
    visualize._draw_outlines(axes, np.ones((4, 6), bool), "red")
    (line,) = axes.collections[0].get_paths()
    corners = line.vertices
    assert corners.min() == -0.5 and corners.max(axis=0).tolist() == [5.5, 3.5]
    np.testing.assert_array_equal(corners[0], corners[-1])


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
    monkeypatch.setattr(visualize, "MAX_PANEL_PIXELS", 30)
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
    assert visualize._round_down(length) == pytest.approx(expected)
