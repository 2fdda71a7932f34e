"""What became of each layer when weights were loaded, as one table."""

import re
from collections import Counter
from dataclasses import dataclass, field

# The network's parts, from input to output.
PARTS = {
    "stem": r"conv1|bn_conv1",
    "stage 2": r"(res|bn)2[a-z]_.*",
    "stage 3": r"(res|bn)3[a-z]_.*",
    "stage 4": r"(res|bn)4[a-z]_.*",
    "stage 5": r"(res|bn)5[a-z]_.*",
    "FPN": r"fpn_[cp]\d.*",
    "bottom-up path": r"fpn_n\d.*",
    "RPN": r"rpn_.*",
    "box head": r"mrcnn_(class|bbox)_.*",
    "mask head": r"mrcnn_mask.*",
    "other": r".*",
}


@dataclass
class LoadReport:
    """What became of each layer.

    Attributes:
        loaded: Layers that took the file's weights as they are.
        adapted: Layers that took them changed, and how.
        missing: Layers of the network that the file does not have.
        mismatched: Layers whose weights in the file do not fit, and why.
        excluded: Layers left out on request.
        orphaned: Batch normalisations left out because the convolution they belong to was not
            loaded: their statistics describe its outputs.
        unused: Layers of the file that the network does not have.
        notes: What else to know about these weights.
    """

    loaded: list[str] = field(default_factory=list)
    adapted: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    mismatched: dict[str, str] = field(default_factory=dict)
    excluded: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def left(self) -> dict[str, str]:
        """Return the layers that keep the weights they had, random in a new network, and why."""
        return {
            **dict.fromkeys(self.missing, "not in the file"),
            **self.mismatched,
            **dict.fromkeys(self.orphaned, "without its convolution"),
            **dict.fromkeys(self.excluded, "excluded"),
        }

    def __str__(self) -> str:
        """The table, then all names of missing layers, what is unused, and the notes."""
        rows = [("part", "loaded", "adapted", "random", "why")]
        rows += [self._row(part, pattern) for part, pattern in _by_part(self).items()]
        total = (len(self.loaded), len(self.adapted), len(self.left()))
        rows.append(("all", *map(str, total), ""))
        width = max(len(row[0]) for row in rows)
        lines = [f"{r[0]:{width}}  {r[1]:>6}  {r[2]:>7}  {r[3]:>6}  {r[4]}".rstrip() for r in rows]
        if self.missing:
            ordered = [n for names in _by_part(self).values() for n in names if n in self.missing]
            lines.append(f"missing: {', '.join(ordered)}")
        if self.unused:
            lines.append(f"unused in the file: {_few(self.unused)}")
        return "\n".join(lines + [f"note: {note}" for note in self.notes])

    def _row(self, part: str, names: list[str]) -> tuple[str, ...]:
        left = {name: why for name, why in self.left().items() if name in names}
        adapted = {name: how for name, how in self.adapted.items() if name in names}
        loaded = len(names) - len(left) - len(adapted)
        reasons = []
        for why in Counter([*adapted.values(), *left.values()]):
            concerned = [n for n in names if why in (adapted.get(n), left.get(n))]
            # Counts suffice where a whole part has one fate.
            who = "" if len(concerned) == len(names) else f"{_few(concerned)}: "
            reasons.append(f"{who}{why}")
        counts = [str(count or "-") for count in (loaded, len(adapted), len(left))]
        return (part, *counts, "; ".join(reasons))


def _by_part(report: LoadReport) -> dict[str, list[str]]:
    """The network's layers by part, sorted; parts without any are left out."""
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for name in (*report.loaded, *report.adapted, *report.left()):
        parts[next(p for p, pattern in PARTS.items() if re.fullmatch(pattern, name))].append(name)
    return {part: sorted(names) for part, names in parts.items() if names}


def _few(names: list[str], shown: int = 3) -> str:
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")
