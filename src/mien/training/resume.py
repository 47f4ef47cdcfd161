"""Resume: what becomes of a run folder before a training begins: new, resumed or replaced; never lost by accident."""

from __future__ import annotations

import math
import pickle
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch

from mien.data.faceset import FaceSet
from mien.errors import InputError, not_writable
from mien.files import write_whole
from mien.recipes.recipe import Recipe
from mien.scratch import filled, is_free
from mien.training.hardware import LIGHTNING_PRECISION
from mien.training.loggers import FOLDER, LoggerName
from mien.training.run import Run

_BEGUN = ("recipe.yaml", "seen.npz")  # with them a folder is a run: they come last, and never go
_RESULTS = ("card.json", "model.onnx", "model.safetensors", "history.csv", "backbone.json")
_FOLDERS = ("checkpoints", "predictions", "report", FOLDER)
NAMES = (*_RESULTS, *_FOLDERS, *_BEGUN)  # of all that a run writes

Decision = Literal["new", "replace", "resume", "done"]
Existing = Literal["refuse", "resume", "replace"]  # what may be done with a folder that holds something
_FREE = ("name", "describe", "expected", "epochs", "schedule", "early_stopping")  # in which a branch may differ


@dataclass(frozen=True)
class Request:
    """What a training asks of its folder."""

    recipe: Recipe
    seen: FaceSet  # its train and val faces
    precision: str  # auto where only those that go on with it will know
    start: Run | None = None  # whose weights come first
    branch: Run | None = None  # the run that this one goes on from
    logger: LoggerName | None = None  # who is told of each epoch, beside `history.csv`

    @cached_property
    def begun_with(self) -> str:
        """`Run.identity` of the run whose weights come first; empty where they are fresh."""
        if self.start:
            return self.start.identity
        return self.branch.begun_with if self.branch and self.branch.begun else ""


def decide(run: Run, request: Request, existing: Existing) -> Decision:
    """What is to be done with the folder. Changes nothing; raises `InputError` where it must be left alone."""
    folder = run.folder
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file. Choose a folder for the run")
    if request.branch:
        _check_branch(request.branch, request, run)
    if is_free(folder, NAMES, _BEGUN[0]):
        return "new"
    if existing == "resume":
        return _decide_resume(run, request)
    if existing == "refuse":
        raise InputError(
            f"{folder}: is not empty. Continue the run in it with --resume, replace it with --overwrite, "
            "or choose another --out"
        )
    if not run.begun:
        raise InputError(
            f"{folder}: has files but no run in it, so --overwrite does not replace it. Choose another --out"
        )
    return "replace"


def _decide_resume(run: Run, request: Request) -> Decision:
    left_over = (run.folder / "card.json").is_file() and not run.finished and not run.last_checkpoint.is_file()
    if not run.begun or left_over:  # other files, or what was kept of a finished run
        raise InputError(f"{run.folder}: has no run to resume, so it is kept as it is. Choose another --out")
    begun, recipe = run.recipe, request.recipe
    if begun != recipe:
        raise InputError(
            f"{run.folder}: was begun with another recipe (different: {', '.join(_differences(begun, recipe))}). "
            "Resume it with the same recipe, --set and --seed, or choose another --out"
        )
    _check_data(run, request)
    if run.begun_with != request.begun_with:
        raise InputError(
            f"{run.folder}: was begun with {run.begun_with or 'fresh weights'}, "
            f"this would begin with {request.begun_with or 'fresh weights'}. Resume it with the same --start"
        )
    if run.finished:
        return "done"
    if not run.last_checkpoint.is_file():
        return "replace"  # stopped before its first epoch was finished: nothing to keep
    _check_checkpoint(run.last_checkpoint, request.precision)
    return "resume"


def _check_branch(trunk: Run, request: Request, run: Run) -> None:
    """Raise `InputError` unless `trunk` is what the first epochs of the request would have been."""
    if trunk.folder.resolve() == run.folder.resolve():
        raise InputError(
            f"{run.folder}: a run cannot be a branch of itself. Choose another --out, or go on with --resume"
        )
    if not trunk.begun or not trunk.last_checkpoint.is_file():
        raise InputError(f"{trunk.folder}: has no training to continue (checkpoints/last.ckpt is missing)")
    begun, recipe = trunk.recipe, request.recipe
    changed = [key for key in _differences(begun, recipe) if key not in _FREE]
    if (begun.schedule.name, begun.schedule.warmup_epochs) != (recipe.schedule.name, recipe.schedule.warmup_epochs):
        changed.append("schedule before its decay")
    if changed:
        raise InputError(
            f"{trunk.folder}: was begun with another recipe (different: {', '.join(changed)}). A branch may differ in "
            "epochs and schedule.decay_epochs alone"
        )
    _check_data(trunk, request)
    _check_checkpoint(trunk.last_checkpoint, request.precision)
    done = saved_epochs(trunk)
    if recipe.schedule.name != "constant" or begun.epochs - begun.schedule.decay_epochs < done:
        raise InputError(f"{trunk.folder}: its learning rate falls already. A branch begins where it is still constant")
    if recipe.epochs - recipe.schedule.decay_epochs < done or recipe.epochs == done:
        least = done + max(math.ceil(recipe.schedule.decay_epochs), 1)
        raise InputError(
            f"{trunk.folder}: has finished {done} epochs, so a branch with a decay of "
            f"{recipe.schedule.decay_epochs:g} ends after {least} at the earliest: --set epochs={least}"
        )


def saved_epochs(run: Run) -> int:
    """Finished epochs in its checkpoint, from which it goes on; its history may be one ahead where it was stopped."""
    if not run.last_checkpoint.is_file():
        return 0
    return int(torch.load(run.last_checkpoint, map_location="cpu", weights_only=True, mmap=True)["epoch"]) + 1


def _check_checkpoint(path: Path, precision: str) -> None:
    """Raise `InputError` unless `path` is a whole checkpoint of plain state, no code, of a training in `precision`."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise InputError(
            f"{path}: cannot be read as a checkpoint. Delete the run's folder and train again (--overwrite)"
        ) from error
    begun = {named: ours for ours, named in LIGHTNING_PRECISION.items()}.get(found.get("precision"))
    if precision not in ("auto", begun):
        raise InputError(
            f"{path}: was begun in precision {begun}, this would go on in {precision}: other numbers than an "
            f"uninterrupted run. Resume it with --precision {begun}"
        )


def _check_data(run: Run, request: Request) -> None:
    if run.seen_fingerprint != request.seen.fingerprint:
        source = request.seen.source
        raise InputError(f"{run.folder}: was begun on other data than {source}. Resume it with the same --data")


def _differences(begun: Recipe, recipe: Recipe) -> list[str]:
    return [key for key in type(recipe).model_fields if getattr(begun, key) != getattr(recipe, key)]


def begin(run: Run, request: Request, how: Decision) -> None:
    """Carry out `new` or `replace`: the folder then has the recipe, and what this training and its start see.

    That of a branch also has what its trunk has done. Whenever the program dies here, the same command begins again.
    """
    try:
        if how == "replace":
            _remove_results(run.folder)
            _write_beginning(run, request)
        else:
            with filled(run.folder, NAMES, _BEGUN[0]) as part:
                _write_beginning(Run(part), request)
    except OSError as error:
        raise not_writable(run.folder, error, "Make room or choose another --out") from error


def _write_beginning(run: Run, request: Request) -> None:
    """The recipe first: with that of an earlier run nothing could go on from what comes next."""
    write_whole(run.folder / "recipe.yaml", request.recipe.to_yaml())
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    if request.branch:
        run.copy_trunk(request.branch)
    else:
        run.save_seen(request.seen, request.start)


def _remove_results(folder: Path) -> None:
    """Remove what a run wrote, and nothing else that may lie there; it still is a run, one that has not begun."""
    for name in _RESULTS:
        (folder / name).unlink(missing_ok=True)
    for name in _FOLDERS:
        if (folder / name).exists():
            shutil.rmtree(folder / name)
