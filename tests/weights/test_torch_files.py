"""PyTorch's files: the numbers arrive in the right layout, and nothing in a file is run."""

import pickle
import struct
import zipfile

import numpy as np
import pytest

from landslide_rcnn.errors import WeightsError
from landslide_rcnn.weights import assign, read_weights
from tests.helpers import weight_files as w


@pytest.fixture
def layers():
    return w.tiny_layers("torchvision")


def expect_loaded(layers, arrays):
    """All of the backbone holds the state dict's arrays."""
    expected = arrays["layer1.0.conv2.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(layers["res2a_branch2b"].kernel.numpy(), expected)
    np.testing.assert_array_equal(
        layers["conv1"].kernel.numpy(), arrays["conv1.weight"].transpose(2, 3, 1, 0)
    )
    for layer, there in (("bn_conv1", "bn1"), ("bn2a_branch2b", "layer1.0.bn2")):
        for weight, leaf in zip(
            layers[layer].weights, ("weight", "bias", "running_mean", "running_var"), strict=True
        ):
            np.testing.assert_array_equal(weight.numpy(), arrays[f"{there}.{leaf}"])


class TestStateDicts:
    @pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
    @pytest.mark.parametrize("under", [None, "state_dict", "model"])
    @pytest.mark.parametrize("prefix", ["", "module.", "backbone.body."])
    def test_are_read_wherever_they_stand(self, tmp_path, layers, legacy, under, prefix):
        arrays = w.torch_arrays(layers)
        stored = {prefix + key: array for key, array in arrays.items()}
        w.write_state_dict(tmp_path / "x.pth", stored, legacy=legacy, under=under)
        with read_weights(tmp_path / "x.pth") as named:
            report = assign(layers, named)
        expect_loaded(layers, arrays)
        assert sorted(report.loaded) == ["bn2a_branch2b", "bn_conv1", "conv1", "res2a_branch2b"]
        assert report.missing == ["fpn_c5p5", "mrcnn_class_logits"] and not report.unused

    def test_other_parts_of_a_detector_are_reported_unused(self, tmp_path, layers):
        arrays = w.torch_arrays(layers)
        stored = {f"backbone.body.{key}": array for key, array in arrays.items()}
        stored["rpn.head.conv.0.0.weight"] = np.ones((2, 2, 3, 3), np.float32)
        stored["roi_heads.box_predictor.cls_score.bias"] = np.ones(91, np.float32)
        w.write_state_dict(tmp_path / "detector.pth", stored)
        report = assign(layers, read_weights(tmp_path / "detector.pth"))
        expect_loaded(layers, arrays)
        assert report.unused == ["rpn.head.conv.0.0", "roi_heads.box_predictor.cls_score"]

    def test_two_backbones_are_ambiguous(self, tmp_path, layers):
        arrays = w.torch_arrays(layers)
        stored = {f"{who}.{key}": a for who in ("teacher", "student") for key, a in arrays.items()}
        w.write_state_dict(tmp_path / "x.pth", stored)
        with pytest.raises(WeightsError, match="one backbone.*'student.', 'teacher.'"):
            read_weights(tmp_path / "x.pth")

    def test_grouped_kernels_and_dense_layers_keep_their_meaning(self, tmp_path):
        # PyTorch: [F, C / groups, h, w] and [out, in].
        grouped = np.arange(8 * 2 * 3 * 3, dtype=np.float32).reshape(8, 2, 3, 3)
        dense = np.arange(6, dtype=np.float32).reshape(2, 3)
        arrays = {"layer1.0.conv2.weight": grouped, "fc.weight": dense}
        w.write_state_dict(tmp_path / "x.pth", {**arrays, "fc.bias": np.ones(2, np.float32)})
        named = read_weights(tmp_path / "x.pth")
        assert named.style == "torchvision" and set(named) == {"res2a_branch2b", "fc1000"}
        kernel = np.asarray(named["res2a_branch2b"][0])
        assert kernel.shape == (3, 3, 2, 8) and kernel[1, 2, 1, 5] == grouped[5, 1, 1, 2]
        np.testing.assert_array_equal(named["fc1000"][0], dense.T)

    @pytest.mark.parametrize("dtype", ["float16", "float64"])
    def test_other_float_types(self, tmp_path, layers, dtype):
        arrays = w.torch_arrays(layers)
        stored = {k: a.astype(dtype) if a.dtype == np.float32 else a for k, a in arrays.items()}
        w.write_state_dict(tmp_path / "x.pth", stored)
        assign(layers, read_weights(tmp_path / "x.pth"))
        expect_loaded(layers, {k: a.astype(np.float32) for k, a in stored.items()})

    def test_bfloat16_big_endian_and_views_of_a_shared_storage(self, tmp_path):
        # 1.0 and -2.5 in bfloat16 are 0x3F80 and 0xC020; the second tensor is transposed.
        shared = struct.pack(">4H", 0x3F80, 0xC020, 0x4000, 0x0000)
        spec = dict(dtype="BFloat16Storage", count=4)
        body = w.dict_of(
            {
                "layer1.0.bn1.weight": w.tensor((2,), offset=1, **spec),
                "layer1.0.conv1.weight": w.tensor((2, 2), strides=(1, 2), **spec),
            }
        )
        w.write_torch_zip(tmp_path / "x.pth", body, {"0": shared}, byteorder=b"big")
        named = read_weights(tmp_path / "x.pth")
        np.testing.assert_array_equal(named["bn2a_branch2a"][0], [-2.5, 2])
        np.testing.assert_array_equal(named["res2a_branch2a"][0], [[1, -2.5], [2, 0]])

    def test_a_checkpoint_without_tensors(self, tmp_path):
        w.write_torch_zip(tmp_path / "x.pth", w.dict_of({"epoch": w.number(3)}), {})
        with pytest.raises(WeightsError, match="must hold a state dict.*x.pth"):
            read_weights(tmp_path / "x.pth")


class Payload:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a file was run')",))


RUN = w.text("touch /tmp/owned")
CALL = w.tuple_of(RUN) + b"R"
HOSTILE = {
    "os.system by GLOBAL": w.name("os", "system") + CALL,
    "posix.system by STACK_GLOBAL": w.text("posix") + w.text("system") + b"\x93" + CALL,
    "eval by REDUCE": w.name("builtins", "eval") + w.tuple_of(w.text("1/0")) + b"R",
    "a class by OBJ": b"(" + w.name("builtins", "list") + b"o",
    "a class by INST": b"(ibuiltins\nlist\n",
    "a class by NEWOBJ": w.name("collections", "OrderedDict") + b")\x81",
    "an extension code": b"\x82\x01",
    "a call of a value": w.text("x") + b")R",
    "state set on a function": w.name("torch._utils", "_rebuild_tensor_v2") + b"}b",
    "state set on a tensor": w.tensor((1,)) + b"}" + w.text("__setstate__") + RUN + b"sb",
    "another name of torch": w.name("torch", "load") + CALL,
    "numpy's scalar": w.name("numpy.core.multiarray", "scalar") + b")R",
    "a text as persistent id": b"Px\n",
    "a storage that is a view": w.tuple_of(
        w.text("storage"), w.name("torch", "FloatStorage"), w.text("0"), w.text("cpu"), w.number(1),
        w.tuple_of(w.text("1"), w.number(0), w.number(1)),
    )
    + b"Q",
}  # fmt: skip


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("attack", HOSTILE)
def test_nothing_in_a_file_is_run(tmp_path, attack, legacy):
    body = w.dict_of({"x": HOSTILE[attack], "layer1.0.bn1.weight": w.tensor((1,), legacy=legacy)})
    path = tmp_path / "evil.pth"
    if legacy:
        w.write_torch_legacy(path, body, {"0": np.ones(1, np.float32)})
    else:
        w.write_torch_zip(path, body, {"0": bytes(4)})
    with pytest.raises(WeightsError, match="nothing in it is run.*evil.pth"):
        read_weights(path)


def test_the_refused_name_is_told_and_a_plain_pickle_is_no_weight_file(tmp_path):
    body = w.dict_of({"x": w.name("os", "system") + CALL})
    w.write_torch_zip(tmp_path / "a.pth", body, {})
    with pytest.raises(WeightsError, match="with the name os.system"):
        read_weights(tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(WeightsError, match="what torch.save writes"):
        read_weights(tmp_path / "b.pth")


class TestDamage:
    @pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
    @pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.99])
    def test_a_truncated_file_changes_nothing(self, tmp_path, layers, legacy, share):
        path = tmp_path / "x.pth"
        w.write_state_dict(path, w.torch_arrays(layers), legacy=legacy)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        before = w.snapshot(layers)
        with pytest.raises(WeightsError, match="x.pth"):
            assign(layers, read_weights(path))
        for name, arrays in w.snapshot(layers).items():
            for now, then in zip(arrays, before[name], strict=True):
                np.testing.assert_array_equal(now, then)

    @pytest.mark.parametrize(
        "spec",
        [
            dict(shape=(10**6, 10**6), count=4),
            dict(shape=(10**6,), strides=(0,), count=4),  # one number, shown a million times
            dict(shape=(2, 2), strides=(100, 1), count=4),
            dict(shape=(2,), offset=3, count=4),
            dict(shape=(2**62, 2**62), count=2**63),
        ],
        ids=["too large", "expanded", "strides", "offset", "overflow"],
    )
    def test_a_tensor_beyond_its_storage(self, tmp_path, spec):
        body = w.dict_of({"layer1.0.bn1.weight": w.tensor(**spec)})
        w.write_torch_zip(tmp_path / "x.pth", body, {"0": bytes(16)})
        with pytest.raises(WeightsError, match="x.pth"):
            np.asarray(read_weights(tmp_path / "x.pth")["bn2a_branch2a"][0])

    def test_a_storage_of_another_size_than_declared(self, tmp_path):
        body = w.dict_of({"layer1.0.bn1.weight": w.tensor((1000,))})
        w.write_torch_zip(tmp_path / "x.pth", body, {"0": bytes(16)})
        named = read_weights(tmp_path / "x.pth")
        with pytest.raises(WeightsError, match="storages as declared.*data/0"):
            np.asarray(named["bn2a_branch2a"][0])

    def test_a_changed_number_is_noticed_by_the_checksum(self, tmp_path, layers):
        path = tmp_path / "x.pth"
        arrays = w.torch_arrays(layers)
        w.write_state_dict(path, arrays)
        content = bytearray(path.read_bytes())
        place = content.index(arrays["conv1.weight"].tobytes()) + 100
        content[place] ^= 0x01
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="conv1/kernel in .*x.pth.*CRC"):
            assign(layers, read_weights(path))

    def test_duplicate_members_and_compressed_storages(self, tmp_path):
        body = w.dict_of({"layer1.0.bn1.weight": w.tensor((1,))})
        w.write_torch_zip(tmp_path / "x.pth", body, {"0": bytes(4)})
        with (
            pytest.warns(UserWarning, match="Duplicate name"),
            zipfile.ZipFile(tmp_path / "x.pth", "a") as archive,
        ):
            archive.writestr("archive/data/0", bytes(4))
        with pytest.raises(WeightsError, match="'archive/data/0' twice"):
            read_weights(tmp_path / "x.pth")
        w.write_torch_zip(tmp_path / "y.pth", body, {})
        with zipfile.ZipFile(tmp_path / "y.pth", "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data/0", bytes(4))
        with pytest.raises(WeightsError, match="storages as declared"):
            np.asarray(read_weights(tmp_path / "y.pth")["bn2a_branch2a"][0])

    def test_a_memory_bomb_of_the_unpickler_is_read_as_data(self, tmp_path):
        # Python's own unpickler allocates a memo of this index.
        body = w.text("x") + b"r" + struct.pack("<I", 2**32 - 1) + b"0"
        w.write_torch_zip(tmp_path / "x.pth", body, {})
        with pytest.raises(WeightsError, match="the instruction POP"):
            read_weights(tmp_path / "x.pth")

    def test_a_key_of_nested_tuples(self, tmp_path):
        body = b"}" + b")" + b"\x85" * 200_000 + b"Ns"
        w.write_torch_zip(tmp_path / "x.pth", body, {})
        with pytest.raises(WeightsError, match="keys are texts"):
            read_weights(tmp_path / "x.pth")


class TestSafetensors:
    def test_float32_and_bfloat16(self, tmp_path, layers):
        arrays = w.torch_arrays(layers)
        tensors = {
            key: ("F32", list(a.shape), a.tobytes())
            for key, a in arrays.items()
            if "num_batches" not in key
        }
        halves = (arrays["layer1.0.bn2.bias"].view(np.uint32) >> 16).astype(np.uint16)
        tensors["layer1.0.bn2.bias"] = ("BF16", [4], halves.tobytes())
        w.write_safetensors(tmp_path / "x.safetensors", tensors)
        with read_weights(tmp_path / "x.safetensors") as named:
            assign(layers, named)
        arrays["layer1.0.bn2.bias"] = (halves.astype(np.uint32) << 16).view(np.float32)
        expect_loaded(layers, arrays)

    @pytest.mark.parametrize(
        "header",
        [
            {"a": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4]}},
            {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4 * 10**12]}},
            {"a": {"dtype": "O", "shape": [1], "data_offsets": [0, 4]}},
        ],
        ids=["shape", "offsets", "type"],
    )
    def test_a_header_that_lies(self, tmp_path, header):
        tensors = {"a": ("F32", [1], bytes(4))}
        w.write_safetensors(tmp_path / "x.safetensors", tensors, header)
        with pytest.raises(WeightsError, match="must be whole.*x.safetensors"):
            read_weights(tmp_path / "x.safetensors")

    @pytest.mark.parametrize("size", [0, 7, 60, 110])
    def test_a_truncated_file(self, tmp_path, size):
        path = tmp_path / "x.safetensors"
        w.write_safetensors(path, {"a": ("F32", [10], bytes(40))})
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(WeightsError, match="must be whole.*x.safetensors"):
            read_weights(path)

    def test_a_header_longer_than_the_file(self, tmp_path):
        (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")
        with pytest.raises(WeightsError, match="must be whole"):
            read_weights(tmp_path / "x.safetensors")
