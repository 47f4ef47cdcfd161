"""StudyReport: everything that a report shows, gathered before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mien.cards import Card
from mien.evaluation.classes import ClassTests
from mien.evaluation.compare import Comparison
from mien.evaluation.evaluate import Evaluation
from mien.evaluation.evidence import Evidence
from mien.evaluation.latency import Latency
from mien.evaluation.seeds import RecipeComparison
from mien.labels import FER7
from mien.recipes.recipe import Recipe
from mien.training.run import Epoch


@dataclass(frozen=True)
class RunReport:
    """One run: what was asked, what happened, what it scores on `val`, `test` and `pooled`, and how fast it is."""

    name: str
    recipe: Recipe
    card: Card
    history: Sequence[Epoch]
    evaluations: Mapping[str, Evaluation]  # by split; test and pooled may be absent
    latency: Latency | None = None  # of one session for all runs, so that they compare
    evidence: Evidence | None = None  # of `final`'s split

    @property
    def final(self) -> Evaluation:
        """Of `test`, or of `val` where no test was opened."""
        return self.evaluations.get("test", self.evaluations["val"])

    @property
    def val_accuracy(self) -> float:
        """The figure that selects."""
        return self.evaluations["val"].scores.accuracy.value


@dataclass(frozen=True)
class NotRun:
    """A recipe of the study that was not trained, and why; the reason may be empty."""

    recipe: Recipe
    why: str


_FER2013 = "1800e4590929427e2b40c63dd39e9c5f"  # fingerprint of all 35,887 faces in their splits
_FER2013_COUNTS = {"train": 28_709, "val": 3_589, "test": 3_589}


@dataclass(frozen=True)
class DataReport:
    """The data set, as counted by the program."""

    source: str
    fingerprint: str
    labels: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]  # split → label → images
    repeated: Mapping[str, int]  # "test images that also stand in train" → count
    leak_free: Mapping[str, int]  # split → images that the leak-free score keeps
    # Split → places in it of images that show a photo of an earlier split again, in other pixels; None in older files.
    near: Mapping[str, tuple[int, ...]] | None = None

    @property
    def is_fer2013(self) -> bool:
        """Whether it is the data of the study, whose figures say nothing beside those of other data."""
        totals = {split: sum(counts.values()) for split, counts in self.counts.items()}
        return self.fingerprint == _FER2013 or (self.labels == FER7.labels and totals == _FER2013_COUNTS)


@dataclass(frozen=True)
class StudyReport:
    title: str
    commands: Sequence[str]  # that made it
    data: DataReport
    runs: Sequence[RunReport]
    comparisons: Mapping[str, Comparison]  # by split; empty with a single run
    environment: Mapping[str, str]  # program, versions, machine
    not_run: Sequence[NotRun] = ()
    seeds: RecipeComparison | None = None  # where two recipes have several runs each
    on_new_photos: Comparison | None = None  # the same runs on test without any photo of train and val
    class_tests: ClassTests | None = None  # of the runs that `families.questions` names, on test or else on val

    @property
    def best(self) -> RunReport:
        """By val accuracy, the figure that selects; the first of equals."""
        return max(self.runs, key=lambda run: run.val_accuracy)

    @property
    def comparison(self) -> Comparison | None:
        """On `test`, or on `val` where no test was opened."""
        return self.comparisons.get("test", self.comparisons.get("val"))
