"""Figures: the picture that each kind of result has of itself: what `.plot()` gives and a notebook shows."""

from __future__ import annotations

from matplotlib.figure import Figure

from mien.data.faceset import FaceSet
from mien.evaluation.compare import Comparison
from mien.evaluation.evaluate import Evaluation
from mien.report.curves import curves
from mien.report.data import label_distribution
from mien.report.scores import confusion, per_class
from mien.report.style import png_bytes
from mien.shown import Shown
from mien.training.run import Run


def figure_of(result: Shown) -> Figure:
    """Confusion matrix, F1 of each class, images per class, or loss and accuracy per epoch.

    Raises `InputError` for a run without an epoch.
    """
    if isinstance(result, Evaluation):
        return confusion(result)
    if isinstance(result, Comparison):
        return per_class(result)
    if isinstance(result, FaceSet):
        there = {split: counts for split, counts in result.counts().items() if sum(counts.values())}
        return label_distribution(there, result.label_set.labels)
    assert isinstance(result, Run)
    return curves(result.history, result.name, result.card.training.best_epoch if result.finished else None)


def png_of(result: Shown) -> bytes:
    """The same as a PNG."""
    return png_bytes(figure_of(result))
