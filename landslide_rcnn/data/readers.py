"""Training data as people have them -> one kind of dataset: `open_dataset` and its table.

What the data are is recognised from the files. Each reader has a file of its own: mask folders
(`mask_folders.py`, Landslide4Sense among them), COCO, VIA and labelme (`coco.py`, `via.py`,
`labelme.py`), and a scene with polygons (`scenes.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landslide_rcnn.data.annotated import AnnotatedDataset, Annotations, read_json
from landslide_rcnn.data.classes import parse_classes
from landslide_rcnn.data.coco import is_coco, read_coco
from landslide_rcnn.data.dataset import Dataset
from landslide_rcnn.data.folders import SPEC_FORMS, SPLIT_FILE, is_tile_folder
from landslide_rcnn.data.labelme import is_labelme, read_labelme
from landslide_rcnn.data.mask_folders import MaskFolderDataset
from landslide_rcnn.data.scenes import SceneDataset
from landslide_rcnn.data.split_files import PartOfSplit, parse_part, parts_of, take_part
from landslide_rcnn.data.tiles import InstanceRules
from landslide_rcnn.data.via import is_via, read_via
from landslide_rcnn.errors import DatasetError
from landslide_rcnn.geo.companions import Companion

__all__ = ["MaskFolderDataset", "SceneDataset", "open_dataset"]

OPTIONS = {
    "class": "the attribute that names the class (VIA, polygons)",
    "classes": "LABEL[:CLASS],... in the order of the class ids (labels, polygons)",
    "instances": "components or ids (masks)",
    "images": "the folder of the images (labels)",
}


@dataclass(frozen=True)
class Request:
    """What to open.

    Attributes:
        spec: Without part and options.
        part: Of a folder's split; None: all.
        options: Those of `OPTIONS` that were named.
        strict: Raise for single files at fault; else note them in `problems`.
        tiles: How a scene is cut and read: arguments of `SceneDataset`.
    """

    spec: str
    part: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    strict: bool = True
    tiles: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The spec as a file or folder."""
        return Path(self.spec)

    @property
    def classes(self) -> dict[str, str] | None:
        """Label -> class name, as asked for."""
        return parse_classes(self.options["classes"]) if "classes" in self.options else None


@dataclass(frozen=True)
class Reader:
    """One way to open training data.

    Attributes:
        name: For messages.
        recognises: Whether it is for a request.
        open: Request -> prepared dataset.
        options: Those it takes.
        has_parts: Whether it takes a part.
    """

    name: str
    recognises: Callable[[Request], bool]
    open: Callable[[Request], Dataset]
    options: tuple[str, ...]
    has_parts: bool = False


def open_dataset(
    spec: str | Path,
    *,
    part: str | None = None,
    tile_size: int = 256,
    overlap: int = 0,
    allow_no_crs: bool = False,
    companions: Sequence[Companion] = (),
    rules: InstanceRules | None = None,
    strict: bool = True,
) -> Dataset:
    """Open training data as the command line names it.

    Args:
        spec: One of
            `FOLDER`, `FOLDER#PART` (e.g. `bijie#train`, `bijie#train+val`): images with masks;
            `FILE.json`, or a folder with it: COCO or VIA labels;
            `FOLDER` of labelme files;
            `SCENE.tif:POLYGONS.gpkg`;
            each with `#PART@SPLIT.csv` after it, a part of a split file, or `#1+2@SPLIT.csv`;
            each with options after a question mark, e.g.
            `scene.tif:map.gpkg?class=kind&classes=slide,flow`; see `OPTIONS`.
        part: The part of a folder's split, unless `spec` names it.
        tile_size: Side of a tile cut from a scene, pixels; folders have their own tiles.
        overlap: Of tiles cut from a scene, pixels.
        allow_no_crs: Take a scene without CRS in pixel coordinates.
        companions: Further bands of a scene; images that are files have their own.
        rules: Which landslides are instances of a scene's tiles.
        strict: Raise where single files are missing or unreadable. Else they are noted in the
            dataset's `problems`, for a report.

    Returns:
        A prepared dataset.

    Raises:
        DatasetError: `spec` is none of these, or the data are not usable.
        RasterError, GeoReferenceError: Scene or polygons are not usable.
    """
    tiles = dict(tile_size=tile_size, overlap=overlap, allow_no_crs=allow_no_crs)
    tiles |= dict(companions=tuple(companions), rules=rules)
    spec, chosen = parse_part(str(spec))
    request = _parse(spec, part, strict, tiles)
    reader = next(reader for reader in READERS if reader.recognises(request))
    others = sorted(set(request.options) - set(reader.options))
    if others:
        known = ", ".join(reader.options)
        raise DatasetError(
            f"Options of {reader.name} are {known}. Received: {', '.join(others)} in "
            f"{str(spec)!r}. Leave them out."
        )
    if request.part is not None and not reader.has_parts:
        raise DatasetError(
            f"Only a folder of tiles has parts. Received: part={request.part!r} with "
            f"{str(spec)!r}. Leave part out."
        )
    dataset = reader.open(request)
    if request.part is not None:
        dataset.split = PartOfSplit(request.path / SPLIT_FILE, parts_of(request.part))
    return dataset if chosen is None else take_part(dataset, chosen)


def _parse(spec: str, part: str | None, strict: bool, tiles: dict[str, Any]) -> Request:
    """Take `PATH[#PART][?OPTION=VALUE&...]` apart."""
    options: dict[str, str] = {}
    place, mark, query = spec.partition("?")
    if mark and not Path(spec).exists():
        for pair in query.split("&"):
            name, equals, value = pair.partition("=")
            if name not in OPTIONS or not equals or not value:
                forms = "; ".join(f"{name}={text}" for name, text in OPTIONS.items())
                raise DatasetError(f"Options are {forms}. Received: {pair!r}. Correct it.")
            options[name] = value
        spec = place
    folder, hash_sign, named_part = spec.rpartition("#")
    if hash_sign and Path(folder).is_dir() and not Path(spec).exists():
        if part is not None and part != named_part:
            raise DatasetError(
                f"A part is named once. Received: {spec!r} and part={part!r}. Leave one out."
            )
        spec, part = folder, named_part
    return Request(spec, part, options, strict, tiles)


def _open_masks(request: Request) -> Dataset:
    return MaskFolderDataset.from_folder(
        request.path,
        request.part,
        instances=request.options.get("instances"),
        strict=request.strict,
    )


def _open_labels(request: Request) -> Dataset:
    is_folder = request.path.is_dir()
    paths = _json_files(request.path) if is_folder else [request.path]
    content = read_json(paths[0]) if len(paths) == 1 else None
    known = [read for is_format, read in LABEL_FORMATS if is_format(content)]
    if known:
        found = known[0](content, paths[0], request.options.get("class"))
    elif is_folder:
        found = read_labelme(paths)
    else:
        raise DatasetError(
            "Labels are JSON of COCO, VIA 1 or 2, or labelme. Received: "
            f"{request.path}, which is none of them. {SPEC_FORMS}"
        )
    folder = request.options.get("images")
    return AnnotatedDataset.from_annotations(
        found, classes=request.classes, image_folder=folder, strict=request.strict
    )


def _open_scene(request: Request) -> Dataset:
    scene_path, polygons_path = _split_scene_spec(request.spec)
    return SceneDataset(
        scene_path,
        polygons_path,
        class_attribute=request.options.get("class"),
        classes=request.classes,
        **request.tiles,
    )


def _json_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def _read_labelme_file(content: Any, path: Path, class_attribute: str | None) -> Annotations:
    return read_labelme([path])


def _read_coco_file(content: Any, path: Path, class_attribute: str | None) -> Annotations:
    return read_coco(content, path)


# How a JSON file is recognised and read.
LABEL_FORMATS = (
    (is_coco, _read_coco_file),
    (is_labelme, _read_labelme_file),
    (is_via, read_via),
)

# The first that recognises a request opens it; the last takes what is left.
READERS = (
    Reader(
        "a folder of masks",
        lambda request: is_tile_folder(request.path),
        _open_masks,
        ("instances",),
        has_parts=True,
    ),
    Reader(
        "a file of labels",
        lambda request: request.path.is_file() and request.path.suffix.lower() == ".json",
        _open_labels,
        ("class", "classes", "images"),
    ),
    Reader(
        "a folder of labels",
        lambda request: bool(_json_files(request.path)),
        _open_labels,
        ("class", "classes", "images"),
    ),
    Reader(
        "a folder",
        lambda request: request.path.is_dir(),
        _open_masks,  # says what a folder must hold
        ("instances",),
        has_parts=True,
    ),
    Reader(
        "a scene with polygons",
        lambda request: True,
        _open_scene,
        ("class", "classes"),
    ),
)


def _split_scene_spec(spec: str) -> tuple[str, str]:
    """Return scene and polygons of `SCENE.tif:POLYGONS.gpkg`; a colon may also be a drive's."""
    splits = [(spec[:i], spec[i + 1 :]) for i, letter in enumerate(spec) if letter == ":"]
    splits = [split for split in splits if split[1] and Path(split[0]).suffix]
    for scene, polygons in splits:
        if Path(scene).exists() and Path(polygons).exists():
            return scene, polygons
    if splits:
        missing = [path for path in splits[0] if not Path(path).exists()]
        raise DatasetError(
            f"Scene and polygons must exist. Received: {spec!r}, without "
            f"{' and '.join(missing)}. {SPEC_FORMS}"
        )
    raise DatasetError(f"Training data are a folder or a scene. Received: {spec!r}. {SPEC_FORMS}")
