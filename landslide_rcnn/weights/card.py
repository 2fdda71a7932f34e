"""Our own weight files: Keras' `.weights.h5` plus a JSON card beside them.

The card holds the configuration, the bands and their order, the class names, the threshold and
the file's sha256. It makes a mismatch of bands or scale an error instead of a bad map.
"""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landslide_rcnn.errors import WeightsError
from landslide_rcnn.files import atomic_path, sha256_of, write_json
from landslide_rcnn.versions import software_versions

if TYPE_CHECKING:  # a card can be read, and refused, without waiting for TensorFlow
    import keras

CARD_FORMAT = 1


@dataclass
class Card:
    """What a weight file is for.

    Attributes:
        architecture: `Config.ARCHITECTURE`: which family and network.
        config: `Config.to_dict()`.
        bands: Names of the image's bands, in order.
        class_names: Names of the classes, the background first.
        threshold: Probability from which a pixel is landslide; chosen on validation data.
        pixel_size_m: Ground resolution of the training images in metres; None if unknown.
        metrics: Validation figures, by name.
        split: "train" and "val" -> what of which split file they were: parts, kind, sha256, and
            the file's copy beside the weights. Empty: no split was named.
        sha256: Of the weight file; filled when it is written.
        created: UTC time.
        software: Versions that made it.
    """

    config: dict[str, Any]
    bands: list[str]
    class_names: list[str]
    architecture: str = "mask_rcnn"
    threshold: float = 0.5
    pixel_size_m: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    split: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""
    created: str = ""
    software: dict[str, str] = field(default_factory=dict)
    format: int = CARD_FORMAT
    # The card of the weights that are being replaced, there only while they are.
    former: dict[str, Any] | None = None


def card_path(weights_path: str | Path) -> Path:
    """Return where the card of a weight file lies: `x.weights.h5` -> `x.card.json`."""
    path = Path(weights_path)
    return path.with_name(re.sub(r"(\.weights)?\.h5$", "", path.name) + ".card.json")


def advice_for_folder(folder: Path) -> str:
    """Return what to name instead of a folder: the weight files of ours in it, if there are any."""
    files = sorted(each.as_posix() for each in folder.glob("*.weights.h5"))
    return f"Name {' or '.join(files)}" if files else "Name a .weights.h5"


def read_card(weights_path: str | Path) -> Card:
    """Read and check the card beside a weight file.

    Raises:
        WeightsError: There is no card, it is not one of ours, or the weight file changed since.
    """
    path = card_path(weights_path)
    if not Path(weights_path).is_file():
        raise WeightsError(
            f"Weights must be an existing file. Received: {weights_path}. Check the path."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = {name: content[name] for name in Card.__dataclass_fields__ if name in content}
        card = Card(**known)
    except FileNotFoundError:
        raise WeightsError(
            f"A weight file needs its card beside it. Received: {weights_path} without "
            f"{path.name}. Copy the card too, or train with this package."
        ) from None
    except (ValueError, TypeError) as error:
        raise WeightsError(
            f"A card must be JSON with config, bands and class_names. Received: {path} ({error}). "
            "Copy the card again from where the weights were made."
        ) from error
    if card.format != CARD_FORMAT:
        raise WeightsError(
            f"This version reads cards of format {CARD_FORMAT}. Received: format {card.format} in "
            f"{path}. Use the version that wrote it."
        )
    digest = sha256_of(weights_path)
    if card.former and card.former["sha256"] == digest:
        return Card(**card.former)  # writing new weights was cut off; these are the former ones
    if card.sha256 != digest:
        raise WeightsError(
            f"A weight file must be the one that its card describes. Received: {weights_path}, "
            "whose sha256 is another. Copy both again."
        )
    return card


def save_weights(network: keras.Model, path: str | Path, card: Card) -> None:
    """Write a network's weights and their card; a crash leaves the former pair or the new one.

    Between the two moves that takes, the new card carries the former one.

    Args:
        network: What to save; only weights, no optimizer.
        path: Ends in `.weights.h5`.
        card: Its sha256, time and versions are filled in.
    """
    path = Path(path)
    if not path.name.endswith(".weights.h5"):
        raise WeightsError(
            f"Weight files end in .weights.h5. Received: {path.name}. Rename the output."
        )
    try:
        former = asdict(read_card(path))
    except WeightsError:
        former = None  # there is no good pair to keep
    card.created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    card.software = software_versions()
    with atomic_path(path) as partial:
        network.save_weights(partial)
        card.sha256 = sha256_of(partial)
        write_json(card_path(path), {**asdict(card), "former": former})
    write_json(card_path(path), asdict(card))
