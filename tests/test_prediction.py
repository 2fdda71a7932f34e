"""Regions of a semantic answer as instances."""

import numpy as np

from landslide_rcnn.prediction import masks_of, regions_of


def test_regions_by_hand():
    probabilities = np.zeros((6, 8, 1), np.float32)
    probabilities[0:2, 0:3] = 0.6
    probabilities[2, 3] = 0.9  # touches the first by a corner alone
    probabilities[4:6, 5:8] = 0.8
    probabilities[5, 5] = 0.4
    found = regions_of(probabilities, 0.5)
    assert found.boxes.tolist() == [[2, 3, 3, 4], [4, 5, 6, 8], [0, 0, 2, 3]]
    np.testing.assert_allclose(found.scores, [0.9, 0.8, 0.6], rtol=1e-6)
    assert found.class_ids.tolist() == [1, 1, 1]
    masks = masks_of(found, 6, 8)
    assert masks.sum(axis=(0, 1)).tolist() == [1, 5, 6]
    np.testing.assert_array_equal(masks.any(axis=-1), probabilities[..., 0] >= 0.5)
    assert len(regions_of(probabilities, 0.5, min_pixels=6)) == 1
    assert len(regions_of(probabilities, 0.5, min_pixels=7)) == 0


def test_kinds_together_make_a_landslide_and_the_likelier_names_it():
    probabilities = np.zeros((2, 4, 2), np.float32)
    probabilities[:, :2] = 0.35, 0.25  # 0.6 together
    probabilities[:, 2:] = 0.1, 0.8
    found = regions_of(probabilities, 0.5)
    assert found.class_ids.tolist() == [2, 1] and found.boxes[:, 1].tolist() == [2, 0]
    np.testing.assert_allclose(found.scores, [0.9, 0.6], rtol=1e-6)


def test_nothing_reaches_the_threshold():
    found = regions_of(np.full((3, 3, 1), 0.4, np.float32), 0.5)
    assert len(found) == 0 and masks_of(found, 3, 3).shape == (3, 3, 0)
