"""Faults of matterport's Mask R-CNN and of its TF2 ports that must not come back.

Each test is named by what must not happen. Those that stand elsewhere:

| fault | test |
|---|---|
| an image without positives has no negatives | nn/test_targets: an_image_without_positives_... |
| padded rois count as background | nn/test_losses: class_loss_leaves_padded_rois_out |
| negative images are skipped | data/test_batches: images_without_instances_are_batched |
| an unreadable image is skipped | test_model: TestMistakes; matterport/test_functions |
| image and mask have two sampling grids | data/test_resize: masks_stay_on_their_image |
| anchors in another order or number | nn/test_ops: TestAnchors; test_boxes |
| RPN matching (kept as it is) | nn/test_targets: labels_equal_the_loops |
| RoIAlign and its levels (kept; an option) | nn/test_ops: TestRoiAlign |
| bool arrays passed to resize | data/test_masks, data/test_resize, test_utils |
| mask IoU tests the height for emptiness | evaluation/test_instances: equal_the_loops |
| losses double on a second train | test_model: the_losses_of_a_second_training_... |
| anchors are a weight, train and decay | nn/test_network: anchors_are_no_weights |
| no_augmentation_sources ignored | data/test_batches: sources_without_augmentation |
| a pattern selects nothing inside the RPN | test_model: TestLayers.test_an_expression |
| a port changes the defaults | test_matterport_api: every_field_of_config_... |
"""

import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from landslide_rcnn import model as modellib
from landslide_rcnn import utils
from landslide_rcnn.config import Config
from landslide_rcnn.data.batches import TrainingBatches
from landslide_rcnn.nn import losses
from landslide_rcnn.nn.proposals import refine_detections
from landslide_rcnn.training import KerasBatches
from tests.helpers.layers import toy_batch
from tests.nn.test_losses import outputs_of, value
from tests.reference import losses as slow


class TinyConfig(Config):
    NAME = "tiny"
    IMAGES_PER_GPU = 1
    NUM_CLASSES = 2
    BACKBONE = "resnet26"
    PRECISION = "float32"
    STD_PIXEL = np.array([60.0])
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64
    RPN_ANCHOR_SCALES = (8, 16, 24, 32, 48)
    TRAIN_ROIS_PER_IMAGE = 8
    POST_NMS_ROIS_TRAINING = 40
    POST_NMS_ROIS_INFERENCE = 10
    TOP_DOWN_PYRAMID_SIZE = 16
    FPN_CLASSIF_FC_LAYERS_SIZE = 16
    DETECTION_MIN_CONFIDENCE = 0
    STEPS_PER_EPOCH = None
    USE_MINI_MASK = False
    MAX_GT_INSTANCES = 3


class Numbered(utils.Dataset):
    """Images whose every pixel is their number; a square in each, or in none."""

    def __init__(self, count, squares=True, source="tiles"):
        super().__init__()
        self.squares = squares
        self.add_class(source, 1, "square")
        for i in range(count):
            self.add_image(source, i, None)
        self.prepare()

    def load_image(self, image_id):
        return np.full((64, 64, 3), 10 * image_id, np.uint8)

    def load_mask(self, image_id):
        mask = np.zeros((64, 64, int(self.squares)), bool)
        mask[10:30, 10:30] = True
        return mask, np.ones(mask.shape[-1], np.int32)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return modellib.build_network(TinyConfig())


class TestLearning:
    def test_no_box_or_mask_loss_reaches_the_rpn_through_its_proposals(self, network):
        variables = network.rpn.trainable_variables
        with tf.GradientTape(persistent=True) as tape:
            outputs = network.training_pass(toy_batch())
            found = {name: loss(outputs) for name, loss in losses.COMPONENTS.items()}
        values = [v.value for v in variables]
        for name, loss in found.items():
            gradients = tape.gradient(loss, values)
            if name.startswith("rpn_"):
                assert any(g is not None and tf.norm(g) > 0 for g in gradients), name
            else:
                assert float(loss) > 0
                assert all(g is None or float(tf.norm(g)) == 0.0 for g in gradients), name

    def test_the_classes_of_one_image_do_not_serve_for_the_whole_batch(self):
        one = outputs_of(positive_rois=1)
        both = {
            "mrcnn_class_logits": np.repeat(one["mrcnn_class_logits"], 2, axis=0),
            "roi_targets": type(one["roi_targets"])(
                *(np.repeat(part, 2, axis=0) for part in one["roi_targets"])
            ),
            "active_class_ids": np.array([[1, 1, 0], [1, 1, 1]], np.int32),
        }
        logits = one["mrcnn_class_logits"][0]
        rois = list(enumerate((1, 0, 0, 0)))
        expected = np.mean(
            [slow.cross_entropy(c, logits[i, :2]) for i, c in rois]
            + [slow.cross_entropy(c, logits[i]) for i, c in rois]
        )
        assert value("mrcnn_class_loss", both) == pytest.approx(expected, rel=1e-5)

    def test_no_class_at_all_gives_no_nan(self):
        o = outputs_of()
        o["active_class_ids"] = np.zeros((1, 3), np.int32)
        assert np.isfinite(value("mrcnn_class_loss", o))

    @pytest.mark.slow
    def test_data_without_any_instance_neither_hang_nor_are_skipped(self, tmp_path):
        model = modellib.MaskRCNN("training", TinyConfig(), tmp_path)
        history = model.train(
            Numbered(2, squares=False), None, 0.001, 1, "heads", verbose=0, checkpoints=False
        ).history
        assert history["rpn_class_loss"][0] > 0 and history["mrcnn_class_loss"][0] > 0
        for name in ("rpn_bbox_loss", "mrcnn_bbox_loss", "mrcnn_mask_loss"):
            assert history[name] == [0.0]


class TestDetecting:
    @pytest.mark.parametrize("classes, kept", [((1, 1), [0.8]), ((1, 2), [0.8, 0.7])])
    def test_a_box_does_not_suppress_one_of_another_class(self, classes, kept):
        """Kept as matterport has it: each roi its best class, then NMS within each class."""
        probabilities = np.full((1, 2, 3), 0.1, np.float32)
        probabilities[0, [0, 1], classes] = 0.8, 0.7
        probabilities[0, :, 0] = 1 - probabilities[0, :, 1:].sum(axis=-1)
        rois = np.array([[[0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.5, 0.52]]], np.float32)
        found = refine_detections(
            rois, np.ones((1, 2), bool), np.log(probabilities), np.zeros((1, 2, 3, 4), np.float32),
            np.array([[0, 0, 1, 1]], np.float32), min_confidence=0.5, iou_threshold=0.3,
            max_detections=5, std_dev=(0.1, 0.1, 0.2, 0.2),
        )  # fmt: skip
        scores = ops.convert_to_numpy(found)[0, :, 5]
        np.testing.assert_allclose(scores[scores > 0], kept, rtol=1e-5)

    def test_load_image_gt_has_not_lost_use_mini_mask(self):
        config = TinyConfig(USE_MINI_MASK=True)
        full = modellib.load_image_gt(Numbered(1), config, 0, use_mini_mask=False)[-1]
        mini = modellib.load_image_gt(Numbered(1), config, 0, use_mini_mask=True)[-1]
        assert full.shape == (64, 64, 1) and full.sum() == 400
        assert mini.shape == (56, 56, 1) and mini.all()


class TestAnchors:
    def test_targets_and_proposals_do_not_use_two_kinds_of_anchors(self, network, monkeypatch):
        asked, anchors = [], network.anchors

        def spy(*size):
            asked.append(ops.convert_to_numpy(anchors(*size)))
            return anchors(*size)

        monkeypatch.setattr(network, "anchors", spy)
        network.training_pass(toy_batch())
        assert len(asked) == 2  # for the proposals, for the targets
        np.testing.assert_array_equal(*asked)


class TestCheckpoints:
    def test_one_of_another_batch_and_image_size_is_not_refused(self, tmp_path):
        first = modellib.MaskRCNN("training", TinyConfig(IMAGE_MAX_DIM=128), tmp_path)
        first.keras_model(np.zeros((1, 128, 128, 3), np.float32))
        path = tmp_path / "first.weights.h5"
        first.save_weights(path)
        other = modellib.MaskRCNN("training", TinyConfig(IMAGES_PER_GPU=2, IMAGE_MAX_DIM=192), "")
        report = other.load_weights(path)
        assert not report.missing and not report.mismatched
        mine, theirs = (m.keras_model.leaf_layers() for m in (first, other))
        for name in mine:
            for a, b in zip(mine[name].weights, theirs[name].weights, strict=True):
                np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))
        # Kept as matterport has it: a checkpoint holds weights, no state of the optimizer.
        names: list[str] = []
        with h5py.File(path) as file:
            file.visit(names.append)
        assert names and not [n for n in names if "optimizer" in n or "anchor" in n]


class TestEpochs:
    @pytest.mark.parametrize("shuffle", [True, False])
    def test_no_epoch_leaves_images_out_or_repeats_them(self, shuffle):
        config = TinyConfig(STD_PIXEL=1.0, MEAN_PIXEL=0.0)
        batches = KerasBatches(TrainingBatches(Numbered(7), config, shuffle=shuffle))
        assert len(batches) == 7
        orders = []
        for epoch in range(2):
            batches.start_epoch(epoch)
            seen = [int(batches[i][0]["image"][0, 0, 0, 0]) // 10 for i in range(7)]
            assert sorted(seen) == list(range(7))
            orders.append(seen)
        assert (orders[0] != orders[1]) == shuffle


def test_importing_does_not_switch_eager_mode_off():
    code = (
        "import tensorflow as tf\n"
        "from landslide_rcnn import model, utils, visualize\n"
        "print(tf.executing_eagerly(), float(tf.constant(2.0) * 3))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "6.0"]
