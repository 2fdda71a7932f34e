"""The same networks on TensorFlow, JAX and PyTorch: the same numbers, and a training step."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.goldens import match_rows

ROOT = Path(__file__).parents[1]
STAGES = ("pyramid", "rpn_logits", "rpn_deltas", "box_logits", "box_deltas", "mask_logits")
pytestmark = pytest.mark.slow


def run_on(backend, folder, module="backend_run", kind=""):
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", f"tests.helpers.{module}", str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / f"{kind}{backend}.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("backends")


@pytest.fixture(scope="module")
def expected(folder):
    return run_on("tensorflow", folder)


@pytest.fixture(scope="module", params=["jax", "torch"])
def backend(request):
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.fixture(scope="module")
def found(backend, folder, expected):
    return run_on(backend, folder)


SEMANTIC = {"module": "backend_semantic", "kind": "semantic-"}


@pytest.fixture(scope="module")
def semantic_expected(folder):
    return run_on("tensorflow", folder, **SEMANTIC)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_answers_the_same(found, expected, stage):
    difference = np.abs(found[stage] - expected[stage]).max()
    assert difference < 1e-4 * np.abs(expected[stage]).max()


def test_the_same_is_detected(found, expected):
    rows, wanted = (
        np.column_stack([of[f"detect_{name}"] for name in ("rois", "class_ids", "scores")])
        for of in (found, expected)
    )
    assert len(rows) == len(wanted) > 3
    # A coordinate at half a pixel may be rounded either way.
    pairs = match_rows(rows, wanted, [1, 1, 1, 1, 0.1, 1e-4])
    assert (pairs >= 0).all()
    pixels = found["detect_masks"].sum(axis=(0, 1))[pairs]
    np.testing.assert_allclose(pixels, expected["detect_masks"].sum(axis=(0, 1)), atol=2)


def test_a_training_step_loses_the_same(found, expected):
    names = [name for name in expected if name.startswith("history_")]
    assert "history_loss" in names and "history_val_mrcnn_mask_edge_loss" in names
    for name in names:
        assert expected[name] > 0
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, err_msg=name)


def test_a_training_step_changes_every_weight_alike(found, expected):
    names = [name for name in expected if name.startswith("step_")]
    assert len(names) > 100
    for name in names:
        largest = np.abs(expected[name]).max()
        assert largest > 0, name
        # A change is the difference of two float32 weights of up to 1.
        difference = np.abs(found[name] - expected[name]).max()
        assert difference < 1e-3 * largest + 2e-7, name


def test_semantic_networks_answer_and_lose_the_same(backend, folder, semantic_expected):
    found = run_on(backend, folder, **SEMANTIC)
    assert len(found) == 2 * 3
    for name, expected in semantic_expected.items():
        largest = np.abs(expected).max()
        assert largest > 0 and np.abs(found[name] - expected).max() < 1e-4 * largest, name
