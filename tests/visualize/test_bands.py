"""Every band is drawn with its own colours, limits and units."""

import matplotlib
import numpy as np
import pytest

from landslide_rcnn import visualize
from landslide_rcnn.errors import ShapeError
from landslide_rcnn.visualize.bands import RIVER_COLORS

H, W = 20, 30
NAMES = ["red", "green", "blue", "elevation_m", "slope_deg", "aspect_sin", "aspect_cos"]
NAMES += ["plan_curvature", "river_level", "VV"]


@pytest.fixture
def image():
    """Directions of fall turn from north (first row) by 18 degrees a row; others rise in steps."""
    bands = np.zeros((H, W, len(NAMES)), np.float32)
    bands[..., :3] = 10, 100, 200
    bands[..., 3] = np.linspace(500, 1500, W)
    bands[..., 4] = np.linspace(0, 42, W)
    turn = np.radians(18 * np.arange(H))[:, None]
    bands[..., 5], bands[..., 6] = np.sin(turn), np.cos(turn)
    bands[..., 7] = np.linspace(-0.1, 0.3, W)
    bands[..., 8] = np.arange(W) // 5
    bands[..., 9] = np.linspace(-20, -5, W)
    return bands


def panels_of(figure):
    """Title -> (axes of the panel, axes of its bar); the picture has no bar."""
    panels, found = list(figure.axes), {}
    while panels:
        axes = panels.pop(0)
        bar = None if axes.get_title(loc="left") == "True colours" else panels.pop(0)
        found[axes.get_title(loc="left")] = axes, bar
    return found


def test_each_band_has_its_own_colours_limits_and_units(image):
    image[0, 0, 3] = 8848  # one extreme pixel does not decide the colours
    panels = panels_of(visualize.display_bands(image, NAMES, title="All"))
    assert list(panels) == [
        "True colours", "Elevation", "Slope", "Aspect", "Plan curvature", "Distance from river",
        "VV",
    ]  # fmt: skip
    drawn = {title: axes.images[0] for title, (axes, _) in panels.items()}
    assert drawn["Elevation"].get_clim() == (500, 1500)
    assert (
        drawn["Elevation"].colorbar.extend == "max" and drawn["Slope"].colorbar.extend == "neither"
    )
    assert drawn["Slope"].get_clim() == (0, 45)
    low, high = drawn["Plan curvature"].get_clim()
    assert low == -high and high == pytest.approx(0.3, abs=0.01)
    assert drawn["VV"].cmap.name == "gray" and drawn["Plan curvature"].cmap.name == "PuOr"
    units = {title: bar.get_xlabel() for title, (_, bar) in panels.items() if bar is not None}
    assert units["Elevation"] == "m above sea level" and units["Slope"] == "degrees"
    assert units["Plan curvature"].startswith("1 / m") and units["VV"] == "values of the file"


def test_the_aspect_is_one_wheel_of_directions(image):
    image[3, 4, 5:7] = 0  # flat
    axes, bar = panels_of(visualize.display_bands(image, NAMES))["Aspect"]
    degrees = axes.images[0].get_array()
    np.testing.assert_allclose(degrees[:3, 0], [0, 18, 36], atol=1e-4)
    assert degrees[15, 7] == pytest.approx(270) and degrees.mask[3, 4] and degrees.mask.sum() == 1
    assert [t.get_text() for t in bar.get_xticklabels()] == ["N", "E", "S", "W", "N"]
    assert axes.images[0].get_clim() == (0, 360)
    ends = axes.images[0].cmap([0.0, 1.0])
    np.testing.assert_allclose(*ends, atol=0.03)  # 359 degrees looks as 1 does


def test_levels_of_distance_from_rivers_are_six_plain_colours(image):
    axes, bar = panels_of(visualize.display_bands(image, NAMES))["Distance from river"]
    levels = axes.images[0]
    colors = levels.cmap(levels.norm(np.arange(6)))
    np.testing.assert_allclose(colors, RIVER_COLORS(np.arange(6)))
    labels = [t.get_text() for t in bar.get_xticklabels()]
    assert labels == ["on it", "≤ 200", "≤ 500", "≤ 1000", "≤ 2000", "more"]
    np.testing.assert_allclose(bar.get_xticks(), range(6))


def test_pixels_without_data_are_left_out_of_colours_and_limits(image):
    image[..., 3][:, :15] = 9999
    valid = np.ones((H, W), bool)
    valid[:, :15] = False
    image[5, 20, 3] = np.nan
    panels = panels_of(visualize.display_bands(image, NAMES, valid_mask=valid))
    elevation = panels["Elevation"][0].images[0]
    low, high = elevation.get_clim()
    assert 1000 < low < high == 1500
    assert elevation.get_array().mask.sum() == H * 15 + 1
    picture = panels["True colours"][0].images[0].get_array()
    assert picture.shape == (H, W, 4) and picture[0, 0, 3] == 0 and picture[0, 20, 3] == 255


def test_true_colours_by_any_names_and_order():
    image = np.zeros((8, 8, 4), np.uint8)
    image[..., :] = 1, 2, 3, 4
    for names in (["B2", "B3", "B4", "B8"], ["Blue", "Green", "Red", "NIR"]):
        (picture, _), _ = panels_of(visualize.display_bands(image, names)).values()
        assert picture.images[0].get_array()[0, 0].tolist() == [3, 2, 1, 255]
    alone = visualize.display_bands(image[..., :2], ["red", "green"])
    assert list(panels_of(alone)) == ["red", "green"]


def test_bands_without_any_value_or_without_change(tmp_path):
    image = np.full((8, 8, 3), np.nan, np.float32)
    image[..., 1] = 7
    image[..., 2] = 0
    figure = visualize.display_bands(image, ["elevation_m", "slope_deg", "plan_curvature"])
    assert [t.get_text() for t in figure.axes[0].texts] == ["no data"]
    assert figure.axes[1].images[0].get_clim() == (0, 10)
    assert figure.axes[3].images[0].get_clim() == (-1, 1)
    figure.savefig(tmp_path / "bands.png")


def test_the_scale_bar_and_large_scenes():
    image = np.zeros((100, 2100, 1), np.float32)
    figure = visualize.display_bands(image, ["elevation_m"], pixel_size_m=2.0)
    assert figure.axes[0].images[0].get_array().shape == (34, 700)
    (bar,) = figure.axes[0].lines
    assert np.ptp(bar.get_xdata()) == pytest.approx(1000 / 6)
    assert [t.get_text() for t in figure.axes[0].texts] == ["1 km"]


def test_names_and_masks_that_do_not_fit(image):
    with pytest.raises(ShapeError, match=r"\(20, 30, 10\), 2 names"):
        visualize.display_bands(image, ["red", "green"])
    with pytest.raises(ShapeError, match=r"valid_mask \(2, 3\)"):
        visualize.display_bands(image, NAMES, valid_mask=np.ones((2, 3), bool))


def test_colours_have_names_that_matplotlib_knows():
    for style in visualize.bands.BAND_STYLES.values():
        assert matplotlib.colormaps.get_cmap(style.colors) is not None
