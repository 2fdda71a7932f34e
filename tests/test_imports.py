"""Rooms import only rooms below them, and the door opens without TensorFlow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "landslide_rcnn"

# Each room, and the rooms that it may import besides itself.
BASE = {
    *("errors", "files", "prediction", "versions", "startup", "palette"),
    *("config", "config_rules", "experiments"),
}
ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "prediction": set(),
    "versions": set(),
    "palette": set(),
    "config": {"errors", "config_rules", "nn"},
    "config_rules": {"errors", "nn"},
    "experiments": {"errors", "config"},
    "precision": set(),
    "startup": set(),
    "devices": {"errors"},
    "building": BASE | {"nn", "precision"},
    "geo": BASE,
    "data": BASE | {"geo"},
    "nn": {"errors"},
    "weights": BASE | {"nn"},
    "boxes": {"errors", "nn"},
    "training": BASE | {"data", "nn", "weights", "devices"},
    "molding": BASE | {"data"},
    "matterport": BASE | {"boxes", "data", "nn", "training", "molding"},
    "face": BASE | {"building", "devices", "nn", "weights", "training", "matterport"},
    "model": BASE | {"building", "face", "nn", "training", "molding", "matterport"},
    "segmenter": BASE | {"face", "data", "nn", "weights", "training", "molding"},
    "ensemble": {"errors", "prediction"},
    "loading": BASE | {"ensemble", "weights", "face", "model", "segmenter"},
    "inference": BASE | {"geo", "data"},
    "evaluation": BASE | {"geo", "data", "boxes", "inference"},
    "visualize": BASE | {"geo", "data", "inference", "evaluation"},
    "report": BASE | {"geo", "inference", "evaluation", "visualize"},
    "workflows": BASE
    | {"geo", "data", "nn", "weights", "building", "training", "face", "loading"}
    | {"inference", "evaluation", "visualize", "report"},
    "utils": BASE | {"boxes", "data", "weights", "evaluation", "matterport"},
    "cli": BASE | {"geo", "data", "inference", "evaluation", "workflows"},
}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports_of(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("landslide_rcnn"):
            if node.module == "landslide_rcnn":
                yield from (f"landslide_rcnn.{alias.name}" for alias in node.names)
            else:
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("landslide_rcnn."))


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=[str(p.relative_to(PACKAGE)) for p in MODULES])
def test_a_room_imports_only_what_it_may(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts == ("__init__",):
        return
    room = parts[0]
    used = {room_of(module) for module in imports_of(path)} - {room}
    assert used <= ALLOWED[room], f"{room} may not import {sorted(used - ALLOWED[room])}"


@pytest.mark.parametrize(
    "module", ["landslide_rcnn", "landslide_rcnn.cli", "landslide_rcnn.geo.raster"]
)
def test_importing_does_not_load_tensorflow(module):
    code = f"import sys, {module}; print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


COMMANDS = (
    *("", "demo", "dataset", "factors", "tile", "split"),
    *("train", "models", "detect", "fuse", "evaluate", "compare", "report"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_does_not_load_tensorflow(command):
    code = (
        "import sys\nfrom landslide_rcnn.cli import main\n"
        f"try: main({[command, '--help'] if command else ['--help']})\n"
        "except SystemExit as end: print('code', end.code)\n"
        "print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage:" in done.stdout and done.stdout.strip().endswith("code 0\nFalse")
