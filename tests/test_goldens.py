"""The network against what other implementations computed, for every file in the folder.

The folder is named by LANDSLIDE_GOLDENS. Skipped where there is none.
"""

import re

import numpy as np
import pytest
from keras import ops

from landslide_rcnn.config import Config
from landslide_rcnn.model import MaskRCNN
from landslide_rcnn.molding import mold
from landslide_rcnn.nn.backbones.resnet import build_resnet
from landslide_rcnn.nn.conv_norm import leaf_layers
from landslide_rcnn.nn.ops.nms import greedy_nms, nms
from landslide_rcnn.nn.ops.roi_align import roi_align
from landslide_rcnn.nn.proposals import refine_detections
from landslide_rcnn.weights import assign, read_weights
from tests.helpers.goldens import (
    find_goldens,
    match_rows,
    matterport_variant,
    torchvision_variant,
    write_matterport_file,
)
from tests.helpers.outside import DEFAULT_GOLDENS, GOLDENS
from tests.helpers.weight_files import write_safetensors

FILES = find_goldens()
pytestmark = pytest.mark.skipif(
    GOLDENS == DEFAULT_GOLDENS and not FILES,
    reason=f"no outputs of other implementations in {GOLDENS}",
)


def of_kind(*kinds):
    return [file for file in FILES if file.kind in kinds]


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def relative_error(found, expected):
    found, expected = numpy(found), np.asarray(expected)
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


def test_every_file_is_understood():
    assert FILES, f"LANDSLIDE_GOLDENS must hold .npz files. Received: {GOLDENS}, with none."
    strange = {f.path.name: f.kind for f in FILES if f.kind not in ("ops", "backbone", "detector")}
    assert not strange


# --- torchvision.ops --------------------------------------------------------------------------


@pytest.mark.parametrize("golden", of_kind("ops"), ids=str)
def test_roi_align_equals_torchvisions(golden):
    names = [name for name in golden.outputs if name.startswith("roi_align_")]
    for name in names:
        aligned, samples = re.fullmatch(r"roi_align_aligned([01])_samples(\d+)", name).groups()
        expected = golden.outputs[name]
        found = roi_align(
            golden.outputs["features"],
            golden.outputs["boxes_pixels"],
            golden.outputs["box_indices"],
            bins=expected.shape[1],
            samples=int(samples),
            pooling="average",
            grid="cell bins" if aligned == "1" else "unaligned cell bins",
        )
        np.testing.assert_allclose(numpy(found), expected, rtol=0, atol=1e-5, err_msg=name)
    assert names or any(name.startswith("nms_") for name in golden.outputs)


@pytest.mark.parametrize("suppress", [nms, greedy_nms])
@pytest.mark.parametrize("golden", of_kind("ops"), ids=str)
def test_nms_keeps_what_torchvisions_keeps(golden, suppress):
    thresholds = [name[4:] for name in golden.outputs if re.fullmatch(r"nms_[\d.]+", name)]
    for threshold in thresholds:
        boxes, scores = golden.outputs["nms_boxes"][None], golden.outputs["nms_scores"][None]
        indices, kept = suppress(
            boxes,
            scores,
            iou_threshold=float(threshold),
            max_output=scores.size,
            min_score=float(scores.min()) - 1.0,
        )
        found = numpy(indices)[0][numpy(kept)[0]]
        np.testing.assert_array_equal(found, golden.outputs[f"nms_{threshold}"])


# --- torchvision's backbones ------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("golden", of_kind("backbone"), ids=str)
def test_backbones_equal_torchvisions(golden, tmp_path):
    image = golden.outputs["image"]
    model = build_resnet(
        torchvision_variant(golden.shapes), channels=image.shape[-1], style="torchvision"
    )
    path = tmp_path / "state.safetensors"
    write_safetensors(
        path, {k: ("F32", list(a.shape), a.tobytes()) for k, a in golden.weights.items()}
    )
    with read_weights(path) as named:
        report = assign(leaf_layers(model), named, partial=False)
    assert report.unused in ([], ["fc1000"])
    levels = model(image)
    compared = [name for name in levels if name in golden.outputs]
    assert compared
    for name in compared:
        assert relative_error(levels[name], golden.outputs[name]) < 1e-4, name


# --- matterport's detector --------------------------------------------------------------------


class Detector:
    """matterport's weights in our network, and the network's answers on the golden's image."""

    def __init__(self, golden, folder):
        self.golden, self.outputs = golden, golden.outputs
        height, width, channels = self.outputs["molded"].shape[-3:]
        shapes = golden.shapes
        config = Config(
            NAME="golden",
            IMAGES_PER_GPU=1,
            BACKBONE=matterport_variant(shapes),
            NUM_CLASSES=shapes["mrcnn_class_logits/bias"][0],
            TOP_DOWN_PYRAMID_SIZE=shapes["fpn_c5p5/bias"][0],
            FPN_CLASSIF_FC_LAYERS_SIZE=shapes["mrcnn_class_conv1/bias"][0],
            IMAGE_CHANNEL_COUNT=channels,
            IMAGE_MIN_DIM=max(height, width),
            IMAGE_MAX_DIM=max(height, width),
            IMAGE_RESIZE_MODE="square" if height == width else "none",
            DETECTION_MIN_CONFIDENCE=0.0,
            PRECISION="float32",
        )
        path = folder / "mask_rcnn_coco.h5"
        write_matterport_file(path, golden.weights)
        self.model = MaskRCNN("inference", config, folder)
        self.report = self.model.load_weights(path, by_name=True)
        path.unlink()
        self.network, self.config = self.model.keras_model, config
        self.images = ops.convert_to_tensor(self.outputs["molded"].reshape(1, height, width, -1))
        self.levels = self.network.pyramid(self.images)
        self.rpn_logits, self.rpn_deltas = self.network.rpn_answers(self.levels)

    def expect(self, *names):
        """Return outputs, without a batch axis; skip where the file has not all of them."""
        missing = [name for name in names if name not in self.outputs]
        if missing:
            pytest.skip(f"{self.golden} has no {', '.join(missing)}")
        return [self.outputs[name] for name in names]


@pytest.fixture(scope="module", params=of_kind("detector"), ids=str)
def detector(request, tmp_path_factory):
    return Detector(request.param, tmp_path_factory.mktemp("golden"))


@pytest.mark.slow
class TestDetector:
    def test_all_weights_are_loaded(self, detector):
        report = detector.report
        assert not report.missing and not report.mismatched and not report.orphaned

    def test_the_image_is_normalised_as_there(self, detector):
        image, molded = detector.expect("image", "molded")
        found, _ = mold(image, None, detector.config)
        np.testing.assert_allclose(found, molded, atol=1.0 if image.shape != molded.shape else 1e-4)

    @pytest.mark.parametrize("level", [2, 3, 4, 5])
    def test_pyramid(self, detector, level):
        [expected] = detector.expect(f"P{level}")
        found = numpy(detector.levels[level - 2])[0]
        step = found.shape[0] // expected.shape[0]  # some are thinned out
        assert relative_error(found[::step, ::step], expected) < 1e-4

    def test_rpn(self, detector):
        probabilities, deltas = detector.expect("rpn_class", "rpn_bbox")
        assert relative_error(ops.softmax(detector.rpn_logits)[0], probabilities) < 1e-4
        assert relative_error(detector.rpn_deltas[0], deltas) < 1e-4

    def test_anchors(self, detector):
        [expected] = detector.expect("anchors")
        found = detector.network.anchors(*detector.images.shape[1:3])
        np.testing.assert_allclose(numpy(found), expected, atol=1e-6)

    def test_proposals(self, detector):
        [expected] = detector.expect("rois")
        found, _ = detector.network.proposals(
            detector.images, detector.rpn_logits, detector.rpn_deltas, len(expected)
        )
        # Scores that differ in the last digit change places, and seldom decide which box stays.
        pairs = match_rows(numpy(found)[0], expected, [1e-4] * 4)
        assert (pairs >= 0).mean() >= 0.99
        assert (np.abs(pairs - np.arange(len(expected)))[pairs >= 0] <= 10).all()

    def test_box_head_on_the_same_rois(self, detector):
        rois, probabilities, deltas = detector.expect("rois", "mrcnn_class", "mrcnn_bbox")
        logits, found = detector.network.box_answers(
            detector.images, detector.levels, ops.convert_to_tensor(rois[None])
        )
        np.testing.assert_allclose(
            numpy(ops.softmax(logits))[0, : len(probabilities)], probabilities, atol=1e-4
        )
        assert relative_error(found[0, : len(deltas)], deltas) < 1e-4

    def test_detections_of_the_same_rois(self, detector):
        image, rois, expected = detector.expect("image", "rois", "detections")
        network, config = detector.network, detector.config
        logits, deltas = network.box_answers(
            detector.images, detector.levels, ops.convert_to_tensor(rois[None])
        )
        _, window = mold(image, None, config)
        height, width = detector.images.shape[1:3]
        scale = np.array([height - 1, width - 1] * 2, np.float32)
        found = refine_detections(
            ops.convert_to_tensor(rois[None]),
            np.ones((1, len(rois)), bool),
            logits,
            deltas,
            ((window - [0, 0, 1, 1]) / scale)[None].astype(np.float32),
            min_confidence=config.DETECTION_MIN_CONFIDENCE,
            iou_threshold=config.DETECTION_NMS_THRESHOLD,
            max_detections=len(expected),
            std_dev=config.BBOX_STD_DEV,
        )
        pairs = match_rows(numpy(found)[0], expected, [1e-4] * 4 + [0.1, 1e-4])
        assert (pairs >= 0).all()

    def test_mask_head_on_the_same_boxes(self, detector):
        detections, expected = detector.expect("detections", "mrcnn_mask")
        boxes = ops.convert_to_tensor(detections[: len(expected), :4])
        images = np.zeros(len(expected), np.int32)
        logits = detector.network.mask_answers(detector.images, detector.levels, boxes, images)
        # Half floats: their own rounding is up to 2.5e-4.
        found = numpy(ops.sigmoid(logits))
        np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=0, atol=1e-3)

    def test_detect(self, detector):
        image, boxes, ids, scores, pixels = detector.expect(
            "image", "result_rois", "result_class_ids", "result_scores", "result_mask_pixels"
        )
        result = detector.model.detect([image])[0]
        found = np.column_stack([result["rois"], result["class_ids"], result["scores"]])
        expected = np.column_stack([boxes, ids, scores])
        pairs = match_rows(found, expected, [1, 1, 1, 1, 0.1, 1e-3])
        assert len(found) == len(expected) and (pairs >= 0).all()
        # A pixel more or less is more than 1 % of a tiny mask.
        found_pixels = result["masks"].sum(axis=(0, 1))[pairs]
        np.testing.assert_allclose(found_pixels, pixels, rtol=0.01, atol=1)
