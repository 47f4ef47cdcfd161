"""The results table: every run and every recipe not run, with backbone, size, minutes and latency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mien.recipes.recipe import Recipe
from mien.report.content import NotRun, StudyReport
from mien.report.layout import Cell, Table
from mien.studies.results import results

MakeReport = Callable[..., StudyReport]


def table(report: StudyReport) -> Table:
    (found,) = results(report).tables
    return found


def row_of(report: StudyReport, name: str) -> dict[str, Cell]:
    found = table(report)
    row = next(row for row in found.rows if row[0].text == name)
    return dict(found.labeled(row))


def test_a_line_says_backbone_size_parameters_and_seed(whole_study: StudyReport, make_report: MakeReport) -> None:
    assert row_of(whole_study, "cnn-v2-s1")["Model"].detail == "from zero, 48 px, 0.40 M parameters, seed 1"
    run = row_of(whole_study, "vit-v1.6-dinov2-small-112px")
    assert run["Model"].detail == "22.30 M parameters, seed 0"  # the name says the rest
    mine = make_report([("mine", "vit-v1.6", 0.6, 0)])
    assert row_of(mine, "mine")["Model"].detail == "dinov2-small, 112 px, 0.41 M parameters, seed 0"


def test_minutes_name_their_device_where_devices_differ(whole_study: StudyReport) -> None:
    assert row_of(whole_study, "cnn-v1")["Minutes"] == Cell("4.2")
    assert "Minutes are those of training on 2 CPU cores, bfloat16." in table(whole_study).note
    run = whole_study.runs[0]
    training = run.card.training.model_copy(update={"device": "NVIDIA H200", "minutes": 0.31})
    other = replace(run, card=run.card.model_copy(update={"training": training}))
    mixed = replace(whole_study, runs=[other, *whole_study.runs[1:]])
    assert row_of(mixed, "cnn-v1")["Minutes"] == Cell("0.3", "NVIDIA H200, bfloat16")
    assert row_of(mixed, "cnn-v2")["Minutes"].detail == "2 CPU cores, bfloat16"
    assert "Minutes are" not in table(mixed).note


def test_the_rarest_class_stands_beside_macro_f1(report: StudyReport) -> None:
    run = report.runs[0]
    evaluation = run.evaluations["test"]
    supports = [sum(row) for row in evaluation.confusion]
    rarest = supports.index(min(supports))
    recall = evaluation.confusion[rarest][rarest] / supports[rarest]
    shown = row_of(report, run.name)["Recall, rarest class"]
    assert float(shown.text) == pytest.approx(recall, abs=5e-4)
    assert shown.detail == f"{evaluation.labels[rarest]}, test, n = {supports[rarest]}"


def test_latency_has_a_column_when_it_was_measured(whole_study: StudyReport, report: StudyReport) -> None:
    assert "Latency, ms: one / batch" not in table(report).header
    assert "Latency" not in table(report).note
    assert row_of(whole_study, "cnn-v1")["Latency, ms: one / batch"].text == "0.6 / 0.36"
    assert row_of(whole_study, "vit-v1.6-dinov2-small-112px")["Latency, ms: one / batch"].text == "19 / 11"
    assert "on 2 CPU cores" in table(whole_study).note
    assert "batches of 32" in table(whole_study).note
    untimed = replace(whole_study, runs=[replace(whole_study.runs[0], latency=None), *whole_study.runs[1:]])
    assert row_of(untimed, "cnn-v1")["Latency, ms: one / batch"].text == "–"


def test_what_was_not_run_stands_in_its_place_beside_the_study(whole_study: StudyReport) -> None:
    names = [row[0].text for row in table(whole_study).rows]
    assert names.index("resnet50-ft") == names.index("efficientnet-lite0-ft-112px") + 1
    assert names.index("vit-v1.6.7-dropout") == names.index("vit-v1.6.7-dinov2-small-112px") + 1
    more = [NotRun(Recipe.load("vit-v1.6.7"), "no weights here"), NotRun(Recipe.load("cnn-v1"), "")]
    few = replace(whole_study, runs=whole_study.runs[1:3], not_run=more)
    assert [row[0].text for row in table(few).rows] == [
        "cnn-v1", "cnn-v2", "cnn-v2-s1", "cnn-v2, mean ± s.d.", "vit-v1.6.7",
    ]  # fmt: skip
    missing = table(few).rows[-1]
    assert missing[0] == Cell("vit-v1.6.7", "vit-base-patch16-224, 224 px")
    assert (missing[1].text, missing[1].detail) == ("not run", "no weights here")
    assert row_of(few, "vit-v1.6.7")["Study, pooled: accuracy / F1"].text == ".663 / –"
    assert row_of(few, "vit-v1.6.7")["Minutes"].text == "–"


def test_a_recipe_that_leaves_its_size_to_the_checkpoint_can_be_missing(report: StudyReport) -> None:
    recipe = Recipe.load("vit-v1.3")
    data = recipe.data.model_copy(update={"preprocess": recipe.data.preprocess.model_copy(update={"size": None})})
    missing = NotRun(recipe.model_copy(update={"data": data}), "")
    rows = table(replace(report, not_run=[missing])).rows
    assert rows[-1][0] == Cell("vit-v1.3", "vit-base-patch16-224")


def test_figures_of_another_backbone_are_said_to_be_that(whole_study: StudyReport, report: StudyReport) -> None:
    sentence = (
        "The study's figures are those of google/vit-base-patch16-224, also beside lines that start from dinov2-small."
    )
    assert sentence in table(whole_study).note
    assert "google" not in table(report).note


def test_a_row_that_does_not_fill_its_columns_is_caught() -> None:
    with pytest.raises(AssertionError, match="does not fit"):
        Table(("a", "b", "c"), ((Cell("x"), Cell("y")),))
    labeled = Table(("a", "b", "c"), ((Cell("x"), Cell("y", span=2)),)).labeled((Cell("x"), Cell("y", span=2)))
    assert [label for label, _ in labeled] == ["a", ""]
