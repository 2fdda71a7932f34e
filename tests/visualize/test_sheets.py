"""Augmentation sheets show what training would see, outlines with it."""

import imgaug.augmenters as iaa
import numpy as np
import pytest

from landslide_rcnn import visualize
from landslide_rcnn.data.augment import dihedral
from landslide_rcnn.data.samples import Sample
from landslide_rcnn.errors import RegistryError


@pytest.fixture
def sample(rng):
    image = rng.integers(0, 255, (16, 16, 3), np.uint8)
    masks = np.zeros((16, 16, 1), bool)
    masks[2:6, 1:4, 0] = True
    return Sample(image, masks, np.array([1], np.int32), np.ones((16, 16), bool))


def drawn(axes):
    """The picture, and the pixels within its outline: (x from, x to, y from, y to)."""
    (path,) = axes.collections[0].get_paths()
    (x1, y1), (x2, y2) = path.vertices.min(axis=0), path.vertices.max(axis=0)
    return axes.images[0].get_array(), (x1, x2, y1, y2)


def test_dihedral_shows_the_eight_ways_of_a_square(sample):
    figure = visualize.augmentation_sheet(sample, "dihedral")
    assert len(figure.axes) == 9 and figure.axes[0].get_xlabel() == "as it is"
    assert figure.texts[0].get_text() == "Augmentation: dihedral"
    for k, axes in enumerate(figure.axes[1:]):
        picture, (x1, x2, y1, y2) = drawn(axes)
        np.testing.assert_array_equal(picture, dihedral(sample.image, k))
        mask = dihedral(sample.masks, k)[..., 0]
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert [y1, y2, x1, x2] == [
            rows[0] - 0.5,
            rows[-1] + 0.5,
            columns[0] - 0.5,
            columns[-1] + 0.5,
        ]


def test_outlines_go_where_an_augmenter_moves_the_pixels(sample):
    figure = visualize.augmentation_sheet(sample, iaa.Fliplr(1.0), count=2, title="Mirrored")
    assert [axes.get_xlabel() for axes in figure.axes] == ["as it is", "draw 1", "draw 2"]
    picture, (x1, x2, y1, y2) = drawn(figure.axes[2])
    np.testing.assert_array_equal(picture, sample.image[:, ::-1])
    assert (x1, x2, y1, y2) == (11.5, 14.5, 1.5, 5.5)
    assert figure.texts[0].get_text() == "Mirrored"


def test_recipes_by_name_are_drawn_by_the_seed(sample):
    def pictures(seed):
        figure = visualize.augmentation_sheet(sample, "fcn_fl", count=5, seed=seed)
        return [axes.images[0].get_array() for axes in figure.axes[1:]]

    first, again, other = pictures(1), pictures(1), pictures(2)
    assert all((a == b).all() for a, b in zip(first, again))
    assert any((a != b).any() for a, b in zip(first, other))
    with pytest.raises(RegistryError, match="'mirror'"):
        visualize.augmentation_sheet(sample, "mirror")
