"""The notebooks run from top to bottom on generated data, and show what they promise."""

import json
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"

# Notebook -> how many pictures it shows, and numbers in its text: expression -> smallest value.
# `train` comes first: it leaves the model that others would train again.
EXPECTED: dict[str, tuple[int, dict[str, float]]] = {
    "train": (5, {r"validation F1 ([\d.]+)": 0.4, r"(\d+) landslides in": 3}),
    "inspect_data": (7, {r"images +(\d+)": 63, r"32 to 64 .* (\d+)%": 60}),
    "inspect_model": (11, {r"proposals reach (\d+)%": 50, r"mean AP50 .*: ([\d.]+)": 0.05}),
    "inspect_weights": (2, {r"(\d+) weights, 0 starred": 80, r"FPN +(\d+)": 8}),
    "fine_tune_new_disaster": (3, {r"F1 after: ([\d.]+)": 0.3}),
    "compare_models": (4, {r"validation F1 ([\d.]+)": 0.2}),
}
MINUTES = 10  # for one, on a machine that is busy with other things; alone it is a minute


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where all of them work: they share what is generated and trained."""
    return tmp_path_factory.mktemp("notebooks")


def texts_and_pictures(notebook) -> tuple[str, int]:
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    texts = [o.text for o in outputs if o.output_type == "stream"]
    shown = [o.data for o in outputs if "data" in o]
    texts += [data["text/plain"] for data in shown if "image/png" not in data]
    return "\n".join(texts), sum("image/png" in data for data in shown)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_a_notebook_runs_and_shows_what_it_promises(name, folder, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=60 * MINUTES,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    text, pictures = texts_and_pictures(notebook)
    wanted, numbers = EXPECTED[name]
    assert pictures == wanted
    for expression, least in numbers.items():
        found = re.search(expression, text)
        assert found is not None, f"{expression} is not in the output:\n{text}"
        assert float(found[1]) >= least, expression


def test_every_notebook_is_run_and_told_of():
    names = {path.stem for path in NOTEBOOKS.glob("*.ipynb")}
    assert names == set(EXPECTED)
    readme = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    for name in names:
        assert f"({name}.ipynb)" in readme and f"pictures/{name}." in readme


@pytest.mark.parametrize("name", EXPECTED)
def test_notebooks_are_stored_clean_and_explain_themselves(name):
    text = (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    cells = json.loads(text)["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert cells[0]["cell_type"] == "markdown" and "For your own" in "".join(cells[0]["source"])
    assert not re.search(r'"/|/(home|root|tmp)/', text)
    # Never three cells of code in a row without a word.
    kinds = "".join(cell["cell_type"][0] for cell in cells)
    assert "ccc" not in kinds


def test_pictures_and_notebooks_stay_small():
    files = [path for path in NOTEBOOKS.rglob("*") if path.is_file() and "output" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 1.5e6
