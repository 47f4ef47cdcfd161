"""Sets: whether prediction sets keep their promise, class by class, and how large they are."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from mien.evaluation.evidence import Evidence
from mien.evaluation.printed import NONE, figure_text, format_estimate, p_text, p_words
from mien.evaluation.sets import SIGNIFICANT, PredictionSets
from mien.report.layout import Cell, Picture, Section, Table
from mien.report.style import BLUE, FAINT, WIDTH, draw_estimate, share_axis, shorten, styled
from mien.report.words import listed

TITLE = "Prediction sets"


def sets_section(found: PredictionSets) -> Section:
    """The promise, coverage and size by class, and how many sets have how many labels."""
    title = f"{TITLE}, what people see" if found.of_votes else TITLE
    name = "sets-people" if found.of_votes else "sets"
    alt = "Coverage of each class with its interval, and how large sets are, as in the table."
    picture = Picture.of(name, coverage_and_size(found), alt)
    return Section(title, text=sets_sentences(found), tables=(_by_class(found),), pictures=(picture,))


def sets_side_by_side(found: Mapping[str, Evidence]) -> tuple[Section, ...]:
    """What the sets of each model hold here, of labels and of votes; no section where no model has any."""
    told = [
        (f"{name}{', what people see' if one.of_votes else ''}", one)
        for name, evidence in found.items()
        for one in (evidence.sets, evidence.people.sets if evidence.people else None)
        if one
    ]
    if not told:
        return ()
    points = [f"{name}: {sets_sentences(one)[0]}" for name, one in told]
    return (Section(TITLE, points=tuple(points), text=tuple(sets_sentences(one)[2] for _, one in told[:1])),)


def sets_sentences(found: PredictionSets) -> tuple[str, ...]:
    """What is promised, what was found, and what the smallest class allows to say."""
    return (_kept(found), _promise(found), _smallest(found))


def _kept(found: PredictionSets) -> str:
    kept = f"Sets that are to hold the truth with {figure_text(found.level, 2)} hold it on "
    kept += f"{format_estimate(found.coverage)} of the images ({found.split}, n = {found.n:,}), with "
    kept += f"{found.size.value:.2f} of {len(found.sizes)} labels on average [{found.size.low:.2f}, "
    kept += f"{found.size.high:.2f}]; {100 * found.sizes[0]:.0f} % hold one label."
    if found.split in ("val", "pooled"):
        return f"{kept} They were fitted on val, so these images say little of the promise."
    told = [(one.coverage.value, one) for one in found.per_class if one.coverage]
    least = min(told, key=lambda pair: pair[0])[1]
    assert least.coverage
    if found.broken:
        which = f"class{'es' if len(found.broken) > 1 else ''} {listed(found.broken)}"
        return (
            f"{kept} Less than promised, and not by chance: {which} (p < {SIGNIFICANT:g}, corrected for the classes)."
        )
    return (
        f"{kept} Least in the class {least.label}, {format_estimate(least.coverage)} (n = {least.images:,.0f}), which "
        f"chance can explain ({p_words(least.p)}, corrected for the classes)."
    )


def _promise(found: PredictionSets) -> str:
    what = "a tagger drawn at random among those who name one of the labels" if found.of_votes else "the label"
    of_class = "of the votes for each emotion" if found.of_votes else "in each class"
    told = f"Promised, {of_class}: the set holds the answer of {what}" if found.of_votes else ""
    told = told or f"Promised, {of_class}: the set holds {what}"
    empty = 100 * found.only_top
    return (
        f"{told} with at least this probability, over faces like those of val and over the draw of val itself. The "
        f"most probable label is always in, so no set is empty ({empty:.1f} % would be)."
    )


def _smallest(found: PredictionSets) -> str:
    few = min(found.per_class, key=lambda one: one.fitted_on)
    if few.expected == (1.0, 1.0):
        return f"{few.label} had {few.fitted_on:g} images to fit on, too few to leave it out of any set."
    range_ = f"{figure_text(few.expected[0], 2)} and {figure_text(few.expected[1], 2)}"
    there = f", and the {few.images:,.0f} here say {format_estimate(few.coverage)}" if few.coverage else ""
    return (
        f"The class with the fewest images, {few.label}, had {few.fitted_on:g} to fit on: one such threshold covers "
        f"between {range_} of all its faces in 95 % of draws{there}."
    )


def _by_class(found: PredictionSets) -> Table:
    header = ("Class", "Coverage", "Mean size", "Images", "Fitted on", "95 % of such thresholds cover", "p")
    rows = [
        (
            Cell(one.label),
            Cell(format_estimate(one.coverage) if one.coverage else NONE),
            Cell(f"{one.size:.2f}" if one.size is not None else NONE),
            Cell(f"{one.images:,.0f}"),
            Cell(f"{one.fitted_on:,.0f}"),
            Cell(f"{figure_text(one.expected[0], 2)}–{figure_text(one.expected[1], 2)}"),
            Cell(p_text(one.p)),
        )
        for one in found.per_class
    ]
    mean = Cell(f"{found.size.value:.2f}", f"[{found.size.low:.2f}, {found.size.high:.2f}]")
    rest = (Cell(""), Cell(""), Cell(""))
    rows.append((Cell("all"), Cell(format_estimate(found.coverage)), mean, Cell(f"{found.n:,}"), *rest))
    how = (
        "95 % bootstrap interval over images; images of a class are its shares of the votes, added up"
        if found.of_votes
        else "Wilson's 95 % interval"
    )
    return Table(
        header,
        tuple(rows),
        f"On {found.split}, images that training and selection never saw; {how}. p: how often a "
        "kept promise shows as little, corrected for the number of classes (Holm).",
    )


@styled
def coverage_and_size(found: PredictionSets) -> Figure:
    """Left: coverage of each class beside the promise. Right: share of the sets by their number of labels."""
    figure = Figure(figsize=(WIDTH, max(2.8, 1.2 + 0.3 * len(found.per_class))))
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    left.axvline(found.level, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)))
    for y, one in enumerate(found.per_class):
        if one.coverage:
            draw_estimate(left, one.coverage, y, (BLUE, "o"))
    left.set_yticks(
        range(len(found.per_class)), [f"{shorten(one.label)} (n = {one.images:,.0f})" for one in found.per_class]
    )
    left.set_ylim(len(found.per_class) - 0.4, -0.6)  # the first on top
    left.tick_params(axis="y", length=0)
    lowest = min([one.coverage.low for one in found.per_class if one.coverage], default=0)
    left.set_xlim(min(lowest, found.level) - 0.03, 1.005)
    share_axis(left.xaxis)
    left.set_xlabel("share of sets that hold the class, 95 % interval")
    left.set_title("Coverage")
    right.bar(range(1, len(found.sizes) + 1), found.sizes, color=BLUE, width=0.7)
    right.set_xticks(range(1, len(found.sizes) + 1))
    share_axis(right.yaxis)
    right.set_xlabel(f"labels in the set, {found.n:,} images")
    right.set_title("Size")
    return figure
