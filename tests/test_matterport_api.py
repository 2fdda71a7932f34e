"""matterport's public surface: its names, signatures and defaults, and a script written for it.

What the functions compute is tested in tests/matterport/; its faults in
tests/test_matterport_faults.py.
"""

import inspect

import keras
import numpy as np
import pytest
from skimage.draw import polygon

from landslide_rcnn import model as modellib
from landslide_rcnn import utils, visualize
from landslide_rcnn.config import Config
from landslide_rcnn.errors import ConfigError
from landslide_rcnn.matterport.replaced import REPLACED_BY
from landslide_rcnn.model import log

# Parameters and defaults, in matterport's words and order.
_MATCH = "gt_boxes, gt_class_ids, gt_masks, pred_boxes, pred_class_ids, pred_scores, pred_masks"
_AP = "gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, pred_score, pred_mask"
SIGNATURES = {
    modellib: {
        "log": "text, array=None",
        "compute_backbone_shapes": "config, image_shape",
        "apply_box_deltas_graph": "boxes, deltas",
        "clip_boxes_graph": "boxes, window",
        "log2_graph": "x",
        "overlaps_graph": "boxes1, boxes2",
        "detection_targets_graph": "proposals, gt_class_ids, gt_boxes, gt_masks, config",
        "refine_detections_graph": "rois, probs, deltas, window, config",
        "smooth_l1_loss": "y_true, y_pred",
        "rpn_class_loss_graph": "rpn_match, rpn_class_logits",
        "rpn_bbox_loss_graph": "config, target_bbox, rpn_match, rpn_bbox",
        "mrcnn_class_loss_graph": "target_class_ids, pred_class_logits, active_class_ids",
        "mrcnn_bbox_loss_graph": "target_bbox, target_class_ids, pred_bbox",
        "mrcnn_mask_loss_graph": "target_masks, target_class_ids, pred_masks",
        "load_image_gt": "dataset, config, image_id, augment=False, augmentation=None, "
        "use_mini_mask=False",
        "build_detection_targets": "rpn_rois, gt_class_ids, gt_boxes, gt_masks, config",
        "build_rpn_targets": "image_shape, anchors, gt_class_ids, gt_boxes, config",
        "generate_random_rois": "image_shape, count, gt_class_ids, gt_boxes",
        "data_generator": "dataset, config, shuffle=True, augment=False, augmentation=None, "
        "random_rois=0, batch_size=1, detection_targets=False, no_augmentation_sources=None",
        "compose_image_meta": "image_id, original_image_shape, image_shape, window, scale, "
        "active_class_ids",
        "parse_image_meta": "meta",
        "parse_image_meta_graph": "meta",
        "mold_image": "images, config",
        "unmold_image": "normalized_images, config",
        "trim_zeros_graph": "boxes, name=None",
        "batch_pack_graph": "x, counts, num_rows",
        "norm_boxes_graph": "boxes, shape",
        "denorm_boxes_graph": "boxes, shape",
    },
    modellib.MaskRCNN: {
        "find_last": "self",
        "load_weights": "self, filepath, by_name=False, exclude=None",
        "get_imagenet_weights": "self",
        "set_trainable": "self, layer_regex, keras_model=None, indent=0, verbose=1",
        "set_log_dir": "self, model_path=None",
        "train": "self, train_dataset, val_dataset, learning_rate, epochs, layers, "
        "augmentation=None, custom_callbacks=None, no_augmentation_sources=None",
        "mold_inputs": "self, images",
        "unmold_detections": "self, detections, mrcnn_mask, original_image_shape, image_shape, "
        "window",
        "detect": "self, images, verbose=0",
        "detect_molded": "self, molded_images, image_metas, verbose=0",
        "get_anchors": "self, image_shape",
        "ancestor": "self, tensor, name, checked=None",
        "find_trainable_layer": "self, layer",
        "get_trainable_layers": "self",
        "run_graph": "self, images, outputs, image_metas=None",
    },
    utils: {
        "extract_bboxes": "mask",
        "compute_iou": "box, boxes, box_area, boxes_area",
        "compute_overlaps": "boxes1, boxes2",
        "compute_overlaps_masks": "masks1, masks2",
        "non_max_suppression": "boxes, scores, threshold",
        "apply_box_deltas": "boxes, deltas",
        "box_refinement_graph": "box, gt_box",
        "box_refinement": "box, gt_box",
        "resize_image": 'image, min_dim=None, max_dim=None, min_scale=None, mode="square"',
        "resize_mask": "mask, scale, padding, crop=None",
        "minimize_mask": "bbox, mask, mini_shape",
        "expand_mask": "bbox, mini_mask, image_shape",
        "unmold_mask": "mask, bbox, image_shape",
        "generate_anchors": "scales, ratios, shape, feature_stride, anchor_stride",
        "generate_pyramid_anchors": "scales, ratios, feature_shapes, feature_strides, "
        "anchor_stride",
        "trim_zeros": "x",
        "compute_matches": f"{_MATCH}, iou_threshold=0.5, score_threshold=0.0",
        "compute_ap": f"{_MATCH}, iou_threshold=0.5",
        "compute_ap_range": f"{_AP}, iou_thresholds=None, verbose=1",
        "compute_recall": "pred_boxes, gt_boxes, iou",
        "download_trained_weights": "coco_model_path, verbose=1",
        "norm_boxes": "boxes, shape",
        "denorm_boxes": "boxes, shape",
        "resize": 'image, output_shape, order=1, mode="constant", cval=0, clip=True, '
        "preserve_range=False, anti_aliasing=False, anti_aliasing_sigma=None",
    },
    utils.Dataset: {
        "__init__": "self, class_map=None",
        "add_class": "self, source, class_id, class_name",
        "image_reference": "self, image_id",
        "prepare": "self, class_map=None",
        "map_source_class_id": "self, source_class_id",
        "get_source_class_id": "self, class_id, source",
        "source_image_link": "self, image_id",
        "load_image": "self, image_id",
        "load_mask": "self, image_id",
    },
    visualize: {
        "display_images": "images, titles=None, cols=4, cmap=None, norm=None, interpolation=None",
        "random_colors": "N, bright=True",
        "apply_mask": "image, mask, color, alpha=0.5",
        "display_instances": 'image, boxes, masks, class_ids, class_names, scores=None, title="", '
        "figsize=(16, 16), ax=None, show_mask=True, show_bbox=True, colors=None, captions=None",
        "display_differences": "image, gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, "
        'pred_score, pred_mask, class_names, title="", ax=None, show_mask=True, show_box=True, '
        "iou_threshold=0.5, score_threshold=0.5",
        "draw_rois": "image, rois, refined_rois, mask, class_ids, class_names, limit=10",
        "draw_box": "image, box, color",
        "display_top_masks": "image, mask, class_ids, class_names, limit=4",
        "plot_precision_recall": "AP, precisions, recalls",
        "plot_overlaps": "gt_class_ids, pred_class_ids, pred_scores, overlaps, class_names, "
        "threshold=0.5",
        "draw_boxes": "image, boxes=None, refined_boxes=None, masks=None, captions=None, "
        'visibilities=None, title="", ax=None',
        "display_table": "table",
        "display_weight_stats": "model",
    },
}  # fmt: skip

CONFIG = dict(
    NAME=None, GPU_COUNT=1, IMAGES_PER_GPU=2, STEPS_PER_EPOCH=1000, VALIDATION_STEPS=50,
    BACKBONE="resnet101", COMPUTE_BACKBONE_SHAPE=None, BACKBONE_STRIDES=[4, 8, 16, 32, 64],
    FPN_CLASSIF_FC_LAYERS_SIZE=1024, TOP_DOWN_PYRAMID_SIZE=256, NUM_CLASSES=1,
    RPN_ANCHOR_SCALES=(32, 64, 128, 256, 512), RPN_ANCHOR_RATIOS=[0.5, 1, 2], RPN_ANCHOR_STRIDE=1,
    RPN_NMS_THRESHOLD=0.7, RPN_TRAIN_ANCHORS_PER_IMAGE=256, PRE_NMS_LIMIT=6000,
    POST_NMS_ROIS_TRAINING=2000, POST_NMS_ROIS_INFERENCE=1000, USE_MINI_MASK=True,
    MINI_MASK_SHAPE=(56, 56), IMAGE_RESIZE_MODE="square", IMAGE_MIN_DIM=800, IMAGE_MAX_DIM=1024,
    IMAGE_MIN_SCALE=0, IMAGE_CHANNEL_COUNT=3, MEAN_PIXEL=[123.7, 116.8, 103.9],
    TRAIN_ROIS_PER_IMAGE=200, ROI_POSITIVE_RATIO=0.33, POOL_SIZE=7, MASK_POOL_SIZE=14,
    MASK_SHAPE=[28, 28], MAX_GT_INSTANCES=100, RPN_BBOX_STD_DEV=[0.1, 0.1, 0.2, 0.2],
    BBOX_STD_DEV=[0.1, 0.1, 0.2, 0.2], DETECTION_MAX_INSTANCES=100, DETECTION_MIN_CONFIDENCE=0.7,
    DETECTION_NMS_THRESHOLD=0.3, LEARNING_RATE=0.001, LEARNING_MOMENTUM=0.9, WEIGHT_DECAY=0.0001,
    USE_RPN_ROIS=True, TRAIN_BN=False, GRADIENT_CLIP_NORM=5.0,
)  # fmt: skip
# The 45th is a dict, to which this project adds a loss that is off.
LOSS_WEIGHTS = {"rpn_class_loss", "rpn_bbox_loss", "mrcnn_class_loss", "mrcnn_bbox_loss",
                "mrcnn_mask_loss"}  # fmt: skip


@pytest.mark.parametrize(
    "home, name",
    [(home, name) for home, names in SIGNATURES.items() for name in names],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_signatures_are_matterports(home, name):
    wanted = inspect.signature(eval(f"lambda {SIGNATURES[home][name]}: 0")).parameters
    found = list(inspect.signature(getattr(home, name)).parameters.values())
    # Further parameters are by keyword only, so that nothing given by position changes meaning.
    positional = [p for p in found if p.kind == p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in positional] == list(wanted)
    for parameter in positional:
        default = wanted[parameter.name].default
        if default is not inspect.Parameter.empty:
            assert parameter.default == default, parameter.name


def test_every_field_of_config_has_matterports_default():
    config = Config()
    assert len(CONFIG) + 1 == 45
    for name, value in CONFIG.items():
        if name == "MEAN_PIXEL":  # kept as float32
            value = np.float32(value)
        np.testing.assert_array_equal(getattr(config, name), value, err_msg=name)
    assert {name for name, weight in config.LOSS_WEIGHTS.items() if weight == 1} == LOSS_WEIGHTS
    # This project's own settings leave the network matterport's.
    assert config.LOSS_WEIGHTS["mrcnn_mask_edge_loss"] == 0
    assert config.ROI_ALIGN_SAMPLES == 1 and not config.BOTTOM_UP_PATH
    assert config.STD_PIXEL.tolist() == [1, 1, 1] and config.BACKBONE_STYLE == "matterport"
    assert config.BATCH_SIZE == 2 and config.IMAGE_META_SIZE == 13
    assert config.IMAGE_SHAPE.tolist() == [1024, 1024, 3]


def test_config_refuses_what_is_not_here_with_a_way_out():
    with pytest.raises(ConfigError, match="USE_RPN_ROIS must be True.*build_detection_targets"):
        Config(USE_RPN_ROIS=False)


@pytest.mark.parametrize(
    "home, name",
    [(home, name) for home in ("model", "utils", "MaskRCNN") for name in REPLACED_BY[home]],
)
def test_what_is_absent_says_what_to_use(home, name):
    holder = {"model": modellib, "utils": utils}.get(home)
    if holder is None:
        holder = modellib.MaskRCNN.__new__(modellib.MaskRCNN)
    with pytest.raises(AttributeError, match=rf"matterport's {name} is replaced\. Use \w"):
        getattr(holder, name)
    assert not hasattr(holder, "no_such_name")


def test_log_prints_a_line(capsys):
    log("image", np.array([[1.5, 2.5]], np.float32))
    log("nothing", np.zeros((0, 4)))
    log("only text")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ("image shape: (1, 2) min: 1.50000 max: 2.50000 float32".split())
    assert "(0, 4)" in printed[1] and printed[2] == "only text"


# --- A script as it stands in matterport's samples, at a tiny size -----------------------------


def five_convolutions(input_image, architecture=None, stage5=True, train_bn=None):
    """A backbone with the signature of matterport's resnet_graph, which is soon compiled."""
    x, levels = input_image, []
    for stage in range(1, 6):
        x = keras.layers.Conv2D(8, 3, 2, "same", activation="relu", name=f"res{stage}")(x)
        levels.append(x)
    return levels


class BalloonConfig(Config):
    NAME = "balloon"
    IMAGES_PER_GPU = 2
    NUM_CLASSES = 1 + 1
    STEPS_PER_EPOCH = 2
    DETECTION_MIN_CONFIDENCE = 0.9
    # So that it takes seconds.
    VALIDATION_STEPS = 1
    BACKBONE = five_convolutions
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64
    RPN_ANCHOR_SCALES = (8, 16, 32, 48, 64)
    RPN_ANCHOR_STRIDE = 2
    TRAIN_ROIS_PER_IMAGE = 8
    POST_NMS_ROIS_TRAINING = 40
    POST_NMS_ROIS_INFERENCE = 10
    TOP_DOWN_PYRAMID_SIZE = 16
    FPN_CLASSIF_FC_LAYERS_SIZE = 16


class BalloonDataset(utils.Dataset):
    """Polygons as the VIA tool writes them."""

    def load_balloon(self, count):
        self.add_class("balloon", 1, "balloon")
        for i in range(count):
            region = {"all_points_x": [5 + i, 30 + i, 20], "all_points_y": [4, 10, 40]}
            self.add_image(
                "balloon", image_id=f"{i}.jpg", path=f"{i}.jpg", width=60, height=50,
                polygons=[region, {"all_points_x": [40, 55, 50], "all_points_y": [30, 32, 45]}],
            )  # fmt: skip

    def load_image(self, image_id):
        masks, _ = self.load_mask(image_id)
        image = np.random.default_rng(image_id).integers(0, 90, (50, 60, 3), dtype=np.uint8)
        image[masks.any(axis=-1)] = (220, 60, 40)
        return image

    def load_mask(self, image_id):
        image_info = self.image_info[image_id]
        if image_info["source"] != "balloon":
            return super(self.__class__, self).load_mask(image_id)
        info = self.image_info[image_id]
        mask = np.zeros([info["height"], info["width"], len(info["polygons"])], dtype=np.uint8)
        for i, p in enumerate(info["polygons"]):
            rr, cc = polygon(p["all_points_y"], p["all_points_x"])
            mask[rr, cc, i] = 1
        return mask.astype(bool), np.ones([mask.shape[-1]], dtype=np.int32)

    def image_reference(self, image_id):
        info = self.image_info[image_id]
        if info["source"] == "balloon":
            return info["path"]
        super(self.__class__, self).image_reference(image_id)


@pytest.mark.slow
def test_the_balloon_script_runs(tmp_path):
    keras.utils.set_random_seed(0)
    dataset_train, dataset_val = BalloonDataset(), BalloonDataset()
    for dataset, count in ((dataset_train, 4), (dataset_val, 2)):
        dataset.load_balloon(count)
        dataset.prepare()
    config = BalloonConfig()
    config.display()
    model = modellib.MaskRCNN(mode="training", config=config, model_dir=str(tmp_path))
    rates = dict(learning_rate=config.LEARNING_RATE)
    model.train(dataset_train, dataset_val, epochs=1, layers="heads", **rates)
    model.train(dataset_train, dataset_val, epochs=2, layers="all", **rates)

    class InferenceConfig(BalloonConfig):
        GPU_COUNT = 1
        IMAGES_PER_GPU = 1
        DETECTION_MIN_CONFIDENCE = 0

    inference_config = InferenceConfig()
    model = modellib.MaskRCNN(mode="inference", config=inference_config, model_dir=str(tmp_path))
    model.load_weights(model.find_last(), by_name=True)
    image_id = np.random.choice(dataset_val.image_ids)
    image, image_meta, gt_class_id, gt_bbox, gt_mask = modellib.load_image_gt(
        dataset_val, inference_config, image_id, use_mini_mask=False
    )
    info = dataset_val.image_info[image_id]
    assert dataset_val.image_reference(image_id) == info["path"]
    r = model.detect([image], verbose=1)[0]
    AP, precisions, recalls, overlaps = utils.compute_ap(  # noqa: N806
        gt_bbox, gt_class_id, gt_mask, r["rois"], r["class_ids"], r["scores"], r["masks"]
    )
    assert model.epoch == 2 and 0 <= AP <= 1 and overlaps.shape == (len(r["scores"]), 2)
    visualize.plot_precision_recall(AP, precisions, recalls)
    figure = visualize.display_differences(
        image, gt_bbox, gt_class_id, gt_mask, r["rois"], r["class_ids"], r["scores"], r["masks"],
        dataset_val.class_names,
    )  # fmt: skip
    assert len(figure.axes[0].texts) == 2 + len(r["scores"])
