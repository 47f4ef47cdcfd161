"""With fifteen runs a page stays readable: what matters in front, the rest folded, tests corrected for their number."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from mien.evaluation.printed import verdict
from mien.evaluation.significance import holm
from mien.report import curves, scores
from mien.report.content import StudyReport
from mien.report.curves import ROWS
from mien.report.families import leading, questions
from mien.report.layout import Section
from mien.report.scores import class_by_class
from mien.studies.page import compose, write_report
from mien.studies.pairs import between, paired_tests, shown_pairs

PICTURES = 15 + 15 + 4 + 3  # curves, confusions, loss against accuracy; cost, labels, per class


def section(report: StudyReport, title: str) -> Section:
    return next(one for one in compose(report).sections if one.title == title)


@pytest.mark.usefixtures("words")
def test_every_picture_is_there_and_the_leading_ones_stand_in_front(whole_study: StudyReport) -> None:
    first = [run.name for run in leading(whole_study.runs)]
    assert len(first) == 4
    for title in ("Learning curves", "Confusion matrices"):
        found = section(whole_study, title)
        assert [picture.alt.partition(":")[0] for picture in found.pictures] == first
        assert len(found.folded) == 11
        assert "the others unfold below" in found.text[0]
    assert len(compose(whole_study).pictures) == PICTURES
    assert len({picture.file for picture in compose(whole_study).pictures}) == PICTURES


@pytest.mark.usefixtures("quick")
def test_both_pages_fold_without_a_script(whole_study: StudyReport, tmp_path: Path) -> None:
    page = write_report(whole_study, tmp_path).read_text(encoding="utf-8")
    assert "<script" not in page
    assert re.findall(r"<summary>(.*?)</summary>", page) == ["11 more pictures", "3 more pictures", "11 more pictures"]
    assert page.count("<img") == PICTURES
    before_folds = re.sub(r"<details>.*?</details>", "", page, flags=re.DOTALL)
    assert before_folds.count("<img") == PICTURES - 25
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)
    assert rendered.count("<img") == PICTURES  # those inside the folds are pictures, too, not text
    assert rendered.count("<details>") == rendered.count("</details>") == 3
    rows = [line for line in markdown.splitlines() if line.startswith("| resnet50-ft")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [12]  # eleven columns, though one cell fills six


@pytest.mark.usefixtures("words")
def test_a_picture_of_loss_against_accuracy_holds_few_runs(
    whole_study: StudyReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    draw = curves.loss_against_accuracy
    monkeypatch.setattr(curves, "loss_against_accuracy", lambda runs: drawn.append(len(runs)) or draw(runs))
    found = section(whole_study, "Loss against accuracy")
    assert sum(drawn) == 15
    assert max(drawn) <= ROWS
    (table,) = found.tables
    assert [row[0].text for row in table.rows] == [run.name for run in whole_study.runs]
    assert found.points == ()
    lowest, best = curves.turning_epochs(whole_study.runs[0].history)
    assert lowest is not None
    assert [cell.detail for cell in table.rows[0][2:4]] == [f"epoch {lowest.epoch}", f"epoch {best.epoch}"]


@pytest.mark.usefixtures("words")
def test_a_run_that_diverged_or_never_turned_has_its_line(whole_study: StudyReport) -> None:
    history = whole_study.runs[0].history
    diverged = [replace(row, val_loss=float("nan")) for row in history]
    falling = [replace(row, val_loss=2.0 - 0.01 * row.epoch) for row in history]
    runs = [replace(whole_study.runs[0], history=diverged), replace(whole_study.runs[1], history=falling)]
    (table,) = section(replace(whole_study, runs=[*runs, *whole_study.runs[2:]]), "Loss against accuracy").tables
    assert [row[1].text for row in table.rows[:3]] == ["diverged", "no", "yes"]


@pytest.mark.usefixtures("words")
def test_many_models_stand_below_each_other(whole_study: StudyReport) -> None:
    found = class_by_class(whole_study)
    comparison = whole_study.comparisons["test"]
    (table,) = found.tables
    assert len(table.header) == 8
    assert [row[0].text for row in table.rows] == [*comparison.models, "best F1"]
    assert [cell.text for cell in table.rows[-1][1:]] == [row.winner or "–" for row in comparison.per_class]
    disgust = comparison.per_class[1]
    shown = [(row[2].text, row[2].detail) for row in table.rows[:-1]]
    values = zip(disgust.f1, disgust.recall, strict=True)
    assert shown == [(f"{f1:.3f}".removeprefix("0"), f"recall {r:.3f}".replace(" 0", " ")) for f1, r in values]
    assert all("in 0 of 7" not in point for point in found.points)


def test_the_picture_of_many_models_holds_the_leading_ones(
    whole_study: StudyReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    draw = scores.per_class
    monkeypatch.setattr(scores, "per_class", lambda *given: drawn.append(given[0]) or draw(*given))
    class_by_class(whole_study)
    comparison, (part,) = whole_study.comparisons["test"], drawn
    places = [comparison.models.index(run.name) for run in leading(whole_study.runs)]
    assert [row.f1 for row in part.per_class] == [tuple(row.f1[i] for i in places) for row in comparison.per_class]


def test_pairs_are_the_best_against_each_and_those_of_the_question(whole_study: StudyReport) -> None:
    pairs, best = shown_pairs(whole_study), whole_study.best.name
    held = {frozenset((pair.first, pair.second)) for pair in pairs}
    assert len(held) == len(pairs)
    asked = questions(whole_study.runs)
    wanted = {frozenset((best, run.name)) for run in whole_study.runs if run.name != best}
    wanted |= {frozenset(pair) for names in asked for pair in combinations(names, 2)}
    assert held == wanted
    table = paired_tests(whole_study).tables[0]
    assert len(table.rows) == len(wanted)
    assert f"Of the 105 pairs it shows those under “CNN or ViT?”, and those of {best}" in table.note
    assert f"corrected for the {len(wanted)} tests in this table by Holm's method" in table.note


def test_p_values_are_corrected_for_the_table(whole_study: StudyReport, report: StudyReport) -> None:
    for study in (whole_study, report):
        raw = {frozenset((p.first, p.second)): p for p in study.comparisons["test"].pairs}
        pairs = shown_pairs(study)
        expected = holm([raw[frozenset((p.first, p.second))].p_value for p in pairs])
        assert [pair.p_holm for pair in pairs] == expected
    assert len(shown_pairs(report)) == 3  # of three models, all pairs


def test_a_turned_pair_is_the_same_test(whole_study: StudyReport) -> None:
    pairs = list(whole_study.comparisons["test"].pairs)
    one = pairs[0]
    turned = between(pairs, one.second, one.first)
    assert between(pairs, one.first, one.second) == one
    assert turned.accuracy_difference.value == -one.accuracy_difference.value
    assert (turned.accuracy_difference.low, turned.accuracy_difference.high) == (
        -one.accuracy_difference.high, -one.accuracy_difference.low,
    )  # fmt: skip
    assert (turned.only_first_right, turned.only_second_right) == (one.only_second_right, one.only_first_right)
    assert turned.p_value == one.p_value
    assert ("better" in verdict(one)) == ("worse" in verdict(turned))


@pytest.mark.usefixtures("words")
def test_the_verdict_sums_up_many_runs(whole_study: StudyReport) -> None:
    points = section(whole_study, "Verdict").points
    best = whole_study.best.name
    tests = [between(shown_pairs(whole_study), run.name, best) for run in whole_study.runs if run.name != best]
    better = [t for t in tests if t.p_holm < 0.05 and t.accuracy_difference.value > 0]
    assert f"{best} is better than {len(better)} of the 14 other runs" in " ".join(points)
    undecided = [t.first for t in tests if t.p_holm >= 0.05]
    sentence = next(point for point in points if "other runs" in point)
    assert all(name in sentence.partition("cannot tell it from")[2] for name in undecided)
    against = [point for point in points if point.startswith("The study's figure lies")]
    known = [run for run in whole_study.runs if run.recipe.expected.accuracy]
    assert all(sum(f"{run.name} " in point for point in against) == 1 for run in known)
    assert len(points) <= 8
