"""The network against what other implementations computed; skipped where their outputs are not."""

import importlib.util
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from keras import ops

from landslide_rcnn.config import Config
from landslide_rcnn.model import MaskRCNN
from landslide_rcnn.nn.backbones.resnet import build_resnet
from landslide_rcnn.nn.conv_norm import leaf_layers
from landslide_rcnn.nn.ops.boxes import norm_boxes
from landslide_rcnn.nn.ops.nms import nms
from landslide_rcnn.nn.ops.roi_align import roi_align

GOLDENS = Path(__file__).parents[1] / ".." / "shared" / "goldens"
pytestmark = pytest.mark.skipif(
    not GOLDENS.is_dir(), reason="the outputs of other implementations are not here"
)


def weights_of(name, seed=0):
    spec = importlib.util.spec_from_file_location("make_weights", GOLDENS / "make_weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make(json.loads((GOLDENS / f"{name}.json").read_text()), seed)


def relative_error(found, expected):
    found, expected = np.asarray(ops.convert_to_numpy(found)), np.asarray(expected)
    return np.abs(found - expected).max() / np.abs(expected).max()


class TestOps:
    @pytest.mark.parametrize("samples", [1, 2])
    def test_aligned_roi_align_equals_torchvisions(self, samples):
        golden = np.load(GOLDENS / "ops_seed0.npz")
        found = roi_align(
            golden["features"],
            norm_boxes(golden["boxes_pixels"], 32, 32),
            golden["box_indices"],
            bins=7,
            samples=samples,
            pooling="average",
            grid="bins",
        )
        expected = golden[f"roi_align_aligned1_samples{samples}"]
        np.testing.assert_allclose(found, expected, atol=1e-4)

    @pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
    def test_nms_keeps_what_torchvisions_keeps(self, threshold):
        golden = np.load(GOLDENS / "ops_seed0.npz")
        boxes, scores = golden["nms_boxes"][None], golden["nms_scores"][None]
        expected = golden[f"nms_{threshold}"]
        indices, kept = nms(boxes, scores, iou_threshold=threshold, max_output=scores.size)
        found = ops.convert_to_numpy(indices)[0][ops.convert_to_numpy(kept)[0]]
        np.testing.assert_array_equal(found, expected)


def torchvision_names(name):
    """layer3.0.conv2 -> res4a_branch2b, layer3.0.downsample.1 -> bn4a_branch1."""
    parts = name.split(".")
    if parts[0] in ("conv1", "bn1"):
        return {"conv1": "conv1", "bn1": "bn_conv1"}[parts[0]]
    place = f"{int(parts[0][5:]) + 1}{'abcdefghijklmnopqrstuvwxyz'[int(parts[1])]}"
    if parts[2] == "downsample":
        return f"{('res', 'bn')[int(parts[3])]}{place}_branch1"
    kind = "res" if parts[2].startswith("conv") else "bn"
    return f"{kind}{place}_branch2{'abc'[int(parts[2][-1]) - 1]}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name,variant", [("resnext50_32x4d", "resnext50"), ("resnet50", "resnet50")]
)
def test_backbones_equal_torchvisions(name, variant):
    golden = np.load(GOLDENS / f"{name}_seed0.npz")
    model = build_resnet(variant, style="torchvision")
    arrays = weights_of(name)
    leaves = ("weight", "bias", "running_mean", "running_var")
    for layer in {key.rpartition(".")[0] for key in arrays if not key.startswith("fc")}:
        found = [arrays[f"{layer}.{leaf}"] for leaf in leaves if f"{layer}.{leaf}" in arrays]
        found = [a.transpose(2, 3, 1, 0) if a.ndim == 4 else a for a in found]
        leaf_layers(model)[torchvision_names(layer)].set_weights(found)
    levels = model(golden["image"])
    assert "C5" in golden
    for level in ("C2", "C3", "C4", "C5"):
        if level in golden:
            assert relative_error(levels[level], golden[level]) < 1e-4


class MatterportConfig(Config):
    NAME = "matterport"
    IMAGES_PER_GPU = 1
    NUM_CLASSES = 81
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 256
    DETECTION_MIN_CONFIDENCE = 0.0
    PRECISION = "float32"


@pytest.mark.slow
def test_detector_equals_matterports(tmp_path):
    golden = np.load(GOLDENS / "matterport_resnet101_81_seed0.npz")
    path = tmp_path / "mask_rcnn_coco.h5"
    write_matterport_file(path, weights_of("matterport_resnet101_81"))
    model = MaskRCNN("inference", MatterportConfig(), tmp_path)
    report = model.load_weights(path, by_name=True)
    assert not report.missing and not report.mismatched

    network = model.keras_model
    levels = network.pyramid(ops.convert_to_tensor(golden["molded"][None]))
    for level, name, step in zip(levels, ("P2", "P3", "P4", "P5"), (4, 2, 1, 1)):
        assert relative_error(level[0, ::step, ::step], golden[name]) < 1e-4
    logits, deltas = network.rpn_answers(levels)
    assert relative_error(ops.softmax(logits)[0], golden["rpn_class"]) < 1e-4
    assert relative_error(deltas[0], golden["rpn_bbox"]) < 1e-4
    anchors = ops.convert_to_numpy(network.anchors(256, 256))
    np.testing.assert_allclose(anchors, golden["anchors"], atol=1e-6)

    result = model.detect([golden["image"]])[0]
    np.testing.assert_array_equal(result["class_ids"], golden["result_class_ids"])
    np.testing.assert_allclose(result["rois"], golden["result_rois"], atol=1)
    np.testing.assert_allclose(result["scores"], golden["result_scores"], atol=1e-3)
    pixels = result["masks"].sum(axis=(0, 1))
    np.testing.assert_allclose(pixels, golden["result_mask_pixels"], rtol=0.01)


def write_matterport_file(path, arrays):
    """A file in Keras 2's layout: a group for each layer, `weight_names` in order."""
    with h5py.File(path, "w") as file:
        groups = {}
        for key, array in arrays.items():
            layer = key.partition("/")[0]
            group = "rpn_model" if layer.startswith("rpn_") else layer
            file.create_dataset(f"{group}/{key}:0", data=array)
            groups.setdefault(group, []).append(f"{key}:0".encode())
        file.attrs["layer_names"] = [group.encode() for group in groups]
        for group, names in groups.items():
            file[group].attrs["weight_names"] = names
