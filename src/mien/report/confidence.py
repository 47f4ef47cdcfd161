"""Confidence: whether a model's probabilities mean what they say, and what it gains by keeping unsure answers back."""

from __future__ import annotations

from mien.evaluation.abstention import Abstention
from mien.evaluation.calibration import Calibration
from mien.evaluation.evaluate import Evaluation
from mien.evaluation.printed import NONE, figure_text, format_estimate
from mien.report import plots_confidence
from mien.report.layout import Cell, Picture, Section, Table

_TELLS = 0.05  # of an ECE: where chance alone makes more than that, a small one shows nothing


def calibration_section(evaluation: Evaluation) -> Section:
    """Before and after the temperature, beside what a perfectly calibrated model would show."""
    after, before = evaluation.calibration, evaluation.untempered
    if after is None:
        return Section("Calibration")
    header = ("", "ECE, bins of equal width", "Perfect model", "ECE, equal mass", "Classwise ECE", "Brier", "NLL")
    rows = [
        _row(f"as answered, temperature {evaluation.temperature:.2f}", after, figure_text(evaluation.scores.nll.value))
    ]
    if before:
        rows.insert(0, _row("without temperature", before, NONE))
    note = (
        f"On {evaluation.split}, n = {after.n:,}, 15 bins. Perfect model: 95 % of the ECE that one of this confidence "
    )
    note += "and n shows by chance (simulated)."
    note += " The temperature was fitted on val images that are not in train." if before else ""
    pictures: tuple[Picture, ...] = ()
    if after.bins:
        alt = "Reliability diagram: accuracy against confidence in 15 bins, and the images in each."
        figure = plots_confidence.reliability(evaluation.model, after, before)
        pictures = (Picture.of("reliability", figure, alt, wide=False),)
    return Section(
        "Calibration",
        text=(calibration_sentence(evaluation),),
        tables=(Table(header, tuple(rows), note),),
        pictures=pictures,
    )


def _row(what: str, found: Calibration, nll: str) -> tuple[Cell, ...]:
    figures = (found.ece_mass, found.classwise_ece, found.brier)
    return (
        Cell(what),
        Cell(figure_text(found.ece)),
        Cell(range_if_perfect(found)),
        *map(Cell, map(figure_text, figures)),
        Cell(nll),
    )


def range_if_perfect(found: Calibration) -> str:
    low, high = map(figure_text, found.ece_if_perfect)
    return f"{low} to {high}"


def calibration_sentence(evaluation: Evaluation) -> str:
    """Whether confidence can be read as a chance, in plain words; not where too few images or a guesser say so."""
    found, before = evaluation.calibration, evaluation.untempered
    if found is None:
        return "Calibration was not measured."
    chance, where = range_if_perfect(found), f"{evaluation.split}, n = {found.n:,}"
    measured = f"ECE {figure_text(found.ece)} ({where})"
    if evaluation.scores.accuracy.low <= 1 / len(evaluation.labels):
        told = f"It is not shown to be right more often than a guess, so its confidence says nothing; {measured}"
    elif not found.as_good_as_perfect:
        told = (
            f"The confidence is off by more than chance explains: {measured}, where a perfect model would show {chance}"
        )
    elif found.ece_if_perfect[1] > _TELLS:
        told = "Whether the confidence can be read as the chance of being right, so few images cannot tell: "
        told += f"{measured}, and chance alone makes {chance}"
    else:
        told = "The confidence can be read as the chance of being right: "
        told += f"{measured} is no larger than what chance alone makes, {chance}"
    return f"{told}; without temperature it would be {figure_text(before.ece)}." if before else f"{told}."


def abstention_section(model: str, found: Abstention) -> Section:
    """The threshold of the card of `model`, and the curve."""
    rows = tuple(
        (
            Cell(figure_text(one.coverage, 2)),
            Cell(format_estimate(one.risk) if one.risk else NONE),
            Cell(figure_text(one.threshold)),
            Cell(f"{one.n:,}"),
        )
        for one in found.curve[4::5]
    )
    note = f"On {found.split}, n = {found.n:,}; in brackets Wilson's 95 % interval. Area under the curve of risk "
    note += (
        f"{figure_text(found.aurc)}; {figure_text(found.aurc_best)} if every right answer were surer than every wrong."
    )
    header = ("Answered", "Wrong among them", "Confidence from", "Images")
    picture = Picture.of(
        "risk-coverage",
        plots_confidence.risk_coverage(model, found),
        "Risk against coverage, as in the table.",
        wide=False,
    )
    return Section(
        "Abstention", text=(abstention_sentence(found),), tables=(Table(header, rows, note),), pictures=(picture,)
    )


def abstention_sentence(found: Abstention) -> str:
    """What the threshold does here, in plain words."""
    there = found.at_threshold
    if there is None:
        return "The card holds no threshold, so no answer is marked unsure. Fit one: mien calibrate RUN."
    if there.risk is None:
        return f"No answer reaches the threshold {figure_text(there.threshold)}: all are marked unsure."
    share = f"{100 * there.coverage:.0f} % of the images are answered ({found.split}, n = {found.n:,})"
    told = f"From a confidence of {figure_text(there.threshold)} on, {share}, "
    told += f"{format_estimate(there.risk)} of them wrong; the others are marked unsure"
    if found.wanted is None:
        return f"{told}."
    wanted = f"{told}. The wanted risk is {figure_text(found.wanted, 2)}"
    if found.split in ("val", "pooled"):
        return f"{wanted}; the threshold was fitted on val, so these images say little of it."
    how = {
        True: ", and is kept here",
        False: ", and is broken here",
        None: "; whether it is kept these images cannot tell",
    }
    return f"{wanted}, fitted on val{how[found.kept]}."
