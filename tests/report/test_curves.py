"""Curves hold the history that they were given, and the words on it say when they cannot tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mien.errors import InputError
from mien.report import style
from mien.report.curves import curves, loss_against_accuracy, turning_epochs, turning_sentence
from mien.training.run import Epoch


def epochs(losses: list[float], accuracies: list[float]) -> list[Epoch]:
    rows = zip(losses, accuracies, strict=True)
    return [
        Epoch(i, loss + 1, accuracy / 2, loss, accuracy, 1e-3, 1.0, 1.0) for i, (loss, accuracy) in enumerate(rows, 1)
    ]


def test_curves_hold_the_history_and_mark_the_best_epoch() -> None:
    history = epochs([1.5, 1.2, 1.3], [0.4, 0.5, 0.55])
    loss, accuracy = curves(history, "run", best_epoch=3).axes
    train_line, val_line = loss.get_lines()[:2]
    assert list(train_line.get_ydata()) == [2.5, 2.2, 2.3]
    assert list(val_line.get_ydata()) == [1.5, 1.2, 1.3]
    assert list(accuracy.get_lines()[1].get_ydata()) == [0.4, 0.5, 0.55]
    assert "best epoch 3" in accuracy.get_title(loc="left")
    assert ".550" in accuracy.get_title(loc="left")
    assert loss.get_lines()[-1].get_xydata().tolist() == [[3.0, 1.3]]


def test_curves_draw_one_epoch_and_a_loss_that_diverged() -> None:
    one, diverged = epochs([1.5], [0.4]), epochs([float("nan")] * 3, [0.2, 0.2, 0.2])
    assert style.png_bytes(curves(diverged, "run", best_epoch=1))
    assert style.png_bytes(loss_against_accuracy([("one", one), ("diverged", diverged)]))
    with pytest.raises(InputError, match="no epoch"):
        curves([], "run")


def test_turning_epochs_are_the_first_extremes() -> None:
    history = epochs([float("nan"), 1.0, 0.9, 0.9, 1.1], [0.3, 0.5, 0.5, 0.6, 0.6])
    lowest, best = turning_epochs(history)
    assert lowest is not None
    assert (lowest.epoch, best.epoch) == (3, 4)


def test_loss_against_accuracy_shades_the_rise_and_shows_every_epoch() -> None:
    rising = epochs([1.2, 0.9, 1.0, 1.1], [0.4, 0.5, 0.6, 0.55])
    falling = epochs([1.2, 1.1, 1.0, 0.9, 0.8, 0.7], [0.6, 0.5, 0.5, 0.5, 0.5, 0.5])
    figure = loss_against_accuracy([("a", rising), ("b", falling)])
    assert len(figure.axes) == 4
    spans = [[(p.get_x(), p.get_x() + p.get_width()) for p in axes.patches] for axes in figure.axes]
    assert spans == [[(2, 3)], [(2, 3)], [], []]
    assert list(figure.axes[3].get_lines()[0].get_ydata()) == [row.val_accuracy for row in falling]
    for axes in figure.axes:  # the rows share an axis that holds the longest run
        low, high = axes.get_xlim()
        assert low < 1
        assert high > 6


def test_best_epoch_outside_the_history_marks_nothing() -> None:
    assert len(curves(epochs([1.5, 1.2], [0.4, 0.5]), "run", best_epoch=9).axes[0].get_lines()) == 2


def test_turning_sentence_computes_both_rises() -> None:
    values = [(1.2, 0.40), (0.9, 0.50), (1.0, 0.52), (1.3, 0.56), (1.4, 0.55)]
    history = [Epoch(i, 1.0, 0.5, loss, accuracy, 1e-3, 1.0, 1.0) for i, (loss, accuracy) in enumerate(values, 1)]
    assert turning_sentence("x", history, 3589) == (
        "x: yes. From epoch 2 (lowest val loss) to epoch 4 (best val accuracy), val loss rose by .400 "
        "(from .900 to 1.300) while val accuracy rose by .060 (from .500 to .560)."
    )
    assert turning_sentence("x", history[:2], 3589).startswith("x: no.")
    assert "diverged" in turning_sentence("x", [replace(row, val_loss=float("nan")) for row in history], 3589)
    # .060 lies within ± .098, the interval of 100 images; and a loss that rose by nothing did not rise.
    assert turning_sentence("x", history, 100).startswith("x: cannot tell.")
    flat = [replace(row, val_loss=0.9) if row.epoch > 1 else row for row in history]
    assert turning_sentence("x", [*flat[:3], replace(flat[3], val_loss=0.9001)], 3589).startswith("x: cannot tell.")
