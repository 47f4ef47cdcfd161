"""StudyReport: everything that a report shows, gathered before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mien.card import Card
from mien.evaluation.compare import Comparison
from mien.evaluation.evaluate import Evaluation
from mien.recipes.recipe import Recipe
from mien.training.run import Epoch


@dataclass(frozen=True)
class RunReport:
    """One run: what was asked, what happened, what it scores on `val`, `test` and `pooled`."""

    name: str
    recipe: Recipe
    card: Card
    history: Sequence[Epoch]
    evaluations: Mapping[str, Evaluation]  # by split; test and pooled may be absent


@dataclass(frozen=True)
class DataReport:
    """The data set, as counted by the program."""

    source: str
    fingerprint: str
    labels: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]  # split → label → images
    repeated: Mapping[str, int]  # "test images that also stand in train" → count
    leak_free: Mapping[str, int]  # split → images that the leak-free score keeps


@dataclass(frozen=True)
class StudyReport:
    title: str
    commands: Sequence[str]  # that made it
    data: DataReport
    runs: Sequence[RunReport]
    comparisons: Mapping[str, Comparison]  # by split; empty with a single run
    environment: Mapping[str, str]  # program, versions, machine
