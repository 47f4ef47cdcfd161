"""Pictures of searches show every run and every step, and no run hides another."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from mien.errors import InputError
from mien.report import style
from mien.report.search import learning_rates, sweep_curves
from mien.training.run import Epoch


def tick_names(axis: Axis) -> list[str]:
    return [text.get_text() for text in axis.get_ticklabels()]


def epochs(losses: list[float], accuracies: list[float]) -> list[Epoch]:
    rows = zip(losses, accuracies, strict=True)
    return [
        Epoch(i, loss + 1, accuracy / 2, loss, accuracy, 1e-3, 1.0, 1.0) for i, (loss, accuracy) in enumerate(rows, 1)
    ]


def legend_names(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_sweep_draws_every_run_of_settings_and_rings_its_best_epoch() -> None:
    first, second = epochs([1.5, 1.2, 1.3], [0.4, 0.5, 0.55]), epochs([1.9, 1.8], [0.2, 0.3])
    figure = sweep_curves([("lr=1e-3", first, 3), ("_lr=$1$ (diverged)", second, None)])
    loss, accuracy = figure.axes
    assert legend_names(figure) == ["lr=1e-3", "_lr=$1$ (diverged)"]
    assert [list(line.get_ydata()) for line in loss.get_lines()] == [[1.5, 1.2, 1.3], [1.3], [1.9, 1.8]]
    assert [list(line.get_ydata()) for line in accuracy.get_lines()] == [[0.4, 0.5, 0.55], [0.55], [0.2, 0.3]]
    assert loss.get_yscale() == "linear"
    handles = figure.legends[0].legend_handles
    assert [handle.get_color() for handle in handles] == [style.MODELS[0], style.MODELS[1]]  # type: ignore[union-attr]


def test_sweep_tells_more_runs_apart_than_there_are_colors() -> None:
    runs = [(f"seed={i}", epochs([1.5, 1.2 + i / 100], [0.4, 0.5]), 2) for i in range(24)]
    figure = sweep_curves(runs)
    lines = [line for line in figure.axes[0].get_lines() if line.get_linestyle() != "None"]
    assert len({(line.get_color(), str(line._dash_pattern)) for line in lines}) == 24  # type: ignore[attr-defined]
    assert legend_names(figure) == [name for name, _, _ in runs]
    style.png_bytes(figure)


def test_one_sweep_run_that_explodes_hides_no_other() -> None:
    calm = epochs([1.9, 1.2, 0.9], [0.2, 0.4, 0.5])
    wild = epochs([40.0, 1e30, float("inf")], [0.2, 0.2, 0.2])
    figure = sweep_curves([("calm", calm, 3), ("wild", wild, 1), ("lost", epochs([float("nan")], [0.1]), None)])
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[1] < 100
    assert "cut off" in axes.get_ylabel()
    style.png_bytes(figure)
    with pytest.raises(InputError, match="no run to draw"):
        sweep_curves([])


def test_learning_rates_mark_the_suggestion_on_a_log_axis() -> None:
    rates, losses = np.geomspace(1e-6, 1, 50), np.linspace(2.0, 1.0, 50)
    figure = learning_rates(rates, losses, losses, "cnn-v2", 3.2e-4)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert list(axes.get_lines()[0].get_ydata()) == losses.tolist()
    assert axes.get_title(loc="left") == "cnn-v2: suggestion 0.00032"
    ring = axes.get_lines()[-1].get_xydata()[0]
    assert ring[0] == 3.2e-4
    assert ring[1] == pytest.approx(2 - np.log(320) / np.log(1e6), abs=0.03)
    figure.draw_without_rendering()
    assert "1e-06" in tick_names(axes.xaxis)


def test_learning_rates_without_a_suggestion_or_a_number() -> None:
    rates = np.geomspace(1e-6, 1, 50)
    losses = np.where(rates > 1e-3, np.nan, 2.0)
    losses[30] = 1e9
    figure = learning_rates(rates, losses, losses, "cnn-v2")
    assert "no suggestion" in figure.axes[0].get_title(loc="left")
    assert figure.axes[0].get_ylim()[1] < 5
    style.png_bytes(figure)
    with pytest.raises(InputError, match="no loss"):
        learning_rates(rates, np.full(50, np.nan), np.full(50, np.nan), "cnn-v2")
