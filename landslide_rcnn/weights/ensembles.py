"""Ensembles: several weight files that predict together, and the card that says so.

    FOLDER/ensemble.json              members with their sha256, threshold, metrics
    FOLDER/fold-1/model.weights.h5    a member, with its own card beside it; ...

Written by `workflows/kfold.py`, read wherever weights are named: a folder with an `ensemble.json`
stands in a weight file's place. `landslide_rcnn/ensemble.py` predicts with it.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landslide_rcnn.errors import WeightsError
from landslide_rcnn.files import sha256_of, write_json
from landslide_rcnn.versions import software_versions
from landslide_rcnn.weights.card import CARD_FORMAT, Card, advice_for_folder, read_card

ENSEMBLE_NAME = "ensemble.json"
ARCHITECTURE = "ensemble"


@dataclass(frozen=True)
class Member:
    """One weight file of an ensemble.

    Attributes:
        name: Its path from the ensemble's folder, with slashes.
        path: Where it lies.
        card: What it is for.
    """

    name: str
    path: Path
    card: Card


@dataclass
class EnsembleCard(Card):
    """What an ensemble is for; configuration, bands and classes are those of its first member.

    Attributes:
        members: At least one.
    """

    members: list[Member] = field(default_factory=list)


def ensemble_path(weights: str | Path) -> Path | None:
    """Return the `ensemble.json` that is meant by a folder or by the file itself; else None."""
    path = Path(weights)
    if path.name == ENSEMBLE_NAME:
        return path
    # Any folder: a missing ensemble.json shall be said, and no weight file is a folder.
    return path / ENSEMBLE_NAME if path.is_dir() else None


def read_any_card(weights: str | Path) -> Card:
    """Read and check the card of a weight file, or of an ensemble with all of its members.

    Raises:
        WeightsError: A file is missing, is not one of ours, or changed since; or members of the
            ensemble do not fit together.
    """
    path = ensemble_path(weights)
    return read_card(weights) if path is None else read_ensemble(path)


def read_ensemble(path: str | Path) -> EnsembleCard:
    """Read and check an `ensemble.json` and its members.

    Raises:
        WeightsError: It is missing or damaged, a member is missing or another one, or members do
            not fit together.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(
            f"A folder of weights needs its {ENSEMBLE_NAME}. Received: {path.parent} without. "
            f"{advice_for_folder(path.parent)}, or a folder that train --kfold has finished."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        listed = {str(each["weights"]): each["sha256"] for each in content["members"]}
        given = {name: content[name] for name in ("threshold", "metrics", "split", "created")}
        is_known = content["format"] == CARD_FORMAT and listed
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError(
            f"An ensemble's card must be JSON with format, members and threshold. Received: {path} "
            f"({type(error).__name__}: {error}). Copy it again from where it was made."
        ) from error
    if not is_known:
        raise WeightsError(
            f"This version reads ensembles of format {CARD_FORMAT} with one member or more. "
            f"Received: format {content['format']}, {len(listed)} members in {path}. Use the "
            "version that wrote it."
        )
    members = _read_members(path.parent, list(listed))
    changed = [each.name for each in members if each.card.sha256 != listed[each.name]]
    if changed:
        raise WeightsError(
            "An ensemble's members must be the weights that it was made of. Received: "
            f"{', '.join(changed)} of {path}, with another sha256. Copy the whole folder again."
        )
    return _card_of(members, sha256=sha256_of(path), **given)


def write_ensemble(
    folder: str | Path,
    weights: Sequence[str | Path],
    *,
    threshold: float,
    metrics: dict[str, Any] | None = None,
    split: dict[str, Any] | None = None,
) -> EnsembleCard:
    """Make an ensemble of weight files; they stay where they are.

    Args:
        folder: Gets `ensemble.json`.
        weights: Of any architectures that see the same bands, tile size and classes.
        threshold: Of the mean probability.
        metrics: `Card.metrics`.
        split: `Card.split`.

    Raises:
        WeightsError: A file is unusable, or they do not fit together.
    """
    folder = Path(folder)
    names = [Path(os.path.relpath(path, folder)).as_posix() for path in weights]
    if not names:
        raise WeightsError("An ensemble needs one member or more. Received: none. Name weights.")
    members = _read_members(folder, names)
    given = dict(
        threshold=threshold,
        metrics=metrics or {},
        split=split or {},
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    content = {
        "format": CARD_FORMAT,
        "architecture": ARCHITECTURE,
        "members": [{"weights": each.name, "sha256": each.card.sha256} for each in members],
        **given,
        "software": software_versions(),
    }
    write_json(folder / ENSEMBLE_NAME, content)
    return _card_of(members, sha256=sha256_of(folder / ENSEMBLE_NAME), **given)


def _read_members(folder: Path, names: Sequence[str]) -> list[Member]:
    """Read the members' cards; they must see the same."""
    members = [Member(name, folder / name, read_card(folder / name)) for name in names]
    first, *others = members
    for other in others:
        for what, value in _SAME.items():
            one, another = value(first.card), value(other.card)
            if one != another:
                raise WeightsError(
                    f"The members of an ensemble must have the same {what}. Received: {one} in "
                    f"{first.name} and {another} in {other.name}. Leave one of them out."
                )
    return members


# What members must share: they get the same tiles, and their answers are averaged.
_SAME = {
    "bands": lambda card: ", ".join(card.bands),
    "tile size": lambda card: int(card.config["IMAGE_MAX_DIM"]),
    "classes": lambda card: ", ".join(card.class_names),
}


def _card_of(members: list[Member], **given: Any) -> EnsembleCard:
    first = members[0].card
    return EnsembleCard(
        config=first.config,
        bands=first.bands,
        class_names=first.class_names,
        architecture=ARCHITECTURE,
        pixel_size_m=first.pixel_size_m,
        members=members,
        **given,
    )
