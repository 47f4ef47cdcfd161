"""The run folder before a training begins: new, taken up again, or replaced; never lost by accident."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from mien.data.faceset import FaceSet
from mien.errors import InputError, not_writable
from mien.files import write_whole
from mien.recipes.recipe import Recipe
from mien.training.checkpoint import check_checkpoint
from mien.training.run import Run

_FILES = ("recipe.yaml", "backbone.json", "card.json", "model.safetensors", "model.onnx", "history.csv", "seen.npz")
_FOLDERS = ("checkpoints", "predictions", "report")

Plan = Literal["new", "replace", "resume", "done"]


def plan(
    run: Run,
    recipe: Recipe,
    seen: FaceSet,
    *,
    resume: bool,
    overwrite: bool,
    precision: str,
    start: Run | None = None,
) -> Plan:
    """What is to be done with the folder. Changes nothing; raises `InputError` where it must be left alone."""
    folder = run.folder
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file. Choose a folder for the run")
    if not folder.is_dir() or not any(folder.iterdir()):
        return "new"
    if resume:
        return _plan_resume(run, recipe, seen, precision, start)
    if not overwrite:
        raise InputError(
            f"{folder}: is not empty. Continue the run in it with --resume, replace it with --overwrite, "
            "or choose another --out"
        )
    if not run.begun:
        raise InputError(f"{folder}: holds files but no run, so --overwrite will not touch it. Choose another --out")
    return "replace"


def _plan_resume(run: Run, recipe: Recipe, seen: FaceSet, precision: str, start: Run | None) -> Plan:
    left_over = (run.folder / "card.json").is_file() and not run.finished and not run.last_checkpoint.is_file()
    if not run.begun or left_over:  # other files, or what was kept of a finished run
        raise InputError(f"{run.folder}: holds no run to resume, so it is kept as it is. Choose another --out")
    begun = run.recipe
    if begun != recipe:
        changed = [key for key in type(recipe).model_fields if getattr(begun, key) != getattr(recipe, key)]
        raise InputError(
            f"{run.folder}: was begun with another recipe (different: {', '.join(changed)}). "
            "Resume it with the same recipe, --set and --seed, or choose another --out"
        )
    if run.seen_fingerprint != seen.fingerprint:
        raise InputError(f"{run.folder}: was begun on other data than {seen.source}. Resume it with the same --data")
    if run.begun_with != (start.identity if start else ""):
        raise InputError(
            f"{run.folder}: was begun with {run.begun_with or 'fresh weights'}, "
            f"this would begin with {start.identity if start else 'fresh weights'}. Resume it with the same --start"
        )
    if run.finished:
        return "done"
    if not run.last_checkpoint.is_file():
        return "replace"  # stopped before its first epoch was finished: nothing to keep
    check_checkpoint(run.last_checkpoint, precision)
    return "resume"


def begin(run: Run, recipe: Recipe, seen: FaceSet, how: Plan, start: Run | None = None) -> None:
    """Carry out `new` or `replace`: the folder then holds the recipe and what will be seen, or `start` has seen."""
    try:
        if how == "replace":
            _remove_run(run.folder)
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        run.save_seen(seen, start)
        write_whole(run.folder / "recipe.yaml", recipe.to_yaml())
    except OSError as error:
        raise not_writable(run.folder, error) from error


def _remove_run(folder: Path) -> None:
    """Remove what a run wrote, and nothing else that may lie there."""
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)
    for name in _FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
