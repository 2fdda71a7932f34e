"""Figures hold what they should, and nothing is ever shown."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from landslide_rcnn import visualize
from landslide_rcnn.errors import ShapeError
from landslide_rcnn.visualize import instances


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


def test_figures_are_as_large_as_what_is_drawn():
    wide = visualize.display_images([np.zeros((10, 40))] * 3, cols=2)
    assert wide.get_size_inches().tolist() == [7, 2 * (3.5 / 4 + 0.3)]
    boxes = np.array([[0, 0, 8, 8]])
    small = visualize.draw_boxes(np.zeros((64, 128, 3), np.uint8), boxes)
    assert small.get_size_inches().tolist() == [5.5, 2.75]
    large = visualize.draw_boxes(np.zeros((900, 600, 3), np.uint8), boxes)
    assert large.get_size_inches().tolist() == [8, 12]


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
    instances.draw_outlines(axes, np.ones((4, 6), bool), "red")
    (line,) = axes.collections[0].get_paths()
    corners = line.vertices
    assert corners.min() == -0.5 and corners.max(axis=0).tolist() == [5.5, 3.5]
    np.testing.assert_array_equal(corners[0], corners[-1])


def test_draw_box_cuts_at_the_image():
    image = np.zeros((8, 8, 3), np.uint8)
    drawn = visualize.draw_box(image, [1, 2, 7, 20], (9, 8, 7))
    assert drawn is image and image[1, 2].tolist() == [9, 8, 7]
    edge = image[..., 0] > 0
    assert edge[1:3, 2:].all() and edge[5:7, 2:].all() and edge[1:7, 2:4].all()
    assert not edge[3:5, 4:6].any() and edge[3, 6] and not edge[0].any() and not edge[7].any()


def test_draw_boxes_before_and_after():
    boxes = np.array([[0, 0, 10, 10], [2, 2, 6, 6], [5, 5, 9, 9]])
    refined = np.array([[1, 1, 11, 12], [2, 2, 6, 6], [0, 0, 0, 0]])
    masks = np.zeros((20, 20, 3), bool)
    masks[3:9, 3:9, 0] = True
    figure = visualize.draw_boxes(
        np.full((20, 20, 3), 100, np.uint8), boxes, refined, masks, ["a", "b", ""], [2, 1, 0], "t"
    )
    (axes,) = figure.axes
    assert [(p.get_bbox().bounds, p.get_linestyle()) for p in axes.patches] == [
        ((-0.5, -0.5, 10, 10), "dashed"),
        ((0.5, 0.5, 11, 10), "solid"),
        ((1.5, 1.5, 4, 4), "dotted"),
        ((1.5, 1.5, 4, 4), "solid"),
        ((4.5, 4.5, 4, 4), "dotted"),
    ]
    red, grey = visualize.random_colors(3)[0], (0.8275, 0.8275, 0.8275)
    assert axes.patches[0].get_edgecolor()[:3] == red and axes.patches[4].get_alpha() == 0.8
    np.testing.assert_allclose(axes.patches[4].get_edgecolor()[:3], grey, atol=1e-4)
    assert [text.get_text() for text in axes.texts] == ["a", "b", ""]
    assert len(axes.lines) == 2 and axes.lines[0].get_xdata().tolist() == [-0.5, 0.5]
    picture = axes.images[0].get_array()
    assert picture[5, 5].tolist() == [177, 50, 50] and picture[15, 15].tolist() == [100] * 3
    assert axes.get_title() == "t"
    with pytest.raises(ShapeError, match="needs boxes"):
        visualize.draw_boxes(np.zeros((4, 4, 3)))


def test_top_masks_are_the_largest_classes():
    masks = np.zeros((10, 10, 4), bool)
    masks[:2, :2, 0] = masks[:5, :5, 1] = masks[5:, 5:, 2] = masks[:9, :1, 3] = True
    names = ["BG", "small", "large", "middle"]
    figure = visualize.display_top_masks(
        np.zeros((10, 10, 3), np.uint8), masks, np.array([1, 2, 2, 3]), names, limit=2
    )
    assert [axes.get_title() for axes in figure.axes] == ["H x W=10x10", "large", "middle"]
    assert [int(axes.images[0].get_array().sum()) for axes in figure.axes] == [0, 50, 9]
    assert figure.axes[1].images[0].cmap.name == "Blues_r"
    few = visualize.display_top_masks(np.zeros((4, 4, 3)), masks[:4, :4, :1], [1], names, limit=3)
    assert [axes.get_title() for axes in few.axes][1:] == ["small", "-", "-"]
