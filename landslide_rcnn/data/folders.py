"""The files of a folder of tiles: which image goes with which mask, and the parts of a split.

Used by `data/readers.py`. Nothing is read but names and the table of the split.
"""

import csv
import logging
from collections.abc import Iterable
from pathlib import Path

from landslide_rcnn.errors import DatasetError

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
SPEC_FORMS = (
    "Use a folder of tiles, FOLDER or FOLDER#PART (image/ and mask/, or landslide/image, "
    "landslide/mask and non-landslide/image), or a scene with its polygons, "
    "SCENE.tif:POLYGONS.gpkg."
)


def find_pairs(root: Path) -> list[tuple[Path, Path | None]]:
    """Return (image, mask or None) of every tile of a folder, in the order of names."""
    if not root.is_dir():
        raise DatasetError(f"The folder of tiles must exist. Received: {root}. {SPEC_FORMS}")
    landslide_images, landslide_masks = _image_and_mask_folders(root / "landslide")
    other_images, _ = _image_and_mask_folders(root / "non-landslide")
    plain_images, plain_masks = _image_and_mask_folders(root)
    if landslide_images or other_images:
        pairs = _pair(landslide_images, landslide_masks)
        pairs += [(path, None) for path in _images_in(other_images)]
    elif plain_images:
        pairs = _pair(plain_images, plain_masks)
    else:
        raise DatasetError(
            f"A folder of tiles needs images and masks. Received: {root}, without a folder "
            f"'image'. {SPEC_FORMS}"
        )
    if not pairs:
        raise DatasetError(
            f"A folder of tiles needs images ({', '.join(IMAGE_SUFFIXES)}). Received: {root} "
            "without any. Add some."
        )
    return pairs


def _image_and_mask_folders(root: Path) -> tuple[Path | None, Path | None]:
    def first_of(*names: str) -> Path | None:
        return next((root / name for name in names if (root / name).is_dir()), None)

    return first_of("image", "images"), first_of("mask", "masks")


def _images_in(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )


def _pair(images: Path | None, masks: Path | None) -> list[tuple[Path, Path | None]]:
    """Pair images and masks by their names; each must have the other.

    Names are compared without suffix, and without `image_` and `mask_` before them, which is
    how Landslide4Sense (Ghorbanzadeh et al. 2022) tells the two apart.
    """
    image_of = _by_name(_images_in(images), "image_")
    mask_of = _by_name(_images_in(masks), "mask_")
    without_mask = [path for name, path in image_of.items() if name not in mask_of]
    without_image = [path for name, path in mask_of.items() if name not in image_of]
    if without_mask:
        raise DatasetError(
            f"Every image needs a mask of the same name. Received: {len(without_mask)} without: "
            f"{_name_some(without_mask)}. Add the masks (all 0 for no landslide)."
        )
    if without_image:
        raise DatasetError(
            f"Every mask needs an image of the same name. Received: {len(without_image)} without: "
            f"{_name_some(without_image)}. Add the images, or remove the masks."
        )
    return [(path, mask_of[name]) for name, path in image_of.items()]


def _by_name(paths: list[Path], prefix: str) -> dict[str, Path]:
    """Return name -> path; a name is that of the file without suffix and without `prefix`."""
    by_name: dict[str, Path] = {}
    for path in paths:
        name = path.stem.removeprefix(prefix)
        if name in by_name:
            raise DatasetError(
                "Tiles are told apart by their names without suffix. Received: "
                f"{by_name[name]} and {path.name}. Rename one."
            )
        by_name[name] = path
    return by_name


def select_part(
    pairs: list[tuple[Path, Path | None]], split_path: Path, part: str
) -> list[tuple[Path, Path | None]]:
    """Return the pairs whose image the split file puts in `part`."""
    part_of = _read_split(split_path)
    parts = sorted(set(part_of.values()))
    if part not in parts:
        raise DatasetError(
            f"The part must be one of {', '.join(parts)}. Received: {part!r}. "
            f"They are the parts of {split_path}."
        )
    present = {image.name for image, _ in pairs}
    missing = [file for file, its_part in part_of.items() if its_part == part]
    missing = [file for file in missing if file not in present]
    if missing:
        raise DatasetError(
            f"Every file of {split_path} must exist. Received: {len(missing)} missing of part "
            f"{part!r}: {_name_some(missing)}. Add them, or remove their lines."
        )
    unlisted = present - set(part_of)
    if unlisted:
        logger.warning(
            "%d images are in no part of %s: left out (%s)",
            len(unlisted),
            split_path,
            _name_some(sorted(unlisted), 3),
        )
    return [pair for pair in pairs if part_of.get(pair[0].name) == part]


def _read_split(split_path: Path) -> dict[str, str]:
    """Return file name -> part."""
    if not split_path.is_file():
        raise DatasetError(
            f"A part needs a table of the split, with columns file and part. Received: no "
            f"{split_path}. Add it, or use the whole folder."
        )
    with open(split_path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"file", "part"} <= set(rows[0]):
        columns = list(rows[0]) if rows else "no rows"
        raise DatasetError(
            f"A split needs the columns file and part. Received: {split_path} with {columns}. "
            "Add a first line 'file,part'."
        )
    return {row["file"]: row["part"] for row in rows}


def _name_some(names: Iterable[object], limit: int = 10) -> str:
    """Return the first `limit` names, and how many more there are."""
    names = [str(name) for name in names]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
