"""Where the data that is not part of the project lies, and whether it is here.

`LANDSLIDE_GOLDENS` names the folder with other implementations' outputs, `LANDSLIDE_DATA` the one
with real imagery; by default they are beside the checkout.
"""

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).parents[2] / ".." / "shared"
DEFAULT_GOLDENS = _BESIDE / "goldens"
GOLDENS = Path(os.environ.get("LANDSLIDE_GOLDENS") or DEFAULT_GOLDENS)
DATA = Path(os.environ.get("LANDSLIDE_DATA") or _BESIDE / "data")


def data_file(relative: str) -> Path:
    """Return a path below DATA."""
    return DATA / relative


def needs_data(relative: str) -> pytest.MarkDecorator:
    """Mark tests that a file or folder of the real data must be there for."""
    path = data_file(relative)
    return pytest.mark.skipif(not path.exists(), reason=f"needs real data: {path} is not here")
