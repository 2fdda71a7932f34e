"""How a stage of a training is written on the command line."""

import pytest

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.training import Stage


@pytest.mark.parametrize(
    "text,expected",
    [
        ("heads:50:1e-4:8", Stage("heads", 50, 1e-4, 8)),
        ("all:100:1e-5", Stage("all", 100, 1e-5)),
        ("heads:50:1:8", Stage("heads", 50, 1.0, 8)),
        ("(?:res5.*|score):3:0.01", Stage("(?:res5.*|score)", 3, 0.01)),
    ],
)
def test_the_commands_words(text, expected):
    assert Stage.parse(text) == expected


@pytest.mark.parametrize("text", ["heads", "heads:50", "heads:0:1e-4", "all:5:0", "all:5:x"])
def test_mistakes(text):
    with pytest.raises(ConfigError, match="Use heads:50:1e-4:8"):
        Stage.parse(text)
