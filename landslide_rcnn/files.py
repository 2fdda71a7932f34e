"""Writing files so that a crash never leaves half of one.

Used by every room that writes: a file is written beside its target, flushed to disk, and moved
into place with `os.replace`, which is atomic within one folder.
"""

import contextlib
import hashlib
import json
import os
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from landslide_rcnn.errors import LandslideError

# What `np.load` raises over a damaged `.npz`: where it is damaged decides which.
DAMAGED_ARCHIVE = (
    *(OSError, ValueError, KeyError, EOFError, TypeError, MemoryError),
    *(RuntimeError, zipfile.BadZipFile, zlib.error),  # an unknown compression, an encrypted file
)


class OutputExistsError(LandslideError, FileExistsError):
    """A result is already there and overwriting it was not asked for."""


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it becomes `path`, on error it is removed.

    The temporary name keeps the suffixes, since many writers choose the format by them.

    Args:
        path: The final file. Its folder is made if it is missing.

    Yields:
        The path to write to, in the same folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield partial
        with open(partial, "rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically. NaN is refused: it is not JSON."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def as_json(content: Any) -> Any:
    """Return `content` as reading it from a file of JSON gives it: tuples are lists there."""
    return json.loads(json.dumps(content))


def sha256_of(path: str | Path) -> str:
    """Return the hex digest of a file's bytes, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_to_overwrite(*paths: str | Path, overwrite: bool) -> None:
    """Raise unless none of `paths` exists or `overwrite` is set.

    Raises:
        OutputExistsError: One of them exists; the message names it and the option.
    """
    existing = [str(path) for path in paths if Path(path).exists()]
    if existing and not overwrite:
        raise OutputExistsError(
            f"Results are not replaced unless asked. Already there: {', '.join(existing)}. "
            "Use --overwrite (overwrite=True), or another output folder."
        )
