"""mien train --folds: what a cross-validation says on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli.console import progress, say, table

if TYPE_CHECKING:
    from mien.data.faceset import FaceSet
    from mien.recipes.recipe import Recipe
    from mien.studies.folds import Folds
    from mien.training.hardware import Hardware
    from mien.training.loggers import LoggerName
    from mien.training.targets import Sources


def train_folds(
    recipe: Recipe,
    faces: FaceSet,
    out: Path,
    folds: int,
    sources: Sources,
    hardware: Hardware,
    told: LoggerName | None,
) -> None:
    """Train and tell."""
    from mien.studies.folds import cross_validate

    with progress() as bar:
        found = cross_validate(recipe, faces, out, folds, sources, hardware, bar, logger=told)
    _show(found)
    say(f"out-of-fold predictions: {out / 'pooled.npz'}; figures: {out / 'folds.json'}")


def _show(found: Folds) -> None:
    from mien.evaluation.printed import figure_text, format_estimate

    rows = [
        [one.run, str(one.persons or "–"), f"{one.train:,}", f"{one.val:,}", f"{one.test:,}", figure_text(one.accuracy),
         f"{one.best_epoch} of {one.epochs}"]
        for one in found.folds
    ]  # fmt: skip
    header = ["run", "persons", "train", "val", "out of fold", "accuracy", "best epoch"]
    table(f"{found.recipe} on {found.source}, {len(found.folds)} folds by {found.by}", header, rows)
    over = f"{found.persons:,} persons" if found.by == "persons" else "different images"
    scores, leak_free = found.evaluation.scores, found.evaluation.leak_free
    say(
        f"out of fold: accuracy {format_estimate(scores.accuracy)}, macro F1 {format_estimate(scores.macro_f1)} "
        f"(n = {scores.n:,}; 95 % bootstrap intervals over {over})"
    )
    if leak_free is not None and leak_free.n < scores.n:
        say(f"leak-free: accuracy {format_estimate(leak_free.accuracy)} (n = {leak_free.n:,})")
    if found.by == "images":
        say("no persons are known: the same person may be in several folds. Name them: --subjects FILE.csv")
