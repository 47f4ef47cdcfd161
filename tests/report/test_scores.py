"""Pictures of scores hold the values that they were given, in the order of the labels."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from mien.errors import InputError
from mien.evaluation.printed import format_estimate
from mien.report import scores, style
from mien.report.content import StudyReport


def tick_names(axis: Axis) -> list[str]:
    return [text.get_text() for text in axis.get_ticklabels()]


def by_gid(figure: Figure, kind: str, k: int) -> list[list[str]]:
    texts = {text.get_gid(): text.get_text() for text in figure.axes[0].texts}
    return [[texts[f"{kind}-{i}-{j}"] for j in range(k)] for i in range(k)]


def test_confusion_prints_row_percent_and_counts(report: StudyReport) -> None:
    evaluation = report.runs[1].evaluations["test"]
    figure = scores.confusion(evaluation)
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
    figure = scores.confusion(report.runs[0].evaluations["test"].model_copy(update=changed), title="mine")
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
        dark, light = sorted((luminance(cell), luminance(matplotlib.colors.to_rgb(scores._ink_on(cell)))))
        assert (light + 0.05) / (dark + 0.05) >= 4


def test_per_class_draws_f1_with_support(report: StudyReport) -> None:
    comparison = report.comparisons["test"]
    axes = scores.per_class(comparison, ["happy", "disgust"]).axes[0]
    rows = {row.label: row for row in comparison.per_class}
    drawn = np.array([bar.get_height() for bar in axes.patches]).reshape(3, 2)
    assert drawn.T.tolist() == [list(rows["happy"].f1), list(rows["disgust"].f1)]
    assert tick_names(axes.xaxis) == ["happy\n879", "disgust\n55"]
    with pytest.raises(InputError, match="no class 'bored'"):
        scores.per_class(comparison, ["bored"])


def test_per_class_keeps_names_that_matplotlib_would_drop(report: StudyReport) -> None:
    comparison = report.comparisons["test"].model_copy(update={"models": ("_hidden", "$a$", "c")})
    figure = scores.per_class(comparison)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["_hidden", "$a$", "c"]
    style.png_bytes(figure)
