"""Side by side: the evidence of several models, a line for each, on the same images."""

from __future__ import annotations

from collections.abc import Mapping

from mien.evaluation.evidence import Evidence
from mien.evaluation.printed import NONE, figure_text, format_estimate, p_text, recipe_verdict
from mien.evaluation.seeds import RecipeComparison
from mien.report import plots_confidence
from mien.report.confidence import abstention_sentence, range_if_perfect
from mien.report.layout import Cell, Picture, Section, Table

DRAWN = 4  # models whose pictures stand on a page; the table holds all


def calibrations(found: Mapping[str, Evidence]) -> Section:
    """Calibration of each model before and after its temperature, beside what a perfect model would show."""
    rows: list[tuple[Cell, ...]] = []
    pictures: list[Picture] = []
    for name, evidence in found.items():
        evaluation = evidence.evaluation
        after, before = evaluation.calibration, evaluation.untempered
        if after is None:
            continue
        rows.append(
            (
                Cell(name, f"temperature {evaluation.temperature:.2f}"),
                Cell(figure_text(before.ece) if before else NONE),
                Cell(figure_text(after.ece)),
                Cell(range_if_perfect(after)),
                Cell("yes" if after.as_good_as_perfect else "no"),
                *(Cell(figure_text(value)) for value in (after.ece_mass, after.classwise_ece, after.brier)),
            )
        )
        if len(pictures) < DRAWN and after.bins:
            figure = plots_confidence.reliability(name, after, before)
            pictures.append(Picture.of(f"reliability-{name}", figure, f"{name}: reliability diagram.", wide=False))
    header = ("Model", "ECE before", "ECE after", "Perfect model", "Within", "Equal mass", "Classwise", "Brier")
    note = (
        f"On {_where(found)}, 15 bins. Perfect model: 95 % of the ECE that chance alone makes at this confidence and n "
    )
    note += "(simulated). The temperature was fitted on val images that are not in train; where it makes the error of "
    note += "test larger, that is shown too."
    tables = (Table(header, tuple(rows), note),) if rows else ()
    return Section("Calibration", tables=tables, pictures=tuple(pictures))


def abstentions(found: Mapping[str, Evidence]) -> Section:
    """What each model's threshold does, and its curve of risk and coverage."""
    drawn = list(found.items())[:DRAWN]
    return Section(
        "Abstention",
        points=tuple(f"{name}: {abstention_sentence(one.abstention)}" for name, one in found.items()),
        pictures=tuple(
            Picture.of(
                f"risk-{name}",
                plots_confidence.risk_coverage(name, one.abstention),
                f"{name}: risk against coverage.",
                wide=False,
            )
            for name, one in drawn
        ),
    )


def over_seeds(found: RecipeComparison | None) -> Section:
    """Recipes compared over their seeds; empty where no two have several."""
    if found is None:
        return Section("Recipes over seeds")
    rows = tuple(
        (Cell(test.first), Cell(test.second), Cell(format_estimate(test.difference)), Cell(p_text(test.p_holm)))
        for test in found.pairs
    )
    note = f"Mean accuracy on {found.split}, n = {found.n:,}. The interval holds the chance of seeds (Welch) and of "
    note += "images (bootstrap); p is corrected by Holm's method."
    return Section(
        "Recipes over seeds",
        points=tuple(f"{recipe_verdict(test)}." for test in found.pairs),
        tables=(Table(("First", "Second", "Second − first", "p, Holm"), rows, note),),
    )


def _where(found: Mapping[str, Evidence]) -> str:
    evaluation = next(iter(found.values())).evaluation
    return f"{evaluation.split}, n = {evaluation.scores.n:,}"
