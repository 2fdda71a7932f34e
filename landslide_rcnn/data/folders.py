"""The files of a folder of tiles: which image goes with which mask, and the parts of a split.

Used by `data/mask_folders.py`. Nothing is read but names and the table of the split. What is
missing raises, or is noted where a list of problems is given and the rest is to be opened.
"""

import logging
from pathlib import Path

from landslide_rcnn.data.image_files import IMAGE_SUFFIXES
from landslide_rcnn.data.problems import Problem, name_some
from landslide_rcnn.data.split_files import parts_of, read_split
from landslide_rcnn.errors import DatasetError

logger = logging.getLogger(__name__)

IMAGE_FOLDERS, MASK_FOLDERS = ("image", "images", "img"), ("mask", "masks")
SPLIT_FILE = "split.csv"
NAMED = 10  # files in a message
SPEC_FORMS = (
    "Use a folder of tiles, FOLDER or FOLDER#PART (image/ and mask/, or landslide/image, "
    "landslide/mask and non-landslide/image), labels of COCO, VIA or labelme, FILE.json or their "
    "folder, or a scene with its polygons, SCENE.tif:POLYGONS.gpkg; each with #PART@SPLIT.csv "
    "for a part of a split."
)


def is_tile_folder(root: Path) -> bool:
    """Whether a folder has one of the layouts of images with masks.

    Images without masks may belong to a file of labels beside them (`landslide-rcnn tile`).
    """
    with_masks = any(all(_folders(folder)) for folder in (root, root / "landslide"))
    return with_masks or bool(_folders(root / "non-landslide")[0])


def find_pairs(root: Path, problems: list[Problem] | None = None) -> list[tuple[Path, Path | None]]:
    """Return (image, mask or None) of every tile of a folder, in the order of names.

    Args:
        root: The folder.
        problems: Gets the images without mask and the masks without image, which are then left
            out; None: they raise.

    Raises:
        DatasetError: The folder has neither layout, or holds no images; see `problems`.
    """
    if not root.is_dir():
        raise DatasetError(f"The folder of tiles must exist. Received: {root}. {SPEC_FORMS}")
    landslide_images, landslide_masks = _folders(root / "landslide")
    other_images, _ = _folders(root / "non-landslide")
    plain_images, plain_masks = _folders(root)
    if landslide_images or other_images:
        pairs = _pair(landslide_images, landslide_masks, problems)
        pairs += [(path, None) for path in _images_in(other_images)]
    elif plain_images:
        pairs = _pair(plain_images, plain_masks, problems)
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


def _folders(root: Path) -> tuple[Path | None, Path | None]:
    def first_of(*names: str) -> Path | None:
        return next((root / name for name in names if (root / name).is_dir()), None)

    return first_of(*IMAGE_FOLDERS), first_of(*MASK_FOLDERS)


def _images_in(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )


def _pair(
    images: Path | None, masks: Path | None, problems: list[Problem] | None
) -> list[tuple[Path, Path | None]]:
    """Pair images and masks by their names; each must have the other.

    Names are compared without suffix, and without `image_` and `mask_` before them, which is
    how Landslide4Sense (Ghorbanzadeh et al. 2022) tells the two apart.
    """
    image_of = _by_name(_images_in(images), "image_", problems)
    mask_of = _by_name(_images_in(masks), "mask_", problems)
    without_mask = [path for name, path in image_of.items() if name not in mask_of]
    without_image = [path for name, path in mask_of.items() if name not in image_of]
    if problems is not None:
        text = "no {} of the same name. Add it, or remove this file"
        problems += [Problem("missing_mask", str(p), text.format("mask")) for p in without_mask]
        problems += [Problem("missing_image", str(p), text.format("image")) for p in without_image]
    elif without_mask:
        raise DatasetError(
            f"Every image needs a mask of the same name. Received: {len(without_mask)} without: "
            f"{name_some(without_mask, NAMED)}. Add the masks (all 0 for no landslide)."
        )
    elif without_image:
        raise DatasetError(
            f"Every mask needs an image of the same name. Received: {len(without_image)} without: "
            f"{name_some(without_image, NAMED)}. Add the images, or remove the masks."
        )
    return [(path, mask_of[name]) for name, path in image_of.items() if name in mask_of]


def _by_name(paths: list[Path], prefix: str, problems: list[Problem] | None) -> dict[str, Path]:
    """Return name -> path; a name is that of the file without suffix and without `prefix`."""
    by_name: dict[str, Path] = {}
    for path in paths:
        name = path.stem.removeprefix(prefix)
        if name in by_name and problems is not None:
            text = f"its name without suffix is that of {by_name[name].name}. Rename one"
            problems.append(Problem("names", str(path), text))
            continue
        if name in by_name:
            raise DatasetError(
                "Tiles are told apart by their names without suffix. Received: "
                f"{by_name[name]} and {path.name}. Rename one."
            )
        by_name[name] = path
    return by_name


def select_part(
    pairs: list[tuple[Path, Path | None]],
    split_path: Path,
    part: str,
    problems: list[Problem] | None = None,
) -> list[tuple[Path, Path | None]]:
    """Return the pairs whose image the split file puts in `part`, or in one of `one+other`."""
    part_of = read_split(split_path)
    parts = sorted(set(part_of.values()))
    chosen = parts_of(part)
    if not set(chosen) <= set(parts):
        raise DatasetError(
            f"The part must be one of {', '.join(parts)}. Received: {part!r}. "
            f"They are the parts of {split_path}."
        )
    present = {image.name for image, _ in pairs}
    missing = [file for file, its_part in part_of.items() if its_part in chosen]
    missing = [file for file in missing if file not in present]
    if missing and problems is not None:
        text = f"is of part {part!r} by {split_path}, and missing. Add it, or remove its line"
        problems += [Problem("missing_image", file, text) for file in missing]
    elif missing:
        raise DatasetError(
            f"Every file of {split_path} must exist. Received: {len(missing)} missing of part "
            f"{part!r}: {name_some(missing, NAMED)}. Add them, or remove their lines."
        )
    unlisted = present - set(part_of)
    if unlisted:
        logger.warning(
            "%d images are in no part of %s: left out (%s)",
            len(unlisted),
            split_path,
            name_some(sorted(unlisted), 3),
        )
    return [pair for pair in pairs if part_of.get(pair[0].name) in chosen]
