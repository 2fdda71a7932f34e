"""Backbones, necks and the whole detector: counts, equations, gradients, and that it learns."""

import keras
import numpy as np
import pytest
from keras import ops

from landslide_rcnn.config import LandslideConfig
from landslide_rcnn.errors import RegistryError, ShapeError
from landslide_rcnn.experiments import PAPER_EXPERIMENTS
from landslide_rcnn.model import build_network
from landslide_rcnn.nn.backbones.resnet import build_resnet
from landslide_rcnn.nn.conv_norm import leaf_layers
from landslide_rcnn.nn.losses import COMPONENTS
from landslide_rcnn.nn.necks import build_bottom_up_path, build_fpn
from tests.helpers.layers import gradients_of, toy_batch


def parameters(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def small_config(base=LandslideConfig, **settings):
    """A detector for 64 px that builds and runs in seconds."""
    defaults = dict(
        IMAGE_MIN_DIM=64,
        IMAGE_MAX_DIM=64,
        PRECISION="float32",
        TOP_DOWN_PYRAMID_SIZE=32,
        FPN_CLASSIF_FC_LAYERS_SIZE=64,
        RPN_ANCHOR_SCALES=(8, 16, 24, 32, 48),
        TRAIN_ROIS_PER_IMAGE=16,
        RPN_TRAIN_ANCHORS_PER_IMAGE=2048,  # all, so that every level is among them
        POST_NMS_ROIS_TRAINING=50,
        POST_NMS_ROIS_INFERENCE=30,
        DETECTION_MAX_INSTANCES=10,
        MAX_GT_INSTANCES=3,
    )
    return base(**{**defaults, **settings})


class TestBackbones:
    # Table 1 of Liu et al. 2021 rounds the first two to 25.5 and 25.0 million.
    @pytest.mark.parametrize(
        ("name", "count"), [("resnet50", 25_557_032), ("resnext50", 25_028_904)]
    )
    def test_parameters_with_a_head_of_1000_classes(self, name, count):
        assert parameters(build_resnet(name, classes=1000)) == count

    @pytest.mark.slow
    def test_parameters_of_the_deep_resnext(self):
        assert parameters(build_resnet("resnext101", classes=1000)) == 44_177_704

    @pytest.mark.parametrize("style", ["torchvision", "keras", "matterport"])
    def test_levels_have_the_promised_strides_and_channels(self, style):
        levels = build_resnet("resnet26", channels=5, style=style)(np.zeros((2, 64, 128, 5)))
        shapes = {name: tuple(level.shape) for name, level in levels.items()}
        assert shapes == {
            "C2": (2, 16, 32, 256),
            "C3": (2, 8, 16, 512),
            "C4": (2, 4, 8, 1024),
            "C5": (2, 2, 4, 2048),
        }

    def test_the_thin_one_has_a_quarter_of_the_channels_and_one_block_a_stage(self):
        thin = build_resnet("resnet14_thin")
        levels = thin(np.zeros((1, 64, 64, 3)))
        assert [levels[f"C{i}"].shape[-1] for i in range(2, 6)] == [64, 128, 256, 512]
        layers = leaf_layers(thin)
        assert layers["res5a_branch2b"].filters == 128 and "res5b_branch2a" not in layers
        # The stem's, and a block's two, beside the shortcut's.
        assert sum(name.startswith(("conv", "res")) for name in layers) == 1 + 4 * 4

    def test_styles_place_stride_and_bias_where_they_should(self):
        ours = leaf_layers(build_resnet("resnet26"))
        matterports = leaf_layers(build_resnet("resnet26", style="matterport"))
        assert ours["res3a_branch2a"].strides == (1, 1)
        assert ours["res3a_branch2b"].strides == (2, 2)
        assert not ours["res3a_branch2a"].use_bias
        assert matterports["res3a_branch2a"].strides == (2, 2)
        assert matterports["res3a_branch2b"].strides == (1, 1)
        assert matterports["res3a_branch2a"].use_bias
        assert matterports["bn3a_branch2a"].epsilon == 1e-3

    def test_an_unknown_name_lists_the_known_ones(self):
        with pytest.raises(RegistryError, match="Received: 'resnet51'.*resnext50"):
            build_resnet("resnet51")


class TestNecks:
    def conv(self, model, name, x):
        layer = model.get_layer(name)
        return ops.conv(x, layer.kernel, layer.strides, layer.padding) + layer.bias

    def test_bottom_up_path_is_equation_1(self):
        path = build_bottom_up_path(4)
        rng = np.random.default_rng(0)
        p = {
            f"P{i}": rng.normal(size=(1, 256 // 2**i, 256 // 2**i, 4)).astype(np.float32)
            for i in range(2, 7)
        }
        n = path(p)
        np.testing.assert_array_equal(n["N2"], p["P2"])
        expected = p["P2"]
        for i in range(3, 7):
            down = self.conv(path, f"fpn_n{i}_down", expected)
            expected = self.conv(path, f"fpn_n{i}", down + p[f"P{i}"])
            np.testing.assert_allclose(n[f"N{i}"], expected, atol=1e-5)

    def test_fpn_adds_the_upsampled_level_above(self):
        channels = {"C2": 3, "C3": 4, "C4": 5, "C5": 6}
        fpn = build_fpn(channels, 4)
        rng = np.random.default_rng(0)
        c = {
            f"C{i}": rng.normal(size=(1, 128 // 2**i, 128 // 2**i, channels[f"C{i}"]))
            for i in range(2, 6)
        }
        c = {name: level.astype(np.float32) for name, level in c.items()}
        p = fpn(c)
        merged = self.conv(fpn, "fpn_c5p5", c["C5"])
        np.testing.assert_allclose(p["P5"], self.conv(fpn, "fpn_p5", merged), atol=1e-5)
        np.testing.assert_array_equal(p["P6"], p["P5"][:, ::2, ::2])
        for i in (4, 3, 2):
            above = np.repeat(np.repeat(merged, 2, axis=1), 2, axis=2)
            merged = above + self.conv(fpn, f"fpn_c{i}p{i}", c[f"C{i}"])
            np.testing.assert_allclose(p[f"P{i}"], self.conv(fpn, f"fpn_p{i}", merged), atol=1e-4)

    def test_a_missing_level_is_an_error(self):
        with pytest.raises(ShapeError, match="Received: C3, C4, C5"):
            build_fpn({"C3": 4, "C4": 5, "C5": 6}, 4)


class TestDetector:
    def test_it_learns_one_tile(self):
        keras.utils.set_random_seed(0)
        config = small_config(BACKBONE="resnet26", TRAIN_BN=False)
        network = build_network(config)
        batch = toy_batch(batch=1)
        optimizer = keras.optimizers.Adam(1e-3)
        import tensorflow as tf

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                outputs = network.training_pass(batch)
                losses = {n: f(outputs) for n, f in COMPONENTS.items()}
                loss = sum(losses.values())
            variables = network.trainable_variables
            optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
            return losses

        first = {name: float(v) for name, v in step().items()}
        for _ in range(120):
            last = {name: float(v) for name, v in step().items()}
        assert last["mrcnn_mask_loss"] < 0.2 < first["mrcnn_mask_loss"]
        assert last["mrcnn_class_loss"] < 0.2
        assert last["rpn_class_loss"] < 0.2 and last["rpn_bbox_loss"] < 0.2
        found = network(batch["image"])
        detections = ops.convert_to_numpy(found["detections"])[0]
        best = detections[detections[:, 5] > 0.7]
        assert len(best) == 2 and set(best[:, 4]) == {1}
        boxes = np.sort(best[:, 0] * 63)
        np.testing.assert_allclose(boxes, [8, 36], atol=4)

    @pytest.mark.parametrize("channels,classes", [(1, 2), (6, 4)])
    def test_any_bands_and_classes(self, channels, classes):
        config = small_config(
            BACKBONE="resnet26",
            IMAGE_CHANNEL_COUNT=channels,
            NUM_CLASSES=classes,
            MEAN_PIXEL=100.0,
            STD_PIXEL=50.0,
        )
        network = build_network(config)
        outputs = network(np.zeros((1, 64, 64, channels), np.float32))
        assert outputs["detections"].shape == (1, 10, 6)
        assert outputs["masks"].shape == (1, 10, 28, 28)
        found = gradients_of(
            network, toy_batch(channels=channels, classes=classes), config.LOSS_WEIGHTS
        )
        assert all(found.values())

    @pytest.mark.slow
    @pytest.mark.parametrize("name", PAPER_EXPERIMENTS)
    def test_every_weight_of_the_papers_experiments_gets_a_gradient(self, name):
        config = small_config(PAPER_EXPERIMENTS[name])
        network = build_network(config)
        found = gradients_of(network, toy_batch(), config.LOSS_WEIGHTS)
        assert [path for path, norm in found.items() if not norm] == []
        has_path = any("fpn_n6" in path for path in found)
        assert has_path == name.startswith("resnext50-n")
        assert (config.LOSS_WEIGHTS["mrcnn_mask_edge_loss"] > 0) == name.endswith("edge")

    def test_a_batch_without_instances_has_finite_losses_and_some_are_exactly_zero(self):
        network = build_network(small_config(BACKBONE="resnet26"))
        batch = toy_batch()
        batch["gt_class_ids"][:] = 0
        outputs = network.training_pass(batch)
        losses = {name: float(f(outputs)) for name, f in COMPONENTS.items()}
        assert losses["rpn_class_loss"] > 0 and losses["mrcnn_class_loss"] > 0
        for name in ("rpn_bbox", "mrcnn_bbox", "mrcnn_mask", "mrcnn_mask_edge"):
            assert losses[f"{name}_loss"] == 0.0
        assert np.isfinite(list(losses.values())).all()

    def test_anchors_are_no_weights(self):
        network = build_network(small_config(BACKBONE="resnet26"))
        assert not [w.path for w in network.weights if "anchor" in w.path]

    def test_layers_of_the_stages_are_found_by_name(self):
        network = build_network(small_config(BACKBONE="resnet26"))
        assert network.get_layer("fpn_c4p4").filters == 32
        assert network.get_layer("rpn_conv_shared").filters == 64
        with pytest.raises(ValueError, match="No such layer"):
            network.get_layer("nothing")

    def test_a_size_that_cannot_be_halved_six_times_is_an_error(self):
        network = build_network(small_config(BACKBONE="resnet26"))
        with pytest.raises(ShapeError, match="Received: 80 x 64"):
            network(np.zeros((1, 80, 64, 3), np.float32))
