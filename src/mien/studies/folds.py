"""Folds: one recipe trained once for each part of the faces, and what the runs say of the parts that they did not see.

Shapes: N faces, F folds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.data.persons import fold_of, groups_of, tenth_of_groups
from mien.data.votes import Votes
from mien.errors import DivergedError, InputError, InterruptedRunError
from mien.evaluation.bootstrap import Estimate, Frozen
from mien.evaluation.evaluate import Evaluation, score, scored
from mien.files import write_whole
from mien.model import Model
from mien.outputs import check_ours, json_with
from mien.predictions import Predictions, pool
from mien.recipes.recipe import Recipe
from mien.studies.runs import train
from mien.training.hardware import Hardware, detect
from mien.training.loggers import LoggerName
from mien.training.run import Run
from mien.training.targets import Sources

_log = logging.getLogger(__name__)


class Fold(Frozen):
    """One run: how many faces it learned from, was chosen by, and answered for; persons of the last, 0: not known."""

    run: str
    train: int
    val: int
    test: int
    persons: int
    accuracy: float  # 0–1, over the `test` faces
    epochs: int
    best_epoch: int


class Folds(Frozen):
    """A cross-validation. `evaluation` is of all faces, each answered by the run that saw neither it nor its person."""

    recipe: str
    source: str
    by: Literal["persons", "images"]  # what no split parts, and what the intervals are over
    persons: int  # in all; 0 where they are not known
    folds: tuple[Fold, ...]
    evaluation: Evaluation

    @property
    def accuracy(self) -> Estimate:
        return self.evaluation.scores.accuracy


@dataclass(frozen=True, eq=False)
class _Parts:
    """Which fold each face is in, and which faces belong together."""

    faces: FaceSet
    groups: npt.NDArray[np.int64]  # (N,)
    folds: npt.NDArray[np.int64]  # (N,)
    seed: int


def cross_validate(
    recipe: Recipe,
    faces: FaceSet,
    out: str | Path,
    folds: int = 10,
    sources: Sources | None = None,
    hardware: Hardware | None = None,
    progress: Progress | None = None,
    *,
    logger: LoggerName | None = None,
) -> Folds:
    """Train `recipe` once for each of `folds` parts of `faces`; each run answers for the part that it did not see.

    Parts hold whole persons where any are known, else whole sets of identical images; they are drawn by the recipe's
    seed, and as alike in classes as that allows. Of the other parts a tenth is val, again in whole persons, which
    chooses the epoch. `out` gets an ordinary run a fold, `pooled.npz` with all out-of-fold predictions at the
    temperature of each run's card, and `folds.json`. Intervals are of a bootstrap over persons, or over sets of
    identical images. Finished folds are kept, stopped ones go on.

    Raises `InputError`, before anything is trained, for faces with a test split, for more folds than persons, and for
    parts without which a class would have no face to learn from.
    """
    out, hardware = Path(out), hardware or detect()
    parts = _parts(faces, folds, recipe.seed)
    named = dict(zip((f"fold-{number:02}" for number in range(1, folds + 1)), _each(parts, folds), strict=True))
    if Run(out).begun:
        raise InputError(f"{out}: is a run. A cross-validation holds runs: choose another --out")
    check_ours(out / "folds.json", json_with("by", "folds", "evaluation"), overwrite=None)
    sources = sources or Sources()
    told: list[Fold] = []
    said: list[Predictions] = []
    for name, part in named.items():
        _log.info("%s: %d of %d", name, len(told) + 1, folds)
        run = _trained(recipe, part, out / name, sources, hardware, progress, logger)
        predictions, fold = _answered(run, part, sources.votes, hardware, progress)
        said.append(predictions)
        told.append(fold)
    pooled = reduce(pool, said) if len(said) > 1 else said[0]
    pooled.save(out / "pooled.npz")
    order = np.concatenate([np.flatnonzero(part.splits == "test") for part in named.values()])
    found = Folds(
        recipe=recipe.name,
        source=faces.source,
        by="persons" if faces.persons.any() else "images",
        persons=len(set(faces.persons.tolist()) - {""}),
        folds=tuple(told),
        evaluation=score(pooled, f"{recipe.name}, {folds} folds", clusters=parts.groups[order]),
    )
    write_whole(out / "folds.json", found.model_dump_json(indent=2) + "\n")
    return found


def _parts(faces: FaceSet, folds: int, seed: int) -> _Parts:
    if (faces.splits == "test").any():
        raise InputError(
            f"{faces.source}: has a test split, which no training may see, and folds are splits of their own. Give "
            "faces without test, or leave out --folds"
        )
    known = bool(faces.persons.any())
    groups = groups_of(faces.persons, faces.hashes)
    count, what = len(np.unique(groups)), "persons" if known else "different images"
    if not 2 <= folds <= count:
        raise InputError(f"{faces.source}: {folds} folds of {count:,} {what}. Choose from 2 to {count:,}")
    if known:
        _log.info("%s: %d folds by persons: nobody is in two of them", faces.source, folds)
    else:
        _log.warning(
            "%s: %d folds by images, since no persons are known: the same person may be in several, and the figure "
            "says less of new people. Name persons: --subjects FILE.csv",
            faces.source, folds,
        )  # fmt: skip
    return _Parts(faces, groups, fold_of(groups, faces.labels, folds, seed), seed)


def _each(parts: _Parts, folds: int) -> Iterator[FaceSet]:
    """The faces once for each fold, which is their test split."""
    faces = parts.faces
    for fold in range(folds):
        rest = parts.folds != fold
        absent = [label for i, label in enumerate(faces.label_set.labels) if i not in faces.labels[rest]]
        if absent:
            raise InputError(
                f"{faces.source}: fold {fold + 1} of {folds} holds all faces of {', '.join(absent)}, so that none is "
                f"left to learn from. Add some, choose more folds, or leave the class out: --labels {absent[0]}=-"
            )
        val = tenth_of_groups(parts.groups[rest], faces.labels[rest], parts.seed)
        if val is None:
            raise InputError(
                f"{faces.source}: what fold {fold + 1} of {folds} leaves has too few persons for a val split of its "
                "own. Add faces of more persons, or leave out the class with the fewest: --labels CLASS=-"
            )
        splits = np.full(len(faces), "test", dtype="<U5")
        splits[rest] = np.where(val, "val", "train")
        yield replace(faces, splits=splits)


def _trained(
    recipe: Recipe,
    part: FaceSet,
    place: Path,
    sources: Sources,
    hardware: Hardware,
    progress: Progress | None,
    logger: LoggerName | None,
) -> Run:
    seen = part.select("train", "val")
    try:
        return train(recipe, seen, place, sources, hardware, "resume", progress, logger=logger)
    except DivergedError:
        raise
    except InterruptedRunError as stop:
        raise InterruptedRunError(
            f"stopped at {place.name}. Finished folds and epochs are kept: run the same command again"
        ) from stop
    except InputError as error:
        raise InputError(f"{place.name}: {error}") from error


def _answered(
    run: Run, part: FaceSet, votes: Votes | None, hardware: Hardware, progress: Progress | None
) -> tuple[Predictions, Fold]:
    """What the run says of the fold that it did not see, at its temperature; and how that went."""
    model = Model.open(run, device=hardware.device)
    predictions = model.predictions(part, "test", votes=votes, progress=progress)
    evaluation = scored(model, part, predictions)
    training = run.card.training
    fold = Fold(
        run=run.name,
        train=int((part.splits == "train").sum()),
        val=int((part.splits == "val").sum()),
        test=len(predictions),
        persons=len(set(part.persons[part.splits == "test"].tolist()) - {""}),
        accuracy=evaluation.scores.accuracy.value,
        epochs=training.epochs,
        best_epoch=training.best_epoch,
    )
    return predictions.tempered(run.card.temperature), fold
