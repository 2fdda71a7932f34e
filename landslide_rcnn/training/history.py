"""What each epoch gave, as rows: in a CSV file, written anew each time, and for TensorBoard."""

import csv
import shutil
from collections.abc import Iterable, Mapping, Sequence
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


class TensorBoardLogs:
    """The same rows as TensorBoard's curves: `train/` and `validation/` of a folder.

    Keras' callback would leave out what a killed process had not yet flushed, and the epochs that
    its successor takes from the state; this one begins with all of them.

    Args:
        folder: Of the logs; curves that are there are replaced.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._writers: dict[str, Any] = {}
        self._written = 0

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the rows that are new, to the disk.

        Args:
            rows: From the training's first epoch on; "epoch" counts from 1.
        """
        import tensorflow as tf  # Keras' other backends do without until here

        if not self._writers:
            for part in ("train", "validation"):
                shutil.rmtree(self.folder / part, ignore_errors=True)
                self._writers[part] = tf.summary.create_file_writer(str(self.folder / part))
        for row in rows[self._written :]:
            for name, value in row.items():
                if name not in ("epoch", "stage", "seconds"):
                    part = "validation" if name.startswith("val_") else "train"
                    with self._writers[part].as_default():
                        title = f"epoch_{name.removeprefix('val_')}"
                        tf.summary.scalar(title, value, step=row["epoch"] - 1)
        self._written = len(rows)
        for writer in self._writers.values():
            writer.flush()
