"""What is loaded, adapted, left and refused; a network is never half-loaded."""

import keras
import numpy as np
import pytest

from landslide_rcnn.config import Config
from landslide_rcnn.errors import WeightsError
from landslide_rcnn.nn.backbones.resnet import STYLES
from landslide_rcnn.weights import CLASS_LAYERS, LoadReport, NamedWeights, assign, pixel_scale_note
from landslide_rcnn.weights.conventions import network_style
from tests.helpers import weight_files as w

BACKBONE = ["conv1", "bn_conv1", "res2a_branch2b", "bn2a_branch2b"]


def expect_unchanged(layers, before):
    for name, arrays in w.snapshot(layers).items():
        for now, then in zip(arrays, before[name], strict=True):
            np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("style", STYLES)
def test_the_style_of_a_network_is_read_from_its_layers(style):
    assert network_style(w.tiny_layers(style)) == style


class TestConventions:
    @pytest.mark.parametrize(
        "of_file,of_network",
        [
            ("matterport", "torchvision"),
            ("keras", "torchvision"),
            ("torchvision", "keras"),
            ("torchvision", "matterport"),
        ],
    )
    def test_another_convention_of_the_same_network_is_refused(self, of_file, of_network):
        layers = w.tiny_layers(of_network)
        before = w.snapshot(layers)
        named = NamedWeights(w.arrays_like(w.tiny_layers(of_file)), style=of_file)
        with pytest.raises(WeightsError, match=f"need BACKBONE_STYLE='{of_file}'.*{of_network}"):
            assign(layers, named)
        expect_unchanged(layers, before)

    def test_another_backbone_of_another_convention_gives_all_but_itself(self):
        layers = w.tiny_layers("torchvision", width=4)
        named = NamedWeights(
            w.arrays_like(w.tiny_layers("matterport", width=6)), style="matterport"
        )
        before = w.snapshot(layers)
        report = assign(layers, named)
        assert report.loaded == ["fpn_c5p5", "mrcnn_class_logits"]
        why = "matterport weights, torchvision network"
        assert report.mismatched == dict.fromkeys(BACKBONE, why)
        expect_unchanged({n: layers[n] for n in BACKBONE}, before)

    @pytest.mark.parametrize("pair", [("keras", "matterport"), ("matterport", "keras")])
    def test_epsilon_is_made_good_where_that_is_all(self, pair, rng):
        of_file, of_network = pair
        layers, source = w.tiny_layers(of_network), w.tiny_layers(of_file)
        arrays = w.arrays_like(source)
        arrays["bn_conv1"][3] = np.full(8, 1e-4, np.float32)  # where epsilon counts most
        assign(source, NamedWeights(arrays))
        report = assign(layers, NamedWeights(arrays, style=of_file))
        assert set(report.adapted) == {"bn_conv1", "bn2a_branch2b"}
        x = rng.normal(size=(2, 3, 3, 8)).astype(np.float32)
        expected, found = source["bn_conv1"](x), layers["bn_conv1"](x)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        unadapted = w.tiny_layers(of_network)
        assign(unadapted, NamedWeights(arrays))
        assert np.abs(unadapted["bn_conv1"](x) - expected).max() > 0.1  # the case that matters

    def test_where_the_file_does_not_tell_that_is_noted(self):
        layers = w.tiny_layers("matterport")
        report = assign(layers, NamedWeights(w.arrays_like(layers)))
        assert any("BACKBONE_STYLE='matterport' is taken" in note for note in report.notes)

    def test_pixels_scaled_otherwise_are_noted(self):
        config = Config(NAME="x", STD_PIXEL=58)
        note = pixel_scale_note(NamedWeights({}, style="matterport"), config)
        assert "divided by 1 when" in note and "set STD_PIXEL=1" in note
        assert pixel_scale_note(NamedWeights({}, style="torchvision"), config) is None
        assert pixel_scale_note(NamedWeights({}), config) is None
        of_card = NamedWeights({}, style="torchvision", settings={"STD_PIXEL": [1.0, 1.0, 1.0]})
        assert "set STD_PIXEL=1" in pixel_scale_note(of_card, config)


class TestBands:
    @pytest.mark.parametrize("bands", [4, 7, 13])
    def test_more_bands_keep_the_rgb_filters(self, bands):
        layers = w.tiny_layers(bands=bands)
        arrays = w.arrays_like(w.tiny_layers(bands=3))
        report = assign(layers, NamedWeights(arrays))
        assert report.adapted == {"conv1": f"RGB filters for {bands} bands"}
        assert "bn_conv1" in report.loaded and any("let it train" in n for n in report.notes)
        kernel, rgb = layers["conv1"].kernel.numpy(), arrays["conv1"][0]
        np.testing.assert_array_equal(kernel[:, :, :3], rgb)
        for band in range(3, bands):
            expected = rgb.mean(axis=2) * 3 / bands
            np.testing.assert_allclose(kernel[:, :, band], expected, rtol=1e-5)
        # All bands agreeing at most double the response.
        assert (kernel.sum(axis=2) / rgb.sum(axis=2)).max() < 2

    @pytest.mark.parametrize("bands", [1, 2])
    def test_fewer_bands_answer_to_grey_as_before(self, bands):
        layers = w.tiny_layers(bands=bands)
        arrays = w.arrays_like(w.tiny_layers(bands=3))
        assign(layers, NamedWeights(arrays))
        kernel = layers["conv1"].kernel.numpy()
        np.testing.assert_allclose(kernel.sum(axis=2), arrays["conv1"][0].sum(axis=2), rtol=1e-5)

    def test_a_file_of_other_bands_than_rgb_is_not_adapted(self):
        layers = w.tiny_layers(bands=3)
        report = assign(layers, NamedWeights(w.arrays_like(w.tiny_layers(bands=5))))
        assert report.mismatched == {"conv1": "[7, 7, 5, 8] in the file, [7, 7, 3, 8] here"}
        assert report.orphaned == ["bn_conv1"]


class TestFates:
    def test_classes(self):
        layers = w.tiny_layers(classes=2)
        box = keras.layers.Dense(8)
        box.build((1, 5))
        layers["mrcnn_bbox_fc"] = box
        arrays = w.arrays_like(layers)
        arrays["mrcnn_class_logits"] = [np.ones((5, 81)), np.ones(81)]
        arrays["mrcnn_bbox_fc"] = [np.ones((5, 324)), np.ones(324)]
        report = assign(layers, NamedWeights(arrays))
        why = "81 classes in the file, 2 here"
        assert report.mismatched == {"mrcnn_class_logits": why, "mrcnn_bbox_fc": why}

    def test_a_stage_with_another_block_is_left_whole(self):
        layers = w.tiny_layers(width=4)
        fits = keras.layers.Conv2D(4, 1, use_bias=False)
        fits.build((1, 2, 2, 6))
        layers["res2a_branch1"] = fits
        arrays = w.arrays_like(layers)
        arrays["res2a_branch2b"] = [np.ones((3, 3, 6, 6), np.float32)]
        before = w.snapshot(layers)
        report = assign(layers, NamedWeights(arrays))
        assert set(report.mismatched) == {"res2a_branch2b", "bn2a_branch2b", "res2a_branch1"}
        assert {"conv1", "bn_conv1", "fpn_c5p5"} <= set(report.loaded)
        expect_unchanged({n: layers[n] for n in report.mismatched}, before)

    def test_statistics_without_their_convolution(self):
        layers = w.tiny_layers()
        arrays = w.arrays_like(layers)
        del arrays["res2a_branch2b"]
        report = assign(layers, NamedWeights(arrays), exclude=["conv1"])
        assert report.missing == ["res2a_branch2b"] and report.excluded == ["conv1"]
        assert report.orphaned == ["bn_conv1", "bn2a_branch2b"]

    def test_a_deeper_backbone_is_noted(self):
        layers = w.tiny_layers()
        for name in ("res2a_branch2a", "res2b_branch2a"):
            layers[name] = keras.layers.Conv2D(4, 1, use_bias=False)
            layers[name].build((1, 2, 2, 4))
        arrays = w.arrays_like(layers)
        del layers["res2b_branch2a"]
        report = assign(layers, NamedWeights(arrays))
        assert report.unused == ["res2b_branch2a"]
        assert any("2 blocks in stage 2, 1 here" in note for note in report.notes)

    def test_exclude_takes_matterports_list_and_no_misspelt_names(self):
        layers = w.tiny_layers()
        arrays = w.arrays_like(layers)
        report = assign(layers, NamedWeights(arrays), exclude=[*CLASS_LAYERS[:1], "mrcnn_bbox"])
        assert report.excluded == ["mrcnn_class_logits"]
        with pytest.raises(WeightsError, match="'fpn_c5p4'. Did you mean fpn_c5p5"):
            assign(layers, NamedWeights(arrays), exclude=["fpn_c5p4"])


class TestNothingIsHalfLoaded:
    @pytest.mark.parametrize(
        "spoil,message",
        [
            (lambda a: a.__setitem__(..., np.nan), "must be finite.*mrcnn_class_logits/kernel"),
            (lambda a: a.__setitem__(..., np.inf), "must be finite"),
        ],
    )
    def test_the_last_layer_is_not_finite(self, spoil, message):
        layers = w.tiny_layers()
        arrays, before = w.arrays_like(layers), w.snapshot(layers)
        spoil(arrays["mrcnn_class_logits"][0])
        with pytest.raises(WeightsError, match=message):
            assign(layers, NamedWeights(arrays))
        expect_unchanged(layers, before)

    def test_numbers_beyond_float32_and_of_other_types(self):
        layers = w.tiny_layers()
        before = w.snapshot(layers)
        for wrong, message in (
            (np.full((5, 2), 1e300), "must be finite"),
            (np.ones((5, 2), np.int64), "floating-point.*int64"),
            (np.ones((5, 2), complex), "floating-point.*complex"),
        ):
            arrays = w.arrays_like(layers)
            arrays["mrcnn_class_logits"][0] = wrong
            with pytest.raises(WeightsError, match=message):
                assign(layers, NamedWeights(arrays))
        expect_unchanged(layers, before)

    def test_a_negative_variance(self):
        layers = w.tiny_layers()
        arrays, before = w.arrays_like(layers), w.snapshot(layers)
        arrays["bn2a_branch2b"][3][0] = -1
        with pytest.raises(WeightsError, match="variance must not be negative.*-1"):
            assign(layers, NamedWeights(arrays))
        expect_unchanged(layers, before)

    def test_all_or_nothing_without_partial(self):
        layers = w.tiny_layers()
        arrays, before = w.arrays_like(layers), w.snapshot(layers)
        del arrays["fpn_c5p5"]
        with pytest.raises(
            WeightsError, match=r"1 layers are missing or differ.*fpn_c5p5 \(not in"
        ):
            assign(layers, NamedWeights(arrays), partial=False)
        expect_unchanged(layers, before)

    def test_another_architecture(self):
        layers = w.tiny_layers()
        with pytest.raises(WeightsError, match="fit at least one layer.*BACKBONE"):
            assign(layers, NamedWeights({"block1_conv1": [np.ones((3, 3, 3, 64))]}))


def test_the_table():
    report = LoadReport(
        loaded=["bn_conv1", "fpn_c5p5", "fpn_p2"],
        adapted={"conv1": "RGB filters for 4 bands"},
        missing=["res5c_branch2a", "fpn_n3"],
        mismatched=dict.fromkeys(
            ["mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_mask"], "81 classes in the file, 2 here"
        ),
        excluded=["mrcnn_mask_conv1"],
        orphaned=["bn5c_branch2a"],
        unused=["a", "b", "c", "d", "e"],
        notes=["look"],
    )
    assert str(report).splitlines() == [
        "part            loaded  adapted  random  why",
        "stem                 1        1       -  conv1: RGB filters for 4 bands",
        "stage 5              -        -       2  res5c_branch2a: not in the file; "
        "bn5c_branch2a: without its convolution",
        "FPN                  2        -       -",
        "bottom-up path       -        -       1  not in the file",
        "box head             -        -       2  81 classes in the file, 2 here",
        "mask head            -        -       2  mrcnn_mask: 81 classes in the file, 2 here; "
        "mrcnn_mask_conv1: excluded",
        "all                  3        1       7",
        "missing: res5c_branch2a, fpn_n3",
        "unused in the file: a, b, c and 2 more",
        "note: look",
    ]
