"""Opening files that others made: local paths only, few drivers, one-line errors.

Used by `rasterfile.py`, `validity.py` and `vector.py`. GDAL opens URLs, archives and virtual
rasters that read other files; none of that is wanted from a path that a user was handed, unless
the user says so.
"""

import contextlib
import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from landslide_rcnn.errors import GeoReferenceError, RasterError

# How a file of each format begins -> the one driver of GDAL that may open it. A Cloud Optimized
# GeoTIFF is a GeoTIFF.
RASTER_DRIVERS = {
    b"II*\x00": "GTiff",
    b"MM\x00*": "GTiff",
    b"II+\x00": "GTiff",  # BigTIFF
    b"MM\x00+": "GTiff",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"\x00\x00\x00\x0cjP  ": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",  # a bare codestream
}

# Read by GDAL when the first file is opened, in every thread. What the user has set is kept.
GDAL_SETTINGS = {
    # GDAL keeps decoded blocks: 5 % of the machine's memory unless it is told otherwise. A row of
    # blocks across a scene of 36000 px fits, so no block is decoded twice for a row of tiles.
    "GDAL_CACHEMAX": "256",  # MB
    # Without it the rest of a truncated JPEG is grey, and nothing says so.
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",
}
for _name, _value in GDAL_SETTINGS.items():
    os.environ.setdefault(_name, _value)

# A header can promise any size. What is beyond these is damage, or cannot be read by windows.
MAX_SIDE = 10_000_000  # pixels; 500 km at 5 cm
MAX_BLOCK_BYTES = 2**30  # GDAL decodes a block at once
MAX_VIRTUAL_DEPTH = 8  # of virtual rasters over virtual rasters

SCENE = "scene"  # what messages call a raster

_REMOTE = re.compile(r"^(/vsi|[A-Za-z][A-Za-z0-9+.-]+://)")
# Path("https://host/x") drops a slash: such a Path is remote as well.
_REMOTE_PATH = re.compile(r"^(https?|ftp|s3|gs|az|file|zip):/")
_VIRTUAL = (b"<OGRVRTDataSource", b"<VRTDataset", b"<GDALTileIndexDataset")


def local_file(path: str | Path, kind: str) -> Path:
    """Return `path` if it is a local file (or folder: some vector formats are one).

    Args:
        path: As the user gave it.
        kind: What the message calls the file, e.g. "scene".

    Raises:
        RasterError: It is a URL, a /vsi path, missing, or a virtual dataset.
    """
    text = str(path)
    if is_remote(text):
        raise RasterError(
            f"A {kind} must be a local file. Received: {text}. Download it and give its path"
            f"{', or use allow_remote=True' if kind == SCENE else ''}."
        )
    path = Path(path)
    if not path.exists():
        raise RasterError(
            f"A {kind} must be a file that exists. Received: {path}. Correct the path."
        )
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(1024).lstrip()
        if head.startswith(_VIRTUAL):
            raise RasterError(
                f"A {kind} must hold its data itself. Received: {path}, a virtual dataset that "
                "points to other files. Convert it with gdal_translate or ogr2ogr"
                f"{', or use allow_vrt=True' if kind == SCENE else ''}."
            )
    return path


class Access(NamedTuple):
    """What else may be opened than a local file that holds its own pixels.

    Attributes:
        vrt: Virtual rasters (VRT) over files that could be opened themselves.
        remote: URLs and GDAL's /vsi paths.
    """

    vrt: bool = False
    remote: bool = False


LOCAL = Access()


def is_remote(path: str | Path) -> bool:
    """Whether a path is a URL or one of GDAL's virtual file systems."""
    text = str(path)
    return bool(_REMOTE.match(text) or _REMOTE_PATH.match(text))


def open_raster(path: str | Path, access: Access = LOCAL) -> DatasetReader:
    """Open a raster to read.

    Raises:
        RasterError: It is missing, not local, not of a supported format, holds no bands, or says
            that it has a size that cannot be.
    """
    if access.remote and is_remote(path):
        drivers = list(dict.fromkeys([*RASTER_DRIVERS.values(), *(["VRT"] if access.vrt else [])]))
        place = re.sub(r"^(\w+):/(?!/)", r"\1://", str(path))
    else:
        drivers, place = [_local_driver(path, access)], Path(path)
    dataset = _opened_by_one_of(drivers, place, path)
    try:
        _check_sizes(dataset, path)
    except RasterError:
        dataset.close()
        raise
    return dataset


def _opened_by_one_of(drivers: list[str], place: str | Path, path: str | Path) -> DatasetReader:
    for driver in drivers:
        try:
            with warnings.catch_warnings():
                # Whether a georeference is needed is decided by the reader, with an error.
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                return rasterio.open(place, driver=driver)
        except RasterioIOError as error:
            reason = error
    raise _unreadable(path, one_line(reason)) from reason


def begins_like_a_raster(path: str | Path, access: Access = LOCAL) -> bool:
    """Whether a local file begins like a raster of a format that may be opened; URLs always do."""
    if is_remote(path):
        return access.remote
    if not Path(path).is_file():
        return False
    with Path(path).open("rb") as file:
        head = file.read(1024)
    return head.startswith(tuple(RASTER_DRIVERS)) or head.lstrip().startswith(b"<VRTDataset")


def _local_driver(path: str | Path, access: Access, depth: int = 0) -> str:
    """Return the driver for a local file; the files behind a virtual one are checked as well."""
    text = str(path)
    if access.vrt and not is_remote(text) and Path(path).is_file():
        with Path(path).open("rb") as file:
            if file.read(1024).lstrip().startswith(b"<VRTDataset"):
                _check_virtual(Path(path), access, depth)
                return "VRT"
    path = local_file(path, SCENE)
    if path.is_dir():
        raise RasterError(f"A scene must be one file. Received: {path}, a folder. Name the file.")
    with path.open("rb") as file:
        head = file.read(16)
        file.seek(0, os.SEEK_END)
        file.seek(max(file.tell() - 1024, 0))
        tail = file.read()
    driver = next((RASTER_DRIVERS[magic] for magic in RASTER_DRIVERS if head.startswith(magic)), "")
    if not driver:
        raise _unreadable(path, "it begins like none of them")
    if driver == "PNG" and b"IEND" not in tail:  # GDAL fills what is missing
        raise _unreadable(path, "it is cut off before its end")
    return driver


def _check_virtual(path: Path, access: Access, depth: int) -> None:
    """Raise unless a virtual raster reads only what could be opened without it."""
    try:
        parts = list(ElementTree.fromstring(path.read_bytes()).iter())
    except ElementTree.ParseError as error:
        raise _unreadable(path, one_line(error)) from error
    if depth > MAX_VIRTUAL_DEPTH:
        raise _unreadable(path, "virtual rasters that read each other")
    for part in parts:
        if part.tag not in ("SourceFilename", "SourceDataset"):
            continue
        name = (part.text or "").strip()
        if access.remote and is_remote(name):
            continue
        source = path.parent / name if part.get("relativeToVRT") == "1" else Path(name)
        _local_driver(name if is_remote(name) else source, access, depth + 1)


def _check_sizes(dataset: DatasetReader, path: str | Path) -> None:
    if dataset.count == 0:
        raise RasterError(
            f"A scene must have at least one band. Received: {path} with none. "
            "Name the file that holds the image."
        )
    if max(dataset.height, dataset.width) > MAX_SIDE:
        raise RasterError(
            f"A scene must have at most {MAX_SIDE} px a side. Received: {path}, whose header says "
            f"{dataset.height} x {dataset.width} px. Replace the file, or cut the scene."
        )
    rows, columns = dataset.block_shapes[0]
    together = dataset.count if dataset.profile.get("interleave") == "pixel" else 1
    block_bytes = rows * columns * together * np.dtype(dataset.dtypes[0]).itemsize
    if block_bytes > MAX_BLOCK_BYTES:
        raise RasterError(
            f"A scene must be readable in pieces of at most {MAX_BLOCK_BYTES >> 20} MB. Received: "
            f"{path}, compressed in blocks of {rows} x {columns} px ({block_bytes >> 20} MB). "
            "Convert it: gdal_translate -co TILED=YES."
        )


def read_bands(
    dataset: DatasetReader, bands: list[int], window: Window, path: str | Path, **options
) -> np.ndarray:
    """Read bands [C, h, w] of a window; `options` are rasterio's.

    Raises:
        RasterError: The file is damaged there; its name and the place are said.
    """
    with named_damage(path, window):
        return dataset.read(bands, window=window, **options)


@contextlib.contextmanager
def named_damage(path: str | Path, window: Window) -> Iterator[None]:
    """Turn GDAL's errors of reading into ours, which name the file and the place."""
    cause: RasterioError | None = None
    _listener.heard.message = None
    try:
        yield
        reason = _listener.heard.message
    except RasterioError as error:
        cause, reason = error, one_line(error.__cause__ or error)
    if reason is not None:
        raise RasterError(
            f"A scene must be readable throughout. Received: {path}, damaged at row "
            f"{window.row_off}, column {window.col_off} ({reason}). Replace the file."
        ) from cause


@contextlib.contextmanager
def given_as(role: str) -> Iterator[None]:
    """Say in errors which of a run's rasters it is, where it is not the scene."""
    try:
        yield
    except (RasterError, GeoReferenceError) as error:
        raise type(error)(f"{error} It was given as the {role}.") from error


class _JpegListener(logging.Filter):
    """Hears GDAL's warnings of JPEG tiles that it decodes to something, though they are broken."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "Corrupt JPEG data" in message and "extraneous bytes" not in message:
            self.heard.message = message
        return True


_listener = _JpegListener()
for _name in ("rasterio._err", "rasterio._env"):
    logging.getLogger(_name).addFilter(_listener)


def _unreadable(path: str | Path, reason: str) -> RasterError:
    return RasterError(
        "A scene must be a readable GeoTIFF, JPEG 2000, PNG or JPEG. "
        f"Received: {path} ({reason}). Convert or replace the file."
    )


def one_line(error: BaseException) -> str:
    """Return an error's message as one line."""
    return " ".join(str(error).split())
