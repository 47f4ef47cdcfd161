"""People: a model beside single taggers, and its head for what people see, in sentences, tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mien.evaluation.bootstrap import Estimate
from mien.evaluation.evidence import Evidence, PeopleHead
from mien.evaluation.people import HumanCeiling
from mien.evaluation.printed import NONE, figure_text, format_estimate
from mien.report.calibration import range_if_perfect
from mien.report.layout import Cell, Picture, Section, Table
from mien.report.sets import sets_sentences
from mien.report.style import BLUE, FAINT, ORANGE, WIDTH, draw_estimate, share_axis, shorten, styled

_TAGGER, _MODEL, _LABELS = (ORANGE, "s"), (BLUE, "o"), (FAINT, "D")  # color and mark: neither tells them apart alone
_APART = 0.14  # of a row or column, on either side of its middle
_TEXT = (
    "Accuracy compares the model with labels that are themselves a judgment. Here every vote in turn is left out and "
    "compared with the most frequent answer of the other taggers, beside the model and the label on the same images."
)


def ceiling_section(found: HumanCeiling) -> Section:
    """What `ceiling_sentences` says, the figures of every class, and both in a picture."""
    alt = f"One tagger's and the model's agreement with the other taggers on {found.split}, by class as in the table, "
    alt += "and by entropy of the votes."
    return Section(
        "Human ceiling",
        text=(_TEXT,),
        points=ceiling_sentences(found),
        tables=(_by_class(found),),
        pictures=(Picture.of("human-ceiling", tagger_and_model(found), alt),),
    )


def people_side_by_side(found: Mapping[str, Evidence]) -> Section:
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
        points=ceiling_sentences(first),
        tables=(Table(header, tuple(rows), note),),
        pictures=(Picture.of("people", tagger_and_model(first), alt),),
    )


def head_section(found: PeopleHead) -> Section:
    """The head for what people see, against its own truth."""
    text = (
        "This model has two heads. All of the above but the human ceiling is of the one for the labels; this is of the "
        "one for what people see, which answers where nobody asks for another."
    )
    return Section("What people see", text=(text,), points=head_sentences(found))


def head_sentences(found: PeopleHead) -> tuple[str, ...]:
    """Calibration, abstention and robustness of a people's head, each against votes."""
    after, before, there = found.calibration, found.untempered, found.abstention.at_threshold
    where = f"{found.abstention.split}, n = {found.n:,} images, {after.n:,} votes"
    split = f"({where}; {figure_text(before.ece)} without its temperature of {found.temperature:.2f}), where chance "
    split += f"alone makes {range_if_perfect(after)}"
    told = [f"Confidence against the chance that one person agrees: ECE {figure_text(after.ece)} {split}."]
    if there is not None and there.risk is not None:
        told.append(
            f"From a confidence of {figure_text(there.threshold)} on, {100 * there.coverage:.0f} % of the images are "
            f"answered, {format_estimate(there.risk)} of them not as most people see them; the others are unsure."
        )
    if found.robustness:
        mean, clean = (format_estimate(one) for one in (found.robustness.mean, found.robustness.clean))
        told.append(
            f"Over ten corruptions at five severities it gives the most frequent vote on {mean} of the images, without "
            f"corruption on {clean} (n = {found.robustness.n:,})."
        )
    if found.sets:
        told.append(sets_sentences(found.sets)[0])
    return tuple(told)


def ceiling_sentences(found: HumanCeiling) -> tuple[str, ...]:
    """What was found, in plain words."""
    rest, one = found.rest, found.one
    return (
        f"One tagger gives the most frequent answer of the other taggers on {format_estimate(rest.human)} of the "
        f"images ({found.split}, n = {found.n:,}), the model on {format_estimate(rest.model)}: "
        f"{_against(rest.difference)}.",
        f"With one tagger drawn at random, another tagger agrees on {format_estimate(one.human)} of the images and the "
        f"model on {format_estimate(one.model)}. Whoever always gave the most frequent vote would agree on "
        f"{format_estimate(found.best_one)}: no answer can do better.",
        f"The label in the data is the most frequent vote on {format_estimate(found.labels_majority)} of them, the "
        f"model's answer on {format_estimate(found.model_majority)}.{_least_confirmed(found)}",
        *_doubt(found),
        _left_out(found),
    )


@styled
def tagger_and_model(found: HumanCeiling) -> Figure:
    """Left: of what the other taggers call so, the share that one tagger and the model call so. Right: both agreement
    with the other taggers, and the model's accuracy, over quarters of the images by entropy of their votes."""
    shown = [row for row in found.per_class if row.human or row.model]
    figure = Figure(figsize=(WIDTH, max(3.2, 1.3 + 0.3 * len(shown))))
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    for y, row in enumerate(shown):
        for share, at, mark, label in (
            (row.human, y - _APART, _TAGGER, "one tagger"),
            (row.model, y + _APART, _MODEL, "the model"),
        ):
            if share:
                draw_estimate(left, share, at, mark, label="" if y else label)
    left.set_yticks(range(len(shown)), [f"{shorten(row.label)} (n = {row.images:,.0f})" for row in shown])
    left.set_ylim(len(shown) - 0.4, -0.6)  # the first on top
    left.tick_params(axis="y", length=0)
    left.set_xlim(0, 1.03)
    share_axis(left.xaxis)
    left.set_title("What others call so")
    left.set_xlabel("share called so, 95 % interval")
    _draw_doubt(right, found)
    handles = [*left.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure


def _draw_doubt(axes: Axes, found: HumanCeiling) -> None:
    for x, group in enumerate(found.by_doubt):
        draw_estimate(axes, group.human, x - 2 * _APART, _TAGGER, upright=True)
        draw_estimate(axes, group.model, x, _MODEL, upright=True)
        label = "" if x else "the model against the labels"
        draw_estimate(axes, group.accuracy, x + 2 * _APART, _LABELS, upright=True, label=label)
    ticks = [f"{group.entropy[0]:.2f}–{group.entropy[1]:.2f}\nn = {group.n:,}" for group in found.by_doubt]
    axes.set_xticks(range(len(ticks)), [tick.replace("0.00–0.00", "0") for tick in ticks], fontsize=7.5)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(ticks) - 0.4)
    axes.set_ylim(0, 1.03)
    share_axis(axes.yaxis)
    axes.set_title("Where taggers disagree")
    axes.set_xlabel("entropy of the votes, nats")


def _against(difference: Estimate) -> str:
    low, high = sorted((abs(difference.low), abs(difference.high)))
    if difference.low <= 0 <= difference.high:
        return f"they cannot be told apart (difference {format_estimate(difference)})"
    how = "more" if difference.value > 0 else "less"
    return f"{100 * abs(difference.value):.1f} points {how} [{100 * low:.1f}, {100 * high:.1f}]"


def _least_confirmed(found: HumanCeiling) -> str:
    known = [(row.confirmed.value, row) for row in found.per_class if row.confirmed]
    if not known:
        return ""
    row = min(known, key=lambda pair: pair[0])[1]
    assert row.confirmed
    figures = f"{format_estimate(row.confirmed)} of the {row.labeled:,} images labeled so"
    return f" Taggers confirm the label {row.label} least often: on {figures}."


def _doubt(found: HumanCeiling) -> tuple[str, ...]:
    if found.spearman is None:
        return ()
    rank, first, last = found.spearman, found.by_doubt[0], found.by_doubt[-1]
    said = "is as sure where taggers disagree as elsewhere"
    if rank.low > 0 or rank.high < 0:
        said = f"is {'less' if rank.value > 0 else 'more'} sure where taggers disagree"
    return (
        f"The model {said}: the rank correlation of its entropy with that of the votes is {format_estimate(rank)}. Of "
        f"the labels it names {format_estimate(first.accuracy)} where taggers agree most (n = {first.n:,}) and "
        f"{format_estimate(last.accuracy)} where they agree least (n = {last.n:,}).",
    )


def _left_out(found: HumanCeiling) -> str:
    unasked = f" No vote could name {', '.join(found.unasked)}." if found.unasked else ""
    return (
        f"Left out: images without votes ({found.without_votes:,}), images with fewer than two votes for these labels "
        f"({found.too_few:,}), and the votes for anything else ({100 * found.outside:.1f} %); if those were "
        f"answers too, one tagger would agree with the others on {format_estimate(found.human_strict)}.{unasked}"
    )


def _by_class(found: HumanCeiling) -> Table:
    header = ("Others call it", "Images", "One tagger", "Model", "Label", "Labels confirmed")
    rows = [
        (
            Cell(row.label),
            Cell(f"{row.images:,.0f}"),
            _cell(row.human),
            _cell(row.model),
            _cell(row.labels),
            Cell(_cell(row.confirmed).text, f"n = {row.labeled:,}"),
        )
        for row in found.per_class
    ]
    rest, labeled = found.rest, f"n = {found.n:,}"
    together = (
        _cell(rest.human),
        _cell(rest.model),
        _cell(rest.labels),
        Cell(format_estimate(found.labels_majority), labeled),
    )
    rows.append((Cell("all"), Cell(f"{found.n:,}"), *together))
    note = (
        f"On {found.split}, in brackets the 95 % bootstrap interval over images. One tagger, model, label: of the "
        "images that the other taggers most often call so, the share to which a single tagger, the model and the data "
        "give the same name; the number of images is rounded, because it depends on who is left out. Labels confirmed: "
        "of the images that the data call so, those whose most frequent vote says the same; of m equally frequent "
        "answers each counts 1/m."
    )
    return Table(header, tuple(rows), note)


def _cell(figure: Estimate | None) -> Cell:
    return Cell(format_estimate(figure) if figure else NONE)
