"""Tables for notebooks and terminals, without IPython or pandas."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Table:
    """Rows of texts: a notebook shows it as HTML, `print` as aligned columns.

    Attributes:
        rows: Of equal length; the first is the heading.
    """

    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self.rows)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
            for row in self.rows
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """What notebooks ask for."""
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.rows
        )
        return f"<table>{rows}</table>"


def display_table(table: Sequence[Sequence[Any]]) -> Table:
    """Make a table of rows of anything; the first row is the heading."""
    return Table(tuple(tuple(str(cell) for cell in row) for row in table))


def display_weight_stats(model: Any) -> Table:
    """Make a table of every weight's shape, smallest and largest value, and spread.

    A star marks what may be dead or blown up: no spread at all in a kernel (a bias may well be
    all zeros), or a value beyond 1000.

    Args:
        model: A `MaskRCNN` or another model with `get_trainable_layers()`.
    """
    rows: list[list[Any]] = [["WEIGHT NAME", "SHAPE", "MIN", "MAX", "STD"]]
    for layer in model.get_trainable_layers():
        for weight in layer.weights:
            values = np.asarray(weight.numpy(), np.float32)
            low, high, std = float(values.min()), float(values.max()), float(values.std())
            dead = weight.name == "kernel" and std == 0
            blown = not max(abs(low), abs(high)) <= 1000
            rows.append(
                [
                    f"{layer.name}/{weight.name}" + ("*" if dead or blown else ""),
                    tuple(values.shape),
                    f"{low:+9.4f}",
                    f"{high:+10.4f}",
                    f"{std:+9.4f}",
                ]
            )
    return display_table(rows)
