"""What the map keeps of a predicted tile, and its exact form as bytes.

Between the model and the map: `answer_of` checks a `TilePrediction` and cuts its candidates;
`encode` and `decode` carry the answers of a unit to disk (`--resume`) and across a cluster.
Everything behind an answer is computed from it alone, so that a map does not depend on where
and when its tiles were predicted.

Shape letters: T tiles; H, W pixels of a tile; N candidates; h, w pixels of a candidate's box.
"""

import io
import zipfile
from dataclasses import dataclass

import numpy as np
from rasterio.windows import Window

from landslide_rcnn.errors import ShapeError, WeightsError
from landslide_rcnn.inference.candidates import ROUNDING, Candidate, PackedMask, candidates_of
from landslide_rcnn.prediction import TilePrediction

# Probabilities hardly shrink further at higher levels, and those take several times as long.
COMPRESS_LEVEL = 1


@dataclass(frozen=True)
class TileAnswer:
    """One tile's part in the map.

    Attributes:
        window: Its place in the scene.
        valid_mask: [H, W] bool; False beyond the scene.
        probability: [H, W] float32 in [0, 1].
        candidates: In scene pixels.
        class_map: [H, W] uint16: the most probable class but the background, 1..K-1, of a model
            without instances that knows several; None where instances tell, or there is one.
    """

    window: Window
    valid_mask: np.ndarray
    probability: np.ndarray
    candidates: list[Candidate]
    class_map: np.ndarray | None = None


def answer_of(
    prediction: TilePrediction, valid_mask: np.ndarray, window: Window, threshold: float
) -> TileAnswer:
    """Check a prediction and keep what the map needs of it.

    Args:
        prediction: The tile's.
        valid_mask: [H, W] bool, with at least one True.
        window: The tile's place.
        threshold: Of score x mask probability.

    Raises:
        ShapeError: The prediction has another size than the tile, or its classes have.
        WeightsError: It holds NaN or numbers outside [0, 1].
    """
    if prediction.probability.shape != valid_mask.shape:
        raise ShapeError(
            f"A predicted probability must have its tile's size, {valid_mask.shape}. "
            f"Received: {prediction.probability.shape}. Correct predict_tiles."
        )
    values = prediction.probability[valid_mask]
    low, high = values.min(), values.max()
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        raise WeightsError(
            "Predicted probabilities must lie in [0, 1]. "
            f"Received: values from {low} to {high} in the tile at row {window.row_off}, column "
            f"{window.col_off}. The weights are probably broken: load others, or train again."
        )
    return TileAnswer(
        window,
        valid_mask,
        np.asarray(prediction.probability, np.float32),
        candidates_of(prediction, valid_mask, window, threshold),
        _class_map(prediction),
    )


def _class_map(prediction: TilePrediction) -> np.ndarray | None:
    of_classes = prediction.class_probabilities
    if of_classes is None:
        return None
    if of_classes.shape[:2] != prediction.probability.shape:
        raise ShapeError(
            "Predicted probabilities of classes must have their tile's size, "
            f"{prediction.probability.shape}. Received: {of_classes.shape}. Correct predict_tiles."
        )
    return of_classes.argmax(axis=-1).astype(np.uint16) + np.uint16(1)


def encode(answers: list[TileAnswer]) -> bytes:
    """Pack the answers of one unit, without loss; `decode` is the inverse."""
    candidates = [each for answer in answers for each in answer.candidates]
    arrays = {
        "windows": np.array([_box(answer.window) for answer in answers], np.int64).reshape(-1, 4),
        "valid": _stacked([np.packbits(answer.valid_mask, axis=1) for answer in answers], np.uint8),
        "probability": _stacked([answer.probability for answer in answers], np.float32),
        "counts": np.array([len(answer.candidates) for answer in answers], np.int64),
        "boxes": np.array([each.mask.box for each in candidates], np.int64).reshape(-1, 4),
        "areas": np.array([each.mask.area for each in candidates], np.int64),
        "scores": np.array([each.score for each in candidates], np.float64),
        "class_ids": np.array([each.class_id for each in candidates], np.int64),
        "bits": _joined([each.mask.bits for each in candidates], np.uint8),
        "evidence": _joined([each.evidence for each in candidates], np.float32),
        **{
            f"class_map_{index}": answer.class_map
            for index, answer in enumerate(answers)
            if answer.class_map is not None
        },
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(
        packed, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESS_LEVEL
    ) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getbuffer())
    return packed.getvalue()


def decode(packed: bytes) -> list[TileAnswer]:
    """Unpack what `encode` packed.

    Raises:
        zipfile.BadZipFile, ValueError, KeyError: The bytes are damaged.
    """
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        content = {name: arrays[name] for name in arrays.files}
    candidates = iter(_candidates(content))
    answers = []
    for index, (box, valid, probability, count) in enumerate(
        zip(content["windows"], content["valid"], content["probability"], content["counts"])
    ):
        row, column, height, width = (int(number) for number in box)
        valid_mask = np.unpackbits(valid, axis=1, count=width).astype(bool)
        own = [next(candidates) for _ in range(count)]
        window = Window(column, row, width, height)
        class_map = content.get(f"class_map_{index}")
        answers.append(TileAnswer(window, valid_mask, probability, own, class_map))
    return answers


def _candidates(content: dict[str, np.ndarray]) -> list[Candidate]:
    """Cut the joined arrays into candidates again."""
    candidates = []
    bits_at = evidence_at = 0
    for box, area, score, class_id in zip(
        content["boxes"], content["areas"], content["scores"], content["class_ids"]
    ):
        y1, x1, y2, x2 = (int(edge) for edge in box)
        height, width, row_bytes = y2 - y1, x2 - x1, -(-(x2 - x1) // 8)
        bits = content["bits"][bits_at : bits_at + height * row_bytes]
        evidence = content["evidence"][evidence_at : evidence_at + height * width]
        bits_at, evidence_at = bits_at + bits.size, evidence_at + evidence.size
        mask = PackedMask((y1, x1, y2, x2), int(area), bits.reshape(height, row_bytes))
        candidates.append(
            Candidate(mask, evidence.reshape(height, width), float(score), int(class_id))
        )
    return candidates


def _box(window: Window) -> tuple[int, int, int, int]:
    return window.row_off, window.col_off, window.height, window.width


def _stacked(arrays: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.stack(arrays) if arrays else np.zeros((0, 0, 0), dtype)


def _joined(arrays: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([array.ravel() for array in arrays] or [np.zeros(0, dtype)])
