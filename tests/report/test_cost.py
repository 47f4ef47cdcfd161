"""Accuracy against cost: every model stands where it belongs, under its number; devices are told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes

from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate
from mien.evaluation.printed import figure_text
from mien.report import style
from mien.report.content import RunReport, StudyReport
from mien.studies import cost
from mien.studies.cost import Point, cost_section

FAMILIES = ("CNN from zero", "ViT from zero", "pre-trained ViT", "pre-trained CNN", "pre-trained")
PANELS = (("Against training", "minutes"), ("Against latency", "milliseconds"))


def point(name: str, value: float, *costs: float | None, family: str = FAMILIES[0]) -> Point:
    return Point(name, family, Estimate(value=value, low=value - 0.016, high=value + 0.016), costs)


def numbers_on(axes: Axes) -> dict[str, tuple[float, float]]:
    """Where each number stands, in data."""
    return {text.get_text(): text.xy for text in axes.texts if text.get_gid() == "number"}  # type: ignore[attr-defined]


def moved(run: RunReport, device: str) -> RunReport:
    training = run.card.training.model_copy(update={"device": device})
    return replace(run, card=run.card.model_copy(update={"training": training}))


def test_points_stand_where_they_belong() -> None:
    points = [point("a", 0.5, 4.0, 0.6), point("b", 0.6, 40.0, None, family=FAMILIES[2])]
    figure = cost.accuracy_against_cost(points, "test", PANELS, FAMILIES)
    minutes, ms = figure.axes
    marks = [line for line in minutes.get_lines() if len(line.get_xdata()) == 1]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in marks] == [(4.0, 0.5), (40.0, 0.6)]
    assert marks[0].get_color() != marks[1].get_color()
    assert marks[0].get_marker() != marks[1].get_marker()
    bars = [line for line in minutes.get_lines() if len(line.get_xdata()) == 2]
    assert [list(line.get_ydata()) for line in bars] == [pytest.approx([0.484, 0.516]), pytest.approx([0.584, 0.616])]
    assert (minutes.get_xscale(), minutes.get_xlabel(), minutes.get_ylabel()) == ("log", "minutes", "test accuracy")
    assert numbers_on(minutes) == {"1": (4.0, 0.5), "2": (40.0, 0.6)}
    assert numbers_on(ms) == {"1": (0.6, 0.5)}  # b was not timed
    assert [text.get_text() for text in figure.legends[1].get_texts()] == ["1  a", "2  b"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["CNN from zero", "pre-trained ViT"]


@pytest.mark.parametrize("seed", range(3))
def test_a_crowd_is_numbered_and_listed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = [(30.0, 0.6, 6), (170.0, 0.66, 9), (4.0, 0.5, 2)]  # 17 models, most of them in two crowds
    points = [
        point(
            f"vit-v1.{i}.{j}-weight-decay", mean + rng.normal(0, 0.012), x * rng.lognormal(0, 0.05), 19 + rng.random()
        )
        for i, (x, mean, count) in enumerate(groups)
        for j in range(count)
    ]
    figure = cost.accuracy_against_cost(points, "test", PANELS, FAMILIES)
    figure.draw_without_rendering()
    for panel, axes in enumerate(figure.axes):
        there = numbers_on(axes)
        assert list(there) == [str(i) for i in range(1, 18)]
        assert list(there.values()) == [(one.costs[panel], one.accuracy.value) for one in points]
        boxes = [text.get_window_extent() for text in axes.texts]
        assert all(axes.bbox.padded(1).contains(*corner) for box in boxes for corner in box.corners())
    _, names = figure.legends
    assert [text.get_text().split() for text in names.get_texts()] == [
        [str(i), one.name] for i, one in enumerate(points, 1)
    ]
    assert not any(names.get_window_extent().overlaps(axes.bbox) for axes in figure.axes)


def test_one_model_and_equal_costs_can_be_drawn() -> None:
    assert style.png_bytes(cost.accuracy_against_cost([point("$x$", 0.5, 1.0)], "test", PANELS[:1], FAMILIES))
    same = [point(name, 0.5, 1.0, None) for name in "abc"]
    assert style.png_bytes(cost.accuracy_against_cost(same, "test", PANELS, FAMILIES))
    with pytest.raises(InputError, match="no model"):
        cost.accuracy_against_cost([], "test", PANELS, FAMILIES)


@pytest.mark.usefixtures("quick")
def test_panels_are_latency_where_it_is_known_and_size_elsewhere(
    whole_study: StudyReport, report: StudyReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    draw = cost.accuracy_against_cost
    monkeypatch.setattr(cost, "accuracy_against_cost", lambda *given: drawn.append(given) or draw(*given))
    cost_section(whole_study)
    cost_section(report)
    (timed, split, panels, families), (untimed, _, sizes, _) = drawn
    assert split == "test"
    assert [label for _, label in panels] == [
        "minutes of training, on 2 CPU cores, bfloat16", "milliseconds for one face, float32, on 2 CPU cores",
    ]  # fmt: skip
    assert sizes[1] == ("Against size", "parameters, millions")
    assert timed[0].costs == (4.2, 0.6)
    assert untimed[0].costs[1] == pytest.approx(0.405319)
    assert families[2] == "pre-trained ViT: dinov2-small"
    assert {one.family for one in timed} <= set(families)


@pytest.mark.usefixtures("words")
def test_devices_that_differ_do_not_compare(whole_study: StudyReport) -> None:
    same = " ".join(cost_section(whole_study).points)
    assert "All minutes were measured on 2 CPU cores, bfloat16" in same
    assert "4.1 times the training minutes" in same or "times the training minutes (" in same
    runs = [moved(whole_study.runs[0], "NVIDIA H200"), *whole_study.runs[1:]]
    mixed = cost_section(replace(whole_study, runs=runs)).points
    assert mixed[0].startswith("Minutes of different devices do not compare.")
    assert "on NVIDIA H200, bfloat16: cnn-v1; on 2 CPU cores, bfloat16: cnn-v2, cnn-v2-s1" in mixed[0]
    assert not any("beaten" in point for point in mixed)


@pytest.mark.usefixtures("words")
def test_runs_that_no_other_beats_are_named(whole_study: StudyReport) -> None:
    sentence = next(point for point in cost_section(whole_study).points if "beaten" in point)
    for run in whole_study.runs:
        accuracy, minutes = run.evaluations["test"].scores.accuracy.value, run.card.training.minutes
        beaten = any(
            other is not run
            and other.card.training.minutes <= minutes
            and other.evaluations["test"].scores.accuracy.value >= accuracy
            for other in whole_study.runs
        )
        assert (f"{run.name} ({minutes:.1f} minutes, {figure_text(accuracy)})" in sentence) is not beaten


@pytest.mark.usefixtures("words")
def test_a_single_run_has_nothing_to_stand_beside(report: StudyReport) -> None:
    section = cost_section(replace(report, runs=report.runs[:1], comparisons={}))
    assert (section.text, section.points, section.pictures) == ((), (), ())
