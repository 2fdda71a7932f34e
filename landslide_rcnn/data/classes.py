"""The classes of labels that people gave names to: from the names in a file to class ids.

Used by the readers of annotations and by scenes with an attribute for the class.
"""

from collections.abc import Iterable, Mapping, Sequence

from landslide_rcnn.data.dataset import SOURCE, Dataset
from landslide_rcnn.errors import DatasetError

LANDSLIDE = "landslide"

# What `classes=` may be: names in the order of their ids, or label -> class name.
Classes = Sequence[str] | Mapping[str, str]


class ClassTable:
    """Labels and their class ids, 1 and up.

    Attributes:
        names: Of the classes, in the order of their ids.
    """

    def __init__(self, labels: Iterable[str], classes: Classes | None = None) -> None:
        """Number the classes.

        Args:
            labels: All that occur, or that the file declares, in the order of their ids.
            classes: Which of them are taken, and as what: names in the order of their ids, or
                label -> class name (several labels may be one class). None takes every label.

        Raises:
            DatasetError: There is no class, or one has no name.
        """
        if classes is None:
            classes = list(dict.fromkeys(labels)) or [LANDSLIDE]
        of_label = (
            dict(classes) if isinstance(classes, Mapping) else {name: name for name in classes}
        )
        self.names = list(dict.fromkeys(of_label.values()))
        if not self.names or not all(str(name).strip() for name in self.names):
            raise DatasetError(
                f"A dataset needs at least one class, each with a name. Received: {classes!r}. "
                "Name the classes, e.g. classes=slide,flow."
            )
        self._ids = {label: self.names.index(name) + 1 for label, name in of_label.items()}

    def id_of(self, label: str) -> int | None:
        """Return the class id of a label; None: it is not among the chosen ones."""
        return self._ids.get(label)

    def declare(self, dataset: Dataset) -> None:
        """Add the classes to a dataset that has none yet."""
        for class_id, name in enumerate(self.names, 1):
            dataset.add_class(SOURCE, class_id, name)


def parse_classes(text: str) -> dict[str, str]:
    """Return label -> class name of `LABEL[:CLASS],...`, e.g. "slide,debris flow:flow"."""
    pairs = [item.partition(":") for item in text.split(",")]
    return {label.strip(): (name or label).strip() for label, _, name in pairs}
