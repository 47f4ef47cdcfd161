"""Side by side: the evidence of several models, a line for each, on the same images."""

from __future__ import annotations

from collections.abc import Mapping

from mien.evaluation.evaluate import Estimate, figure_text, format_estimate
from mien.evaluation.evidence import Evidence
from mien.evaluation.humans import HumanCeiling, sentences
from mien.evaluation.robustness import Robustness, in_words
from mien.evaluation.seeds import RecipeComparison, recipe_verdict
from mien.report import plots_confidence, plots_humans, plots_robustness
from mien.report.confidence import abstention_sentence, range_if_perfect
from mien.report.layout import Cell, Picture, Section, Table
from mien.report.wording import NONE, listed, p_text

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


def people(found: Mapping[str, Evidence]) -> Section:
    """Each model beside a single tagger; empty where no votes were given."""
    known: dict[str, HumanCeiling] = {name: one.humans for name, one in found.items() if one.humans}
    if not known:
        return Section("Label noise and human ceiling")
    rows = []
    for name, one in known.items():
        figures = (one.rest.human, one.rest.model, one.rest.difference, one.one.model, one.spearman)
        rows.append((Cell(name), *(Cell(format_estimate(f) if f else NONE) for f in figures)))
    header = ("Model", "One tagger with the rest", "Model with the rest", "Model − tagger", "Model with one tagger",
              "Entropy: rank correlation")  # fmt: skip
    first_name, first = next(iter(known.items()))
    note = f"On {first.split}, n = {first.n:,} images with votes. Rest: the most frequent answer of the other taggers, "
    note += "each vote left out in turn. Entropy: of the model's probabilities with that of the votes."
    alt = f"{first_name} beside a single tagger, by class and by how far taggers disagree."
    return Section(
        "Label noise and human ceiling",
        text=(f"The sentences and the picture are of {first_name}.",),
        points=sentences(first),
        tables=(Table(header, tuple(rows), note),),
        pictures=(Picture.of("people", plots_humans.tagger_and_model(first), alt),),
    )


def robustnesses(found: Mapping[str, Evidence]) -> Section:
    """Mean accuracy under each corruption and model; empty where it was not measured."""
    known: dict[str, Robustness] = {name: one.robustness for name, one in found.items() if one.robustness}
    if not known:
        return Section("Robustness")
    first = next(iter(known.values()))
    rows = [
        (
            Cell(plots_robustness.title(score.corruption)),
            *(_left(one.corruptions[i].mean, one.corruptions[i].drop) for one in known.values()),
        )
        for i, score in enumerate(first.corruptions)
    ]
    rows.append((Cell("all"), *(_left(one.mean, one.drop) for one in known.values())))
    missing = [name for name in found if name not in known]
    points = [f"{name}: {' '.join(in_words(one))}" for name, one in known.items()]
    points += [f"Not measured, which needs the weights: {listed(missing)}."] if missing else []
    note = f"Mean accuracy over five severities on {first.split}, n = {first.n:,}; below it what is lost against clean "
    note += "faces, a paired interval. Strengths are ours, so figures compare models here and not with other papers."
    drawn = dict(list(known.items())[:DRAWN])
    picture = Picture.of("robustness", plots_robustness.accuracy_by_severity(drawn), "Accuracy by severity.")
    return Section(
        "Robustness",
        points=tuple(points),
        tables=(Table(("Corruption", *known), tuple(rows), note),),
        pictures=(picture,),
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


def _left(mean: Estimate, drop: Estimate) -> Cell:
    return Cell(format_estimate(mean), f"lost {format_estimate(drop)}")


def _where(found: Mapping[str, Evidence]) -> str:
    evaluation = next(iter(found.values())).evaluation
    return f"{evaluation.split}, n = {evaluation.scores.n:,}"
