"""Pairs: which models and recipes a report tests against each other, with p corrected for how many pairs those are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from mien.evaluation.compare import DIFFERENCES, Comparison, PairedTest
from mien.evaluation.printed import NONE, figure_text, format_estimate, p_text, recipe_verdict
from mien.evaluation.seeds import RecipeTest, named_recipes
from mien.evaluation.significance import detectable, holm
from mien.report.content import RunReport, StudyReport
from mien.report.families import asked_runs
from mien.report.layout import Cell, Section, Table
from mien.report.words import listed, plural

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


def of_recipes(report: StudyReport, first: RunReport, second: RunReport) -> str:
    """What the runs of several seeds say of the recipes of two runs; that only the runs are spoken of, without them."""
    groups = named_recipes(report.runs)
    names = [next(name for name, members in groups.items() if run in members) for run in (first, second)]
    found = next((t for t in report.seeds.pairs if {t.first, t.second} == set(names)), None) if report.seeds else None
    if found is None:
        once = [name for name in dict.fromkeys(names) if len(groups[name]) == 1]
        why = f"{listed(once)} {'was' if len(once) == 1 else 'were'} trained with one seed" if once else "not compared"
        return f"This is said of these runs, not of their recipes: {why}."
    turned = found if found.first == names[0] else _turned_recipes(found)
    seeds = " and ".join(str(len(groups[name])) for name in names)
    return f"Of the recipes, by {seeds} seeds and mean accuracy: {recipe_verdict(turned)}."


def over_seeds(report: StudyReport) -> Section:
    """Recipes compared over their seeds; where no two have several, that nothing is said of recipes."""
    found, title = report.seeds, "Recipes over seeds"
    if found is None:
        if len(report.runs) < 2:
            return Section(title)
        return Section(title, text=("No two recipes have runs of several seeds: every comparison is of these runs.",))
    rows = tuple(
        (Cell(test.first), Cell(test.second), Cell(format_estimate(test.difference)), Cell(p_text(test.p_holm)))
        for test in found.pairs
    )
    note = f"Mean accuracy on {found.split}, n = {found.n:,}. The interval covers the chance of seeds (Welch) and of "
    note += f"images (bootstrap); p is corrected for the {len(rows)} {plural('test', len(rows))} here by Holm's method."
    spread = tuple(
        (
            Cell(one.recipe),
            Cell(str(len(one.accuracies))),
            Cell(figure_text(one.mean)),
            Cell(figure_text(one.spread)),
            Cell(f"{figure_text(min(one.accuracies))} to {figure_text(max(one.accuracies))}"),
        )
        for one in found.recipes
    )
    header = ("Recipe", "Seeds", f"Mean accuracy on {found.split}", "Standard deviation of seeds", "From – to")
    return Section(
        title,
        text=(
            "What is said of recipes here holds for other seeds too; every other comparison on this page is of the "
            "runs that it names.",
        ),
        points=(*_sampling(report), *(f"{recipe_verdict(test)}." for test in found.pairs)),
        tables=(Table(header, spread), Table(("First", "Second", "Second − first", "p, Holm"), rows, note)),
    )


def _sampling(report: StudyReport) -> list[str]:
    """Whether drawing rare classes more often helps, where recipes differ in that alone and have several seeds."""
    groups, told = named_recipes(report.runs), []
    assert report.seeds is not None
    for test in report.seeds.pairs:
        plain, drawn = sorted(
            (test.first, test.second), key=lambda name: _data_of(groups, name)["imbalance"] == "sampler"
        )
        if _data_of(groups, drawn)["imbalance"] != "sampler" or not _differ_in_sampling(groups, plain, drawn):
            continue
        turned = test if test.first == plain else _turned_recipes(test)
        told.append(f"Does sampling help? {recipe_verdict(turned)}, which draws rare classes more often.")
    return told


def _data_of(groups: Mapping[str, Sequence[RunReport]], name: str) -> dict[str, Any]:
    return groups[name][0].recipe.data.model_dump()


def _differ_in_sampling(groups: Mapping[str, Sequence[RunReport]], first: str, second: str) -> bool:
    def rest(name: str) -> dict[str, Any]:
        told = groups[name][0].recipe.model_dump(exclude={"name", "describe", "expected", "seed"})
        told["data"].pop("imbalance")
        return told

    return groups[first][0].recipe.data.imbalance != "sampler" and rest(first) == rest(second)


def _turned_recipes(test: RecipeTest) -> RecipeTest:
    return test.model_copy(update={"first": test.second, "second": test.first, "difference": -test.difference})


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
