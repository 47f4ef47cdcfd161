"""Priors: what another prior changes in a model's answers, in words and as a table."""

from __future__ import annotations

from mien.evaluation.printed import figure_text, format_estimate, points_text
from mien.evaluation.priors import PriorChange
from mien.report.layout import Cell, Section, Table


def prior_section(found: PriorChange) -> Section:
    """The shares of each class, and what they change."""
    rows = []
    for k, label in enumerate(found.labels):
        wanted = format_estimate(found.intervals[k]) if found.intervals else figure_text(found.wanted[k])
        rows.append(
            (Cell(label), Cell(figure_text(found.train[k])), Cell(wanted), Cell(figure_text(found.occurring[k])))
        )
    note = f"On {found.split}, n = {found.n:,}; in brackets 95 % bootstrap intervals over images."
    table = Table(("Class", "In training", f"Prior: {found.prior}", "Of these labels"), tuple(rows), note)
    return Section("Other shares of classes", text=prior_sentences(found), tables=(table,))


def prior_sentences(found: PriorChange) -> tuple[str, ...]:
    """What it changes here, and what is not promised."""
    far = max(abs(a - b) for a, b in zip(found.wanted, found.occurring, strict=True))
    return (
        f"Accuracy {format_estimate(found.accuracy)} ({found.split}, n = {found.n:,}), "
        f"{points_text(found.accuracy_change)} from that with the shares of training; mean class accuracy "
        f"{format_estimate(found.mean_class_accuracy)}, {points_text(found.mean_class_accuracy_change)}. ECE "
        f"{figure_text(found.ece)}, {figure_text(found.ece_before)} before. The prior differs from the shares of the "
        f"labels here by at most {100 * far:.1f} points.",
        "All else that is told is of the shares of training: threshold, risk and sets are not promised for others.",
    )
