"""Split files, and the part of a dataset that one names: `DATA#PART@SPLIT.csv`.

Several parts are joined by plus signs (`DATA#1+2+3+4@folds.csv`: all folds but the fifth). The
older form `FOLDER#PART`, with a `split.csv` in the folder, is `folders.py`'s; it takes several too.

The file is CSV. Columns: `file`, the image's file name, or the name of a scene's tile; `part`; and,
where this package made it, `group` (the block or county) and `split` (how it was made).
"""

import csv
import io
import logging
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.problems import name_some
from landslide_rcnn.data.splits import Split
from landslide_rcnn.errors import DatasetError
from landslide_rcnn.files import atomic_path, sha256_of

logger = logging.getLogger(__name__)

FORM = re.compile(r"(?P<data>.+)#(?P<parts>[^#@]+)@(?P<split>[^?@]+)(?P<options>\?.*)?")


@dataclass(frozen=True)
class PartOfSplit:
    """Parts of a split file.

    Attributes:
        path: The file.
        parts: Names.
    """

    path: Path
    parts: tuple[str, ...]

    def record(self) -> dict[str, object]:
        """Return what the card of weights says of it."""
        return {
            "parts": list(self.parts),
            "kind": kind_of(self.path),
            "sha256": sha256_of(self.path),
        }


def parse_part(spec: str) -> tuple[str, PartOfSplit | None]:
    """Take `DATA#PART+PART@SPLIT.csv` apart: the data, and the part; None where there is none."""
    match = FORM.fullmatch(spec)
    if match is None or Path(spec).exists():
        return spec, None
    chosen = PartOfSplit(Path(match["split"]), parts_of(match["parts"]))
    return match["data"] + (match["options"] or ""), chosen


def parts_of(text: str) -> tuple[str, ...]:
    """Return the parts that a text names: one, or several joined by plus signs."""
    return tuple(part.strip() for part in text.split("+"))


def keys_of(dataset: Dataset) -> list[str]:
    """Return how a split file calls each image of a dataset.

    Raises:
        DatasetError: Two images have one name.
    """
    keys = [
        str(info["id"]) if info["path"] is None or "tile" in info else Path(info["path"]).name
        for info in dataset.image_info
    ]
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise DatasetError(
            f"A split tells images apart by their file names. Received: {len(twice)} names that "
            f"several images have: {name_some(twice)}. Rename them."
        )
    return keys


def take_part(dataset: Dataset, chosen: PartOfSplit) -> Dataset:
    """Keep only the images of some parts of a split; changes the dataset and returns it.

    Raises:
        DatasetError: The file or a part is not there, or images of the part are missing.
    """
    part_of = read_split(chosen.path)
    parts = list(dict.fromkeys(part_of.values()))
    unknown = [part for part in chosen.parts if part not in parts]
    if unknown:
        raise DatasetError(
            f"The part must be one of {', '.join(sorted(parts))}. Received: {', '.join(unknown)}. "
            f"They are the parts of {chosen.path}."
        )
    keys = keys_of(dataset)
    present = set(keys)
    missing = [key for key, part in part_of.items() if part in chosen.parts]
    missing = [key for key in missing if key not in present]
    if missing:
        raise DatasetError(
            f"Every sample of {chosen.path} must be there. Received: {len(missing)} missing of "
            f"part {'+'.join(chosen.parts)}: {name_some(missing)}. Use the data, and for a scene "
            "the size and overlap of tiles, that the split was made for."
        )
    unlisted = [key for key in keys if key not in part_of]
    if unlisted:
        logger.warning(
            "%d images are in no part of %s: left out (%s)",
            len(unlisted),
            chosen.path,
            name_some(unlisted, 3),
        )
    kept = [part_of.get(key) in chosen.parts for key in keys]
    dataset.keep_images(kept)
    dataset.split = chosen
    return dataset


def read_split(path: str | Path) -> dict[str, str]:
    """Return file -> part of a split file.

    Raises:
        DatasetError: It is not there, or lacks a column.
    """
    return read_column(path, "part")


def read_column(path: str | Path, column: str) -> dict[str, str]:
    """Return file -> a column of a CSV table.

    Raises:
        DatasetError: It is not there, or lacks that column or `file`.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(
            f"A part needs a table of the split, with columns file and {column}. Received: no "
            f"{path}. Add it (landslide-rcnn split makes one), or use all of the data."
        )
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"file", column} <= set(rows[0]):
        columns = list(rows[0]) if rows else "no rows"
        raise DatasetError(
            f"A split needs the columns file and {column}. Received: {path} with {columns}. "
            f"Add a first line 'file,{column}'."
        )
    return {row["file"]: row[column] for row in rows}


def kind_of(path: str | Path) -> str:
    """Return how a split file was made; "given" where it does not say."""
    try:
        return next(iter(read_column(path, "split").values()))
    except DatasetError:
        return "given"


def write_split(split: Split, path: str | Path) -> None:
    """Write a split as CSV, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "part", "group", "split"))
    for key, part in split.part_of.items():
        writer.writerow((key, part, split.group_of[key], split.kind))
    with atomic_path(path) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")


def copy_splits(used: Mapping[str, PartOfSplit | None], stem: Path) -> dict[str, dict]:
    """Copy split files beside weights; return what their card says.

    Args:
        used: "train" and "val" -> the part that each was; None where it was all of its data.
        stem: Of the weights: `model` gives `model.split.csv`, and for another file than the first
            one's `model.val.split.csv`.
    """
    records: dict[str, dict] = {}
    copies: dict[str, str] = {}  # sha256 -> name
    for role, part in used.items():
        if part is None:
            continue
        record = part.record()
        digest = str(record["sha256"])
        if digest not in copies:
            middle = f".{role}" if copies else ""
            copies[digest] = f"{stem.name}{middle}.split.csv"
            target = stem.with_name(copies[digest])
            if target.resolve() != part.path.resolve():
                with atomic_path(target) as partial:
                    shutil.copyfile(part.path, partial)
        records[role] = {**record, "file": copies[digest]}
    return records


def attribute_of(keys: Sequence[str], path: str | Path, attribute: str) -> list[str]:
    """Return a column of a table for samples, in their order.

    A sample for which it is empty is a group by itself, which is said: the images of
    non-landslides of Bijie have no county.

    Raises:
        DatasetError: The table lacks the column, or a sample.
    """
    values = read_column(path, attribute)
    missing = [key for key in keys if key not in values]
    if missing:
        raise DatasetError(
            f"Every sample needs its {attribute}. Received: {len(missing)} of {len(keys)} without "
            f"in {path}: {name_some(missing)}. Add them."
        )
    empty = sum(not values[key] for key in keys)
    if empty:
        logger.warning(
            "%d of %d samples have no %s: each of them is dealt by itself",
            empty,
            len(keys),
            attribute,
        )
    return [values[key] or key for key in keys]
