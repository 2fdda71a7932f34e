"""Curves of trainings: the figures hold the numbers of the files."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from landslide_rcnn.errors import DatasetError
from landslide_rcnn.training.history import write_history
from landslide_rcnn.visualize import training_curves
from landslide_rcnn.visualize.curves import read_history


def row(epoch, *, stage=1, loss=1.0, f1=0.5, **others):
    figures = {"a_loss": loss / 4, "b_loss": 3 * loss / 4, "val_f1": f1, "val_precision": None}
    return {
        "epoch": epoch, "stage": stage, "loss": loss, **figures, "learning_rate": 10.0**-epoch,
        **others,
    }  # fmt: skip


@pytest.fixture
def history(tmp_path):
    losses, scores, stages = (100.0, 10.0, 1.0, 0.5), (0.1, 0.7, 0.7, 0.4), (1, 1, 2, 2)
    rows = [
        row(i + 1, loss=losses[i], f1=scores[i], stage=stages[i], val_loss=2 * losses[i])
        for i in range(4)
    ]
    write_history(tmp_path / "history.csv", rows)
    return tmp_path / "history.csv"


def lines_of(axes):
    """Labelled lines: the others are marks."""
    lines = {line.get_label(): line for line in axes.get_lines()}
    return {name: line for name, line in lines.items() if not name.startswith("_")}


def test_the_file_holds_the_rows(history):
    columns = read_history(history)
    np.testing.assert_array_equal(columns["loss"], [100, 10, 1, 0.5])
    np.testing.assert_array_equal(columns["epoch"], [1, 2, 3, 4])
    assert np.isnan(columns["val_precision"]).all()
    write_history(history, [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "val_f1": 0.1}])
    assert history.read_text().splitlines() == ["epoch,loss,val_f1", "1,2.5,", "2,,0.1"]
    assert len(list(history.parent.iterdir())) == 1  # no partial file stays


def test_one_run(history):
    loss, validation, rate = training_curves(history).axes
    lines = lines_of(loss)
    assert set(lines) == {"total", "a", "b", "validation: total"}
    np.testing.assert_array_equal(
        lines["b"].get_xydata(), [[1, 75], [2, 7.5], [3, 0.75], [4, 0.375]]
    )
    np.testing.assert_array_equal(lines["validation: total"].get_ydata(), [200, 20, 2, 1])
    assert lines["validation: total"].get_linestyle() == "--"
    assert lines["validation: total"].get_color() == lines["total"].get_color()
    assert loss.get_yscale() == rate.get_yscale() == "log" and validation.get_yscale() == "linear"
    np.testing.assert_array_equal(lines_of(validation)["F1"].get_ydata(), [0.1, 0.7, 0.7, 0.4])
    marks = [line.get_xdata()[0] for line in validation.get_lines() if line.get_label()[0] == "_"]
    assert marks == [2.5, 2]  # between the stages; the first of the best epochs
    texts = [text.get_text() for text in validation.texts]
    assert texts == ["stage 2", "best F1: epoch 2"]
    by_loss = training_curves(history, best_by="val_loss").axes[1].texts[-1].get_text()
    assert by_loss == "best val_loss: epoch 4"


def test_the_parts_of_a_semantic_loss_are_drawn(tmp_path):
    path = tmp_path / "history.csv"
    parts = [{"dice": d, "focal": 0.1, "val_dice": v} for d, v in ((0.9, 0.5), (0.7, 0.6))]
    write_history(path, [row(i + 1, a_loss=None, **part) for i, part in enumerate(parts)])
    loss, validation, _ = training_curves(path, best_by="val_dice").axes
    lines = lines_of(loss)
    np.testing.assert_array_equal(lines["dice"].get_ydata(), [0.9, 0.7])
    np.testing.assert_array_equal(lines["validation: dice"].get_ydata(), [0.5, 0.6])
    assert {"total", "focal"} < set(lines) and not {"seconds", "stage"} & set(lines)
    assert validation.texts[-1].get_text() == "best val_dice: epoch 1"


def test_several_runs_share_a_figure(history, tmp_path):
    write_history(tmp_path / "b.csv", [row(1, loss=4.0, f1=0.3), row(2, loss=2.0, f1=0.2)])
    figure = training_curves(
        {"first": history, "second": tmp_path / "b.csv"}, best_by="val_loss", title="Two"
    )
    loss, validation, rate = figure.axes
    assert set(lines_of(loss)) == {"first", "first, validation", "second"}
    np.testing.assert_array_equal(lines_of(loss)["second"].get_ydata(), [4, 2])
    found = lines_of(validation)
    assert set(found) == {"first", "second"}
    assert found["first"].get_color() != found["second"].get_color()
    best = [
        line.get_xydata().tolist() for line in validation.get_lines() if len(line.get_xdata()) == 1
    ]
    assert best == [[[2, 0.7]], [[1, 0.3]]]
    assert figure.get_suptitle() == "Two" and not plt.get_fignums()


def test_the_first_epoch_is_a_point(history):
    write_history(history, [row(1)])
    line = lines_of(training_curves(history).axes[1])["F1"]
    assert line.get_marker() == "o"


def test_no_epoch_is_an_error(history):
    write_history(history, [])
    with pytest.raises(DatasetError, match="at least one epoch.*history.csv"):
        training_curves(history)
