"""HDF5 and .npz files: every layout leads to the same layers, and no file leads elsewhere."""

import io
import zipfile

import h5py
import numpy as np
import pytest

from landslide_rcnn.errors import WeightsError
from landslide_rcnn.nn.backbones.resnet import build_resnet
from landslide_rcnn.nn.conv_norm import leaf_layers
from landslide_rcnn.weights import assign, read_weights
from landslide_rcnn.weights.names import renamed
from tests.helpers import weight_files as w
from tests.helpers.outside import data_file, needs_data


@pytest.fixture
def layers():
    return w.tiny_layers("matterport")


LEAVES = {
    2: ("kernel", "bias"),
    4: ("gamma", "beta", "moving_mean", "moving_variance"),
}


def groups_of(arrays, inside="{layer}/{leaf}:0"):
    """{layer: {weight name: array}}, with weight names of a layout."""
    return {
        layer: {
            inside.format(layer=layer, leaf=leaf): array
            for leaf, array in zip(LEAVES[len(members)], members, strict=True)
        }
        for layer, members in arrays.items()
    }


def expect_loaded(layers, arrays):
    for name, members in arrays.items():
        for weight, array in zip(layers[name].weights, members, strict=True):
            np.testing.assert_array_equal(weight.numpy(), array)


class TestLayouts:
    @pytest.mark.parametrize("root", ["", "model_weights"])
    @pytest.mark.parametrize(
        "inside", ["{layer}/{leaf}:0", "{leaf}:0", "{layer}_3/{leaf}:0", "mask_rcnn/{layer}/{leaf}"]
    )
    def test_keras_2(self, tmp_path, layers, root, inside):
        arrays = w.arrays_like(layers)
        w.write_keras2(tmp_path / "old.h5", groups_of(arrays, inside), root)
        with read_weights(tmp_path / "old.h5") as named:
            report = assign(layers, named, partial=False)
        expect_loaded(layers, arrays)
        assert report.loaded == list(layers) and not report.left()

    @pytest.mark.parametrize(
        "folder", ["", "/{layer}", "/{layer}_1"], ids=["flat", "deep", "session"]
    )
    @pytest.mark.parametrize("root", ["", "model_weights/"])
    def test_without_the_lists_of_names(self, tmp_path, layers, root, folder):
        arrays = w.arrays_like(layers)
        with h5py.File(tmp_path / "bare.h5", "w") as file:
            for layer, members in groups_of(arrays, "{leaf}:0").items():
                for leaf, array in members.items():
                    file[f"{root}{layer}{folder.format(layer=layer)}/{leaf}"] = array
        assign(layers, read_weights(tmp_path / "bare.h5"), partial=False)
        expect_loaded(layers, arrays)

    @pytest.mark.parametrize("listed", [True, False])
    def test_a_nested_model_gives_its_layers(self, tmp_path, listed):
        members = {"rpn_conv_shared_2/kernel:0": 1.0, "rpn_conv_shared_2/bias:0": 2.0}
        members["rpn_class_raw/kernel:0"] = 3.0
        members = {name: np.full(2, value, np.float32) for name, value in members.items()}
        path = tmp_path / "x.h5"
        if listed:
            w.write_keras2(path, {"rpn_model": members, "anchors": {"Variable:0": np.ones(3)}})
        else:
            with h5py.File(path, "w") as file:
                for name, array in members.items():
                    file[f"rpn_model/{name}"] = array
        named = read_weights(path)
        found = {k: [float(a[0]) for a in map(np.asarray, v)] for k, v in named.items()}
        found.pop("anchors", None)
        assert found == {"rpn_conv_shared": [1, 2], "rpn_class_raw": [3]}

    def test_lists_of_names_in_parts(self, tmp_path, layers):
        # Keras splits an attribute of more than 64 kB.
        arrays = w.arrays_like(layers)
        w.write_keras2(tmp_path / "x.h5", groups_of(arrays))
        with h5py.File(tmp_path / "x.h5", "r+") as file:
            names = list(file.attrs["layer_names"])
            del file.attrs["layer_names"]
            file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:2], names[2:]
        assign(layers, read_weights(tmp_path / "x.h5"), partial=False)
        expect_loaded(layers, arrays)

    @pytest.mark.parametrize("kind", ["npz", "h5"])
    def test_keras_applications_names_and_channel_order(self, tmp_path, kind):
        layers = w.tiny_layers("keras")
        names = {
            "conv1": "conv1_conv",
            "bn_conv1": "conv1_bn",
            "res2a_branch2b": "conv2_block1_2_conv",
            "bn2a_branch2b": "conv2_block1_2_bn",
        }
        arrays = {name: w.arrays_like(layers)[name] for name in names}
        stored = {names[name]: members for name, members in arrays.items()}
        if kind == "h5":
            w.write_keras2(tmp_path / "x.h5", groups_of(stored))
        else:
            flat = {
                k: v for g in groups_of(stored, "{layer}/{leaf}").values() for k, v in g.items()
            }
            np.savez_compressed(tmp_path / "x.npz", **flat)
        named = read_weights(tmp_path / f"x.{kind}")
        assert named.style == "keras"
        assign(layers, named)
        arrays["conv1"][0] = arrays["conv1"][0][:, :, ::-1]  # those networks read BGR
        expect_loaded(layers, arrays)

    def test_torchvision_names_in_npz(self, tmp_path):
        layers = w.tiny_layers("torchvision")
        arrays = w.torch_arrays(layers)
        np.savez(tmp_path / "x.npz", **arrays)
        assert len(assign(layers, read_weights(tmp_path / "x.npz")).loaded) == 4
        kernel = arrays["conv1.weight"].transpose(2, 3, 1, 0)
        np.testing.assert_array_equal(layers["conv1"].kernel.numpy(), kernel)

    def test_files_that_are_none(self, tmp_path):
        with pytest.raises(WeightsError, match="existing file.*nowhere.h5"):
            read_weights(tmp_path / "nowhere.h5")
        (tmp_path / "x.pkl").write_bytes(b"")
        with pytest.raises(WeightsError, match="ends in .h5 or .* or .pt"):
            read_weights(tmp_path / "x.pkl")
        for name in ("text.h5", "text.npz", "text.pth", "text.safetensors"):
            (tmp_path / name).write_text("no weights")
            with pytest.raises(WeightsError, match=name):
                read_weights(tmp_path / name)


def evil_external_link(group, folder):
    group["kernel:0"] = h5py.ExternalLink("secret.h5", "data")


def evil_soft_link(group, folder):
    group.file["elsewhere"] = h5py.ExternalLink("secret.h5", "data")
    group["kernel:0"] = h5py.SoftLink("/elsewhere")


def evil_external_storage(group, folder):
    where = [(str(folder / "secret.bin"), 0, 24)]
    group.create_dataset("kernel:0", (3,), "f8", external=where)


def evil_virtual_dataset(group, folder):
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "data", (3,))
    group.create_virtual_dataset("kernel:0", layout)


EVIL = [evil_external_link, evil_soft_link, evil_external_storage, evil_virtual_dataset]


class TestHostile:
    @pytest.mark.parametrize("listed", [True, False])
    @pytest.mark.parametrize("evil", EVIL, ids=[e.__name__ for e in EVIL])
    def test_hdf5_that_points_elsewhere(self, tmp_path, evil, listed):
        with h5py.File(tmp_path / "secret.h5", "w") as file:
            file["data"] = np.ones(3)
        (tmp_path / "secret.bin").write_bytes(np.ones(3).tobytes())
        with h5py.File(tmp_path / "evil.h5", "w") as file:
            group = file.create_group("conv1")
            evil(group, tmp_path)
            if listed:
                file.attrs["layer_names"] = [b"conv1"]
                group.attrs["weight_names"] = [b"kernel:0"]
        with pytest.raises(WeightsError, match="evil.h5.*points elsewhere"):
            read_weights(tmp_path / "evil.h5")

    def test_a_link_in_place_of_a_group(self, tmp_path):
        with h5py.File(tmp_path / "evil.h5", "w") as file:
            file["model_weights"] = h5py.ExternalLink("/etc/secret.h5", "/")
        with pytest.raises(WeightsError, match="points elsewhere"):
            read_weights(tmp_path / "evil.h5")

    def test_a_heap_of_names_that_would_make_the_library_loop(self, tmp_path):
        path = tmp_path / "x.h5"
        with h5py.File(path, "w") as file:
            group = file.create_group("vars")
            group.attrs["name"] = "conv1"
            group["0"] = np.ones(3, np.float32)
        assert list(read_weights(path)) == ["conv1"]
        content = bytearray(path.read_bytes())
        # Behind the header and the one text: the free rest, which now ends too early.
        rest = content.index(b"GCOL") + 16 + 16 + 8
        content[rest + 8 : rest + 16] = (32).to_bytes(8, "little")
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="whose names are damaged"):
            read_weights(path)

    def test_a_huge_declared_shape_is_never_allocated(self, tmp_path, layers):
        with h5py.File(tmp_path / "huge.h5", "w") as file:
            file.attrs["layer_names"] = [b"conv1", b"fpn_c5p5"]
            for layer in ("conv1", "fpn_c5p5"):
                group = file.create_group(layer)
                group.attrs["weight_names"] = [b"kernel:0", b"bias:0"]
                group.create_dataset("kernel:0", (10**6, 10**6), "f4", chunks=(1000, 1000))
                group["bias:0"] = np.ones(4, np.float32)
        with pytest.raises(WeightsError, match=r"at least one layer.*\[1000000, 1000000\] in the"):
            assign(layers, read_weights(tmp_path / "huge.h5"))

    def test_declared_but_absent_values_are_not_zeros(self, tmp_path, layers):
        with h5py.File(tmp_path / "hollow.h5", "w") as file:
            file.attrs["layer_names"] = [b"fpn_c5p5"]
            group = file.create_group("fpn_c5p5")
            group.attrs["weight_names"] = [b"kernel:0", b"bias:0"]
            group.create_dataset("kernel:0", (1, 1, 6, 4), "f4")
            group["bias:0"] = np.ones(4, np.float32)
        with pytest.raises(WeightsError, match="hollow.h5.*holds no value"):
            assign(layers, read_weights(tmp_path / "hollow.h5"))

    def test_a_block_that_inflates_to_more_than_its_array(self, tmp_path, layers):
        with h5py.File(tmp_path / "bomb.h5", "w") as file:
            file.attrs["layer_names"] = [b"fpn_c5p5"]
            group = file.create_group("fpn_c5p5")
            group.attrs["weight_names"] = [b"kernel:0", b"bias:0"]
            shape, more = (1, 1, 6, 4), dict(maxshape=(None,) * 4, chunks=(9, 9, 60, 40))
            group.create_dataset(
                "kernel:0", shape, "f4", compression="gzip", data=np.ones(shape), **more
            )
            group["bias:0"] = np.ones(4, np.float32)
        with pytest.raises(WeightsError, match=r"larger than the array.*\[9, 9, 60, 40\]"):
            assign(layers, read_weights(tmp_path / "bomb.h5"))

    @pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
    @pytest.mark.parametrize("kind", ["h5", "npz"])
    def test_a_truncated_file_changes_nothing(self, tmp_path, layers, kind, share):
        arrays = w.arrays_like(layers)
        path = tmp_path / f"x.{kind}"
        if kind == "h5":
            w.write_keras2(path, groups_of(arrays))
        else:
            flat = {
                k: v for g in groups_of(arrays, "{layer}/{leaf}").values() for k, v in g.items()
            }
            np.savez(path, **flat)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        before = w.snapshot(layers)
        with pytest.raises(WeightsError, match=path.name):
            assign(layers, read_weights(path))
        expect_loaded(layers, before)

    def test_objects_in_npz(self, tmp_path):
        np.savez(tmp_path / "x.npz", **{"conv1/kernel": np.array([{}], object)})
        with pytest.raises(WeightsError, match="plain arrays.*x.npz.*object"):
            read_weights(tmp_path / "x.npz")

    @pytest.mark.parametrize("zeros", [0, 10**6], ids=["header only", "with a bomb"])
    def test_npz_that_declares_more_than_it_holds(self, tmp_path, zeros):
        head = io.BytesIO()
        spec = {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)}
        np.lib.format.write_array_header_1_0(head, spec)
        with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("conv1/kernel.npy", head.getvalue() + bytes(zeros))
        with pytest.raises(WeightsError, match="declared size.*x.npz.*1000000, 1000000"):
            read_weights(tmp_path / "x.npz")

    def test_a_bomb_of_zeros_that_no_layer_wants_is_not_inflated(self, tmp_path, layers):
        arrays = w.arrays_like(layers)
        flat = {f"fpn_c5p5/{leaf}": a for leaf, a in zip(LEAVES[2], arrays["fpn_c5p5"])}
        bomb = np.zeros((4000, 4000), np.float32)  # 64 MB, 0.06 MB in the file
        np.savez_compressed(tmp_path / "x.npz", **flat, **{"bomb/kernel": bomb})
        named = read_weights(tmp_path / "x.npz")
        named["bomb"][0]._read = lambda: pytest.fail("the bomb was read")
        report = assign(layers, named)
        assert report.loaded == ["fpn_c5p5"] and report.unused == ["bomb"]

    def test_members_of_one_name_in_npz(self, tmp_path):
        np.savez(tmp_path / "x.npz", **{"conv1/kernel": np.ones(3)})
        with (
            pytest.warns(UserWarning, match="Duplicate name"),
            zipfile.ZipFile(tmp_path / "x.npz", "a") as archive,
        ):
            archive.writestr("conv1/kernel.npy", b"")
        with pytest.raises(WeightsError, match="twice"):
            read_weights(tmp_path / "x.npz")


IMAGENET = data_file("weights/resnet50_imagenet_partial.npz")


@pytest.mark.slow
@needs_data("weights/resnet50_imagenet_partial.npz")
def test_partial_imagenet_weights_name_what_they_lack():
    model = build_resnet("resnet50", style="keras")
    layers = leaf_layers(model)
    report = assign(layers, read_weights(IMAGENET))
    lacking = [f"res5{b}_branch2{c}" for b in "abc" for c in "abc"][1:] + ["res5a_branch1"]
    assert sorted(report.missing) == sorted(lacking)
    assert sorted(report.orphaned) == sorted(name.replace("res", "bn") for name in lacking)
    assert len(report.loaded) == len(layers) - 2 * len(lacking) and not report.unused
    assert all(name in str(report) for name in lacking)


def test_the_first_normalisation_of_mobilenet_keeps_its_name():
    """ResNets' in keras.applications has the same name, and gets matterport's."""
    values = [np.ones(4, np.float32)]
    mobilenet = {"conv1": values, "conv1_bn": values, "conv_dw_1_bn": values}
    assert renamed(mobilenet) == (mobilenet, None)
    resnet = {"conv1_conv": values, "conv1_bn": values, "conv2_block1_1_bn": values}
    assert list(renamed(resnet)[0]) == ["conv1", "bn_conv1", "bn2a_branch2a"]
