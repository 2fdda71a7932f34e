"""The functions of matterport's `model` module: values, against loops and cases by hand."""

import keras
import numpy as np
import pytest
from keras import ops

from landslide_rcnn import model as modellib
from landslide_rcnn import utils
from landslide_rcnn.config import Config
from landslide_rcnn.nn.proposals import refine_detections
from tests.nn.test_losses import outputs_of, value
from tests.reference import boxes as slow_boxes


def config_of(**settings):
    defaults = dict(
        NUM_CLASSES=3, IMAGE_MIN_DIM=64, IMAGE_MAX_DIM=64, RPN_ANCHOR_SCALES=(8, 16, 24, 32, 48),
        TRAIN_ROIS_PER_IMAGE=12, ROI_POSITIVE_RATIO=0.5, MAX_GT_INSTANCES=4,
    )  # fmt: skip
    return Config(**{**defaults, **settings})


class Tiles(utils.Dataset):
    """32 x 24 px: a square and a bar; the first image has neither."""

    def __init__(self, count=3):
        super().__init__()
        self.add_class("a", 1, "square")
        self.add_class("b", 1, "bar")
        for i in range(count):
            self.add_image("a", i, None)
        self.prepare()

    def load_image(self, image_id):
        return np.full((32, 24, 3), 10 * image_id, np.uint8)

    def load_mask(self, image_id):
        masks = np.zeros((32, 24, 2), bool)
        masks[4:12, 4:12, 0] = masks[20:24, 2:22, 1] = True
        count = 2 * (image_id > 0)
        return masks[..., :count], np.array([1, 2], np.int32)[:count]


def anchors_of(config, shape=(64, 64, 3)):
    return utils.generate_pyramid_anchors(
        config.RPN_ANCHOR_SCALES, config.RPN_ANCHOR_RATIOS,
        modellib.compute_backbone_shapes(config, shape), config.BACKBONE_STRIDES, 1,
    )  # fmt: skip


class TestImages:
    def test_a_meta_comes_apart_as_it_was_put_together(self):
        meta = modellib.compose_image_meta(
            7, (100, 80, 3), (128, 128, 3), (0, 13, 128, 115), 1.28, [1, 0, 1]
        )
        assert meta.shape == (15,)
        parts = modellib.parse_image_meta(meta[None])
        assert {name: part.tolist() for name, part in parts.items() if name != "scale"} == {
            "image_id": [7],
            "original_image_shape": [[100, 80, 3]],
            "image_shape": [[128, 128, 3]],
            "window": [[0, 13, 128, 115]],
            "active_class_ids": [[1, 0, 1]],
        }
        assert parts["window"].dtype == np.int32 and parts["scale"][0] == np.float32(1.28)
        graph = modellib.parse_image_meta_graph(ops.convert_to_tensor(meta[None]))
        for name, part in graph.items():
            np.testing.assert_allclose(ops.convert_to_numpy(part), parts[name], rtol=1e-6)

    def test_an_image_is_molded_and_back(self):
        config = config_of(STD_PIXEL=[2.0, 4.0, 5.0])
        image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        molded = modellib.mold_image(image, config)
        expected = (image - np.float32([123.7, 116.8, 103.9])) / np.float32([2, 4, 5])
        np.testing.assert_allclose(molded, expected, rtol=1e-6)
        np.testing.assert_array_equal(modellib.unmold_image(molded, config), image)
        np.testing.assert_array_equal(modellib.mold_image(image[None], config)[0], molded)

    def test_backbone_shapes(self):
        shapes = modellib.compute_backbone_shapes(config_of(), (192, 128, 3))
        assert shapes.tolist() == [[48, 32], [24, 16], [12, 8], [6, 4], [3, 2]]

    def test_load_image_gt_by_hand(self):
        image, meta, ids, boxes, masks = modellib.load_image_gt(Tiles(), config_of(), 2)
        assert image.shape == (64, 64, 3) and image.dtype == np.uint8
        assert image[5, 30].tolist() == [20] * 3 and not image[:, :8].any()
        # Twice as large, with 8 px of padding left and right.
        assert boxes.tolist() == [[8, 16, 24, 32], [40, 12, 48, 52]] and ids.tolist() == [1, 2]
        assert masks.dtype == bool and masks[8:24, 16:32, 0].all() and masks.sum() == 256 + 320
        parts = modellib.parse_image_meta(meta[None])
        assert parts["window"].tolist() == [[0, 8, 64, 56]] and parts["scale"].tolist() == [2]
        assert parts["image_id"] == 2 and parts["original_image_shape"].tolist() == [[32, 24, 3]]
        assert parts["active_class_ids"].tolist() == [[1, 1, 0]]  # bars are of another source

    def test_load_image_gt_of_an_image_without_instances(self):
        _, _, ids, boxes, masks = modellib.load_image_gt(Tiles(), config_of(), 0)
        assert ids.shape == (0,) and boxes.shape == (0, 4) and masks.shape == (64, 64, 0)

    def test_augment_moves_image_and_masks(self):
        seen = set()
        for _ in range(30):
            image, _, _, boxes, _ = modellib.load_image_gt(Tiles(), config_of(), 2, augment=True)
            seen.add(tuple(boxes[0]))
            y1, x1, y2, x2 = boxes[0]
            assert image[y1:y2, x1:x2].all()
        assert len(seen) > 3


class TestGenerator:
    def test_batches_are_matterports(self):
        config = config_of()
        generator = modellib.data_generator(Tiles(), config, shuffle=False, batch_size=2)
        first, outputs = next(generator)
        images, metas, match, deltas, ids, boxes, masks = first
        assert outputs == []
        assert images.shape == (2, 64, 64, 3) and images.dtype == np.float32
        assert metas[:, 0].tolist() == [0, 1] and metas.shape == (2, config.IMAGE_META_SIZE)
        anchor_count = len(anchors_of(config))
        assert match.shape == (2, anchor_count, 1) and deltas.shape == (2, 256, 4)
        # The image without instances is there and has negative anchors only.
        assert set(match[0].ravel()) == {-1, 0} and 1 in match[1]
        assert ids.tolist() == [[0] * 4, [1, 2, 0, 0]]
        assert boxes[1, 0].tolist() == [8, 16, 24, 32] and boxes.dtype == np.int32
        assert masks.shape == (2, 56, 56, 4) and masks[1, ..., :2].all()
        second, _ = next(generator)
        assert second[1][:, 0].tolist() == [2, 0]

    def test_full_masks_random_rois_and_their_targets(self):
        config = config_of(USE_MINI_MASK=False)
        inputs, outputs = next(
            modellib.data_generator(
                Tiles(), config, shuffle=False, batch_size=2, random_rois=30, detection_targets=True
            )
        )
        assert inputs[6].shape == (2, 64, 64, 4) and inputs[6][1, ..., 0].sum() == 256
        rpn_rois, rois = inputs[7:]
        assert rpn_rois.shape == (2, 30, 4) and rois.shape == (2, 12, 4)
        ids, deltas, masks = outputs
        assert ids.shape == (2, 12, 1) and deltas.shape == (2, 12, 3, 4)
        assert masks.shape == (2, 12, 28, 28, 3)
        assert not ids[0].any() and {1, 2} <= set(ids[1].ravel())

    def test_an_image_that_cannot_be_read_raises(self):
        class Broken(Tiles):
            def load_image(self, image_id):
                if image_id == 1:
                    raise OSError("disk")
                return super().load_image(image_id)

        generator = modellib.data_generator(Broken(), config_of(), shuffle=False)
        next(generator)
        with pytest.raises(OSError, match="disk"):
            next(generator)


class TestTargets:
    def test_rpn_targets_equal_the_loops(self):
        config = config_of(RPN_TRAIN_ANCHORS_PER_IMAGE=5000)  # everything that may be drawn
        anchors = anchors_of(config)
        boxes = np.array([[8, 16, 24, 32], [30, 12, 48, 52]])
        match, deltas = modellib.build_rpn_targets(
            (64, 64, 3), anchors, np.array([1, 2]), boxes, config
        )
        norm = utils.norm_boxes(anchors, (64, 64)), utils.norm_boxes(boxes, (64, 64))
        expected = slow_boxes.match_anchors(*norm)
        np.testing.assert_array_equal(match, expected)
        overlaps = slow_boxes.iou(*norm)
        for row, i in zip(deltas, np.flatnonzero(match == 1)):
            target = norm[1][overlaps[i].argmax()]
            np.testing.assert_allclose(
                row, slow_boxes.encode(norm[0][i], target, config.RPN_BBOX_STD_DEV), atol=1e-3
            )
        assert not deltas[(match == 1).sum() :].any() and match.dtype == np.int32

    def test_without_instances_rpn_targets_are_negative(self):
        config = config_of(RPN_TRAIN_ANCHORS_PER_IMAGE=20)
        match, deltas = modellib.build_rpn_targets(
            (64, 64, 3), anchors_of(config), np.zeros(0), np.zeros((0, 4)), config
        )
        assert (match == -1).sum() == 20 and not (match == 1).any() and not deltas.any()

    def test_detection_targets_by_hand(self):
        config = config_of(USE_MINI_MASK=False)
        masks = np.zeros((64, 64, 2), bool)
        masks[8:24, 16:24, 0] = masks[40:48, 12:52, 1] = True  # the first fills half of its box
        boxes = np.array([[8, 16, 24, 32], [40, 12, 48, 52]])
        rois = np.array([[8, 16, 24, 32], [40, 12, 48, 50], [0, 0, 5, 5]])
        found = modellib.build_detection_targets(rois, np.array([1, 2]), boxes, masks, config)
        chosen, ids, deltas, targets = found
        assert sorted(ids) == [0] * 8 + [1, 1, 2, 2]  # two rois and the instances' own boxes
        assert ids[:4].all() and chosen[4].tolist() == [0, 0, 5, 5] and not chosen[5:].any()
        for roi, class_id, delta, target in zip(chosen[:4], ids, deltas, targets):
            assert not np.delete(delta, class_id, axis=0).any()
            assert not np.delete(target, class_id, axis=-1).any()
            if class_id == 1:
                assert target[:, :14, 1].all() and not target[:, 14:, 1].any()
            elif roi[3] == 50:  # half a pixel of 38 to the left, 40 / 38 as wide, normalised
                expected = slow_boxes.encode((0, 12, 7, 49), (0, 12, 7, 51), config.BBOX_STD_DEV)
                np.testing.assert_allclose(delta[2], expected, atol=1e-3)

    @pytest.mark.parametrize("boxes", [[[10, 20, 30, 50]], [[0, 0, 1, 1], [63, 63, 64, 64]], []])
    def test_random_rois_lie_in_the_image(self, boxes):
        boxes = np.array(boxes).reshape(-1, 4)
        rois = modellib.generate_random_rois((64, 80, 3), 200, np.ones(len(boxes)), boxes)
        assert rois.shape == (200, 4) and rois.dtype == np.int32
        assert (rois[:, 2:] > rois[:, :2]).all() and (rois >= 0).all()
        assert (rois[:, 2:] <= [64, 80]).all()
        if len(boxes) == 1:  # nine tenths within the box's own size around it
            near = (rois[:, 1] >= 0) & (rois[:, 0] >= 0) & (rois[:, 2] <= 50) & (rois[:, 3] <= 80)
            assert near.sum() >= 180


class TestGraphs:
    def test_boxes(self):
        boxes = np.array([[0.1, 0.1, 0.5, 0.5], [0, 0, 0, 0], [-0.2, 0.5, 1.5, 0.9]], np.float32)
        clipped = modellib.clip_boxes_graph(boxes, np.array([0.2, 0, 0.9, 0.8]))
        np.testing.assert_allclose(clipped[2], [0.2, 0.5, 0.9, 0.8], rtol=1e-6)
        np.testing.assert_allclose(clipped[0], [0.2, 0.1, 0.5, 0.5], rtol=1e-6)
        kept, there = modellib.trim_zeros_graph(ops.convert_to_tensor(boxes))
        assert kept.shape == (2, 4) and ops.convert_to_numpy(there).tolist() == [True, False, True]
        pixels = modellib.denorm_boxes_graph(boxes, (11, 11))
        assert ops.convert_to_numpy(pixels)[0].tolist() == [1, 1, 6, 6]
        np.testing.assert_allclose(modellib.norm_boxes_graph(pixels, (11, 11))[0], boxes[0])
        np.testing.assert_allclose(
            modellib.overlaps_graph(boxes, boxes), slow_boxes.iou(boxes, boxes), atol=1e-6
        )
        deltas = utils.box_refinement(boxes[:1], boxes[2:])
        np.testing.assert_allclose(
            modellib.apply_box_deltas_graph(boxes[:1], deltas), boxes[2:], atol=1e-6
        )
        packed = modellib.batch_pack_graph(np.arange(12).reshape(2, 3, 2), [1, 2], 2)
        assert ops.convert_to_numpy(packed).tolist() == [[0, 1], [6, 7], [8, 9]]
        assert float(modellib.log2_graph(8.0)) == pytest.approx(3)

    def test_losses_are_the_ones_that_train(self):
        o = outputs_of()
        rpn, roi, drawn = o["rpn_targets"], o["roi_targets"], [0, 1, 3, 4]
        # Of ten anchors, those that are used answer as the drawn ones.
        anchors = rpn.indices[0, drawn]
        match = np.zeros((1, 10, 1), np.int32)
        match[0, anchors, 0] = 1, 1, -1, -1
        logits, deltas = np.ones((1, 10, 2), np.float32), np.ones((1, 10, 4), np.float32)
        logits[0, anchors] = o["rpn_class_logits"][0, drawn]
        deltas[0, anchors] = o["rpn_bbox"][0, drawn]
        found = modellib.rpn_class_loss_graph(match, logits)
        assert float(found) == pytest.approx(value("rpn_class_loss", o), rel=1e-6)
        in_order = rpn.deltas[:, [1, 0, 2]]  # anchor 2 comes before anchor 7
        found = modellib.rpn_bbox_loss_graph(config_of(), in_order, match, deltas)
        assert float(found) == pytest.approx(value("rpn_bbox_loss", o), rel=1e-6)
        ids = roi.class_ids
        found = modellib.mrcnn_bbox_loss_graph(roi.deltas, ids, o["mrcnn_bbox"])
        assert float(found) == pytest.approx(value("mrcnn_bbox_loss", o), rel=1e-6)
        probabilities = 1 / (1 + np.exp(-o["mrcnn_mask_logits"][None]))
        masks = o["mask_targets"].masks[None]
        found = modellib.mrcnn_mask_loss_graph(masks, ids[:, :3], probabilities)
        assert float(found) == pytest.approx(value("mrcnn_mask_loss", o), rel=1e-4)
        o["roi_targets"] = roi._replace(used=np.ones((1, 5), bool))
        found = modellib.mrcnn_class_loss_graph(ids, o["mrcnn_class_logits"], np.ones((1, 3)))
        assert float(found) == pytest.approx(value("mrcnn_class_loss", o), rel=1e-6)
        np.testing.assert_allclose(modellib.smooth_l1_loss(np.zeros(2), [0.5, 3.0]), [0.125, 2.5])

    def test_detections_of_one_image(self):
        rng = np.random.default_rng(0)
        rois = np.sort(rng.uniform(size=(10, 2, 2)), axis=1).reshape(10, 4).astype(np.float32)
        rois[8:] = 0
        logits = rng.normal(size=(10, 3)).astype(np.float32)
        deltas = rng.normal(size=(10, 3, 4)).astype(np.float32)
        window = np.array([0, 0.1, 1, 0.9], np.float32)
        config = config_of(DETECTION_MIN_CONFIDENCE=0.2, DETECTION_MAX_INSTANCES=6)
        probabilities = ops.convert_to_numpy(ops.softmax(logits))
        found = modellib.refine_detections_graph(rois, probabilities, deltas, window, config)
        expected = refine_detections(
            rois[None], np.arange(10)[None] < 8, logits[None], deltas[None], window[None],
            min_confidence=0.2, iou_threshold=0.3, max_detections=6, std_dev=(0.1, 0.1, 0.2, 0.2),
        )[0]  # fmt: skip
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert ops.convert_to_numpy(found)[:, 5].max() > 0.4

    def test_detection_targets_of_one_image(self):
        config = config_of(USE_MINI_MASK=False)
        masks = np.zeros((64, 64, 2), bool)
        masks[8:24, 16:32, 0] = True
        truth = utils.norm_boxes(np.array([[8, 16, 24, 32], [0, 0, 0, 0]]), (64, 64))
        truth[1] = 0
        proposals = utils.norm_boxes(np.array([[8, 16, 24, 30], [40, 40, 60, 60]]), (64, 64))
        rois, ids, deltas, target_masks = (
            ops.convert_to_numpy(part)
            for part in modellib.detection_targets_graph(
                proposals, np.array([1, 0]), truth, masks, config
            )
        )
        assert rois.shape == (12, 4) and target_masks.shape == (12, 28, 28)
        assert ids.tolist() == [1, 1] + [0] * 10
        assert target_masks[:2].all() and not target_masks[2:].any() and not deltas[2:].any()
        np.testing.assert_allclose(rois[2], proposals[1], atol=1e-6)


def test_batch_norm_is_the_networks_layer():
    assert issubclass(modellib.BatchNorm, keras.layers.Layer)
    layer = modellib.BatchNorm(name="bn")
    layer.build((None, 4, 4, 8))
    assert [w.name for w in layer.weights] == ["gamma", "beta", "moving_mean", "moving_variance"]
