"""By class: every run's F1 and recall class by class, and its confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

from mien.evaluation.compare import ClassRow, Comparison
from mien.evaluation.printed import NONE, format_estimate
from mien.report import plots
from mien.report.content import RunReport, StudyReport
from mien.report.families import leading, short_names
from mien.report.layout import Cell, Picture, Section, Table
from mien.report.learning import FOLDED, split_pictures
from mien.report.words import NO_INTERVAL, share

TITLE = 44  # characters above a matrix
COLUMNS = 4  # models that stand side by side; more stand below each other


def confusions(runs: Sequence[RunReport]) -> Section:
    """A matrix per run, those of the leading runs first."""
    pictures, short = {}, short_names(runs)
    for i, run in enumerate(runs, 1):
        evaluation = run.final
        alt = f"{run.name}: confusion matrix on {evaluation.split}"
        scores = evaluation.scores
        figures = f"{evaluation.split} accuracy {format_estimate(scores.accuracy)}, n = {scores.n:,}"
        figure = plots.confusion(evaluation, f"{short[run.name][:TITLE]}\n{figures}")
        wide = len(evaluation.labels) > 9
        pictures[run.name] = Picture.of(f"confusion-{i}-{run.name}", figure, alt, wide=wide)
    text = "Rows are true classes, columns predicted ones; percent of the row, the count below."
    shown, folded = split_pictures(runs, pictures)
    text += f" {FOLDED}" if folded else ""
    return Section("Confusion matrices", text=(text,), pictures=shown, folded=folded)


def class_by_class(report: StudyReport) -> Section:
    """The F1 of every class and model, and who wins where."""
    comparison = report.comparison
    if comparison is None:
        return Section("Class by class", tables=tuple(_single(run) for run in report.runs))
    side_by_side = len(comparison.models) <= COLUMNS
    drawn = [run.name for run in leading(report.runs)]
    alt = f"F1 of each class on {comparison.split}, as in the table: {', '.join(drawn)}."
    picture = plots.per_class(_part(comparison, drawn, short_names(report.runs)), report.data.labels)
    text = () if side_by_side else ("The picture holds the best of each family by val accuracy.",)
    return Section(
        "Class by class",
        text=text,
        points=_winners(comparison),
        tables=(_classes_down(comparison) if side_by_side else _models_down(comparison),),
        pictures=(Picture.of("per-class", picture, alt),),
    )


def _classes_down(comparison: Comparison) -> Table:
    """A line for each class, a column for each model."""
    header = ("Class", f"Images in {comparison.split}", *(f"{name}: F1" for name in comparison.models), "Best F1")
    rows = tuple(
        (Cell(row.label), Cell(f"{row.support:,}"), *_scores(row), Cell(row.winner or NONE))
        for row in comparison.per_class
    )
    note = f"F1 and recall on {comparison.split}, n = images of the class. {NO_INTERVAL}"
    return Table(header, rows, note)


def _models_down(comparison: Comparison) -> Table:
    """A line for each model, a column for each class."""
    header = ("Model", *(f"{row.label}, n = {row.support:,}" for row in comparison.per_class))
    columns = [_scores(row) for row in comparison.per_class]
    rows = [(Cell(name), *(column[i] for column in columns)) for i, name in enumerate(comparison.models)]
    rows.append((Cell("best F1"), *(Cell(row.winner or NONE) for row in comparison.per_class)))
    note = f"F1, and below it recall, on {comparison.split}, n = images of the class. {NO_INTERVAL}"
    return Table(header, tuple(rows), note)


def _scores(row: ClassRow) -> tuple[Cell, ...]:
    """F1 and recall of every model."""
    return tuple(Cell(share(f1), f"recall {share(recall)}") for f1, recall in zip(row.f1, row.recall, strict=True))


def _single(run: RunReport) -> Table:
    evaluation = run.final
    rows = tuple(
        (Cell(c.label), Cell(f"{c.support:,}"), Cell(share(c.precision)), Cell(share(c.recall)), Cell(share(c.f1)))
        for c in evaluation.per_class
    )
    header = ("Class", f"Images in {evaluation.split}", "Precision", "Recall", "F1")
    return Table(header, rows, f"{run.name} on {evaluation.split}. {NO_INTERVAL}")


def _part(comparison: Comparison, names: Sequence[str], short: dict[str, str]) -> Comparison:
    """Some of the models, under short names, for a picture."""
    kept = [i for i, name in enumerate(comparison.models) if name in names]
    rows = tuple(
        row.model_copy(update={"recall": tuple(row.recall[i] for i in kept), "f1": tuple(row.f1[i] for i in kept)})
        for row in comparison.per_class
    )
    models = tuple(short[comparison.models[i]] for i in kept)
    return comparison.model_copy(update={"models": models, "per_class": rows, "pairs": ()})


def _winners(comparison: Comparison) -> tuple[str, ...]:
    """Who has the best F1 where; of many models, those that have it anywhere."""
    k = len(comparison.per_class)
    won = {name: [row for row in comparison.per_class if row.winner == name] for name in comparison.models}
    points = [
        f"{name} has the best F1 in {len(rows)} of {k} classes"
        + (f": {', '.join(f'{row.label} ({row.support:,})' for row in rows)}." if rows else ".")
        for name, rows in won.items()
        if rows or len(won) <= COLUMNS
    ]
    rarest = min((row for row in comparison.per_class if row.support), key=lambda row: row.support)
    whose = f"goes to {rarest.winner}" if rarest.winner else "is a tie"
    return (
        *points,
        f"The class with the fewest images, {rarest.label} ({rarest.support:,} in {comparison.split}), {whose}.",
    )
