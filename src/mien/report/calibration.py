"""Calibration: whether a model's probabilities mean what they say, of one model or of several side by side."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mien.errors import InputError
from mien.evaluation.calibration import Calibration
from mien.evaluation.evaluate import Evaluation
from mien.evaluation.evidence import Evidence
from mien.evaluation.printed import NONE, figure_text
from mien.report.layout import Cell, Picture, Section, Table
from mien.report.style import BLUE, FAINT, PALE, WIDTH, Share, share_axis, shorten, styled

TITLE = "Calibration"
DRAWN = 4  # models whose pictures stand on a page; the table has all
_TELLS = 0.05  # of an ECE: where chance alone makes more than that, a small one shows nothing
_FITTED = "The temperature was fitted on val images that are not in the training set"


def calibration_section(evaluation: Evaluation) -> Section:
    """Before and after the temperature, beside what a perfectly calibrated model would show."""
    after, before = evaluation.calibration, evaluation.untempered
    if after is None:
        return Section(TITLE)
    header = ("", "ECE, bins of equal width", "Perfect model", "ECE, equal mass", "Classwise ECE", "Brier", "NLL")
    rows = [
        _row(f"as answered, temperature {evaluation.temperature:.2f}", after, figure_text(evaluation.scores.nll.value))
    ]
    if before:
        rows.insert(0, _row("without temperature", before, NONE))
    note = f"On {evaluation.split}, n = {after.n:,}, 15 bins. Perfect model: 95 % of the ECE that one of this "
    note += "confidence and n shows by chance (simulated)."
    note += f" {_FITTED}." if before else ""
    pictures: tuple[Picture, ...] = ()
    if after.bins:
        alt = "Reliability diagram: accuracy against confidence in 15 bins, and the images in each."
        figure = reliability(evaluation.model, after, before)
        pictures = (Picture.of("reliability", figure, alt, wide=False),)
    tables = (Table(header, tuple(rows), note),)
    return Section(TITLE, text=(calibration_sentence(evaluation),), tables=tables, pictures=pictures)


def calibration_side_by_side(found: Mapping[str, Evidence]) -> Section:
    """Each of several models before and after its temperature, beside what a perfect model would show."""
    known = {name: one.evaluation for name, one in found.items() if one.evaluation.calibration}
    if not known:
        return Section(TITLE)
    rows: list[tuple[Cell, ...]] = []
    pictures: list[Picture] = []
    for name, evaluation in known.items():
        after, before = evaluation.calibration, evaluation.untempered
        assert after is not None
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
            figure = reliability(name, after, before)
            pictures.append(Picture.of(f"reliability-{name}", figure, f"{name}: reliability diagram.", wide=False))
    header = ("Model", "ECE before", "ECE after", "Perfect model", "Within", "Equal mass", "Classwise", "Brier")
    first = next(iter(known.values()))
    note = f"On {first.split}, n = {first.scores.n:,}, 15 bins. Perfect model: 95 % of the ECE that chance alone makes "
    note += f"at this confidence and n (simulated). {_FITTED}; where it makes the error of test larger, that is shown "
    note += "too."
    return Section(TITLE, tables=(Table(header, tuple(rows), note),), pictures=tuple(pictures))


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


def range_if_perfect(found: Calibration) -> str:
    """The ECE that chance alone makes."""
    low, high = map(figure_text, found.ece_if_perfect)
    return f"{low} to {high}"


@styled
def reliability(model: str, after: Calibration, before: Calibration | None = None) -> Figure:
    """Accuracy against confidence, bin by bin, and below it how many images each bin holds.

    `before`: the same without the temperature, in gray. Source: Niculescu-Mizil and Caruana, ICML 2005.
    """
    if not after.bins:
        raise InputError("reliability: the calibration has no bins. Evaluate the model again")
    figure = Figure(figsize=(0.62 * WIDTH, 4.6))
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), label="perfect")
    if before and before.bins:
        _draw_bins(axes, before, PALE, "before temperature")
    _draw_bins(axes, after, BLUE, "as answered")
    axes.set_ylabel("accuracy of the bin")
    axes.set_ylim(0, 1)
    axes.legend(loc="upper left")
    axes.set_title(f"{shorten(model, 30)}: ECE {figure_text(after.ece)}, n = {after.n:,}", fontsize=9.5)
    width = min(one.high - one.low for one in after.bins)
    middles = [(one.low + one.high) / 2 for one in after.bins]
    counts.bar(middles, [one.n for one in after.bins], width * 0.9, color=BLUE)
    counts.set_ylabel("images")
    counts.set_xlabel("confidence")
    counts.set_xlim(0, 1)
    counts.xaxis.set_major_formatter(Share())
    share_axis(axes.xaxis, axes.yaxis)
    return figure


def _draw_bins(axes: Axes, found: Calibration, color: str, label: str) -> None:
    x, y = [one.confidence for one in found.bins], [one.accuracy for one in found.bins]
    axes.plot(x, y, color=color, marker="o", markersize=3.5, label=label)


def _row(what: str, found: Calibration, nll: str) -> tuple[Cell, ...]:
    figures = (found.ece_mass, found.classwise_ece, found.brier)
    return (
        Cell(what),
        Cell(figure_text(found.ece)),
        Cell(range_if_perfect(found)),
        *(Cell(figure_text(figure)) for figure in figures),
        Cell(nll),
    )
