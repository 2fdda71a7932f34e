"""Every command that README, guides, samples and notebooks tell of can be typed as it stands."""

import importlib
import json
import re
import shlex
from pathlib import Path

import click
import pytest

from landslide_rcnn.cli import main

ROOT = Path(__file__).parents[1]
GUIDES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "samples/*/*.md", "notebooks/*.md", "notebooks/*.ipynb")
    for path in ROOT.glob(pattern)
)


def prose_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
    return re.sub(r"\\\n\s*", "", text)


def commands_of(path: Path) -> list[tuple[click.Group, list[str]]]:
    """Group and words of each command; not of a bare name, nor of what ends in three dots."""
    found = []
    for match in re.finditer(
        r"(landslide-rcnn|python -m samples\.(\w+)) ([^`\n|;]*)", prose_of(path)
    ):
        _, sample, rest = match.groups()
        group = importlib.import_module(f"samples.{sample}.__main__").main if sample else main
        words = shlex.split(rest.split("&&")[0], comments=True)
        if len(words) > 1 and words[-1] != "...":
            found.append((group, words))
    return found


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_are_told_of_can_be_typed(path):
    for group, (name, *words) in commands_of(path):
        assert name in group.commands, f"{name} {words}"
        try:
            group.commands[name].make_context(name, words)
        except click.UsageError as error:
            pytest.fail(f"{name} {' '.join(words)}: {error.format_message()}")


def test_commands_are_found():
    """In blocks, over several lines, in notebooks, and of samples."""

    def told(path):
        return [words for _, words in commands_of(ROOT / path)]

    assert ["report", "map", "--truth", "landslides.gpkg", "-o", "report.html"] in told("README.md")
    assert any("--max-elevation" in words for words in told("README.md"))
    assert [words[:3] for words in told("notebooks/inspect_data.ipynb")] == [
        ["dataset", "DATA"],
        ["factors", "--like", "SCENE.tif"],
    ]
    groups = {group for group, _ in commands_of(ROOT / "samples/bijie/README.md")}
    assert groups - {main}
