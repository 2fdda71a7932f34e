"""What every semantic network must do, and the numbers of the papers' tables."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from landslide_rcnn.errors import RegistryError, ShapeError
from landslide_rcnn.nn.flops import count_multiply_adds
from landslide_rcnn.nn.semantic import registry
from landslide_rcnn.nn.semantic.deeplab import build_deeplab
from landslide_rcnn.nn.semantic.drs_unet import build_drs_unet
from landslide_rcnn.nn.semantic.fcn import build_fcn
from landslide_rcnn.nn.semantic.fcn_fl import build_fcn_fl
from landslide_rcnn.nn.semantic.pspnet import build_pspnet
from landslide_rcnn.nn.semantic.registry import ARCHITECTURES, build_semantic
from landslide_rcnn.nn.semantic.segnet import build_segnet
from landslide_rcnn.nn.semantic.unet import build_unet

# Narrow where a width can be chosen; bands and classes in turn.
NETWORKS = {
    "fcn": lambda: build_fcn(head_width=16, channels=1, classes=1),
    "fcn_fl": lambda: build_fcn_fl(head_width=16, channels=3, classes=2),
    "unet": lambda: build_unet(width=8, channels=8, classes=1),
    "unet-vgg16": lambda: build_unet(backbone="vgg16", width=8, channels=1, classes=2),
    "unet-resnet50": lambda: build_unet(backbone="resnet50", width=8, channels=3, classes=1),
    "segnet": lambda: build_segnet(width=8, channels=8, classes=2),
    "pspnet": lambda: build_pspnet(width=16, channels=1, classes=1),
    "pspnet-mobilenet": lambda: build_pspnet(backbone="mobilenet", width=16, channels=3, classes=2),
    "deeplab": lambda: build_deeplab(width=16, channels=8, classes=1),
    "deeplab-mobilenet": lambda: build_deeplab(
        backbone="mobilenet", width=16, channels=1, classes=2
    ),
    "drs_unet": lambda: build_drs_unet(width=8, channels=3, classes=2),
}
PADDING = [name for name in NETWORKS if not name.startswith("pspnet")]  # it pads nothing
_built = {}


@pytest.fixture(scope="module", autouse=True)
def forget():
    yield
    _built.clear()


def network(name):
    if name not in _built:
        keras.utils.set_random_seed(0)
        _built[name] = NETWORKS[name]()
    return _built[name]


def image(model, height, width, seed=0):
    shape = (1, height, width, model.input_shape[-1])
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def gradients(model, x, training):
    """Norm of the gradient of every trainable weight, for an error that differs everywhere."""
    with tf.GradientTape() as tape:
        logits = model(x, training=training)
        loss = tf.reduce_mean(
            tf.square(logits - np.random.default_rng(1).normal(size=logits.shape))
        )
    variables = model.trainable_variables
    found = tape.gradient(loss, [v.value for v in variables])
    return {v.path: None if g is None else float(tf.norm(g)) for v, g in zip(variables, found)}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
class TestEvery:
    @pytest.mark.parametrize("size", [(128, 128), (256, 256), (473, 473)])
    def test_logits_of_every_pixel(self, name, size):
        model = network(name)
        logits = np.asarray(model(image(model, *size)))
        assert logits.shape == (1, *size, model.output_shape[-1])
        assert logits.dtype == np.float32 and np.isfinite(logits).all() and logits.std() > 0

    def test_every_weight_gets_a_gradient(self, name):
        """One that is more than rounding leaves of none.

        By one tile, of which whatever has one value an image may not be normalised away; but for
        DeepLab, whose mean is a constant of the image that the next normalisation takes away.
        """
        model = network(name)
        x = image(model, 64, 64)
        if name.startswith("deeplab"):
            x = np.concatenate([x, 2 * x[:, ::-1]])
        found = gradients(model, x, training=True)
        if name == "segnet":
            # The batch's mean takes a bias away again; with stored statistics it counts.
            stored = gradients(model, x, training=False)
            biases = {path: stored[path] for path in found if path.endswith("bias")}
            assert len(biases) == 13 + 1
            found.update(biases)
        assert None not in found.values() and np.isfinite(list(found.values())).all()
        assert [path for path, norm in found.items() if norm < 1e-7 * max(found.values())] == []

    def test_saved_weights_are_loaded_into_their_places(self, name, tmp_path):
        model = network(name)
        model.save_weights(tmp_path / "network.weights.h5")
        kept = model.get_weights()
        model.set_weights([np.full_like(w, 7) for w in kept])
        model.load_weights(tmp_path / "network.weights.h5")
        for before, after in zip(kept, model.get_weights(), strict=True):
            np.testing.assert_array_equal(before, after)


@pytest.mark.slow
@pytest.mark.parametrize("name", PADDING)
def test_a_size_that_cannot_be_halved_is_padded_by_zeros_and_cropped(name):
    model = network(name)
    x = image(model, 89, 73)
    padded = np.pad(x, ((0, 0), (0, 7), (0, 23), (0, 0)))
    expected = np.asarray(model(padded))[:, :89, :73]
    if model.get_layer("pad").multiple == 16:
        expected = np.asarray(model(padded[:, :, :80]))[:, :89, :73]
    np.testing.assert_allclose(model(x), expected, atol=1e-4 * np.abs(expected).max())


def train(model, x, target, steps, rate):
    """Return a function that takes some steps of Adam and returns their losses."""
    optimizer = keras.optimizers.Adam(rate)

    @tf.function
    def take():
        losses = tf.TensorArray("float32", steps)
        for i in tf.range(steps):
            with tf.GradientTape() as tape:
                logits = tf.cast(model(x, training=True), "float32")
                loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(target, logits))
            variables = model.trainable_variables
            optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
            losses = losses.write(i, loss)
        return losses.stack()

    return lambda: take().numpy()


def one_tile():
    """An ellipse in noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64] / 64
    target = ((rows - 0.4) / 0.3) ** 2 + ((columns - 0.5) / 0.25) ** 2 < 1
    target = target[None, ..., None].astype(np.float32)
    return (rng.normal(0, 0.7, (1, 64, 64, 3)) + target).astype(np.float32), target


def iou(model, x, target):
    found, wanted = np.asarray(model(x)) > 0, target > 0
    return (found & wanted).sum() / (found | wanted).sum()


# One backbone each, and thin. DRs-UNet's last features are two channels then, hence its rate.
OVERFITTED = {
    "fcn": (lambda: build_fcn(head_width=64), 3e-3),
    "fcn_fl": (lambda: build_fcn_fl(head_width=64), 3e-3),
    "unet": (lambda: build_unet(width=8), 3e-3),
    "segnet": (lambda: build_segnet(width=8), 3e-3),
    "pspnet": (lambda: build_pspnet(backbone="mobilenet", width=16), 3e-3),
    "deeplab": (lambda: build_deeplab(backbone="mobilenet", width=16), 3e-3),
    "drs_unet": (lambda: build_drs_unet(width=8), 1e-2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OVERFITTED)
def test_it_overfits_one_tile(name):
    """IoU 0.98 by the stored statistics, within 240 steps."""
    keras.utils.set_random_seed(0)
    build, rate = OVERFITTED[name]
    model = build()
    x, target = one_tile()
    take = train(model, x, target, 20, rate)
    reached = []
    while len(reached) < 12 and (not reached or reached[-1] < 0.98):
        take()
        reached.append(iou(model, x, target))
    assert reached[-1] >= 0.98


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        lambda: build_fcn_fl(head_width=16),
        lambda: build_unet(width=8),
        lambda: build_segnet(width=8),
        lambda: build_pspnet(backbone="mobilenet", width=16),
        lambda: build_deeplab(backbone="mobilenet", width=16),
        lambda: build_drs_unet(width=8),
    ],
    ids=["fcn_fl", "unet", "segnet", "pspnet", "deeplab", "drs_unet"],
)
def test_steps_in_bfloat16(build):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy("float32")
    x, target = one_tile()
    before = model.get_weights()
    losses = train(model, x, target, 6, rate=1e-3)()
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    assert model(x).dtype == "float32"
    assert all(w.dtype == "float32" for w in model.weights)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights())]
    assert np.mean(changed) > 0.95  # a bias before a normalisation may stay


class TestTable4:
    """Chen et al. 2022, Table 4: million parameters, thousand million multiply-adds."""

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "parameters", "flops", "tolerance"),
        [
            ("unet", 31.03, 54.68, 0.005),
            ("segnet", 29.45, 40.10, 0.005),
            ("drs_unet", 17.19, 19.12, 0.03),
        ],
    )
    def test_parameters_and_multiply_adds(self, name, parameters, flops, tolerance):
        model = build_semantic(name)
        count = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
        assert count / 1e6 == pytest.approx(parameters, rel=tolerance)
        assert count_multiply_adds(model) / 1e9 == pytest.approx(flops, rel=0.05)


class TestFlops:
    def test_by_hand(self):
        x = inputs = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(8, 3, 2, padding="same")(x)  # 27 x 8 x 4 x 5
        x = keras.layers.DepthwiseConv2D(3, padding="same")(x)  # 9 x 8 x 20
        x = keras.layers.SeparableConv2D(4, 5, padding="same")(x)  # (25 x 8 + 8 x 4) x 20
        x = keras.layers.Conv2DTranspose(2, 2, 2)(x)  # 4 x 4 x 2 x 20
        inner = keras.Input((None, None, 2))
        inside = keras.Model(inner, keras.layers.Conv2D(6, 1, groups=2)(inner))  # 6 x 80
        x = keras.layers.GlobalAveragePooling2D()(inside(x))
        model = keras.Model(inputs, keras.layers.Dense(5)(x))  # 30
        expected = 27 * 8 * 20 + 9 * 8 * 20 + 232 * 20 + 32 * 20 + 6 * 80 + 30
        assert count_multiply_adds(model, size=(8, 10)) == expected

    def test_a_kernel_without_a_rule_is_an_error(self):
        inputs = keras.Input((8, 8, 3))
        model = keras.Model(inputs, keras.layers.EinsumDense("bhwc,cd->bhwd", (8, 8, 4))(inputs))
        with pytest.raises(ShapeError, match="Received: EinsumDense"):
            count_multiply_adds(model, size=(8, 8))


class TestRegistry:
    def test_it_builds_each_by_its_names(self, monkeypatch):
        """Each row names a module with a builder that knows the row's backbones."""
        for name, row in ARCHITECTURES.items():
            for backbone in row.backbones:
                asked = {}
                module = registry.importlib.import_module(
                    f"landslide_rcnn.nn.semantic.{row.module}"
                )
                monkeypatch.setattr(module, f"build_{row.module}", asked.update)
                build_semantic(name, backbone, channels=5, classes=4)
                assert asked == {"channels": 5, "classes": 4, "backbone": backbone}
                monkeypatch.undo()

    def test_the_table_and_the_files_name_the_same_backbones(self):
        from landslide_rcnn.nn.semantic import deeplab, pspnet, unet

        assert ARCHITECTURES["unet"].backbones == tuple(unet.ENCODERS)
        assert ARCHITECTURES["pspnet"].backbones == tuple(pspnet.BACKBONES)
        assert ARCHITECTURES["deeplab"].backbones == tuple(deeplab.BACKBONES)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("segformer",), "Received: 'segformer'. Use one of: fcn, fcn_fl, unet"),
            (("pspnet", "vgg16"), "Received: 'vgg16'. Use one of: resnet50, mobilenet"),
        ],
    )
    def test_an_unknown_name_lists_the_known_ones(self, arguments, message):
        with pytest.raises(RegistryError, match=message):
            build_semantic(*arguments)

    def test_no_band_is_an_error(self):
        with pytest.raises(ShapeError, match="Received: channels=0, classes=1"):
            build_semantic("unet", channels=0)
