"""COCO's average precision: by hand, in slow loops, and bit for bit that of pycocotools."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide_rcnn.errors import ShapeError
from landslide_rcnn.evaluation.average_precision import (
    AP_DEFINITIONS,
    AREAS_PX,
    IOU_THRESHOLDS,
    ScoredOverlaps,
    average_precision,
)
from landslide_rcnn.evaluation.objects import Overlaps, overlaps_of_masks
from tests.reference import objects as slow


def blocks(rng, count, height=120, width=130):
    """[H, W, N] rectangles, some of them moved copies of one, from a pixel to most of the image."""
    masks = np.zeros((height, width, count), bool)
    for n in range(count):
        size = rng.choice([1, 8, 31, 32, 33, 60, 96, 110], 2)
        top, left = rng.integers(0, [height - size[0] + 1, width - size[1] + 1])
        masks[top : top + size[0], left : left + size[1], n] = True
    return masks


def random_images(seed, count=4, classes=2):
    """Random images as (predicted masks, scores, classes, true masks, crowd, classes)."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        true = blocks(rng, rng.integers(0, 6))
        found = [
            np.roll(true[..., n], rng.integers(-4, 5, 2), (0, 1)) for n in range(true.shape[2])
        ]
        # Every true one is met twice at times, and exactly at times.
        found += [true[..., n] for n in range(true.shape[2]) if rng.random() < 0.4]
        false = blocks(rng, rng.integers(0, 4))
        predicted = np.concatenate([*(each[..., None] for each in found), false], axis=-1)
        predicted = predicted[..., rng.permutation(predicted.shape[2])]
        scores = rng.choice([0.1, 0.3, 0.5, 0.5001, 0.9], predicted.shape[2])
        images.append(
            (
                predicted,
                scores,
                rng.integers(1, classes + 1, predicted.shape[2]),
                true,
                rng.random(true.shape[2]) < 0.25,
                rng.integers(1, classes + 1, true.shape[2]),
            )
        )
    return images


def scored(images):
    return [
        ScoredOverlaps(overlaps_of_masks(predicted, true), scores, crowd, classes, true_classes)
        for predicted, scores, classes, true, crowd, true_classes in images
    ]


def coco_eval(images, max_detections, class_count=2):
    """The six numbers of pycocotools."""
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    tools = pytest.importorskip("pycocotools.mask")

    def annotation(number, image, mask, class_id, **more):
        segmentation = tools.encode(np.asfortranarray(mask.astype(np.uint8)))
        area = int(mask.sum())
        return {
            "id": number, "image_id": image, "category_id": int(class_id), "area": area,
            "segmentation": segmentation, "bbox": tools.toBbox(segmentation).tolist(), **more,
        }  # fmt: skip

    true_ones, found = [], []
    for image, (predicted, scores, classes, true, crowd, true_classes) in enumerate(images, 1):
        for n in range(true.shape[2]):
            more = {"iscrowd": int(crowd[n]), "ignore": 0}
            number = len(true_ones) + 1
            true_ones.append(annotation(number, image, true[..., n], true_classes[n], **more))
        for n in range(predicted.shape[2]):
            more = {"score": float(scores[n]), "iscrowd": 0}
            found.append(annotation(len(found) + 1, image, predicted[..., n], classes[n], **more))
    header = {
        "images": [{"id": n, "height": 120, "width": 130} for n in range(1, len(images) + 1)],
        "categories": [{"id": n} for n in range(1, class_count + 1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for annotations in (true_ones, found):
            side = coco.COCO()
            side.dataset = {**header, "annotations": annotations}
            side.createIndex()
            sides.append(side)
        judge = cocoeval.COCOeval(*sides, "segm")
        # COCO's summary takes its "ap" at 100 detections only.
        judge.params.maxDets = [max_detections]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][..., 0]  # [Q, R, K, A]
    choices = [(slice(None), 0), (slice(0, 1), 0), (slice(5, 6), 0)]
    choices += [(slice(None), area) for area in (1, 2, 3)]
    numbers = []
    for thresholds, area in choices:
        values = precision[thresholds, :, :, area]
        known = values[values > -1]
        numbers.append(float(np.mean(known)) if known.size else None)
    return numbers


@pytest.mark.parametrize("max_detections", [3, 100])
def test_bit_for_bit_as_pycocotools(max_detections):
    values = []
    for seed in range(25):
        images = random_images(seed)
        ours = list(average_precision(scored(images), max_detections=max_detections).values())
        assert ours == coco_eval(images, max_detections)
        values += ours
    known = [value for value in values if value is not None]
    assert len(set(known)) > 60 and 0.05 < np.mean(known) < 0.95  # it is a real comparison


def test_empty_images_as_pycocotools():
    empty = np.zeros((120, 130, 0), bool)
    rng = np.random.default_rng(3)
    some = blocks(rng, 3)
    none, ones = np.zeros(0, int), np.ones(3, int)
    no_truth = (some, np.full(3, 0.5), ones, empty, none.astype(bool), none)
    no_answer = (empty, np.zeros(0), none, some, np.zeros(3, bool), ones)
    neither = (empty, np.zeros(0), none, empty, none.astype(bool), none)
    for images in ([no_truth, no_answer, neither], [no_answer], [no_answer, neither]):
        ours = list(average_precision(scored(images)).values())
        assert ours == coco_eval(images, 100)
        assert ours[0] == 0.0
    # Without truth COCO says -1 for "nothing": here that is None.
    for images in ([no_truth], [neither], []):
        assert set(average_precision(scored(images)).values()) == {None}


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), most=st.sampled_from([None, 2]))
def test_slow_loops_say_the_same(seed, most):
    images = random_images(seed, count=2, classes=1)
    ours = average_precision(scored(images), max_detections=most)
    sets = [
        (slow.pixel_sets(predicted), scores.tolist(), slow.pixel_sets(true), crowd.tolist())
        for predicted, scores, _, true, crowd, _ in images
    ]
    thresholds = {"ap": IOU_THRESHOLDS, "ap50": [0.5], "ap75": [0.75]}
    for name, chosen in thresholds.items():
        expected = slow.coco_ap(sets, chosen, most=most)
        assert ours[name] == (None if expected is None else pytest.approx(expected, abs=1e-12))
    expected = slow.coco_ap(sets, IOU_THRESHOLDS, *AREAS_PX["medium"], most=most)
    assert ours["ap_medium"] == (None if expected is None else pytest.approx(expected, abs=1e-12))


def test_by_hand():
    """Two true landslides; scores 0.9 false, 0.8 with IoU 0.8, 0.7 with IoU 0.6.

    At IoU 0.50, 0.55 and 0.60 precision is 2/3 at every recall. From 0.65 to 0.80 one of two is
    found, with precision 1/2, up to recall 0.5: at 51 of 101 recalls. Above, nothing.
    """
    overlaps = Overlaps(
        np.array([5, 8, 6]),
        np.array([10, 10]),
        np.array([[1, 0], [2, 1]]),
        np.array([8, 6]),
    )
    numbers = average_precision([ScoredOverlaps(overlaps, np.array([0.9, 0.8, 0.7]))])
    half = 51 / 101 / 2
    assert numbers["ap50"] == pytest.approx(2 / 3)
    assert numbers["ap75"] == pytest.approx(half)
    assert numbers["ap"] == numbers["ap_small"]
    # 0.60 and 0.80 as COCO steps to them: 0.6 and 0.8, which 6/10 and 8/10 reach.
    assert numbers["ap"] == pytest.approx((3 * 2 / 3 + 4 * half) / 10)
    assert numbers["ap_medium"] is numbers["ap_large"] is None
    assert set(numbers) == set(AP_DEFINITIONS)


def test_scores_of_other_objects_are_refused():
    overlaps = overlaps_of_masks(np.ones((2, 2, 2), bool), np.ones((2, 2, 1), bool))
    with pytest.raises(ShapeError, match="scores of 3 for 2 objects"):
        ScoredOverlaps(overlaps, np.ones(3))
