"""VGG16, MobileNet and Xception of keras.applications: names, BGR, bands, pixels."""

from pathlib import Path

import keras
import numpy as np
import pytest

from landslide_rcnn.config import Config
from landslide_rcnn.errors import WeightsError
from landslide_rcnn.nn.backbones.mobilenet import build_mobilenet
from landslide_rcnn.nn.backbones.vgg import build_vgg16
from landslide_rcnn.nn.backbones.xception import build_xception
from landslide_rcnn.nn.conv_norm import leaf_layers
from landslide_rcnn.nn.semantic.pspnet import build_pspnet
from landslide_rcnn.nn.semantic.segnet import build_segnet
from landslide_rcnn.weights import assign, pixel_scale_note, public, read_weights
from landslide_rcnn.weights.applications import from_applications

NETWORKS = {
    "vgg16": (keras.applications.VGG16, build_vgg16, "pool5", (0, 0), True),
    "mobilenet": (keras.applications.MobileNet, build_mobilenet, "C5", (0, 0), False),
    "xception": (keras.applications.Xception, build_xception, "C5", (2, 3), False),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Networks of keras.applications by name, and files of them in Keras 2's layout."""
    made = {}

    def make(name):
        if name not in made:
            keras.utils.set_random_seed(0)
            model = NETWORKS[name][0](weights=None, include_top=False, input_shape=(None, None, 3))
            rng = np.random.default_rng(0)
            for layer in model.layers:
                weights = layer.get_weights()
                if len(weights) == 4:  # statistics that are not those of the start
                    layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in weights])
            path = tmp_path_factory.mktemp(name) / "imagenet.h5"
            model.save(path)
            made[name] = model, path
        return made[name]

    return make


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_file_fits_by_name_and_answers_the_same(files, name):
    theirs, path = files(name)
    _, build, level, margin, reads_bgr = NETWORKS[name]
    ours = build()
    with read_weights(path) as named:
        report = assign(leaf_layers(ours), named, partial=False)
        assert named.style == name
    assert not report.left() and not report.unused and not report.adapted
    x = np.random.default_rng(1).normal(size=(1, 64, 64, 3)).astype(np.float32)
    padded = np.pad(x, ((0, 0), margin, margin, (0, 0)))
    expected = np.asarray(theirs(padded[..., ::-1] if reads_bgr else padded))
    assert expected.shape[1] == 2 and expected.std() > 0
    np.testing.assert_allclose(ours(x)[level], expected, rtol=1e-3, atol=1e-4 * expected.max())


def same_arrays(found, expected):
    assert set(found) == set(expected)
    for name, arrays in expected.items():
        for one, other in zip(found[name], arrays, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "xception"])
def test_the_layout_of_keras_3_is_the_same_network(files, name, tmp_path):
    theirs, path = files(name)
    theirs.save_weights(tmp_path / "x.weights.h5")
    with read_weights(path) as expected, read_weights(tmp_path / "x.weights.h5") as found:
        assert found.style == expected.style == name
        same_arrays(found, expected)


@pytest.mark.slow
def test_the_public_file_of_xception_has_numbers_for_names(files):
    """Keras 1 wrote it; keras-team/keras, issue 9683. Its layers come in the network's order."""
    theirs, path = files("xception")
    named, counts = {}, {}
    for layer in theirs.layers:
        if arrays := layer.get_weights():
            kind = {1: "convolution2d", 2: "separableconvolution2d", 4: "batchnormalization"}
            kind = kind[len(arrays)]
            counts[kind] = counts.get(kind, 0) + 1
            named[f"{kind}_{counts[kind]}"] = arrays
    found, style = from_applications(named)
    assert style == "xception" and len(found) == 80
    with read_weights(path) as expected:
        same_arrays(found, expected)


@pytest.mark.slow
def test_other_bands_than_three_adapt_the_first_convolution(files):
    theirs, path = files("vgg16")
    ours = build_segnet(channels=5)
    layers = leaf_layers(ours)
    with read_weights(path) as named:
        report = assign(layers, named)
    assert report.adapted == {"block1_conv1": "RGB filters for 5 bands"}
    assert sorted(report.loaded) == sorted(
        layer.name for layer in theirs.layers if layer.weights and layer.name != "block1_conv1"
    )
    assert any("block1_conv1 reads bands it never saw" in note for note in report.notes)
    bgr = theirs.get_layer("block1_conv1").get_weights()[0]
    kernel = layers["block1_conv1"].kernel.numpy()
    np.testing.assert_array_equal(kernel[:, :, :3], bgr[:, :, ::-1])
    np.testing.assert_allclose(kernel[:, :, 4], bgr.mean(axis=2) * 3 / 5, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "first", "norm"),
    [
        (lambda: build_pspnet(backbone="mobilenet", width=8), "conv1", "conv1_bn"),
        (lambda: build_segnet(width=8), "block1_conv1", "block1_conv1_bn"),
    ],
    ids=["mobilenet", "segnet"],
)
def test_a_file_of_ours_is_taken_as_it_is(tmp_path, build, first, norm):
    """Although its names are those of keras.applications: no BGR, and no ResNet's names."""
    saved, loaded = build(), build()
    leaf_layers(saved)[norm].moving_mean.assign(np.arange(leaf_layers(saved)[norm].gamma.shape[0]))
    saved.save_weights(tmp_path / "x.weights.h5")
    with read_weights(tmp_path / "x.weights.h5") as named:
        report = assign(leaf_layers(loaded), named, partial=False)
    assert not report.adapted and not report.unused
    for name in (first, norm):
        for a, b in zip(leaf_layers(saved)[name].weights, leaf_layers(loaded)[name].weights):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_the_pixels_that_they_expect_are_noted(files):
    config = Config(NAME="x", STD_PIXEL=57.7)
    for name, text in (
        ("vgg16", "set STD_PIXEL=1"),
        ("mobilenet", "set STD_PIXEL=127.5 and MEAN_PIXEL=127.5"),
    ):
        with read_weights(files(name)[1]) as named:
            assert pixel_scale_note(named, config).endswith(text)
            fitting = Config(NAME="x", STD_PIXEL=float(text.split("=")[1].split()[0]))
            assert pixel_scale_note(named, fitting) is None


class TestNames:
    @pytest.mark.parametrize(
        ("name", "file"),
        [
            ("vgg16", "vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"),
            ("xception", "xception/xception_weights_tf_dim_ordering_tf_kernels_notop.h5"),
            ("mobilenet", "mobilenet/mobilenet_1_0_224_tf_no_top.h5"),
        ],
    )
    def test_urls(self, name, file):
        assert public.APPLICATIONS[name].url == public.KERAS_URL + file

    def test_digests_are_those_of_keras(self):
        for name in ("vgg16", "xception"):
            module = __import__(f"keras.src.applications.{name}", fromlist=["x"])
            source = Path(module.__file__).read_text()
            with pytest.raises(WeightsError) as error:
                public.APPLICATIONS[name].check(Path(__file__))
            digest = str(error.value).split("not ")[1].split(".")[0]
            assert len(digest) == 32 and digest in source.split("notop.h5")[-1]

    @pytest.mark.slow
    def test_mobilenet_is_known_by_its_size_and_shapes(self, files, monkeypatch):
        path = files("mobilenet")[1]
        with pytest.raises(WeightsError, match="mobilenet_1_0_224.* has 17225924 bytes. Received"):
            public.check_mobilenet(path)
        monkeypatch.setattr(public, "MOBILENET_BYTES", path.stat().st_size)
        public.check_mobilenet(path)
        shapes = public.mobilenet_shapes() | {"conv_pw_1": [(1, 1, 32, 65)]}
        monkeypatch.setattr(public, "mobilenet_shapes", lambda: shapes)
        with pytest.raises(WeightsError, match="without conv_pw_1 as it should be"):
            public.check_mobilenet(path)
