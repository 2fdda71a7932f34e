"""How a detector did: its rois, its detections beside the truth, its scores as curves.

matterport's functions. Shape letters: H, W pixels; C channels; N true instances; D detections;
R rois; h, w pixels of a mask.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb as color_of
from matplotlib.figure import Figure

from landslide_rcnn.data.masks import unmold_mask
from landslide_rcnn.evaluation.instances import compute_matches
from landslide_rcnn.palette import PREDICTION_COLOR, SERIES_COLORS, TRUTH_COLOR
from landslide_rcnn.visualize.canvas import on_axes, size_for, start_chart
from landslide_rcnn.visualize.instances import display_instances, draw_boxes


def display_differences(
    image: np.ndarray,
    gt_box: np.ndarray,
    gt_class_id: np.ndarray,
    gt_mask: np.ndarray,
    pred_box: np.ndarray,
    pred_class_id: np.ndarray,
    pred_score: np.ndarray,
    pred_mask: np.ndarray,
    class_names: Sequence[str],
    title: str = "",
    ax: Axes | None = None,
    show_mask: bool = True,
    show_box: bool = True,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.5,
) -> Figure:
    """Draw true instances (yellow) and detections (cyan) on their image.

    A detection's caption is its score, and its IoU with the instance that it is matched with or,
    without one, that it overlaps most.

    Args:
        image: [H, W, C].
        gt_box: [N, (y1, x1, y2, x2)], pixels, half-open.
        gt_class_id: [N].
        gt_mask: [H, W, N].
        pred_box: [D, 4].
        pred_class_id: [D].
        pred_score: [D].
        pred_mask: [H, W, D].
        class_names: Indexed by class id.
        title: Above the image; a legend by default.
        ax: Draw here instead of on a new figure.
        show_mask: Tint the masks.
        show_box: Draw the boxes.
        iou_threshold: See `compute_matches`.
        score_threshold: See `compute_matches`.
    """
    order = np.argsort(-np.asarray(pred_score, float), kind="stable")
    pred_box, pred_class_id = np.asarray(pred_box)[order], np.asarray(pred_class_id)[order]
    pred_score, pred_mask = np.asarray(pred_score)[order], pred_mask[..., order]
    _, pred_match, overlaps = compute_matches(
        gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, pred_score, pred_mask,
        iou_threshold, score_threshold,
    )  # fmt: skip
    captions = [""] * len(gt_box)
    for score, match, overlap in zip(pred_score, pred_match, overlaps):
        iou = overlap[int(match)] if match > -1 else overlap.max(initial=0.0)
        captions.append(f"{score:.2f} / {iou:.2f}")
    return display_instances(
        image,
        np.concatenate([np.reshape(gt_box, (-1, 4)), np.reshape(pred_box, (-1, 4))]),
        np.concatenate([gt_mask, pred_mask], axis=-1),
        np.concatenate([gt_class_id, pred_class_id]).astype(int),
        class_names,
        figsize=size_for(image, 16),
        ax=ax,
        show_mask=show_mask,
        show_bbox=show_box,
        colors=[color_of(TRUTH_COLOR)] * len(gt_box) + [color_of(PREDICTION_COLOR)] * len(pred_box),
        captions=captions,
        title=title or "Truth (yellow) and detections (cyan); captions: score / IoU",
    )


def draw_rois(
    image: np.ndarray,
    rois: np.ndarray,
    refined_rois: np.ndarray,
    mask: np.ndarray,
    class_ids: np.ndarray,
    class_names: Sequence[str],
    limit: int = 10,
) -> Figure:
    """Draw some rois, chosen at random: positive ones with refinement, mask and class.

    Args:
        image: [H, W, C].
        rois: [R, (y1, x1, y2, x2)], pixels.
        refined_rois: [R, 4], pixels.
        mask: [R, h, w], of the refined rois, in [0, 1].
        class_ids: [R]; 0 for a negative roi, which is drawn grey.
        class_names: Indexed by class id.
        limit: Most rois drawn.
    """
    class_ids, chosen = np.asarray(class_ids), np.arange(len(rois))
    if len(chosen) > limit:
        chosen = np.sort(np.random.default_rng(0).choice(chosen, limit, replace=False))
    positive = class_ids[chosen] > 0
    masks = np.zeros((*image.shape[:2], len(chosen)), bool)
    for slot, i in enumerate(chosen):
        if positive[slot]:
            masks[..., slot] = unmold_mask(mask[i], refined_rois[i], image.shape)
    share = np.mean(class_ids > 0) if len(class_ids) else 0.0
    return draw_boxes(
        image,
        boxes=np.asarray(rois)[chosen],
        # Of a negative roi there is no refinement to draw.
        refined_boxes=np.where(positive[:, None], np.asarray(refined_rois)[chosen], 0),
        masks=masks,
        captions=[class_names[class_ids[i]] if class_ids[i] > 0 else "" for i in chosen],
        visibilities=np.where(positive, 2, 0),
        title=f"{len(chosen)} of {len(rois)} rois; of all, {share:.0%} are positive",
    )


def plot_precision_recall(AP: float, precisions: np.ndarray, recalls: np.ndarray) -> Figure:  # noqa: N803
    """Draw the precision-recall curve of `compute_ap`'s results."""
    figure, axes = on_axes(None, (6, 5))
    start_chart(axes, f"Precision-recall curve. AP@50 = {AP:.3f}", "recall", "precision")
    axes.plot(recalls, precisions, drawstyle="steps-pre", color=SERIES_COLORS[0], lw=2)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    return figure


def plot_overlaps(
    gt_class_ids: np.ndarray,
    pred_class_ids: np.ndarray,
    pred_scores: np.ndarray,
    overlaps: np.ndarray,
    class_names: Sequence[str],
    threshold: float = 0.5,
) -> Figure:
    """Draw the IoU of every detection with every true instance as a grid.

    Args:
        gt_class_ids: [N]; zeros at the end are padding.
        pred_class_ids: [D].
        pred_scores: [D].
        overlaps: [D, N].
        class_names: Indexed by class id.
        threshold: From it on, a cell whose classes agree says "match", else "wrong".
    """
    gt_class_ids = np.asarray(gt_class_ids)[np.asarray(gt_class_ids) != 0]
    count, gt_count = len(pred_class_ids), len(gt_class_ids)
    figure, axes = on_axes(None, (max(4, gt_count * 0.8 + 2), max(3, count * 0.5 + 2)))
    axes.imshow(np.asarray(overlaps)[:, :gt_count], "Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_yticks(
        range(count),
        [f"{class_names[int(i)]} ({s:.2f})" for i, s in zip(pred_class_ids, pred_scores)],
    )
    axes.set_xticks(range(gt_count), [class_names[int(i)] for i in gt_class_ids], rotation=90)
    for i in range(count):
        for j in range(gt_count):
            iou, text = float(overlaps[i, j]), ""
            if iou > threshold:
                text = "match" if gt_class_ids[j] == pred_class_ids[i] else "wrong"
            color = "white" if iou > 0.5 else "black"
            axes.text(j, i, f"{iou:.3f}\n{text}", ha="center", va="center", fontsize=9, color=color)
    axes.set(xlabel="truth", ylabel="detections")
    return figure
