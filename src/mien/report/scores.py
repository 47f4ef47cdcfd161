"""Scores: the figures of one model or of many, split by split and class by class.

Shapes: K classes, M models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate
from mien.evaluation.compare import ClassRow, Comparison
from mien.evaluation.evaluate import Evaluation, Scores
from mien.evaluation.evidence import Evidence
from mien.evaluation.looks import Looks
from mien.evaluation.printed import NONE, figure_text, format_estimate
from mien.evaluation.significance import wilson
from mien.report.content import RunReport, StudyReport
from mien.report.curves import FOLDED, split_pictures
from mien.report.families import leading, short_names
from mien.report.layout import Cell, Picture, Section, Table
from mien.report.looks import looks_sentences
from mien.report.style import INK, MODELS, WIDTH, name_lines, share_axis, shorten, styled
from mien.report.words import INTERVALS, plural, share, strict_sentence

NO_INTERVAL = "One class has no interval here: few images, much chance."
TITLE = 44  # characters above a matrix
COLUMNS = 4  # models that stand side by side; more stand below each other


def figures_section(
    evaluations: Sequence[Evaluation], evidence: Evidence | None = None, looks: Looks | None = None
) -> Section:
    """A line for each split, one for its leak-free images, and one for those that are new by photo and person too.

    `looks`: how often test was opened, where that is not known from the `evidence`.
    """
    rows = []
    for evaluation in evaluations:
        rows.append(_row(evaluation.split, evaluation.scores))
        if evaluation.leak_free and evaluation.leak_free != evaluation.scores:
            rows.append(_row(f"{evaluation.split}, leak-free", evaluation.leak_free))
        strict = evidence.strict if evidence and evidence.evaluation.split == evaluation.split else None
        if strict and strict.scores:
            rows.append(_row(f"{evaluation.split}, new photos", strict.scores))
    header = ("Images of", "n", "Accuracy", "Macro F1", "Weighted F1", "Mean class accuracy", "nll")
    note = f"{INTERVALS} Macro F1 and mean class accuracy are plain means over the classes. nll: negative "
    note += "log-likelihood in nats."
    if any(evaluation.split == "val" for evaluation in evaluations):
        note += " val has chosen the epoch, so its figures flatter."
    if any(evaluation.split == "pooled" for evaluation in evaluations):
        note += " pooled is val and test together, for comparison with other work only."
    if evidence and evidence.strict:
        note += f" New photos: leak-free, and no near-duplicate. {strict_sentence(evidence.strict)}"
    looks = looks or (evidence.looks if evidence else None)
    note += f" {' '.join(looks_sentences(looks))}" if looks else ""
    return Section("Figures", tables=(Table(header, tuple(rows), note),))


def classes_section(evaluation: Evaluation) -> Section:
    """Recall, precision and F1 of each class, and the confusion matrix."""
    predicted = [sum(column) for column in zip(*evaluation.confusion, strict=True)]
    rows = tuple(
        (
            Cell(row.label),
            Cell(f"{row.support:,}"),
            Cell(with_wilson(evaluation.confusion[i][i], row.support)),
            Cell(with_wilson(evaluation.confusion[i][i], predicted[i]), f"of {predicted[i]:,} answers"),
            Cell(NONE if row.f1 is None else figure_text(row.f1)),
        )
        for i, row in enumerate(evaluation.per_class)
    )
    header = ("Class", f"Images in {evaluation.split}", "Recall", "Precision", "F1")
    note = f"On {evaluation.split}, n = {evaluation.scores.n:,}. In brackets Wilson's 95 % interval; F1 has none here."
    picture = Picture.of(
        "confusion",
        confusion(evaluation),
        f"Confusion matrix on {evaluation.split}.",
        wide=len(evaluation.labels) > 9,
    )
    return Section("Class by class", tables=(Table(header, rows, note),), pictures=(picture,))


def confusions_section(runs: Sequence[RunReport]) -> Section:
    """A matrix per run, those of the leading runs first."""
    pictures, short = {}, short_names(runs)
    for i, run in enumerate(runs, 1):
        evaluation = run.final
        alt = f"{run.name}: confusion matrix on {evaluation.split}"
        scores = evaluation.scores
        figures = f"{evaluation.split} accuracy {format_estimate(scores.accuracy)}, n = {scores.n:,}"
        figure = confusion(evaluation, f"{short[run.name][:TITLE]}\n{figures}")
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
    picture = per_class(_part(comparison, drawn, short_names(report.runs)), report.data.labels)
    text = () if side_by_side else ("The picture shows the best of each family by val accuracy.",)
    return Section(
        "Class by class",
        text=text,
        points=_winners(comparison),
        tables=(_classes_down(comparison) if side_by_side else _models_down(comparison),),
        pictures=(Picture.of("per-class", picture, alt),),
    )


def weakest_class(evaluation: Evaluation) -> str:
    """The class with the lowest recall, and what it is taken for; nothing where every answer is right."""
    known = [(row.recall, i) for i, row in enumerate(evaluation.per_class) if row.recall is not None]
    recall, i = min(known)
    if recall == 1:
        return ""
    row, counts = evaluation.per_class[i], evaluation.confusion[i]
    taken = max(
        (count, label) for j, (count, label) in enumerate(zip(counts, evaluation.labels, strict=True)) if j != i
    )
    return (
        f"It does worst on {row.label}: recall {with_wilson(counts[i], row.support)} of {row.support:,} "
        f"{plural('image', row.support)}, most often taken for {taken[1]} ({taken[0]:,})."
    )


def with_wilson(right: int, n: int) -> str:
    """A share of n images with Wilson's interval."""
    if not n:
        return NONE
    low, high = wilson(right, n)
    return format_estimate(Estimate(value=right / n, low=low, high=high))


@styled
def confusion(evaluation: Evaluation, title: str | None = None) -> Figure:
    """The confusion matrix: rows are true classes, columns predicted ones; percent of the row, counts small below."""
    counts_KK = np.asarray(evaluation.confusion)
    totals_K = counts_KK.sum(axis=1, keepdims=True)
    percent_KK = 100 * counts_KK / np.maximum(totals_K, 1)
    k, cell = len(evaluation.labels), 0.62 if len(evaluation.labels) < 9 else 0.54
    side = max(2.4, cell * k)
    figure = Figure(figsize=(side + 1.1, side + 1.2))
    axes = figure.subplots()
    image = axes.imshow(percent_KK, cmap="Blues", vmin=0, vmax=100)
    for i, j in np.ndindex(k, k):
        color = _ink_on(image.to_rgba(percent_KK[i, j]))
        text = f"{percent_KK[i, j]:.0f}" if totals_K[i, 0] else "–"
        axes.text(j, i - 0.1, text, ha="center", va="center", color=color, fontsize=10, gid=f"percent-{i}-{j}")
        axes.text(j, i + 0.27, f"{counts_KK[i, j]:,}", ha="center", va="center", color=color, fontsize=7,
                  gid=f"count-{i}-{j}")  # fmt: skip
    names = [shorten(label) for label in evaluation.labels]
    crowded = max(map(len, names)) * 0.072 > side / k
    axes.set_xticks(range(k), names, rotation=40 if crowded else 0,
                    ha="right" if crowded else "center", rotation_mode="anchor" if crowded else "default")  # fmt: skip
    axes.set_yticks(range(k), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (row percent, count below)")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    scores = evaluation.scores
    figures = f"{evaluation.split} accuracy {format_estimate(scores.accuracy)}, n = {scores.n:,}"
    axes.set_title(f"{shorten(evaluation.model)}\n{figures}" if title is None else title, fontsize=9.5)
    return figure


@styled
def per_class(comparison: Comparison, labels: Sequence[str] | None = None) -> Figure:
    """F1 of each class as one bar per model, support under the class name; `labels` picks and orders the classes.

    Raises `InputError` for a label that the comparison does not have.
    """
    by_label = {row.label: row for row in comparison.per_class}
    chosen = list(by_label) if labels is None else list(labels)
    unknown = [label for label in chosen if label not in by_label]
    if unknown:
        raise InputError(f"per class: no class '{unknown[0]}' in the comparison. Known: {', '.join(by_label)}")
    k, m = len(chosen), len(comparison.models)
    figure = Figure(figsize=(min(max(WIDTH, 0.14 * k * m), 11.0), 3.0))
    axes = figure.subplots()
    width = 0.82 / m
    handles: list[Artist] = []
    for i in range(m):
        f1_K = [by_label[label].f1[i] for label in chosen]
        x_K = np.arange(k) + (i - (m - 1) / 2) * width
        hatch = ("", "///", "...", "xxx")[i // len(MODELS) % 4]
        bars = axes.bar(x_K, [f1 or 0.0 for f1 in f1_K], width * 0.92, color=MODELS[i % len(MODELS)], hatch=hatch,
                        edgecolor="white", linewidth=0)  # fmt: skip
        texts = ["–" if f1 is None else figure_text(f1, 2) for f1 in f1_K]
        if k * m <= 32:  # more would run into each other
            axes.bar_label(bars, texts, padding=1.5, fontsize=7)
        handles.append(bars[0])
    names = [f"{shorten(label)}\n{by_label[label].support:,}" for label in chosen]
    axes.set_xticks(range(k), names)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel(f"F1 on {comparison.split}")
    axes.set_ylim(0, 1)
    share_axis(axes.yaxis)
    axes.set_xlabel(f"class, with its images below (n = {comparison.n:,})")
    columns = min(m, 4 if max(map(len, comparison.models)) <= 14 else 3)
    name_lines(figure, handles, [shorten(name) for name in comparison.models], columns)
    return figure


def _row(what: str, scores: Scores) -> tuple[Cell, ...]:
    figures = (scores.accuracy, scores.macro_f1, scores.weighted_f1, scores.mean_class_accuracy, scores.nll)
    return (Cell(what), Cell(f"{scores.n:,}"), *(Cell(format_estimate(figure)) for figure in figures))


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


def _ink_on(color: npt.NDArray[Any]) -> str:
    """White or dark, whichever has more contrast on an sRGB `color`. Source: WCAG 2.2, relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "white" if luminance < 0.21 else INK  # there the contrast with both is the same
