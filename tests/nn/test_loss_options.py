"""Class weights, focal and dice losses against loops, and what the configuration makes of them."""

import numpy as np
import pytest
from keras import ops

from landslide_rcnn.nn import losses
from tests.nn.test_losses import outputs_of
from tests.reference import losses as slow


def numbers(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.fixture
def maps(rng):
    return (rng.random((3, 5, 6)) < 0.3).astype(np.float32), rng.normal(0, 3, (3, 5, 6)).astype(
        np.float32
    )


@pytest.mark.parametrize("alpha, gamma", [(0.25, 1.75), (0.6, 0.5), (0.5, 0.0)])
def test_focal_loss(maps, alpha, gamma):
    targets, logits = maps
    expected = [
        slow.focal(t, x, alpha, gamma)
        for t, x in zip(targets.ravel(), logits.ravel().astype(float))
    ]
    found = numbers(losses.sigmoid_focal_loss(targets, logits, alpha, gamma))
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-4, atol=1e-7)


def test_focal_loss_of_certain_answers_is_finite():
    targets, logits = np.array([0.0, 1.0, 0.0, 1.0]), np.array([-99.0, 99.0, 99.0, -99.0])
    found = numbers(losses.sigmoid_focal_loss(targets, logits))
    np.testing.assert_allclose(found, [0, 0, 0.75 * 99, 0.25 * 99], atol=1e-6)


def test_dice_loss(maps):
    targets, logits = maps
    expected = [slow.dice(t, x) for t, x in zip(targets, logits)]
    np.testing.assert_allclose(numbers(losses.dice_loss(targets, logits)), expected, rtol=1e-5)


def test_dice_loss_by_hand():
    targets = np.zeros((3, 2, 4), np.float32)
    targets[:2, :, :2] = 1
    logits = np.where(targets, 60.0, -60.0).astype(np.float32)
    logits[1] = logits[1, :, ::-1]  # the other half: nothing in common
    found = numbers(losses.dice_loss(targets, logits))
    np.testing.assert_allclose(found, [0, 1 - 1 / 9, 0], atol=1e-6)


@pytest.mark.parametrize(
    "kind, expected_of",
    [
        ("focal", lambda t, x: slow.focal(t, x, 0.25, 1.75)),
        ("dice", None),
    ],
)
def test_mask_loss_of_positive_rois_for_their_own_class(kind, expected_of):
    o = outputs_of()
    targets = o["mask_targets"].masks[:2]
    logits = [o["mrcnn_mask_logits"][i, ..., c].astype(float) for i, c in enumerate((1, 2))]
    if expected_of is None:
        expected = np.mean([slow.dice(t, x) for t, x in zip(targets, logits)])
    else:
        expected = np.mean(
            [
                expected_of(a, b)
                for t, x in zip(targets, logits)
                for a, b in zip(t.ravel(), x.ravel())
            ]
        )
    components = losses.build_components(mask_loss=kind)
    assert float(numbers(components["mrcnn_mask_loss"](o))) == pytest.approx(expected, rel=1e-4)
    nothing = components["mrcnn_mask_loss"](outputs_of(positive_rois=0))
    assert float(numbers(nothing)) == 0.0


def test_class_weights():
    o = outputs_of()
    logits, weights = o["mrcnn_class_logits"][0], (0.5, 1.0, 3.0)
    each = [(weights[c], slow.cross_entropy(c, logits[i])) for i, c in enumerate((1, 2, 0, 0))]
    expected = sum(w * x for w, x in each) / sum(w for w, _ in each)
    found = losses.build_components(class_weights=weights)["mrcnn_class_loss"](o)
    assert float(numbers(found)) == pytest.approx(expected, rel=1e-5)
    # Only how they compare matters, and without any weight in a batch there is no loss.
    ten = losses.mrcnn_class_loss(o, [5, 10, 30])
    assert float(numbers(ten)) == pytest.approx(expected, rel=1e-5)
    none = losses.mrcnn_class_loss(outputs_of(positive_rois=0), [0, 1, 1])
    assert float(numbers(none)) == 0.0


def test_the_default_is_matterports():
    o = outputs_of()
    components = losses.build_components()
    assert list(components) == list(losses.COMPONENTS)
    for name, loss in losses.COMPONENTS.items():
        assert float(numbers(components[name](o))) == float(numbers(loss(o)))
    equal = losses.build_components(class_weights=[2, 2, 2])["mrcnn_class_loss"](o)
    assert float(numbers(equal)) == pytest.approx(
        float(numbers(losses.mrcnn_class_loss(o))), rel=1e-6
    )
