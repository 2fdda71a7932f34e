"""A whole training: its files, stages, early stopping, and going on after an interruption."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from landslide_rcnn.errors import ConfigError
from landslide_rcnn.files import OutputExistsError
from landslide_rcnn.inference.run_folder import UnfinishedRunError, locked
from landslide_rcnn.training import Stage, TrainingStateError
from landslide_rcnn.weights import read_card, read_weights
from landslide_rcnn.workflows import epochs as epochs_module
from landslide_rcnn.workflows import train as workflow
from landslide_rcnn.workflows.epochs import AfterEpoch
from landslide_rcnn.workflows.training_run import TrainingRun
from tests.training.pixel_model import Bright, PixelConfig, make_pixel_model, train

ROOT = Path(__file__).parents[2]
STAGES = (Stage("heads", 2, 0.05, 3), Stage("all", 2, 0.01))


class Killed(BaseException):
    """Stands for a kill: nothing in the package catches it."""


@pytest.fixture(autouse=True)
def small_model(monkeypatch):
    monkeypatch.setattr(workflow, "make_model", make_pixel_model)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A training of four epochs and one in two stages."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workflow, "make_model", make_pixel_model)
        train(folder / "one")
        train(folder / "two", epochs=None, stages=STAGES)
    return folder


def history(folder):
    with open(folder / "history.csv", newline="") as file:
        return [{k: float(v or "nan") for k, v in row.items()} for row in csv.DictReader(file)]


def saved(folder) -> dict[str, list[np.ndarray]]:
    with read_weights(folder / "model.weights.h5") as named:
        return {name: [np.asarray(a) for a in arrays] for name, arrays in named.items()}


def assert_same_training(made: Path, expected: Path) -> None:
    """Bit for bit: weights, card's figures and history; seconds are another matter."""
    ours, theirs = saved(made), saved(expected)
    assert set(ours) == set(theirs) == {"conv1", "score"}
    for name, arrays in theirs.items():
        for one, other in zip(ours[name], arrays, strict=True):
            np.testing.assert_array_equal(one, other)
    one, other = read_card(made / "model.weights.h5"), read_card(expected / "model.weights.h5")
    assert (one.threshold, one.metrics) == (other.threshold, other.metrics)
    rows, wanted = history(made), history(expected)
    assert [{**row, "seconds": 0} for row in rows] == [{**row, "seconds": 0} for row in wanted]
    assert not (made / "training_state").exists()
    assert {p.name for p in made.iterdir()} == {p.name for p in expected.iterdir()}


def stop_at(monkeypatch, owner, name, call, error=Killed):
    """Let a method raise when it is called for the n-th time, from 1."""
    original, count = getattr(owner, name), [0]

    def counted(*args, **kwargs):
        count[0] += 1
        if count[0] == call:
            raise error
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)


def curve(folder: Path, name: str) -> dict[int, float]:
    """Return step -> value of a TensorBoard curve; a step that is there twice fails."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(folder))
    events.Reload()
    points = [(e.step, float(make_ndarray(e.tensor_proto))) for e in events.Tensors(name)]
    assert len(dict(points)) == len(points)
    return dict(points)


class TestFiles:
    def test_what_a_training_leaves(self, undisturbed):
        folder = undisturbed / "one"
        assert {p.name for p in folder.iterdir()} == {
            "model.weights.h5", "model.card.json", "history.csv", "history.png", "logs",
        }  # fmt: skip
        rows = history(folder)
        assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
        assert rows[-1]["loss"] < 0.85 * rows[0]["loss"] and rows[-1]["val_f1"] > 0.5
        card = read_card(folder / "model.weights.h5")
        best = rows[card.metrics["epoch"] - 1]
        assert best["val_f1"] == max(row["val_f1"] for row in rows) == card.metrics["f1"]
        assert best["val_threshold"] == card.threshold
        for name in ("iou", "miou", "precision", "recall", "overall_accuracy"):
            assert best[f"val_{name}"] == card.metrics[name]
        # Cosine over 12 steps: the last step of the second epoch is the sixth.
        expected = 0.02 * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * 5 / 12)))
        assert rows[1]["learning_rate"] == pytest.approx(expected, rel=1e-5)

    def test_tensorboard_has_the_curves(self, undisturbed):
        rows = history(undisturbed / "one")
        logged = curve(undisturbed / "one" / "logs" / "validation", "epoch_f1")
        assert logged == pytest.approx({e: row["val_f1"] for e, row in enumerate(rows)}, rel=1e-6)
        logged = curve(undisturbed / "one" / "logs" / "train", "epoch_learning_rate")
        assert list(logged) == [0, 1, 2, 3]


class TestStages:
    def test_each_has_its_layers_rate_and_batch_size(self, undisturbed):
        rows = history(undisturbed / "two")
        assert [(row["epoch"], row["stage"]) for row in rows] == [(1, 1), (2, 1), (3, 2), (4, 2)]
        # Three steps of warm-up in both; two steps an epoch with a batch of 3, three with 2.
        halfway = 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi / 4))
        assert rows[0]["learning_rate"] == pytest.approx(0.05 * halfway * 2 / 3, rel=1e-5)
        third = 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi / 3))
        assert rows[2]["learning_rate"] == pytest.approx(0.01 * third, rel=1e-5)

    def test_frozen_layers_stay_until_their_stage(self, tmp_path, monkeypatch):
        seen = []
        judge = AfterEpoch._judge

        def noting(self):
            kernel = self.owner.keras_model.get_layer("backbone").get_layer("conv1").kernel
            seen.append(np.array(kernel))
            return judge(self)

        monkeypatch.setattr(AfterEpoch, "_judge", noting)
        train(tmp_path, epochs=None, stages=STAGES)
        np.testing.assert_array_equal(seen[0], seen[1])
        assert np.abs(seen[2] - seen[1]).max() > 1e-3

    def test_time_is_shared_by_epochs(self, tmp_path, monkeypatch):
        """A clock that a step moves by three seconds: a quarter of a minute, and the rest."""
        now = [0.0]

        class Tick(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                now[0] += 3

        monkeypatch.setattr(workflow, "ProgressBar", Tick)
        train(
            tmp_path, config=PixelConfig(STEPS_PER_EPOCH=1000), epochs=None, minutes=1.0,
            stages=[Stage("heads", 1, 0.05), Stage("all", 3, 0.05)], clock=lambda: now[0],
            progress=True,
        )  # fmt: skip
        assert [row["stage"] for row in history(tmp_path)] == [1, 2]
        assert now[0] == 60

    def test_stages_or_epochs(self, tmp_path):
        with pytest.raises(ConfigError, match="layers=None, epochs=4"):
            train(tmp_path, stages=STAGES)
        assert not list(tmp_path.iterdir())


class TestMonitor:
    def test_a_loss_that_none_will_log_is_refused_before_training(self, tmp_path, monkeypatch):
        monkeypatch.setattr(AfterEpoch, "_judge", lambda self: pytest.fail("an epoch was trained"))
        with pytest.raises(ConfigError, match="Received: 'val_mask_loss'. Use one of .*pixel_loss"):
            train(tmp_path / "new", monitor="val_mask_loss")
        assert not (tmp_path / "new").exists()

    def test_another_metric_chooses_another_epoch(self, tmp_path, monkeypatch):
        """F1 is highest in the first epoch here, and the loss lowest in a later one."""
        scores = iter([0.9, 0.5, 0.4])

        def judge(self):
            return dict.fromkeys(epochs_module.VALIDATION_METRICS, next(scores)), 0.25

        monkeypatch.setattr(AfterEpoch, "_judge", judge)
        result = train(tmp_path, monitor="val_loss", epochs=3)
        rows = history(tmp_path)
        losses = [row["val_loss"] for row in rows]
        assert result.epoch == 1 + int(np.argmin(losses)) != 1
        assert rows[0]["val_f1"] == 0.9 and rows[0]["val_loss"] == rows[0]["val_pixel_loss"]

    def test_no_better_epoch_ends_a_stage(self, tmp_path, monkeypatch):
        scores = iter([0.5, 0.6, 0.6, 0.4, 0.3, 0.7, 0.1, 0.1])

        def judge(self):
            metrics = dict.fromkeys(epochs_module.VALIDATION_METRICS, 0.5)
            return {**metrics, "iou": next(scores)}, 0.25

        monkeypatch.setattr(AfterEpoch, "_judge", judge)
        stages = [Stage("all", 9, 0.01), Stage("all", 9, 0.01)]
        result = train(tmp_path, monitor="val_iou", patience=2, epochs=None, stages=stages)
        rows = [(row["stage"], row["val_iou"]) for row in history(tmp_path)]
        assert rows == [
            (1, 0.5), (1, 0.6), (1, 0.6), (1, 0.4), (2, 0.3), (2, 0.7), (2, 0.1), (2, 0.1),
        ]  # fmt: skip
        assert (result.epoch, result.threshold) == (6, 0.25)
        card = read_card(tmp_path / "model.weights.h5")
        assert card.metrics["epoch"] == 6 and card.metrics["chosen_by"] == "val_iou"


# The moments of an epoch: which training is stopped, and at which call of what.
MOMENTS = {
    "before the first state": ("one", AfterEpoch, "_judge", 1),
    "while judging": ("one", AfterEpoch, "_judge", 3),
    "before the state": ("two", TrainingRun, "store", 4),
    "after a stage": ("two", AfterEpoch, "_judge", 3),
    "before the weights": ("two", AfterEpoch, "_save_best", 2),
    "before the history": ("one", AfterEpoch, "_write_history", 3),
    "after the last epoch": ("one", AfterEpoch, "_write_history", 4),
}


class TestResuming:
    @pytest.mark.parametrize("moment", MOMENTS)
    def test_it_ends_like_the_undisturbed_one(self, tmp_path, undisturbed, monkeypatch, moment):
        kind, *place = MOMENTS[moment]
        options = dict(epochs=None, stages=STAGES) if kind == "two" else {}
        with monkeypatch.context() as patch:
            stop_at(patch, *place)
            with pytest.raises(Killed):
                train(tmp_path, **options)
        left = (tmp_path / "training_state" / "state.npz").exists()
        assert left == (moment != "before the first state")
        if left:
            with pytest.raises(UnfinishedRunError, match="--resume .* or --overwrite"):
                train(tmp_path, **options)
        train(tmp_path, resume=True, **options)
        assert_same_training(tmp_path, undisturbed / kind)
        assert list(curve(tmp_path / "logs" / "train", "epoch_loss")) == [0, 1, 2, 3]

    def test_killed_twice_and_in_the_middle_of_an_epoch(self, tmp_path, undisturbed, monkeypatch):
        for stop in (2, 5):  # steps of the run itself: in epoch 1 (nothing stored), then in 2

            class Stopper(keras.callbacks.Callback):
                steps = 0

                def on_train_batch_end(self, batch, logs=None, stop=stop):
                    self.steps += 1
                    if self.steps == stop:
                        raise Killed

                def close(self):
                    pass

            with monkeypatch.context() as patch:
                patch.setattr(workflow, "ProgressBar", Stopper)
                with pytest.raises(Killed):
                    train(tmp_path, resume=True, progress=True)
        assert [row["epoch"] for row in history(tmp_path)] == [1]
        train(tmp_path, resume=True)
        assert_same_training(tmp_path, undisturbed / "one")

    @pytest.mark.slow
    def test_kill_9(self, tmp_path, undisturbed):
        command = [sys.executable, "-m", "tests.training.pixel_model", str(tmp_path), "2"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=200)
        assert done.returncode == -9, done.stderr[-2000:]
        state = tmp_path / "training_state"
        (state / ".partial-1234-state.npz").write_bytes(b"half")  # as a kill while writing leaves
        logs = tmp_path / "logs" / "train"
        assert list(curve(logs, "epoch_loss")) == [0, 1]  # nothing waits in a buffer
        train(tmp_path, resume=True)
        assert_same_training(tmp_path, undisturbed / "one")
        logged, rows = curve(logs, "epoch_loss"), history(undisturbed / "one")
        assert logged == pytest.approx({e: row["loss"] for e, row in enumerate(rows)}, rel=1e-6)

    def test_another_training_is_refused(self, tmp_path, monkeypatch):
        stop_at(monkeypatch, AfterEpoch, "_judge", 2)
        with pytest.raises(Killed):
            train(tmp_path)
        before = (tmp_path / "training_state" / "state.npz").read_bytes()
        monkeypatch.undo()
        monkeypatch.setattr(workflow, "make_model", make_pixel_model)
        for options, said in (
            ({"config": PixelConfig(LEARNING_MOMENTUM=0.8)}, "config.LEARNING_MOMENTUM 0.9, now"),
            ({"epochs": 5}, "stages"),
            ({"seed": 1}, "seed 0, now 1"),
            ({"train_set": Bright(6, seed=7)}, "train.sha256"),
            ({"train_set": Bright(5, seed=1)}, "train.images 6, now 5"),
            ({"monitor": "val_iou"}, "monitor val_f1, now val_iou"),
        ):
            for overwrite in (False, True):
                with pytest.raises(UnfinishedRunError, match=said) as error:
                    train(tmp_path, resume=True, overwrite=overwrite, **options)
                assert "\n" not in str(error.value)
        assert (tmp_path / "training_state" / "state.npz").read_bytes() == before
        train(tmp_path, overwrite=True, seed=1, epochs=1)
        assert len(history(tmp_path)) == 1

    def test_layers_of_a_later_stage_are_checked_before_the_first(self, tmp_path):
        stages = (Stage("all", 2, 0.05), Stage("haeds", 2, 0.01))
        with pytest.raises(ConfigError, match="at least one layer. Received: 'haeds'"):
            train(tmp_path / "new", epochs=None, stages=stages)
        assert not (tmp_path / "new").exists()

    def test_a_damaged_state_is_refused(self, tmp_path, monkeypatch):
        stop_at(monkeypatch, AfterEpoch, "_judge", 2)
        with pytest.raises(Killed):
            train(tmp_path)
        path = tmp_path / "training_state" / "state.npz"
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 255
        path.write_bytes(content)
        with pytest.raises(TrainingStateError, match="state.npz, which cannot be read"):
            train(tmp_path, resume=True)
        directory = content.rindex(b"PK\x01\x02")  # of the archive's last array
        unknown, encrypted = bytearray(content), bytearray(content)
        unknown[directory + 10] = 77  # compression
        encrypted[directory + 8] |= 1
        lone = io.BytesIO()
        np.save(lone, np.zeros(3))
        for damaged in (content[:-50], unknown, encrypted, lone.getvalue(), b""):
            path.write_bytes(damaged)
            with pytest.raises(TrainingStateError, match="cannot be read"):
                train(tmp_path, resume=True)

    def test_one_process_at_a_time(self, tmp_path):
        (tmp_path / "training_state").mkdir()
        with locked(tmp_path / "training_state"):
            with pytest.raises(UnfinishedRunError, match="One process at a time works on a train"):
                train(tmp_path)

    def test_finished_results_are_kept(self, tmp_path):
        (tmp_path / "history.csv").write_text("mine")
        for resume in (False, True):
            with pytest.raises(OutputExistsError, match="history.csv"):
                train(tmp_path, resume=resume)
        assert (tmp_path / "history.csv").read_text() == "mine"

    def test_ctrl_c_says_what_to_do(self, tmp_path, monkeypatch, capsys):
        stop_at(monkeypatch, AfterEpoch, "_judge", 2, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path)
        assert "Interrupted after 1 epochs. --resume goes on" in capsys.readouterr().err


def test_the_state_is_one_json_and_arrays(tmp_path, monkeypatch):
    stop_at(monkeypatch, AfterEpoch, "_judge", 2)
    with pytest.raises(Killed):
        train(tmp_path)
    with np.load(tmp_path / "training_state" / "state.npz") as file:
        notes = json.loads(file["notes"].tobytes())
        # Two kernels, two biases, the dropout's seed; AdamW's steps, rate and two slots of each.
        assert sorted(len([n for n in file.files if n.startswith(k)]) for k in "no") == [6, 10]
    assert notes["position"]["epoch"] == 1 and len(notes["history"]) == 1
