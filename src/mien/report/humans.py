"""Human ceiling: a model beside single taggers, in sentences, a table by class and a picture."""

from __future__ import annotations

from mien.evaluation.evaluate import Estimate, figure_text, format_estimate
from mien.evaluation.evidence import PeopleHead
from mien.evaluation.humans import HumanCeiling, sentences
from mien.report.confidence import range_if_perfect
from mien.report.layout import Cell, Picture, Section, Table
from mien.report.plots_humans import tagger_and_model
from mien.report.wording import NONE

TITLE = "Human ceiling"
_TEXT = (
    "Accuracy holds the model against labels that are themselves a judgment. Here every vote in turn is left out and "
    "held against the most frequent answer of the other taggers, beside the model and the label on the same images."
)


def humans_section(found: HumanCeiling) -> Section:
    """What `sentences` says, the figures of every class, and both in a picture."""
    alt = f"One tagger's and the model's agreement with the other taggers on {found.split}, by class as in the table, "
    alt += "and by entropy of the votes."
    return Section(
        TITLE,
        text=(_TEXT,),
        points=sentences(found),
        tables=(_by_class(found),),
        pictures=(Picture.of("human-ceiling", tagger_and_model(found), alt),),
    )


def people_section(found: PeopleHead) -> Section:
    """The head for what people see, against its own truth."""
    text = (
        "This model has two heads. All of the above but the human ceiling is of the one for the labels; this is of the "
        "one for what people see, which answers where nobody asks for another."
    )
    return Section("What people see", text=(text,), points=people_sentences(found))


def people_sentences(found: PeopleHead) -> tuple[str, ...]:
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
    return tuple(told)


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
