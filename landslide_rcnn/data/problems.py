"""What can be wrong with training data: the kinds, and how they are said.

Readers note problems while they open files, `data/checking.py` finds those of each image, and
`data/leakage.py` those between images. `Dataset.verify` stops at the kinds that stop training
and warns of the rest; `landslide-rcnn dataset` lists them all.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from landslide_rcnn.errors import DatasetError

logger = logging.getLogger(__name__)

NAMED_IN_A_WARNING = 5  # files; the command `dataset` names all of them


@dataclass(frozen=True)
class Kind:
    """A kind of problem.

    Attributes:
        title: What people read.
        stops: Whether training cannot go on with it.
        warns: Whether training warns of it; where not, only the command `dataset` tells.
    """

    title: str
    stops: bool
    warns: bool = True


KINDS = {
    "unreadable": Kind("unreadable or truncated files", True),
    "missing_image": Kind("labels or masks without their image", True),
    "missing_mask": Kind("images without their mask", True),
    "names": Kind("files that cannot be told apart by their names", True),
    "size": Kind("image and labels of different size", True),
    "mask_values": Kind("mask values that are neither 0/1, 0/255 nor instance ids", True),
    "bands": Kind("images with another number of bands", True),
    "values": Kind("pixel values that are not numbers", True),
    "classes": Kind("labels of a class that is not known", True),
    "annotation": Kind("labels that cannot be used: left out", False),
    "crossing": Kind("polygons that cross themselves: repaired", False),
    "outside": Kind("polygons that reach outside their image: cut off", False),
    "empty": Kind("empty samples", False),
    "background": Kind("samples without a landslide: taken as background", False, warns=False),
    "fragments": Kind("samples with mask fragments too small for a landslide", False),
    "dtype": Kind("images of another data type", False),
    "duplicate": Kind("duplicate samples", False),
    "leak": Kind("samples shared between datasets: scores are optimistic", False),
}


@dataclass(frozen=True)
class Problem:
    """Something wrong with one file or sample.

    Attributes:
        kind: A key of `KINDS`.
        name: The file, or how its dataset names the image.
        text: What is wrong, what to do about it; without the name.
    """

    kind: str
    name: str
    text: str

    @property
    def stops(self) -> bool:
        """Whether training cannot go on with it."""
        return KINDS[self.kind].stops

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


class ProblemError(DatasetError):
    """A problem met where an image or its masks are loaded.

    Attributes:
        problem: What it is.
    """

    def __init__(self, kind: str, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.problem = Problem(kind, name, text)


def raise_if_stopping(problems: Iterable[Problem], count: int | None = None) -> None:
    """Raise one error that names every problem that stops training.

    Args:
        problems: Of all kinds.
        count: How many images were looked at; None: none yet.

    Raises:
        DatasetError: There is at least one.
    """
    faults = [str(problem) for problem in problems if problem.stops]
    if faults:
        of_all = "" if count is None else f" of {count}"
        raise DatasetError(
            f"Every image and mask must be readable and fit together. Received: {len(faults)}"
            f"{of_all} that do not: {'; '.join(faults)}. Repair or remove them."
        )


def warn_of(problems: Iterable[Problem]) -> None:
    """Log the problems that do not stop training, one warning a kind."""
    for kind, found in by_kind(problems).items():
        if KINDS[kind].warns and not KINDS[kind].stops:
            logger.warning(
                "%d %s: %s", len(found), KINDS[kind].title, name_some(map(str, found), sep="; ")
            )


def by_kind(problems: Iterable[Problem]) -> dict[str, list[Problem]]:
    """Return the problems of each kind that occurs, in the order of `KINDS`."""
    problems = list(dict.fromkeys(problems))  # two loads of one image find the same
    found = {kind: [p for p in problems if p.kind == kind] for kind in KINDS}
    return {kind: of_kind for kind, of_kind in found.items() if of_kind}


def name_some(names: Iterable[object], limit: int = NAMED_IN_A_WARNING, sep: str = ", ") -> str:
    """Return the first `limit` names, and how many more there are."""
    shown: Sequence[str] = [str(name) for name in names]
    more = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return sep.join(shown[:limit]) + more
