"""Training data -> a split file: `landslide-rcnn split`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from landslide_rcnn.data.checking import check_images
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.problems import raise_if_stopping
from landslide_rcnn.data.split_files import attribute_of, keys_of, write_split
from landslide_rcnn.data.splits import Split, make_split, samples_of
from landslide_rcnn.files import refuse_to_overwrite


@dataclass(frozen=True)
class PartCounts:
    """What a part holds.

    Attributes:
        part: Its name.
        samples: Images.
        with_landslides: Of them.
        landslide_share: Of its usable pixels.
    """

    part: str
    samples: int
    with_landslides: int
    landslide_share: float


def split_dataset(
    dataset: Dataset,
    output: str | Path,
    by: str = "blocks",
    *,
    parts: Mapping[str, float] | None = None,
    seed: int = 0,
    table: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> tuple[Split, list[PartCounts]]:
    """Split a dataset and write the split file.

    Args:
        dataset: Prepared.
        output: The CSV file.
        by: See `data.splits.make_split`; `attribute=NAME` names a column of the table.
        parts: Part -> share.
        seed: Of what is random.
        table: CSV with the columns file and NAME; None: `split.csv` in the folder of the data.
        overwrite: Replace a file that is there.
        progress: Show a progress bar on stderr.

    Returns:
        The split, and what each part holds; the gap, if there is one, is the last.

    Raises:
        OutputExistsError: The file is there and `overwrite` is not set.
        ConfigError, DatasetError: It cannot be split like this.
    """
    refuse_to_overwrite(output, overwrite=overwrite)
    keys = keys_of(dataset)
    facts = check_images(dataset, details=True, progress=progress)
    raise_if_stopping([problem for fact in facts for problem in fact.problems], len(facts))
    samples = samples_of(keys, facts)
    method, _, name = by.partition("=")
    if method == "attribute" and name:
        table = table or _table_beside(dataset)
        if table is not None:
            samples = replace(samples, attribute=attribute_of(keys, table, name))
    split = make_split(samples, by, parts, seed)
    write_split(split, output)
    part_of = np.array(list(split.part_of.values()))
    counts = []
    for part in split.parts:
        here = part_of == part
        landslide = samples.landslide_px[here]
        usable = landslide.sum() + samples.background_px[here].sum()
        share = float(landslide.sum() / max(usable, 1))
        counts.append(PartCounts(part, int(here.sum()), int((landslide > 0).sum()), share))
    return split, counts


def _table_beside(dataset: Dataset) -> Path | None:
    """Return the `split.csv` of a folder of tiles, where there is one."""
    path = Path(dataset.image_info[0]["path"] or ".").resolve()
    found = (folder / "split.csv" for folder in list(path.parents)[:3])
    return next((table for table in found if table.is_file()), None)
