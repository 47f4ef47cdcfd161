"""Pairs: which models and recipes a report tests against each other, with p corrected for how many pairs those are."""

from __future__ import annotations

from itertools import combinations

from mien.evaluation.compare import DIFFERENCES, Comparison, PairedTest
from mien.evaluation.printed import NONE, format_estimate, p_text, recipe_verdict
from mien.evaluation.seeds import RecipeComparison
from mien.evaluation.significance import detectable, holm
from mien.report.content import StudyReport
from mien.report.families import asked_runs
from mien.report.layout import Cell, Section, Table
from mien.report.words import plural

ALL_UP_TO = 4  # models; more have too many pairs to read


def shown_pairs(report: StudyReport) -> list[PairedTest]:
    """All pairs of a few models; of many, the best by val against each other one, and those of the study's question.

    On `test` (`val` where no test was opened). Their p is corrected by Holm's method for the number of pairs here.
    """
    comparison = report.comparison
    if comparison is None:
        return []
    chosen = list(comparison.pairs)
    if len(comparison.models) > ALL_UP_TO:
        best, asked = report.best.name, asked_runs(report)
        wanted = list(dict.fromkeys(pair for names in asked for pair in combinations(names, 2)))
        wanted += [(other, best) for other in comparison.models if {other, best} not in map(set, wanted)]
        chosen = [_find(comparison, first, second) for first, second in wanted if first != second]
    corrected = holm([pair.p_value for pair in chosen])
    return [
        pair.model_copy(update={"p_holm": p, "detectable": _detectable(pair, comparison.n, len(chosen))})
        for pair, p in zip(chosen, corrected, strict=True)
    ]


def _detectable(pair: PairedTest, n: int, tests: int) -> float | None:
    return detectable((pair.only_first_right + pair.only_second_right) / n, n, tests)


def between(pairs: list[PairedTest], first: str, second: str) -> PairedTest:
    """The test of these two, turned so that differences are second minus first."""
    pair = next(pair for pair in pairs if {pair.first, pair.second} == {first, second})
    return pair if pair.first == first else _turned(pair)


def paired_tests(report: StudyReport) -> Section:
    """The table of the pairs."""
    pairs, comparison = shown_pairs(report), report.comparison
    if comparison is None:
        return Section("Paired tests")
    header = ("First", "Second", "Accuracy, second − first", "Macro F1, second − first",
              "Only first right", "Only second right", "McNemar p, Holm", "Would be seen")  # fmt: skip
    rows = tuple(
        (
            Cell(pair.first),
            Cell(pair.second),
            Cell(format_estimate(pair.accuracy_difference)),
            Cell(format_estimate(pair.macro_f1_difference)),
            Cell(f"{pair.only_first_right:,}"),
            Cell(f"{pair.only_second_right:,}"),
            Cell(p_text(pair.p_holm)),
            Cell(NONE if pair.detectable is None else f"{100 * pair.detectable:.1f} points"),
        )
        for pair in pairs
    )
    note = (
        f"On {comparison.split}, n = {comparison.n:,}, the same images for both models. In brackets the 95 % interval "
    )
    note += f"of the paired bootstrap; p is of the exact McNemar test, two-sided, corrected for the {len(rows)} "
    note += (
        f"{plural('test', len(rows))} in this table by Holm's method. The last column is the difference of accuracy "
    )
    note += "that a test of this size finds in 80 of 100 cases."
    if len(pairs) < len(comparison.pairs):
        which = "those under “CNN or ViT?”, and " if asked_runs(report) else ""
        note += f" Of the {len(comparison.pairs)} pairs it shows {which}those of {report.best.name}, the best by val "
        note += "accuracy, with every other run."
    return Section("Paired tests", tables=(Table(header, rows, note),))


def over_seeds(found: RecipeComparison | None) -> Section:
    """Recipes compared over their seeds; empty where no two have several."""
    if found is None:
        return Section("Recipes over seeds")
    rows = tuple(
        (Cell(test.first), Cell(test.second), Cell(format_estimate(test.difference)), Cell(p_text(test.p_holm)))
        for test in found.pairs
    )
    note = f"Mean accuracy on {found.split}, n = {found.n:,}. The interval covers the chance of seeds (Welch) and of "
    note += "images (bootstrap); p is corrected by Holm's method."
    return Section(
        "Recipes over seeds",
        points=tuple(f"{recipe_verdict(test)}." for test in found.pairs),
        tables=(Table(("First", "Second", "Second − first", "p, Holm"), rows, note),),
    )


def _find(comparison: Comparison, first: str, second: str) -> PairedTest:
    return between(list(comparison.pairs), first, second)


def _turned(pair: PairedTest) -> PairedTest:
    turned = {
        "first": pair.second,
        "second": pair.first,
        "only_first_right": pair.only_second_right,
        "only_second_right": pair.only_first_right,
        **{name: -getattr(pair, name) for name in DIFFERENCES},
    }
    return pair.model_copy(update=turned)
