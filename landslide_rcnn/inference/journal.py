"""Finished units on disk: what a killed run does not have to predict again.

One small file a unit, written beside and renamed, with the digest of its content in front. Both
kinds of runner and `tiled.py` share it; `run_folder.py` says whether an old one may be used.
"""

import hashlib
import logging
import re
from pathlib import Path

from landslide_rcnn.files import atomic_path

logger = logging.getLogger(__name__)

_DIGEST_BYTES = hashlib.sha256().digest_size
_NAME = "unit-{:07d}.bin"


class Journal:
    """The finished units of one run.

    Args:
        folder: Of the unit files; made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".partial-*"):  # of a run that was killed while writing
            leftover.unlink()
        names = (path.name for path in folder.iterdir())
        self._finished = {int(name[5:-4]) for name in names if re.fullmatch(r"unit-\d+\.bin", name)}

    def __contains__(self, index: int) -> bool:
        return index in self._finished

    def __len__(self) -> int:
        return len(self._finished)

    def store(self, index: int, content: bytes) -> None:
        """Keep a unit; it is there wholly or not at all."""
        with atomic_path(self._folder / _NAME.format(index)) as partial:
            partial.write_bytes(hashlib.sha256(content).digest() + content)
        self._finished.add(index)

    def load(self, index: int) -> bytes | None:
        """Return a unit's content; None where it is not there, or damaged (which is said)."""
        if index not in self._finished:
            return None
        path = self._folder / _NAME.format(index)
        stored = path.read_bytes()
        digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() == digest:
            return content
        logger.warning("%s is damaged; its tiles are predicted again", path)
        self._finished.discard(index)
        return None
