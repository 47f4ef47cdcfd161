"""Abstention: what a model gains by keeping unsure answers back, of one model or of several side by side."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from mien.evaluation.abstention import Abstention
from mien.evaluation.evidence import Evidence
from mien.evaluation.printed import NONE, figure_text, format_estimate
from mien.report.layout import Cell, Picture, Section, Table
from mien.report.style import BLUE, FAINT, INK, VERMILLION, WIDTH, share_axis, shorten, styled

TITLE = "Abstention"
DRAWN = 4  # models whose curves stand on a page


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
    header = ("Answered", "Wrong among them", "Confidence from", "Images")
    note = (
        f"On {found.split}, n = {found.n:,}; in brackets Wilson's 95 % interval. Area under the curve of risk "
        f"{figure_text(found.aurc)}; {figure_text(found.aurc_best)} if every right answer were surer than every wrong."
    )
    alt = "Risk against coverage, as in the table."
    picture = Picture.of("risk-coverage", risk_coverage(model, found), alt, wide=False)
    tables = (Table(header, rows, note),)
    return Section(TITLE, text=(abstention_sentence(found),), tables=tables, pictures=(picture,))


def abstention_side_by_side(found: Mapping[str, Evidence]) -> Section:
    """What each model's threshold does, and its curve of risk and coverage."""
    return Section(
        TITLE,
        points=tuple(f"{name}: {abstention_sentence(one.abstention)}" for name, one in found.items()),
        pictures=tuple(
            Picture.of(
                f"risk-{name}", risk_coverage(name, one.abstention), f"{name}: risk against coverage.", wide=False
            )
            for name, one in list(found.items())[:DRAWN]
        ),
    )


def abstention_sentence(found: Abstention) -> str:
    """What the threshold does here, in plain words."""
    there = found.at_threshold
    if there is None:
        return "The card has no threshold, so no answer is marked unsure. Fit one: mien calibrate RUN."
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


@styled
def risk_coverage(model: str, found: Abstention) -> Figure:
    """Share of wrong answers against the share of images that are answered, with its interval as a band."""
    figure = Figure(figsize=(0.62 * WIDTH, 3.4))
    axes = figure.subplots()
    told = [(one.coverage, one.risk) for one in found.curve if one.risk]
    x = [coverage for coverage, _ in told]
    axes.fill_between(x, [r.low for _, r in told], [r.high for _, r in told], color=BLUE, alpha=0.16, linewidth=0)
    axes.plot(x, [r.value for _, r in told], color=BLUE)
    if found.wanted is not None:
        axes.axhline(found.wanted, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.text(0.005, found.wanted, f" wanted: {figure_text(found.wanted, 2)}", va="bottom", fontsize=8, color=INK)
    there = found.at_threshold
    if there and there.risk:
        axes.plot([there.coverage], [there.risk.value], "o", color="white", markeredgecolor=VERMILLION,
                  markeredgewidth=1.6, markersize=7, zorder=5)  # fmt: skip
        text = f"threshold {figure_text(there.threshold)}"
        axes.annotate(text, (there.coverage, there.risk.value), xytext=(-6, 10), textcoords="offset points",
                      ha="right", fontsize=8)  # fmt: skip
    axes.set_title(f"{shorten(model, 30)}, {found.split}", fontsize=9.5)
    axes.set_xlabel(f"coverage: share of {found.n:,} images that are answered")
    axes.set_ylabel("risk: share of wrong answers")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, None)
    share_axis(axes.xaxis, axes.yaxis)
    return figure
