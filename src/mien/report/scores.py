"""Scores: the figures of one model, split by split and class by class."""

from __future__ import annotations

from collections.abc import Sequence

from mien.evaluation.bootstrap import Estimate
from mien.evaluation.evaluate import Evaluation, Scores
from mien.evaluation.printed import NONE, figure_text, format_estimate
from mien.evaluation.significance import wilson
from mien.report import plots
from mien.report.layout import Cell, Picture, Section, Table
from mien.report.words import plural


def figures_section(evaluations: Sequence[Evaluation]) -> Section:
    """A line for each split, and one for its leak-free images."""
    rows = []
    for evaluation in evaluations:
        rows.append(_row(evaluation.split, evaluation.scores))
        if evaluation.leak_free and evaluation.leak_free != evaluation.scores:
            rows.append(_row(f"{evaluation.split}, leak-free", evaluation.leak_free))
    header = ("Images of", "n", "Accuracy", "Macro F1", "Weighted F1", "Mean class accuracy", "nll")
    note = (
        "In brackets the 95 % percentile bootstrap interval over the images; it does not hold the chance of the seed. "
        "Macro F1 and mean class accuracy are plain means over the classes. nll: negative log-likelihood in nats."
    )
    if any(evaluation.split == "val" for evaluation in evaluations):
        note += " val has chosen the epoch, so its figures flatter."
    if any(evaluation.split == "pooled" for evaluation in evaluations):
        note += " pooled is val and test together, for comparison with other work only."
    return Section("Figures", tables=(Table(header, tuple(rows), note),))


def _row(what: str, scores: Scores) -> tuple[Cell, ...]:
    figures = (scores.accuracy, scores.macro_f1, scores.weighted_f1, scores.mean_class_accuracy, scores.nll)
    return (Cell(what), Cell(f"{scores.n:,}"), *(Cell(format_estimate(figure)) for figure in figures))


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
        plots.confusion(evaluation),
        f"Confusion matrix on {evaluation.split}.",
        wide=len(evaluation.labels) > 9,
    )
    return Section("Class by class", tables=(Table(header, rows, note),), pictures=(picture,))


def with_wilson(right: int, n: int) -> str:
    if not n:
        return NONE
    low, high = wilson(right, n)
    return format_estimate(Estimate(value=right / n, low=low, high=high))


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
