"""Verdict: what a reader in a hurry takes from a report, and its runs against the study's figures."""

from __future__ import annotations

from collections.abc import Sequence

from mien.evaluation.compare import PairedTest
from mien.evaluation.printed import format_estimate, verdict
from mien.report.content import RunReport, StudyReport
from mien.report.families import called
from mien.report.layout import Section
from mien.report.words import as_given, listed, spoken
from mien.studies.pairs import ALL_UP_TO, between, shown_pairs
from mien.studies.question import headlines

_PLACES = ("above", "inside", "below")  # of our interval, seen from the study's figure


def verdict_section(report: StudyReport) -> Section:
    """The best run, the answer to the study's question, the best against the others, all against the study."""
    best = report.best
    figures = listed([spoken(best.evaluations[split]) for split in ("val", "test") if split in best.evaluations])
    opening = f"Best by val accuracy, the figure that selects: {called(best)}, with {figures}."
    points = [opening if len(report.runs) > 1 else f"{called(best)}: {figures}."]
    final = best.evaluations.get("test")
    if final is None:
        points.append("No test split was opened: val also chose the epoch, so its figures flatter.")
    elif final.leak_free is not None:
        accuracy, n = format_estimate(final.leak_free.accuracy), final.leak_free.n
        points.append(
            f"Leak-free, over test images that are neither in the training set nor in val: {accuracy}, n = {n:,}."
        )
    points += headlines(report)
    points += _against_the_others(report)
    points += _against_the_study(report.runs)
    return Section("Verdict", points=tuple(points))


def _against_the_others(report: StudyReport) -> list[str]:
    comparison, best = report.comparison, report.best.name
    if comparison is None:
        return []
    pairs = shown_pairs(report)
    where = f"On {comparison.split} (accuracy, n = {comparison.n:,})"
    if len(comparison.models) <= ALL_UP_TO:
        return [f"{where}, {verdict(pair)}." for pair in pairs if best in (pair.first, pair.second)]
    tests = [between(pairs, other, best) for other in comparison.models if other != best]
    better, worse, alike = _sorted_out(tests)
    sentence = f"{where}, {best} is better than {len(better)} of the {len(tests)} other runs (McNemar, Holm p < .05)"
    sentence += f"; worse than {listed(worse)}" if worse else "; worse than none"
    return [f"{sentence}; cannot tell it from {listed(alike)}." if alike else f"{sentence}."]


def _sorted_out(tests: Sequence[PairedTest]) -> tuple[list[str], list[str], list[str]]:
    """The first models of the tests: those that the second is better than, worse than, and not to be told from."""
    decided = [test for test in tests if test.p_holm < 0.05]
    better = [test.first for test in decided if test.accuracy_difference.value > 0]
    worse = [test.first for test in decided if test.accuracy_difference.value <= 0]
    return better, worse, [test.first for test in tests if test.p_holm >= 0.05]


def _against_the_study(runs: Sequence[RunReport]) -> list[str]:
    """One sentence for each of a few runs, one for each place of the study's figure for many."""
    known = [run for run in runs if run.recipe.expected.accuracy and "pooled" in run.evaluations]
    if len(known) <= ALL_UP_TO:
        return [
            f"{called(run)} against the study, on the pooled test: {_figures(run)[0]}, n = {_n(run)}; "
            f"the study gives {_figures(run)[1]}, {_place(run)} our interval."
            for run in known
        ]
    sentences = []
    for place in _PLACES:
        there = [run for run in known if _place(run) == place]
        if there:
            words = "; ".join(f"{called(run)} {_figures(run)[0]}, the study {_figures(run)[1]}" for run in there)
            counts = listed(sorted({_n(run) for run in there}))
            sentences.append(f"The study's figure lies {place} our interval, pooled test, n = {counts}: {words}.")
    return sentences


def _figures(run: RunReport) -> tuple[str, str]:
    """Ours with its interval and the study's, on the pooled test."""
    theirs = run.recipe.expected.accuracy
    assert theirs is not None  # the caller asks only for those with a figure
    return format_estimate(run.evaluations["pooled"].scores.accuracy), as_given(theirs)


def _n(run: RunReport) -> str:
    return f"{run.evaluations['pooled'].scores.n:,}"


def _place(run: RunReport) -> str:
    """Where the study's figure lies, seen from our interval."""
    ours, theirs = run.evaluations["pooled"].scores.accuracy, run.recipe.expected.accuracy or 0.0
    return "below" if theirs < ours.low else "above" if theirs > ours.high else "inside"
