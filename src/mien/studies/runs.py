"""Runs: one trained whole, with its curves and its model file, whoever asks; and many of them, a folder each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.data.votes import Votes
from mien.errors import DivergedError, InputError, InterruptedRunError, MienError, StoppedEarlyError
from mien.exports import leave_onnx
from mien.files import write_whole
from mien.recipes.recipe import Recipe
from mien.report.curves import curves
from mien.report.style import save
from mien.training.hardware import Hardware, detect
from mien.training.loggers import LoggerName
from mien.training.resume import Existing, Request, decide
from mien.training.run import Run
from mien.training.targets import Sources, used
from mien.training.train import fresh_network
from mien.training.train import train as fit

Faces = FaceSet | Callable[[int], FaceSet]  # or what gives them as stored for a model of an input size in pixels

_STOPPED_EARLY = "stopped-early.txt"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """A run of a study or a sweep: its folder's name, its completed recipe, and what a sweep has set in it."""

    name: str
    recipe: Recipe
    values: Mapping[str, str] = field(default_factory=dict)  # by recipe key, YAML as it was given


def train(
    recipe: Recipe,
    faces: FaceSet,
    out: str | Path,
    sources: Sources | None = None,
    hardware: Hardware | None = None,
    existing: Existing = "refuse",
    progress: Progress | None = None,
    *,
    logger: LoggerName | None = None,
) -> Run:
    """Train `recipe` on the train faces, choose the best epoch on the val faces, write the run folder `out`.

    The folder also holds `report/curves.png` and `model.onnx`, so `Recognizer(out)` works at once. A run is whole
    without its model file: why one could not be written is a line in the log.

    `sources`: what it learns from beside its faces, or begins with. `hardware`: the fastest that is found, if left
    out. `existing`: a folder that holds something is refused; or resumed from the last finished epoch, to the same
    numbers as an uninterrupted run; or replaced, if it is a run. `logger`: csv, tensorboard, wandb or mlflow, who is
    told of each epoch beside `history.csv`. Raises `InputError` for such a folder, data without train or val, and a
    loss that is no longer a number; `InterruptedRunError` on Ctrl-C, with everything up to the last finished epoch on
    disk. A further process of a distributed training ends with a run that is not finished.
    """
    run = fit(recipe, faces, out, sources, hardware, existing, progress, logger=logger)
    if run.finished:
        _complete(run, faces)
    return run


def _complete(run: Run, faces: FaceSet) -> None:
    """Write what a finished run lacks because it was stopped at its very end: curves and model file."""
    if not curves_file(run).is_file():
        save(curves(run.history, run.recipe.name, run.card.training.best_epoch), curves_file(run))
    if not (run.folder / "model.onnx").is_file():
        leave_onnx(run, faces)


def curves_file(run: Run) -> Path:
    return run.folder / "report" / "curves.png"


def stopped_early(run: Run) -> str | None:
    """Why a sweep stopped this run before its last epoch; None of one that it did not, or that was finished since."""
    file = run.folder / _STOPPED_EARLY
    return file.read_text(encoding="utf-8").strip() if file.is_file() and not run.finished else None


def stop_early(run: Run, why: str) -> None:
    """Keep why. Its epochs stay, and a sweep that stops none trains it to the end."""
    write_whole(run.folder / _STOPPED_EARLY, why + "\n")


def of_size(faces: Faces, size: int) -> FaceSet:
    return faces if isinstance(faces, FaceSet) else faces(size)


@dataclass(frozen=True, eq=False)
class Errand:
    """One run of many, with all that is needed to train it; another process can carry it out."""

    name: str
    recipe: Recipe
    faces: FaceSet  # of train and val
    out: Path
    votes: Votes | None  # where the recipe gives them a share of its targets
    hardware: Hardware


# Trains runs and tells of each as it ends: None, or why it could not be trained.
Many = Callable[[Sequence[Errand]], Iterator[tuple[Errand, MienError | None]]]


def carry_out(errand: Errand, progress: Progress | None = None) -> MienError | None:
    """Train it, or go on where it stopped; an error of ours that stood in the way."""
    try:
        sources = Sources(errand.votes)
        train(errand.recipe, errand.faces, errand.out, sources, errand.hardware, "resume", progress)
    except InterruptedRunError:
        raise
    except MienError as error:
        return error
    return None


def train_all(
    wanted: Sequence[Wanted],
    faces: Faces,
    out: Path,
    votes: Votes | None = None,
    hardware: Hardware | None = None,
    progress: Progress | None = None,
    many: Many | None = None,
) -> dict[str, str]:
    """Train what is missing of `wanted` under `out`; by name, how the loss of those that diverged stopped being one.

    Finished runs are kept, stopped ones go on, one that diverged is tried again and ends nothing. `votes` are for the
    recipes that give them a share of their targets. `many`: who trains them; one after another here, if left out. The
    test split is never looked at. Raises `InputError` for folders that hold something else and for networks that cannot
    be built, before anything is trained; `InterruptedRunError` on Ctrl-C.
    """
    hardware = hardware or detect()
    seen = cache(lambda size: of_size(faces, size).select("train", "val"))
    waiting = _waiting(wanted, seen, out, "auto" if many else hardware.precision)  # others have hardware of their own
    logger.info("%d finished before, %d to train", len(wanted) - len(waiting), len(waiting))
    errands = [
        Errand(
            one.name, one.recipe, seen(one.recipe.preprocess.size), out / one.name, used(votes, one.recipe), hardware
        )
        for one in waiting
    ]
    problems: dict[str, str] = {}
    for errand, error in many(errands) if many else _in_turn(errands, progress):
        if isinstance(error, DivergedError):
            problems[errand.name] = error.what
            logger.warning("%s: diverged, %s", errand.name, error.what)
        elif isinstance(error, StoppedEarlyError):
            logger.info("%s: %s", errand.name, error)
        elif error is not None:
            raise InputError(f"{errand.name}: {error}") from error
    return problems


def _in_turn(errands: Sequence[Errand], progress: Progress | None) -> Iterator[tuple[Errand, MienError | None]]:
    for i, errand in enumerate(errands, start=1):
        logger.info("%s: %d of %d", errand.name, i, len(errands))
        try:
            yield errand, carry_out(errand, progress)
        except (InterruptedRunError, KeyboardInterrupt) as stop:
            raise InterruptedRunError(
                f"stopped at {errand.name}. Finished runs and epochs are kept: run the same command again"
            ) from stop


def _waiting(wanted: Sequence[Wanted], seen: Callable[[int], FaceSet], out: Path, precision: str) -> list[Wanted]:
    """Those that are to be trained.

    Raises `InputError` for what would otherwise end them halfway: a folder in the way, a network of no sense.
    """
    waiting: list[Wanted] = []
    built: list[Recipe] = []
    for one in wanted:
        recipe, shown = one.recipe, seen(one.recipe.preprocess.size)
        run = Run(out / one.name)
        if decide(run, Request(recipe, shown, precision), "resume") == "done":
            _complete(run, shown)
            continue
        waiting.append(one)
        if any(_same_network(recipe, other) for other in built):
            continue
        try:
            fresh_network(recipe, shown)
        except InputError as error:
            raise InputError(f"{one.name}: {error}") from error
        built.append(recipe)
    return waiting


def _same_network(one: Recipe, other: Recipe) -> bool:
    return (one.model, one.preprocess, one.unfreeze) == (other.model, other.preprocess, other.unfreeze)
