"""matterport's methods of `MaskRCNN`: detection in steps, and a look at every stage."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from landslide_rcnn import model as modellib
from landslide_rcnn import utils, visualize
from landslide_rcnn.config import Config
from landslide_rcnn.errors import ConfigError, RegistryError, ShapeError
from landslide_rcnn.nn.stages import STAGES
from landslide_rcnn.training import set_trainable


class TinyConfig(Config):
    NAME = "tiny"
    NUM_CLASSES = 3
    BACKBONE = "resnet26"
    PRECISION = "float32"
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64
    RPN_ANCHOR_SCALES = (8, 16, 32, 48, 64)
    POST_NMS_ROIS_INFERENCE = 20
    TOP_DOWN_PYRAMID_SIZE = 16
    FPN_CLASSIF_FC_LAYERS_SIZE = 16
    DETECTION_MIN_CONFIDENCE = 0
    DETECTION_MAX_INSTANCES = 5
    STD_PIXEL = np.array([60.0])  # random layers answer with small numbers to small inputs


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    keras.utils.set_random_seed(0)
    return modellib.MaskRCNN(
        "inference", TinyConfig(BOTTOM_UP_PATH=True), tmp_path_factory.mktemp("logs")
    )


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (48, 60, 3), dtype=np.uint8) for _ in range(2)]


class TestDetectionInSteps:
    def test_molded_images_and_metas_by_hand(self, model, images):
        molded, metas, windows = model.mold_inputs(images)
        assert molded.shape == (2, 64, 64, 3) and molded.dtype == np.float32
        assert windows.tolist() == [[6, 0, 57, 64]] * 2  # 48 x 60 -> 51 x 64
        parts = modellib.parse_image_meta(metas)
        np.testing.assert_allclose(parts["scale"], 64 / 60, rtol=1e-6)
        assert parts["original_image_shape"].tolist() == [[48, 60, 3]] * 2
        assert parts["image_shape"].tolist() == [[64, 64, 3]] * 2
        assert parts["window"].tolist() == windows.tolist()
        assert not molded[:, :6].any() and molded[:, 6:57].any()

    def test_the_steps_give_what_detect_gives(self, model, images):
        molded, metas, _ = model.mold_inputs(images)
        for found, expected in zip(model.detect_molded(molded, metas), model.detect(images)):
            assert set(found) == {"rois", "class_ids", "scores", "masks"}
            assert len(expected["scores"]) and found["masks"].dtype == bool
            for key in found:
                np.testing.assert_array_equal(found[key], expected[key], err_msg=key)

    def test_unmolding_the_stages_gives_what_detect_gives(self, model, images):
        molded, metas, windows = model.mold_inputs(images)
        stages = model.run_graph(molded, ["mrcnn_detection", "mrcnn_mask"], image_metas=metas)
        found = model.unmold_detections(
            stages["mrcnn_detection"][0], stages["mrcnn_mask"][0], images[0].shape,
            molded[0].shape, windows[0],
        )  # fmt: skip
        expected = model.detect(images[:1])[0]
        for array, key in zip(found, ("rois", "class_ids", "scores", "masks")):
            np.testing.assert_allclose(array, expected[key], atol=1e-5, err_msg=key)

    def test_without_detections_masks_are_bool(self, model, tmp_path):
        boxes, ids, scores, masks = model.unmold_detections(
            np.zeros((5, 6)), np.zeros((5, 28, 28, 3)), (48, 60, 3), (64, 64, 3), (6, 0, 57, 64)
        )
        assert boxes.shape == (0, 4) and ids.shape == scores.shape == (0,)
        assert masks.shape == (48, 60, 0) and masks.dtype == bool
        strict = modellib.MaskRCNN("inference", TinyConfig(DETECTION_MIN_CONFIDENCE=1.0), tmp_path)
        result = strict.detect([np.zeros((20, 30, 3), np.uint8)])[0]
        assert result["masks"].shape == (20, 30, 0) and result["masks"].dtype == bool

    def test_sizes_must_agree_for_one_batch(self, images, tmp_path):
        oblong = modellib.MaskRCNN("inference", TinyConfig(IMAGE_RESIZE_MODE="pad64"), tmp_path)
        with pytest.raises(ShapeError, match="one size after resizing.*pad64.*detect"):
            oblong.mold_inputs([images[0], np.zeros((70, 60, 3), np.uint8)])


class TestStages:
    def test_every_stage_has_its_shape(self, model, images, capsys):
        shapes = {k: v.shape for k, v in model.run_graph(images, list(STAGES)).items()}
        assert list(shapes) == list(STAGES)
        anchors = len(model.get_anchors((64, 64, 3)))
        expected = {
            "input_image": (2, 64, 64, 3), "anchors": (anchors, 4), "C2": (2, 16, 16, 256),
            "C5": (2, 2, 2, 2048), "P2": (2, 16, 16, 16), "P6": (2, 1, 1, 16),
            "N4": (2, 4, 4, 16), "rpn_class": (2, anchors, 2), "rpn_bbox": (2, anchors, 4),
            "pre_nms_anchors": (2, anchors, 4), "rpn_non_max_suppression": (2, 20),
            "ROI": (2, 20, 4), "roi_align_classifier": (2, 20, 7, 7, 16),
            "mrcnn_class": (2, 20, 3), "mrcnn_bbox": (2, 20, 3, 4), "mrcnn_detection": (2, 5, 6),
            "roi_align_mask": (2, 5, 14, 14, 16), "mrcnn_mask": (2, 5, 28, 28, 3),
            "mrcnn_mask_edges": (2, 5, 26, 26, 2),
        }  # fmt: skip
        assert {name: shapes[name] for name in expected} == expected
        assert "mrcnn_detection" in capsys.readouterr().out

    def test_stages_fit_together(self, model, images):
        molded, metas, _ = model.mold_inputs(images)
        r = model.run_graph(molded, list(STAGES), image_metas=metas)
        np.testing.assert_allclose(r["input_image"], molded)
        np.testing.assert_allclose(r["N2"], r["P2"])
        np.testing.assert_allclose(r["rpn_class"].sum(axis=-1), 1, rtol=1e-5)
        clipped = np.clip(r["refined_anchors"], 0, 1)
        np.testing.assert_allclose(r["refined_anchors_clipped"], clipped, atol=1e-6)
        kept = np.take_along_axis(
            clipped, r["rpn_non_max_suppression"][..., None].astype(int), axis=1
        )
        there = r["ROI"].any(axis=-1)
        assert there.sum() > 10
        np.testing.assert_allclose(kept[there], r["ROI"][there], atol=1e-6)
        outputs = model.keras_model(molded, model_windows(metas))
        np.testing.assert_allclose(
            r["mrcnn_detection"], ops.convert_to_numpy(outputs["detections"]), atol=1e-5
        )
        best = r["mrcnn_detection"][0, 0]
        scores = r["mrcnn_class"][0]
        assert best[5] == pytest.approx(scores[:, int(best[4])].max(), abs=1e-5)

    def test_edges_are_those_of_the_detections_own_masks(self, model, images):
        r = model.run_graph(images, ["mrcnn_detection", "mrcnn_mask", "mrcnn_mask_edges"])
        class_id = int(r["mrcnn_detection"][1, 0, 4])
        mask = r["mrcnn_mask"][1, 0, :, :, class_id]
        # The column of pixels above less the one below, the middle twice: a step answers with 4.
        rows = mask[:-2] - mask[2:]
        expected = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]
        assert class_id > 0 and np.abs(expected).max() > 1e-4
        np.testing.assert_allclose(r["mrcnn_mask_edges"][1, 0, :, :, 0], expected, atol=1e-5)

    def test_a_notebook_fetches_them_by_layer_and_by_ancestor(self, model, images):
        k = model.keras_model
        pillar = k.get_layer("ROI").output
        r = model.run_graph(
            images[:1],
            [
                ("proposals", pillar),
                ("probs", k.get_layer("mrcnn_class").output),
                ("deltas", k.get_layer("mrcnn_bbox").output),
                ("detections", k.get_layer("mrcnn_detection").output),
                ("masks", k.get_layer("mrcnn_mask").output),
                ("crops", k.get_layer("roi_align_classifier").output),
                ("pre", model.ancestor(pillar, "ROI/pre_nms_anchors:0")),
                ("ix", model.ancestor(pillar, "ROI/rpn_non_max_suppression:0")),
                ("block", k.get_layer("res4a_out").output),
                ("res5a_out", None),
                "fpn_p4add",
                "mrcnn_class_relu1",
                "mrcnn_mask_relu4",
            ],
        )
        named = {"proposals": "ROI", "probs": "mrcnn_class", "masks": "mrcnn_mask"}
        for key, value in model.run_graph(images[:1], list(named.values())).items():
            [other] = [k for k, v in named.items() if v == key]
            np.testing.assert_allclose(r[other], value, atol=1e-5)
        assert r["crops"].shape == (1, 20, 7, 7, 16) and r["pre"].shape[-1] == 4
        assert r["mrcnn_class_relu1"].shape == (1, 20, 1, 1, 16)
        assert r["mrcnn_mask_relu4"].shape == (1, 5, 14, 14, 16)
        c4 = k.backbone(model.mold_inputs(images[:1])[0])["C4"]
        last = model.run_graph(images[:1], ["res4b_out", "fpn_c4p4", "fpn_p5upsampled"])
        np.testing.assert_allclose(last["res4b_out"], c4, rtol=1e-4, atol=1e-4)
        added = last["fpn_c4p4"] + last["fpn_p5upsampled"]
        np.testing.assert_allclose(r["fpn_p4add"], added, rtol=1e-4, atol=1e-3)

    @pytest.mark.parametrize(
        "name", ["res2b_out", "res3a_out", "fpn_p4add", "fpn_n4_add", "rpn_conv_shared", *STAGES]
    )
    def test_get_layer_finds_every_name_that_notebooks_fetch(self, model, name):
        if name[0] not in "CPNa":
            assert model.keras_model.get_layer(name).name == name
            assert model.keras_model.get_layer(name).output is not None

    def test_what_is_no_stage_is_refused(self, model, images):
        with pytest.raises(RegistryError, match="'nothing'.*mrcnn_detection"):
            model.run_graph(images, ["nothing"])
        with pytest.raises(RegistryError, match="'ROI/add_7:0'.*ROI"):
            model.ancestor(None, "ROI/add_7:0")
        with pytest.raises(RegistryError, match="Received: int"):
            model.run_graph(images, [("x", 3)])


def model_windows(metas):
    windows = modellib.parse_image_meta(metas)["window"]
    return utils.norm_boxes(windows, (64, 64))


class TestLayersAndAnchors:
    def test_anchors_of_a_size(self, model):
        norm = model.get_anchors((128, 64, 3))
        pixels = model.anchors
        expected = utils.generate_pyramid_anchors(
            (8, 16, 32, 48, 64), [0.5, 1, 2], [(32, 16), (16, 8), (8, 4), (4, 2), (2, 1)],
            [4, 8, 16, 32, 64], 1,
        )  # fmt: skip
        np.testing.assert_array_equal(pixels, expected)
        np.testing.assert_allclose(norm, utils.norm_boxes(expected, (128, 64)))
        assert model.get_anchors((128, 64, 3)) is norm
        np.testing.assert_allclose(
            model.get_anchors((64, 64, 3)), model.keras_model.anchors(64, 64), atol=1e-6
        )

    def test_trainable_layers_and_their_statistics(self, model):
        found = model.get_trainable_layers()
        assert [layer.name for layer in found][:2] == ["conv1", "bn_conv1"]
        table = visualize.display_weight_stats(model)
        assert len(table.rows) == 1 + sum(len(layer.weights) for layer in found)
        assert "conv1/kernel" in str(table)
        inner = layers.Dense(2)
        assert model.find_trainable_layer(layers.TimeDistributed(inner)) is inner
        assert model.find_trainable_layer(inner) is inner

    def test_set_trainable_prints_what_it_chose(self, model, capsys):
        names = model.set_trainable(r"(rpn_conv_.*)|(fpn_p2)", indent=2)
        assert names == ["fpn_p2", "rpn_conv_shared"]
        assert capsys.readouterr().out.splitlines()[0].startswith("  fpn_p2")
        assert [w.path.split("/")[-2] for w in model.keras_model.trainable_weights] == [
            "fpn_p2", "fpn_p2", "rpn_conv_shared", "rpn_conv_shared",
        ]  # fmt: skip
        model.set_trainable("all", model.keras_model, verbose=0)
        assert not capsys.readouterr().out
        with pytest.raises(ConfigError, match="own network"):
            model.set_trainable("all", model.keras_model.fpn)


def own_backbone(input_image, architecture=None, stage5=True, train_bn=None):
    """With the signature of matterport's resnet_graph."""
    assert stage5 and train_bn is False
    x, levels = input_image, []
    for i in range(1, 6):
        x = layers.Conv2D(8 * i, 3, 2, padding="same", activation="relu", name=f"own{i}")(x)
        levels.append(x)
    return levels


def shallow_backbone(input_image, stage5=True, train_bn=None):
    return own_backbone(input_image, None, stage5, train_bn)[:4]


def nested_backbone(input_image, stage5=True, train_bn=None):
    """As with a model of keras.applications inside."""
    inner_input = keras.Input((None, None, 3))
    inner = keras.Model(inner_input, own_backbone(inner_input, None, stage5, train_bn))
    return inner(input_image)


class TestOwnBackbone:
    @pytest.mark.parametrize("backbone", [own_backbone, nested_backbone])
    def test_a_function_builds_trains_by_layer_and_detects(self, backbone, tmp_path, images):
        class OwnConfig(TinyConfig):
            BACKBONE = backbone  # a class attribute, as a subclass for matterport has it
            COMPUTE_BACKBONE_SHAPE = lambda config, shape: None  # noqa: E731

        model = modellib.MaskRCNN("training", OwnConfig(), tmp_path)
        assert model.keras_model.get_layer("fpn_c5p5").kernel.shape[2] == 40
        assert len(model.detect(images)) == 2
        trained = set_trainable(model.keras_model, "heads")
        assert not [name for name in trained if name.startswith("own")]
        assert {"own1", "own5"} <= set(set_trainable(model.keras_model, "all"))

    def test_levels_of_other_strides_are_refused(self):
        with pytest.raises(ShapeError, match="five levels.*Received: 4"):
            modellib.build_network(TinyConfig(BACKBONE=shallow_backbone))

        def shifted(input_image, stage5=True, train_bn=None):
            levels = own_backbone(input_image, None, stage5, train_bn)
            return [None, *levels[:4]]

        with pytest.raises(ShapeError, match="strides.*'C2': 2"):
            modellib.build_network(TinyConfig(BACKBONE=shifted))

    def test_its_card_names_it_and_cannot_rebuild_it_alone(self, tmp_path, images):
        model = modellib.MaskRCNN("inference", TinyConfig(BACKBONE=own_backbone), tmp_path)
        path = tmp_path / "own.weights.h5"
        card = model.save_weights(path)
        assert card.config["BACKBONE"].startswith("function ")
        assert card.config["BACKBONE"].endswith("test_methods.own_backbone")
        with pytest.raises(ConfigError, match="cannot be read from a card.*own_backbone.*load_we"):
            modellib.MaskRCNN.from_weights(path)
        again, _ = modellib.MaskRCNN.from_weights(path, BACKBONE=own_backbone)
        np.testing.assert_array_equal(
            again.detect(images[:1])[0]["rois"], model.detect(images[:1])[0]["rois"]
        )
