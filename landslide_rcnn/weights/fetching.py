"""Fetching a public weight file into a cache: resumed when broken off, checked before it counts.

    URL -> <name>.part (and <name>.part.tag, which tells the server what we have) -> check -> <name>

A file has its own name only after its check, so that whatever lies there is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import socket
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from landslide_rcnn.errors import WeightsError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

BLOCK = 1 << 18  # bytes
TRY_AGAIN = (408, 425, 429)  # answers that may change by waiting, besides all from 500
Check = Callable[[Path], None]


@dataclass(frozen=True)
class PublicFile:
    """A file that everybody may fetch.

    Attributes:
        url: https, or http.
        check: Raises WeightsError unless the file is the one that was published.
    """

    url: str
    check: Check

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


class _Interrupted(Exception):
    """The transfer broke off; what has come can be continued."""


def cache_folder() -> Path:
    """Return LANDSLIDE_RCNN_CACHE, or `landslide_rcnn` in Keras' own folder, `~/.keras`."""
    own = os.environ.get("LANDSLIDE_RCNN_CACHE")
    keras_home = os.environ.get("KERAS_HOME", "~/.keras")
    return Path(own or Path(keras_home) / "landslide_rcnn").expanduser()


def has_digest(algorithm: str, beginning: str) -> Check:
    """Return a check that a file's hex digest begins so."""

    def check(path: Path) -> None:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
        if not found.startswith(beginning):
            raise WeightsError(
                f"A fetched file must be the one that was published. Received: {path.name} with "
                f"{algorithm} {found}, not {beginning}. Fetch it again."
            )

    return check


def fetch(
    public: PublicFile,
    *,
    folder: Path | None = None,
    progress: bool = True,
    timeout_s: float = 30,
    pauses_s: tuple[float, ...] = (1, 3, 5),
) -> Path:
    """Return the checked file in the cache, fetched if need be.

    Args:
        public: The file.
        folder: Of the cache; None for `cache_folder()`.
        progress: Show a bar on stderr.
        timeout_s: Seconds without a byte after which the transfer counts as broken off.
        pauses_s: Seconds to wait before each further try. A try continues where the last one
            broke off; so does the next call.

    Returns:
        Its path.

    Raises:
        WeightsError: It cannot be fetched, or is not the published one; the message tells the
            way by hand.
    """
    if not public.url.startswith(("https://", "http://")):
        raise WeightsError(
            f"Weights are fetched by https. Received: {public.url}. Give a file's path instead."
        )
    final = (folder or cache_folder()) / public.name
    if _is_whole(final, public.check):
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _own_part(final) as part:
            if not _is_whole(final, public.check):  # another process may have been faster
                if not _is_whole(part, public.check):  # else only its name was missing
                    _transfer_with_retries(public.url, part, progress, timeout_s, pauses_s)
                    _check_or_remove(part, public.check)
                os.replace(part, final)
                _tag_path(part).unlink(missing_ok=True)
    except (OSError, WeightsError, _Interrupted, http.client.HTTPException) as error:
        raise WeightsError(
            f"{public.name} must be fetched once. Received: {_reason(error)}. By hand: download "
            f"{public.url} on any machine and put it at {final}, or give its path instead of the "
            "word."
        ) from error
    return final


def _is_whole(path: Path, check: Check) -> bool:
    """Whether a file is there and passes; one that does not is fetched anew, not trusted."""
    if not path.is_file():
        return False
    try:
        check(path)
    except WeightsError:
        return False
    return True


def _check_or_remove(part: Path, check: Check) -> None:
    try:
        check(part)
    except WeightsError:
        part.unlink()  # continuing it would only fail again
        _tag_path(part).unlink(missing_ok=True)
        raise


def _reason(error: object) -> str:
    error = getattr(error, "reason", None) or error  # urllib wraps what happened
    return " ".join(str(error).split()) or type(error).__name__


# --- One writer for each part -----------------------------------------------------------------


@contextlib.contextmanager
def _own_part(final: Path) -> Iterator[Path]:
    """Give a path to write to that no other process writes to at the same time.

    The usual one survives a broken transfer and is continued. If another process is writing it,
    or the system cannot tell, a private one is used and removed.
    """
    part = final.with_name(f"{final.name}.part")
    lock = _lock(part)
    if lock is not None:
        with lock:
            yield part
        return
    private = final.with_name(f"{final.name}.part-{uuid.uuid4().hex[:8]}")
    try:
        yield private
    finally:
        private.unlink(missing_ok=True)
        _tag_path(private).unlink(missing_ok=True)


def _lock(part: Path) -> BinaryIO | None:
    """Lock a part until the file that is returned is closed; None if another process has it."""
    if fcntl is None:
        return None
    file = open(part, "ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Not if another process has just finished it and moved it to its final name.
        if os.path.samestat(os.fstat(file.fileno()), os.stat(part)):
            return file
    except OSError:
        pass  # another process has it, or the file system knows no locks: a private part serves
    file.close()
    return None


# --- The transfer -----------------------------------------------------------------------------


def _transfer_with_retries(
    url: str, part: Path, progress: bool, timeout_s: float, pauses_s: tuple[float, ...]
) -> None:
    for pause in (*pauses_s, None):
        try:
            return _transfer(url, part, progress, timeout_s)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # the part is no beginning of the file as it is now
                os.truncate(part, 0)
            elif error.code < 500 and error.code not in TRY_AGAIN:
                raise WeightsError(f"the server answers {error.code} {error.reason}") from error
            broken: Exception = error
        except (_Interrupted, OSError, http.client.HTTPException) as error:
            unknown_host = isinstance(getattr(error, "reason", None), socket.gaierror)
            if unknown_host or getattr(error, "filename", None) is not None:
                raise  # no network at all, or this machine's disk
            broken = error
        if pause is None:
            raise _Interrupted(f"{_reason(broken)}, after {len(pauses_s) + 1} tries") from broken
        time.sleep(pause)


def _transfer(url: str, part: Path, progress: bool, timeout_s: float) -> None:
    """Fetch what is missing of a file; `_Interrupted` if it ends early."""
    request = urllib.request.Request(url, headers={"User-Agent": "landslide_rcnn"})
    have, tag = _have(part), _tag(part)
    if have and tag:
        # Only if it is still the same file: else the server sends all of it.
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", tag)
    with _OPENER.open(request, timeout=timeout_s) as response:
        if url.startswith("https:") and not response.url.startswith("https:"):
            raise WeightsError(f"the server leads to {response.url}, which is not https")
        if response.status != 206:
            have = 0  # all of it comes, whatever was asked for
        elif _range_start(response) != have:
            os.truncate(part, 0)
            raise _Interrupted("the server sent another part than the one asked for")
        total = int(response.headers.get("Content-Length") or 0) + have
        _tag_path(part).write_text(_tag_of(response), encoding="utf-8")
        bar = tqdm(
            desc=part.name.partition(".part")[0],
            total=total or None,
            initial=have,
            unit="B",
            unit_scale=True,
            disable=not progress,
            file=sys.stderr,
        )
        with bar, open(part, "r+b" if part.exists() else "wb") as file:
            file.truncate(have)
            file.seek(have)
            while block := response.read1(BLOCK):
                file.write(block)
                have += len(block)
                bar.update(len(block))
            file.flush()
            os.fsync(file.fileno())
    if have < total:
        raise _Interrupted(f"the transfer broke off after {have} of {total} bytes")


def _have(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _tag_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _tag(part: Path) -> str:
    path = _tag_path(part)
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def _tag_of(response) -> str:
    """What names this version of the file: a strong ETag, or the time of its last change."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _range_start(response) -> int:
    """`Content-Range: bytes 100-199/200` -> 100; -1 if there is none."""
    words = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")
    return int(words[0]) if words[0].isdigit() else -1


def _build_opener() -> urllib.request.OpenerDirector:
    """An opener that knows http and https only: no redirect leads to a file or to ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


_OPENER = _build_opener()
