"""Training data -> a report of what is there and what is wrong: `landslide-rcnn dataset`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from landslide_rcnn.data.checking import READING_ERRORS, ImageFacts
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.inspection import Inspection, as_json, inspect_datasets
from landslide_rcnn.data.readers import open_dataset
from landslide_rcnn.files import atomic_path, refuse_to_overwrite, write_json
from landslide_rcnn.visualize.sheets import SheetTile, contact_sheet

SHEET_TILES = 64
SHEET_DPI = 200


def inspect_files(
    spec: str,
    against: Sequence[str] = (),
    *,
    sheet: str | Path | None = None,
    json_path: str | Path | None = None,
    tile_size: int = 256,
    overlap: int = 0,
    allow_no_crs: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> Inspection:
    """Look at training data before training.

    Args:
        spec: The data; see `open_dataset`.
        against: Other data that should share nothing with it, named the same way.
        sheet: A contact sheet to write: PNG, PDF or what else matplotlib writes.
        json_path: A JSON file to write.
        tile_size: Side of a tile cut from a scene, pixels.
        overlap: Of tiles cut from a scene, pixels.
        allow_no_crs: Take scenes without CRS in pixel coordinates.
        overwrite: Replace results that are there.
        progress: Show progress bars on stderr.

    Returns:
        What is there, with every problem found.

    Raises:
        OutputExistsError: A result is there and `overwrite` is not set.
        DatasetError, RasterError, GeoReferenceError: The data are unreadable as a whole.
    """
    outputs = [path for path in (sheet, json_path) if path is not None]
    refuse_to_overwrite(*outputs, overwrite=overwrite)
    tiles: dict[str, Any] = dict(tile_size=tile_size, overlap=overlap, allow_no_crs=allow_no_crs)
    datasets = [(name, open_dataset(name, strict=False, **tiles)) for name in (spec, *against)]
    inspection, facts = inspect_datasets(datasets, progress=progress)
    if json_path is not None:
        write_json(json_path, as_json(inspection))
    if sheet is not None:
        write_sheet(datasets[0][1], facts, inspection, sheet)
    return inspection


def write_sheet(
    dataset: Dataset, facts: Sequence[ImageFacts], inspection: Inspection, path: str | Path
) -> None:
    """Write the contact sheet of a dataset: all images, or evenly chosen ones of many."""
    count = min(len(facts), SHEET_TILES)
    chosen = np.linspace(0, len(facts) - 1, count).round().astype(int)
    faulty = {problem.name for problem in inspection.problems if problem.stops}
    tiles = [_sheet_tile(dataset, facts[index], facts[index].name in faulty) for index in chosen]
    shown = f"{count} of {len(facts)} images" if count < len(facts) else f"{count} images"
    title = f"{inspection.name}: {shown}, {sum(inspection.classes.values())} instances in all"
    figure = contact_sheet(tiles, title=title, band_names=dataset.band_names)
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=SHEET_DPI)


def _sheet_tile(dataset: Dataset, facts: ImageFacts, faulty: bool) -> SheetTile:
    name = Path(facts.name).name
    image = masks = class_ids = None
    try:
        image = np.asarray(dataset.load_image(facts.image_id))
        masks, class_ids = dataset.load_mask(facts.image_id)
    except READING_ERRORS:
        faulty = True  # the report says why
    if image is not None and masks is not None and masks.shape[:2] != image.shape[:2]:
        masks, faulty = None, True
    count = "" if masks is None else f" ({masks.shape[-1]})"
    return SheetTile(name + count, image, masks, class_ids, faulty)
