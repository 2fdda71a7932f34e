"""The folder of a map while it is made: `.unfinished/` inside the output folder.

    .unfinished/run.json     what is mapped, with what: a resumed run must be the same
    .unfinished/units/       finished units (`journal.py`)
    .unfinished/work/        rasters in the making
    .unfinished/staging/     result files, until all are complete
    .unfinished/publishing   there once they are: from then on they are moved, whatever happens

A run that stops at any moment, by an error, Ctrl-C or kill -9, leaves earlier results as they
were and this folder, and `resume` goes on from it. Moving the results is repeated by the next
run if it was cut off, so that the output folder never holds half of two maps for long.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from landslide_rcnn.errors import LandslideError, RasterError
from landslide_rcnn.files import as_json, refuse_to_overwrite, write_json
from landslide_rcnn.inference.journal import Journal

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FOLDER_NAME = ".unfinished"
ADVICE = "Use --resume (resume=True) to finish it, or --overwrite (overwrite=True) to start anew."


class UnfinishedRunError(LandslideError, FileExistsError):
    """An unfinished run is in the way, or is not the one that shall be resumed."""


class RunFolder:
    """An open run.

    Attributes:
        journal: Its finished units.
        work: Folder for files that are not results.
        staging: Folder for result files.
    """

    def __init__(self, output_dir: Path) -> None:
        self._output_dir = output_dir
        self._folder = output_dir / FOLDER_NAME
        self.work, self.staging = self._folder / "work", self._folder / "staging"
        for folder in (self.work, self.staging):
            if folder.exists():
                shutil.rmtree(folder)  # of a run that was stopped
            folder.mkdir()
        self.journal = Journal(self._folder / "units")

    def publish(self, known_names: Sequence[str]) -> None:
        """Move the files in `staging` to the output folder, and remove the run's own folder.

        Args:
            known_names: Of all files that a map may have: those that this one does not have
                are removed from the output folder, since they belong to an earlier map.
        """
        made = sorted(path.name for path in self.staging.iterdir())
        stale = sorted(set(known_names) - set(made))
        write_json(self._folder / "publishing", {"move": made, "remove": stale})
        _move_results(self._output_dir)


@contextlib.contextmanager
def open_run(
    output_dir: str | Path,
    fingerprint: dict[str, Any],
    *,
    result_names: Sequence[str],
    resume: bool,
    overwrite: bool,
    inputs: Iterable[str | Path] = (),
) -> Iterator[RunFolder]:
    """Begin a run, or go on with the one that is there; one process at a time.

    Args:
        output_dir: For the results; made if it is missing.
        fingerprint: What decides the result, of JSON's types. A resumed run must have the same.
        result_names: Files that must not be there unless `overwrite`.
        resume: Go on with an unfinished run; begin one where there is none.
        overwrite: Replace results, or an unfinished run.
        inputs: Files that the results are made of, and must not replace.

    Raises:
        OutputExistsError: Results are there, and `overwrite` is not set.
        UnfinishedRunError: An unfinished run is there and `resume` is not set, or it is another
            one, or another process is at work on it.
        RasterError: Results cannot be written into `output_dir`; see `check_output_dir`.
    """
    output_dir = Path(output_dir)
    folder = output_dir / FOLDER_NAME
    check_output_dir(
        output_dir,
        result_names,
        resume=resume and folder.exists(),
        overwrite=overwrite,
        inputs=inputs,
    )
    made = not output_dir.exists()
    fingerprint = as_json(fingerprint)
    with contextlib.ExitStack() as until_exit:
        if folder.exists():
            until_exit.enter_context(locked(folder))
            if resume:
                _check_same(output_dir, fingerprint)
            else:
                shutil.rmtree(folder)  # checked above: asked for, or nobody's
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)  # two may begin at once: one gets the lock
            until_exit.enter_context(locked(folder))
            write_json(folder / "run.json", fingerprint)
        run = RunFolder(output_dir)
        try:
            yield run
        finally:
            if folder.exists() and not len(run.journal):  # nothing worth keeping
                shutil.rmtree(folder)
                if made and not any(output_dir.iterdir()):
                    output_dir.rmdir()


def finish_publishing(output_dir: str | Path) -> None:
    """Move the rest of results whose moving was cut off; nothing to do as a rule."""
    folder = Path(output_dir) / FOLDER_NAME
    if (folder / "publishing").exists():
        with locked(folder):
            _move_results(Path(output_dir))
    elif folder.exists() and not (folder / "run.json").exists():
        with locked(folder):
            shutil.rmtree(folder)  # its results were moved, or it had not begun


def check_output_dir(
    output_dir: str | Path,
    result_names: Sequence[str],
    *,
    resume: bool,
    overwrite: bool,
    inputs: Iterable[str | Path] = (),
) -> None:
    """Refuse a folder that a run cannot begin in; cheap, to be called before a model is loaded.

    Args:
        output_dir: For the results.
        result_names: Files that must not be there unless `overwrite`.
        resume: Whether an unfinished run, and results that it may replace, are welcome.
        overwrite: Whether both may be replaced.
        inputs: Files that must not be replaced, whatever is asked for.

    Raises:
        OutputExistsError, UnfinishedRunError: As `open_run` does.
        RasterError: `output_dir` is a file, lies in one, or cannot be written to; a result would
            take the place of a folder, or of an input.
    """
    output_dir = Path(output_dir)
    _check_writable(output_dir)
    results = [output_dir / name for name in result_names]
    taken = [path for path in results if path.is_dir()]
    if taken:
        raise RasterError(
            f"A result cannot take the place of a folder. Received: {taken[0]}, a folder. "
            "Rename it, or choose another output folder."
        )
    places = {path.resolve() for path in results}
    replaced = [path for path in inputs if Path(path).resolve() in places]
    if replaced:
        raise RasterError(
            "A map cannot replace what it is made of. Received: "
            f"{replaced[0]}, which is called like a result in {output_dir}. Choose another output "
            "folder."
        )
    if resume or overwrite:
        return
    if (output_dir / FOLDER_NAME / "run.json").exists():
        raise UnfinishedRunError(
            f"A map begins in a folder without an unfinished one. Received: {output_dir}, where "
            f"an earlier run was stopped. {ADVICE}"
        )
    refuse_to_overwrite(*results, overwrite=False)


def _check_writable(output_dir: Path) -> None:
    """Refuse a folder that is, or would be made, where nothing can be written."""
    around = next(path for path in (output_dir, *output_dir.absolute().parents) if path.exists())
    if not around.is_dir():
        raise RasterError(
            f"Results are written into a folder. Received: {output_dir}, where {around} is a file. "
            "Name a folder."
        )
    if not os.access(around, os.W_OK | os.X_OK):
        raise RasterError(
            f"Results must be writable. Received: {output_dir}, where {around} is read-only. "
            "Choose another output folder, or ask for the right to write."
        )


def _check_same(output_dir: Path, fingerprint: dict[str, Any]) -> None:
    """Check that the unfinished run that is there is the one to resume."""
    folder = output_dir / FOLDER_NAME
    try:
        stored = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        shutil.rmtree(folder)  # killed before its first tile, or after its last
        return
    differing = differences(stored, fingerprint)
    if differing:
        raise UnfinishedRunError(
            "A run is resumed with the scene, the model and the settings that it began with. "
            f"Received: {'; '.join(differing)}, for {output_dir}. Use the former ones, or "
            "--overwrite (overwrite=True) without --resume to start anew."
        )


def differences(stored: Any, given: Any, name: str = "") -> list[str]:
    """Return "name: stored, now given" for each entry of two nested dicts that differs."""
    if isinstance(stored, dict) and isinstance(given, dict):
        found = []
        for key in sorted(stored.keys() | given.keys()):
            path = f"{name}.{key}" if name else key
            found += differences(stored.get(key), given.get(key), path)
        return found
    return [] if stored == given else [f"{name} {_short(stored)}, now {_short(given)}"]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _move_results(output_dir: Path) -> None:
    """Move what is staged; may be cut off anywhere and called again."""
    folder = output_dir / FOLDER_NAME
    plan = json.loads((folder / "publishing").read_text(encoding="utf-8"))
    for name in plan["remove"]:
        (output_dir / name).unlink(missing_ok=True)
    for name in plan["move"]:
        if (folder / "staging" / name).exists():  # else it was moved before the cut
            os.replace(folder / "staging" / name, output_dir / name)
    # A folder without it is nobody's: should removing the rest be cut off, the next run does it.
    (folder / "run.json").unlink(missing_ok=True)
    shutil.rmtree(folder)


@contextlib.contextmanager
def locked(folder: Path, work: str = "a map") -> Iterator[None]:
    """Keep other processes out; the lock goes with the process, however that ends.

    Raises:
        UnfinishedRunError: Another process is at work in `folder`.
    """
    with (folder / "lock").open("w") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UnfinishedRunError(
                    f"One process at a time works on {work}. Received: "
                    f"{folder.parent}, where another one is at work. Wait for it, or stop it."
                ) from None
        yield
