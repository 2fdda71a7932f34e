"""What each epoch gave, as rows of a CSV file that is written anew after every epoch."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from landslide_rcnn.files import atomic_path


def write_history(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one line an epoch, atomically: an interrupted training loses none and doubles none.

    Args:
        path: Of the CSV file.
        rows: Figures by name. A column is there if any row has it; None is an empty cell.
    """
    rows = list(rows)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_path(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
