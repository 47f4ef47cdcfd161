"""Pictures hold the values that they were given, in the order of the labels."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mien.errors import InputError
from mien.evaluation.printed import format_estimate
from mien.report import plots, plots_search, style
from mien.report.content import StudyReport
from mien.training.run import Epoch


def tick_names(axis: object) -> list[str]:
    return [text.get_text() for text in axis.get_ticklabels()]  # type: ignore[attr-defined]


def by_gid(figure: Figure, kind: str, k: int) -> list[list[str]]:
    texts = {text.get_gid(): text.get_text() for text in figure.axes[0].texts}
    return [[texts[f"{kind}-{i}-{j}"] for j in range(k)] for i in range(k)]


def epochs(losses: list[float], accuracies: list[float]) -> list[Epoch]:
    rows = zip(losses, accuracies, strict=True)
    return [
        Epoch(i, loss + 1, accuracy / 2, loss, accuracy, 1e-3, 1.0, 1.0) for i, (loss, accuracy) in enumerate(rows, 1)
    ]


def test_label_distribution_draws_every_count_in_label_order() -> None:
    figure = plots.label_distribution({"train": {"b": 30, "a": 1210}, "test": {"a": 5}}, ["b", "a"])
    train, test = figure.axes
    assert [bar.get_width() for bar in train.patches] == [30, 1210]
    assert [bar.get_width() for bar in test.patches] == [0, 5]  # a class without an image
    assert [text.get_text() for text in train.texts] == ["30 (2%)", "1,210 (98%)"]
    assert tick_names(train.yaxis) == ["b", "a"]
    assert train.yaxis_inverted()  # the first label on top
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["train, n = 1,240", "test, n = 5"]


def test_curves_hold_the_history_and_mark_the_best_epoch() -> None:
    history = epochs([1.5, 1.2, 1.3], [0.4, 0.5, 0.55])
    loss, accuracy = plots.curves(history, "run", best_epoch=3).axes
    train_line, val_line = loss.get_lines()[:2]
    assert list(train_line.get_ydata()) == [2.5, 2.2, 2.3]
    assert list(val_line.get_ydata()) == [1.5, 1.2, 1.3]
    assert list(accuracy.get_lines()[1].get_ydata()) == [0.4, 0.5, 0.55]
    assert "best epoch 3" in accuracy.get_title(loc="left")
    assert ".550" in accuracy.get_title(loc="left")
    assert loss.get_lines()[-1].get_xydata().tolist() == [[3.0, 1.3]]


def test_curves_draw_one_epoch_and_a_loss_that_diverged() -> None:
    one, diverged = epochs([1.5], [0.4]), epochs([float("nan")] * 3, [0.2, 0.2, 0.2])
    assert style.png_bytes(plots.curves(diverged, "run", best_epoch=1))
    assert style.png_bytes(plots.loss_against_accuracy([("one", one), ("diverged", diverged)]))
    with pytest.raises(InputError, match="no epoch"):
        plots.curves([], "run")


def test_turning_epochs_are_the_first_extremes() -> None:
    history = epochs([float("nan"), 1.0, 0.9, 0.9, 1.1], [0.3, 0.5, 0.5, 0.6, 0.6])
    lowest, best = plots.turning_epochs(history)
    assert lowest is not None
    assert (lowest.epoch, best.epoch) == (3, 4)


def test_loss_against_accuracy_shades_the_rise_and_shows_every_epoch() -> None:
    rising = epochs([1.2, 0.9, 1.0, 1.1], [0.4, 0.5, 0.6, 0.55])
    falling = epochs([1.2, 1.1, 1.0, 0.9, 0.8, 0.7], [0.6, 0.5, 0.5, 0.5, 0.5, 0.5])
    figure = plots.loss_against_accuracy([("a", rising), ("b", falling)])
    assert len(figure.axes) == 4
    spans = [[(p.get_x(), p.get_x() + p.get_width()) for p in axes.patches] for axes in figure.axes]
    assert spans == [[(2, 3)], [(2, 3)], [], []]
    assert list(figure.axes[3].get_lines()[0].get_ydata()) == [row.val_accuracy for row in falling]
    for axes in figure.axes:  # the rows share an axis that holds the longest run
        low, high = axes.get_xlim()
        assert low < 1
        assert high > 6


def test_confusion_prints_row_percent_and_counts(report: StudyReport) -> None:
    evaluation = report.runs[1].evaluations["test"]
    figure = plots.confusion(evaluation)
    counts = np.array(evaluation.confusion)
    assert by_gid(figure, "count", 7) == [[f"{c:,}" for c in row] for row in counts]
    expected = [[f"{100 * c / row.sum():.0f}" for c in row] for row in counts]
    assert by_gid(figure, "percent", 7) == expected
    assert tick_names(figure.axes[0].xaxis) == tick_names(figure.axes[0].yaxis) == list(evaluation.labels)
    title = figure.axes[0].get_title(loc="left")
    assert format_estimate(evaluation.scores.accuracy) in title
    assert "test" in title
    assert f"n = {evaluation.scores.n:,}" in title


@pytest.mark.parametrize("k", [2, 12])
def test_confusion_grows_with_the_classes_and_takes_an_empty_one(report: StudyReport, k: int) -> None:
    confusion = np.diag([0] + [9] * (k - 1)) + np.eye(k, k=-1, dtype=int)
    labels = tuple(f"class-{i}" for i in range(k))
    changed = {"labels": labels, "confusion": tuple(map(tuple, confusion.tolist()))}
    figure = plots.confusion(report.runs[0].evaluations["test"].model_copy(update=changed), title="mine")
    assert by_gid(figure, "percent", k)[0] == ["–"] * k
    assert by_gid(figure, "percent", k)[1][:2] == ["10", "90"]
    assert figure.axes[0].get_title(loc="left") == "mine"
    assert figure.get_size_inches()[0] > 0.5 * k


def test_text_on_a_cell_is_readable() -> None:
    """At least 4:1 on every blue that a cell can have (WCAG asks 3:1 of large text, 4.5:1 of small)."""

    def luminance(color: tuple[float, ...]) -> float:
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
        return float(np.dot(parts, [0.2126, 0.7152, 0.0722]))

    for share in np.linspace(0, 1, 101):
        cell = matplotlib.colormaps["Blues"](share)
        dark, light = sorted((luminance(cell), luminance(matplotlib.colors.to_rgb(plots._ink_on(cell)))))
        assert (light + 0.05) / (dark + 0.05) >= 4


def test_per_class_draws_f1_with_support(report: StudyReport) -> None:
    comparison = report.comparisons["test"]
    axes = plots.per_class(comparison, ["happy", "disgust"]).axes[0]
    rows = {row.label: row for row in comparison.per_class}
    drawn = np.array([bar.get_height() for bar in axes.patches]).reshape(3, 2)
    assert drawn.T.tolist() == [list(rows["happy"].f1), list(rows["disgust"].f1)]
    assert tick_names(axes.xaxis) == ["happy\n879", "disgust\n55"]
    with pytest.raises(InputError, match="no class 'bored'"):
        plots.per_class(comparison, ["bored"])


def test_per_class_keeps_names_that_matplotlib_would_drop(report: StudyReport) -> None:
    comparison = report.comparisons["test"].model_copy(update={"models": ("_hidden", "$a$", "c")})
    figure = plots.per_class(comparison)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["_hidden", "$a$", "c"]
    style.png_bytes(figure)


def test_save_writes_the_same_png_under_any_settings(tmp_path: Path, report: StudyReport) -> None:
    style.save(plots.curves(report.runs[0].history, "run", 3), tmp_path / "new" / "curves.png")
    with matplotlib.rc_context({"font.size": 30, "text.color": "red"}):
        before = dict(matplotlib.rcParams)
        again = style.png_bytes(plots.curves(report.runs[0].history, "run", 3))
        assert dict(matplotlib.rcParams) == before
    written = (tmp_path / "new" / "curves.png").read_bytes()
    assert written == again
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["curves.png"]
    assert Image.open(BytesIO(written)).width > 6 * style.DPI


def test_best_epoch_outside_the_history_marks_nothing() -> None:
    assert len(plots.curves(epochs([1.5, 1.2], [0.4, 0.5]), "run", best_epoch=9).axes[0].get_lines()) == 2


def legend_names(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_sweep_draws_every_run_of_settings_and_rings_its_best_epoch() -> None:
    first, second = epochs([1.5, 1.2, 1.3], [0.4, 0.5, 0.55]), epochs([1.9, 1.8], [0.2, 0.3])
    figure = plots_search.sweep_curves([("lr=1e-3", first, 3), ("_lr=$1$ (diverged)", second, None)])
    loss, accuracy = figure.axes
    assert legend_names(figure) == ["lr=1e-3", "_lr=$1$ (diverged)"]
    assert [list(line.get_ydata()) for line in loss.get_lines()] == [[1.5, 1.2, 1.3], [1.3], [1.9, 1.8]]
    assert [list(line.get_ydata()) for line in accuracy.get_lines()] == [[0.4, 0.5, 0.55], [0.55], [0.2, 0.3]]
    assert loss.get_yscale() == "linear"
    handles = figure.legends[0].legend_handles
    assert [handle.get_color() for handle in handles] == [style.MODELS[0], style.MODELS[1]]  # type: ignore[union-attr]


def test_sweep_tells_more_runs_apart_than_there_are_colors() -> None:
    runs = [(f"seed={i}", epochs([1.5, 1.2 + i / 100], [0.4, 0.5]), 2) for i in range(24)]
    figure = plots_search.sweep_curves(runs)
    lines = [line for line in figure.axes[0].get_lines() if line.get_linestyle() != "None"]
    assert len({(line.get_color(), str(line._dash_pattern)) for line in lines}) == 24  # type: ignore[attr-defined]
    assert legend_names(figure) == [name for name, _, _ in runs]
    style.png_bytes(figure)


def test_one_sweep_run_that_explodes_hides_no_other() -> None:
    calm = epochs([1.9, 1.2, 0.9], [0.2, 0.4, 0.5])
    wild = epochs([40.0, 1e30, float("inf")], [0.2, 0.2, 0.2])
    figure = plots_search.sweep_curves(
        [("calm", calm, 3), ("wild", wild, 1), ("lost", epochs([float("nan")], [0.1]), None)]
    )
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[1] < 100
    assert "cut off" in axes.get_ylabel()
    style.png_bytes(figure)
    with pytest.raises(InputError, match="no run to draw"):
        plots_search.sweep_curves([])


def test_learning_rates_mark_the_suggestion_on_a_log_axis() -> None:
    rates, losses = np.geomspace(1e-6, 1, 50), np.linspace(2.0, 1.0, 50)
    figure = plots_search.learning_rates(rates, losses, losses, "cnn-v2", 3.2e-4)
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
    figure = plots_search.learning_rates(rates, losses, losses, "cnn-v2")
    assert "no suggestion" in figure.axes[0].get_title(loc="left")
    assert figure.axes[0].get_ylim()[1] < 5
    style.png_bytes(figure)
    with pytest.raises(InputError, match="no loss"):
        plots_search.learning_rates(rates, np.full(50, np.nan), np.full(50, np.nan), "cnn-v2")
