"""Every loss against loops, and exactly 0 where there is nothing to learn."""

import numpy as np
import pytest
from keras import ops

from landslide_rcnn.nn import losses
from landslide_rcnn.nn.targets import MaskTargets, RoiTargets, RpnTargets
from tests.reference import losses as slow


def outputs_of(positive_rois=2, seed=0):
    """Random heads' answers for one image: 6 anchors drawn, 5 rois, 3 mask rois, K = 3."""
    rng = np.random.default_rng(seed)
    positive = np.arange(5)[None] < positive_rois
    class_ids = np.where(positive, [[1, 2, 1, 1, 1]], 0).astype(np.int32)
    masks = (rng.uniform(size=(3, 8, 8)) < 0.5).astype(np.float32)
    return {
        "rpn_class_logits": rng.normal(size=(1, 6, 2)).astype(np.float32),
        "rpn_bbox": rng.normal(size=(1, 6, 4)).astype(np.float32),
        "mrcnn_class_logits": rng.normal(size=(1, 5, 3)).astype(np.float32),
        "mrcnn_bbox": rng.normal(size=(1, 5, 3, 4)).astype(np.float32),
        "mrcnn_mask_logits": rng.normal(size=(3, 8, 8, 3)).astype(np.float32),
        "active_class_ids": np.ones((1, 3), np.int32),
        "rpn_targets": RpnTargets(
            indices=np.array([[7, 2, 0, 5, 9, 0]], np.int32),
            used=np.array([[1, 1, 0, 1, 1, 0]], bool),
            positive=np.array([[1, 1, 0, 0, 0, 0]], bool),
            deltas=rng.normal(size=(1, 6, 4)).astype(np.float32),
        ),
        "roi_targets": RoiTargets(
            rois=np.zeros((1, 5, 4), np.float32),
            used=np.array([[1, 1, 1, 1, 0]], bool),
            positive=positive,
            class_ids=class_ids,
            deltas=rng.normal(size=(1, 5, 4)).astype(np.float32),
            instances=np.zeros((1, 5), np.int32),
        ),
        "mask_targets": MaskTargets(
            rois=np.zeros((3, 4), np.float32),
            images=np.zeros(3, np.int32),
            used=positive[0, :3],
            class_ids=class_ids[0, :3],
            masks=masks,
        ),
    }


def value(name, outputs):
    return float(ops.convert_to_numpy(losses.COMPONENTS[name](outputs)))


def test_rpn_class_loss():
    o = outputs_of()
    logits = o["rpn_class_logits"][0]
    expected = np.mean(
        [slow.cross_entropy(label, logits[i]) for i, label in ((0, 1), (1, 1), (3, 0), (4, 0))]
    )
    assert value("rpn_class_loss", o) == pytest.approx(expected, rel=1e-5)


def test_rpn_bbox_loss():
    o = outputs_of()
    deltas = o["rpn_targets"].deltas[0]
    expected = np.mean(
        [
            slow.smooth_l1(deltas[0], o["rpn_bbox"][0, 0]),
            slow.smooth_l1(deltas[1], o["rpn_bbox"][0, 1]),
        ]
    )
    assert value("rpn_bbox_loss", o) == pytest.approx(expected, rel=1e-5)


def test_class_loss_leaves_padded_rois_out():
    o = outputs_of()
    logits = o["mrcnn_class_logits"][0]
    expected = np.mean([slow.cross_entropy(c, logits[i]) for i, c in enumerate((1, 2, 0, 0))])
    assert value("mrcnn_class_loss", o) == pytest.approx(expected, rel=1e-5)


def test_class_loss_leaves_classes_out_that_the_image_does_not_have():
    o = outputs_of(positive_rois=1)
    o["active_class_ids"] = np.array([[1, 1, 0]], np.int32)
    logits = o["mrcnn_class_logits"][0, :, :2]
    expected = np.mean([slow.cross_entropy(c, logits[i]) for i, c in enumerate((1, 0, 0, 0))])
    assert value("mrcnn_class_loss", o) == pytest.approx(expected, rel=1e-5)


def test_bbox_loss_reads_the_true_class_of_positive_rois():
    o = outputs_of()
    deltas, answers = o["roi_targets"].deltas[0], o["mrcnn_bbox"][0]
    expected = np.mean(
        [slow.smooth_l1(deltas[0], answers[0, 1]), slow.smooth_l1(deltas[1], answers[1, 2])]
    )
    assert value("mrcnn_bbox_loss", o) == pytest.approx(expected, rel=1e-5)


def own_probabilities(o):
    logits = np.stack([o["mrcnn_mask_logits"][i, ..., c] for i, c in enumerate((1, 2, 1))])
    return 1 / (1 + np.exp(-logits.astype(float)))


def test_mask_loss():
    o = outputs_of()
    p, t = own_probabilities(o)[:2], o["mask_targets"].masks[:2]
    expected = -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))
    assert value("mrcnn_mask_loss", o) == pytest.approx(expected, rel=1e-5)


def test_edge_loss():
    o = outputs_of()
    expected = slow.edge_loss(o["mask_targets"].masks, own_probabilities(o), [True, True, False])
    assert value("mrcnn_mask_edge_loss", o) == pytest.approx(expected, rel=1e-4)


def test_a_perfect_mask_has_no_edge_loss_and_a_missed_edge_costs_sixteen():
    o = outputs_of(positive_rois=1)
    mask = np.zeros((3, 8, 8), np.float32)
    mask[..., 4:] = 1
    o["mask_targets"] = o["mask_targets"]._replace(masks=mask)
    o["mrcnn_mask_logits"][:] = np.where(mask[..., None] > 0, 40.0, -40.0)
    assert value("mrcnn_mask_edge_loss", o) == pytest.approx(0, abs=1e-6)
    o["mrcnn_mask_logits"][:] = -40.0
    # Of 6 columns, 2 miss a response of 4 in x; none in y.
    assert value("mrcnn_mask_edge_loss", o) == pytest.approx(16 * 2 / 6 / 2, rel=1e-5)


@pytest.mark.parametrize("name", ["mrcnn_bbox_loss", "mrcnn_mask_loss", "mrcnn_mask_edge_loss"])
def test_without_a_positive_roi_the_loss_is_exactly_zero(name):
    assert value(name, outputs_of(positive_rois=0)) == 0.0


def test_without_a_positive_anchor_the_box_loss_is_exactly_zero():
    o = outputs_of()
    targets = o["rpn_targets"]
    o["rpn_targets"] = targets._replace(positive=np.zeros_like(targets.positive))
    assert value("rpn_bbox_loss", o) == 0.0
    assert np.isfinite(value("rpn_class_loss", o))


def test_nothing_used_is_zero_not_nan():
    o = outputs_of(positive_rois=0)
    o["roi_targets"] = o["roi_targets"]._replace(used=np.zeros((1, 5), bool))
    assert value("mrcnn_class_loss", o) == 0.0
