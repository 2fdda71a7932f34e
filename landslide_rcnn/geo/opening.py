"""Opening files that others made: local paths only, few drivers, one-line errors.

Used by `raster.py`, `validity.py` and `vector.py`. GDAL opens URLs, archives and virtual rasters
that read other files; none of that is wanted from a path that a user was handed.
"""

import re
import warnings
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.io import DatasetReader

from landslide_rcnn.errors import RasterError

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

_REMOTE = re.compile(r"^(/vsi|[A-Za-z][A-Za-z0-9+.-]+://)")
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
    # Path("https://host/x") drops a slash: such a Path is remote as well.
    if _REMOTE.match(text) or re.match(r"^(https?|ftp|s3|gs|az|file|zip):/", text):
        raise RasterError(
            f"A {kind} must be a local file. Received: {text}. Download it and give its path."
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
                "points to other files. Convert it with gdal_translate or ogr2ogr."
            )
    return path


def open_raster(path: str | Path) -> DatasetReader:
    """Open a raster file to read.

    Raises:
        RasterError: It is missing, not local, not of a supported format, or holds no bands.
    """
    path = local_file(path, "scene")
    if path.is_dir():
        raise RasterError(f"A scene must be one file. Received: {path}, a folder. Name the file.")
    with path.open("rb") as file:
        head = file.read(16)
    driver = next((RASTER_DRIVERS[magic] for magic in RASTER_DRIVERS if head.startswith(magic)), "")
    if not driver:
        raise _unreadable(path, "it begins like none of them")
    try:
        with warnings.catch_warnings():
            # Whether a georeference is needed is decided by `Scene`, with an error.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path, driver=driver)
    except RasterioIOError as error:
        raise _unreadable(path, one_line(error)) from error
    if dataset.count == 0:
        dataset.close()
        raise RasterError(
            f"A scene must have at least one band. Received: {path} with none. "
            "Name the file that holds the image."
        )
    return dataset


def _unreadable(path: Path, reason: str) -> RasterError:
    return RasterError(
        "A scene must be a readable GeoTIFF, JPEG 2000, PNG or JPEG. "
        f"Received: {path} ({reason}). Convert or replace the file."
    )


def one_line(error: BaseException) -> str:
    """Return an error's message as one line."""
    return " ".join(str(error).split())
