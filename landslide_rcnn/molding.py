"""Images in, network inputs out; network outputs in, answers in the image's own pixels out.

    image -> resize, pad, normalise -> network -> boxes and masks, or a map, in its own pixels

Used by `model.MaskRCNN` and `segmenter.Segmenter`.

Shape letters: `landslide_rcnn.nn`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from landslide_rcnn.config import Config
from landslide_rcnn.data.dataset import match_channels
from landslide_rcnn.data.masks import paste_mask
from landslide_rcnn.data.normalize import normalize_image
from landslide_rcnn.data.resize import resize_array, resize_image
from landslide_rcnn.errors import ShapeError
from landslide_rcnn.prediction import Instances


def inference_resize(config: Config) -> dict:
    """Return the arguments of `resize_image` that a Config asks for in detection."""
    mode = "pad64" if config.IMAGE_RESIZE_MODE == "crop" else config.IMAGE_RESIZE_MODE
    return dict(
        min_dim=config.IMAGE_MIN_DIM,
        max_dim=config.IMAGE_MAX_DIM,
        min_scale=config.IMAGE_MIN_SCALE,
        mode=mode,
    )


def mold(
    image: np.ndarray, valid_mask: np.ndarray | None, config: Config
) -> tuple[np.ndarray, np.ndarray]:
    """Resize, pad and normalise one image.

    Args:
        image: [H, W, C], in the file's own values.
        valid_mask: [H, W], True = usable; None for all. The rest becomes 0, the mean.
        config: Its IMAGE_* settings; "crop" is for training, and pads here.

    Returns:
        molded: [h, w, C] float32.
        window: [(y1, x1, y2, x2)] float32, the pixels of it that are no padding, half-open.

    Raises:
        ShapeError: The image has no channel axis.
        DatasetError: It has another number of channels than IMAGE_CHANNEL_COUNT.
    """
    if image.ndim != 3 or 0 in image.shape:
        raise ShapeError(
            f"An image is [H, W, C] with at least one pixel. Received: shape {image.shape}. "
            "Add the channel axis, or leave the image out."
        )
    image = match_channels(image, config.IMAGE_CHANNEL_COUNT, "the image")
    resize = inference_resize(config)
    if valid_mask is None:
        valid_mask = np.ones(image.shape[:2], bool)
    usable, *_ = resize_image(valid_mask[..., None].astype(np.float32), **resize)
    image = np.where(valid_mask[..., None], image, np.zeros((), image.dtype))
    image, window, *_ = resize_image(image, **resize)
    return normalize_image(image, usable[..., 0] > 0.999, config), np.asarray(window, np.float32)


class Answer(NamedTuple):
    """What a network says of one image, in the pixels of its input.

    Attributes:
        outputs: Its share of the network's outputs.
        window: [(y1, x1, y2, x2)] of `mold`.
        molded_shape: Height and width of the network's input.
    """

    outputs: dict[str, np.ndarray]
    window: np.ndarray
    molded_shape: tuple[int, int]


def run_in_batches(
    images: Sequence[np.ndarray],
    valid_masks: Sequence[np.ndarray] | None,
    config: Config,
    run: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]],
) -> list[Answer]:
    """Put images of any sizes through a network; those of one size after resizing go together.

    Args:
        images: [H, W, C] each, in the files' own values.
        valid_masks: [H, W] each, True = usable; None for all.
        config: Its IMAGE_* settings and BATCH_SIZE.
        run: From [B, h, w, C] and windows [B, 4] to outputs [B, ...] by name.
    """
    molded = [
        mold(image, None if valid_masks is None else valid_masks[i], config)
        for i, image in enumerate(images)
    ]
    answers: list[Answer | None] = [None] * len(molded)
    by_shape: dict[tuple, list[int]] = {}
    for i, (tensor, _) in enumerate(molded):
        by_shape.setdefault(tensor.shape, []).append(i)
    size = config.BATCH_SIZE
    for shape, members in by_shape.items():
        for start in range(0, len(members), size):
            part = members[start : start + size]
            # The last batch is filled up, so that one graph serves all.
            filled = part + [part[-1]] * (size - len(part))
            outputs = run(
                np.stack([molded[i][0] for i in filled]), np.stack([molded[i][1] for i in filled])
            )
            for k, i in enumerate(part):
                own = {name: values[k] for name, values in outputs.items()}
                answers[i] = Answer(own, molded[i][1], shape[:2])
    return answers


def unmold_map(values: np.ndarray, window: np.ndarray, image_shape: tuple[int, int]) -> np.ndarray:
    """Bring a map [h, w, K] of the network's input back to the image's own pixels [H, W, K].

    Args:
        values: float32.
        window: [(y1, x1, y2, x2)] of `mold`.
        image_shape: H and W of the image.
    """
    y1, x1, y2, x2 = (int(edge) for edge in window)
    return resize_array(values[y1:y2, x1:x2], *image_shape)


def unmold(
    detections: np.ndarray,
    masks: np.ndarray,
    window: np.ndarray,
    molded_shape: tuple[int, int],
    image_shape: tuple[int, int],
) -> Instances:
    """Bring one image's detections back to its own pixels.

    Args:
        detections: [D, (y1, x1, y2, x2, class_id, score)], normalised; class 0 is padding.
        masks: [D, h, w], probabilities inside the boxes.
        window: [(y1, x1, y2, x2)] of `mold`.
        molded_shape: Height and width of the network's input.
        image_shape: H and W of the image.
    """
    height, width = molded_shape
    kept = detections[:, 4] > 0
    boxes = detections[kept, :4] * [height - 1, width - 1, height - 1, width - 1] + [0, 0, 1, 1]
    y1, x1, y2, x2 = window
    scale = np.array([image_shape[0] / (y2 - y1), image_shape[1] / (x2 - x1)] * 2)
    boxes = np.round((boxes - [y1, x1, y1, x1]) * scale)  # whole pixels, as matterport's
    instances = [
        (box, crop, score, class_id)
        for (crop, box), score, class_id in zip(
            (paste_mask(m, b, *image_shape) for m, b in zip(masks[kept], boxes)),
            detections[kept, 5],
            detections[kept, 4],
        )
        if crop.size
    ]
    if not instances:
        return Instances()
    boxes, crops, scores, class_ids = zip(*instances)
    return Instances(
        boxes=np.asarray(boxes, np.int32).reshape(-1, 4),
        scores=np.asarray(scores, np.float32),
        class_ids=np.asarray(class_ids, np.int32),
        mask_probabilities=tuple(crops),
    )
