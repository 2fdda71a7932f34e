"""Log folders and checkpoints as matterport names them, and what their names tell.

`<model_dir>/<name><yyyymmddThhmm>/<architecture>_<name>_<epoch>.weights.h5`, where matterport's
only architecture is mask_rcnn.
"""

import datetime
import re
from pathlib import Path
from typing import NamedTuple

_CHECKPOINT = re.compile(
    r".*[/\\][\w-]+?(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})[/\\]\w+?_[\w-]+?_(\d{4})(\.weights)?\.h5"
)


class LogFolder(NamedTuple):
    """Where a training writes, and the epochs that are done.

    Attributes:
        epoch: Epochs that are done.
        log_dir: The folder; not made here.
        checkpoint_path: With `{epoch:04d}` in it.
    """

    epoch: int
    log_dir: str
    checkpoint_path: str


def log_folder(
    model_dir: Path, name: str, architecture: str, model_path: str | Path | None = None
) -> LogFolder:
    """Name the log folder of a training.

    Args:
        model_dir: Folder of all log folders.
        name: `Config.NAME`.
        architecture: `Config.ARCHITECTURE`.
        model_path: Weights that are loaded. A checkpoint of ours, or of matterport's, continues
            its epochs in a folder of the same time; anything else starts a new one.
    """
    epoch, started = 0, datetime.datetime.now()
    match = _CHECKPOINT.match(str(model_path)) if model_path else None
    if match:
        started = datetime.datetime(*(int(part) for part in match.groups()[:5]))
        epoch = int(match.group(6))
    folder = model_dir / f"{name.lower()}{started:%Y%m%dT%H%M}"
    file_name = f"{architecture}_{name.lower()}_{{epoch:04d}}.weights.h5"
    return LogFolder(epoch, str(folder), str(folder / file_name))
