"""Sweep: one recipe under every combination of some settings, a run each, chosen between on val alone."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.data.votes import Votes
from mien.errors import DivergedError, InputError, InterruptedRunError
from mien.evaluation.evaluate import Estimate, Frozen, score
from mien.files import write_whole
from mien.models.build import complete
from mien.recipes.recipe import Recipe
from mien.report.plots_search import sweep_curves
from mien.report.style import save
from mien.studies.runs import train
from mien.training.hardware import Hardware, detect
from mien.training.resume import Request, decide
from mien.training.run import Epoch, Run
from mien.training.targets import Sources, used
from mien.training.train import fresh_network

_LONGEST_NAME = 120  # characters; file systems allow 255 bytes

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """One combination: the run's name, its values by recipe key (YAML as it was given), the completed recipe."""

    name: str
    values: Mapping[str, str]
    recipe: Recipe


class Row(Frozen):
    """What one setting came to. Figures are None for one that diverged: those of its run would not be comparable."""

    run: str
    settings: dict[str, str]
    status: Literal["finished", "diverged"]
    problem: str | None = None  # where the loss stopped being a number
    epochs: int  # finished
    best_epoch: int | None = None  # as the recipe chooses it
    val_accuracy: Estimate | None = None  # of the best epoch's weights, from predictions/val.npz
    val_loss: float | None = None  # of that epoch, in nats
    minutes: float


class Sweep(Frozen):
    """All settings of one sweep, best val accuracy first, diverged ones last; `n` val images (0: none finished)."""

    recipe: str
    folder: str
    n: int
    rows: tuple[Row, ...]

    @property
    def finished(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.status == "finished")

    @property
    def diverged(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.status == "diverged")

    @property
    def rivals(self) -> tuple[Row, ...]:
        """Finished settings whose interval of val accuracy reaches into that of the best one."""
        best, *others = (row.val_accuracy for row in self.finished)
        assert best is not None
        return tuple(
            row for row, theirs in zip(self.finished[1:], others, strict=True) if theirs and theirs.high >= best.low
        )


def plan(recipe: str | Path, grids: Sequence[str], overrides: Sequence[str] = ()) -> list[Setting]:
    """Every combination of `grids`, each `KEY=VALUE,VALUE`, laid over the recipe and its `overrides`, checked.

    Values are YAML; commas within [] or {} do not split. Raises one `InputError` with all that is wrong.
    """
    axes = _parse(grids, overrides)
    labels = _short_keys(list(axes))
    settings: list[Setting] = []
    problems: dict[str, list[str]] = {}
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    for values, name in zip(combinations, _names(combinations, labels), strict=True):
        changes = [f"{key}={value}" for key, value in values.items()]
        try:
            settings.append(Setting(name, values, complete(Recipe.load(recipe, [*overrides, *changes]))))
        except InputError as error:
            problems.setdefault(_of_grid(str(error), axes), []).append(" ".join(changes))
    if problems:
        raise InputError(_all_problems(problems, len(combinations)))
    _check_distinct(settings)
    return settings


def _parse(grids: Sequence[str], overrides: Sequence[str]) -> dict[str, list[str]]:
    """Recipe key → its values."""
    if not grids:
        raise InputError("a sweep needs a grid, for example --grid optimizer.lr=1e-3,1e-4")
    fixed = {override.partition("=")[0] for override in overrides}
    axes: dict[str, list[str]] = {}
    for grid in grids:
        key, equals, text = grid.partition("=")
        key, values = key.strip(), _split(text)
        if not equals or not key:
            raise InputError(f"--grid {grid}: expected KEY=VALUE,VALUE, for example --grid optimizer.lr=1e-3,1e-4")
        if values is None:
            raise InputError(f"--grid {grid}: a bracket is not closed. Quote the whole: --grid '{key}=[1,2],[3,4]'")
        if "" in values:
            raise InputError(f"--grid {grid}: a value is empty. Write null for none: --grid {key}=null,…")
        if key in axes:
            raise InputError(f"--grid {grid}: {key} has a grid already. Put all its values into one")
        if key in fixed:
            raise InputError(f"--grid {grid}: {key} is also given by --set. Leave out one of them")
        axes[key] = values
    return axes


def _split(text: str) -> list[str] | None:
    """At the commas outside of brackets; None where brackets do not match."""
    parts, awaited = [""], ""  # awaited: the brackets that are to close, innermost last
    for character in text:
        if character == "," and not awaited:
            parts.append("")
            continue
        parts[-1] += character
        if character in "[{":
            awaited += "]" if character == "[" else "}"
        elif character in "]}":
            if not awaited.endswith(character):
                return None
            awaited = awaited[:-1]
    return None if awaited else [part.strip() for part in parts]


def _of_grid(message: str, keys: Mapping[str, object]) -> str:
    """A message that blames --set for what came by --grid, put right."""
    for key in keys:
        message = message.replace(f"--set {key}=", f"--grid {key}=")
    return message


def _all_problems(problems: Mapping[str, Sequence[str]], settings: int) -> str:
    """One text of all messages, each with the settings that meet it. What combines earlier ones is left out."""
    told: set[str] = set()
    texts = []
    for message, where in problems.items():
        lines = message.splitlines()
        new = set(lines[1:] or lines) - told
        told |= new
        if not new:
            continue
        more = f" and {len(where) - 1} more" if len(where) > 1 else ""
        named = len(where) == settings or message.startswith("--grid")  # by every value, or already
        texts.append(message if named else f"--grid {where[0]}{more}: {message}")
    return "\n".join(texts)


def _check_distinct(settings: Sequence[Setting]) -> None:
    for one, other in itertools.combinations(settings, 2):
        if one.recipe == other.recipe:
            first, second = (", ".join(f"{k}={v}" for k, v in setting.values.items()) for setting in (one, other))
            same = f"{first} is there twice" if first == second else f"{first} and {second} mean the same"
            raise InputError(f"--grid: {same}. Give every value once")


def _short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Recipe key → the end of it that no other key shares.

    >>> _short_keys(["optimizer.lr", "optimizer.name", "schedule.name"])
    {'optimizer.lr': 'lr', 'optimizer.name': 'optimizer.name', 'schedule.name': 'schedule.name'}
    """
    short = {}
    for key in keys:
        parts = key.split(".")
        ends = [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        others = [f".{other}" for other in keys if other != key]
        short[key] = next((end for end in ends if not any(other.endswith(f".{end}") for other in others)), key)
    return short


def _names(combinations: Sequence[Mapping[str, str]], labels: Mapping[str, str]) -> list[str]:
    """Folder names, all different, also where a file system ignores case."""
    names = [",".join(f"{labels[key]}={_safe(value)}" for key, value in values.items()) for values in combinations]
    often = Counter(name.lower() for name in names)
    return [
        name if len(name) <= _LONGEST_NAME and often[name.lower()] == 1 else _marked(name, values)
        for name, values in zip(names, combinations, strict=True)
    ]


def _safe(value: str) -> str:
    """A value as part of a file name.

    >>> _safe("[512, 256]"), _safe("{last: 4}"), _safe("-1e-3"), _safe("[]")
    ('512-256', 'last-4', '-1e-3', 'empty')
    """
    return re.sub(r"[^A-Za-z0-9.+_-]+", "-", value.strip("[]{}'\" ")) or "empty"


def _marked(name: str, values: Mapping[str, str]) -> str:
    """The name with a mark of what it does not say."""
    mark = hashlib.blake2b(repr(dict(values)).encode(), digest_size=4).hexdigest()
    return f"{name[:_LONGEST_NAME]}-{mark}"


def sweep(
    settings: Sequence[Setting],
    open_faces: Callable[[int], FaceSet],
    out: Path,
    votes: Votes | None = None,
    hardware: Hardware | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Train what is missing under `out`, one folder per setting, and write `sweep.csv` and `sweep.png` there.

    `open_faces` gives the faces as stored for a model of that input size. Finished runs are kept, stopped ones go on, a
    setting that diverged is tried again and ends nothing. `votes` are for the settings that give them a share of their
    targets. The test split is never looked at. Raises `InputError` for folders that hold something else before anything
    is trained; `InterruptedRunError` on Ctrl-C.
    """
    hardware = hardware or detect()
    if not settings:
        raise InputError("a sweep needs at least one setting; `plan` makes them")
    if Run(out).begun:
        raise InputError(f"{out}: is a run. A sweep holds runs: choose another --out")
    sizes = {setting.recipe.preprocess.size for setting in settings}
    faces = {size: open_faces(size).select("train", "val") for size in sorted(sizes)}
    waiting = _check(settings, faces, out, hardware)
    logger.info("%d finished before, %d to train", len(settings) - len(waiting), len(waiting))
    problems: dict[str, str] = {}
    for i, setting in enumerate(waiting, start=1):
        logger.info("%s: %d of %d", setting.name, i, len(waiting))
        try:
            learned = Sources(used(votes, setting.recipe))
            of_size = faces[setting.recipe.preprocess.size]
            train(setting.recipe, of_size, out / setting.name, learned, hardware, "resume", progress)
        except DivergedError as error:
            problems[setting.name] = error.what
            logger.warning("%s: diverged, %s", setting.name, error.what)
        except (InterruptedRunError, KeyboardInterrupt) as stop:
            raise InterruptedRunError(
                f"stopped at {setting.name}. Finished runs and epochs are kept: run the same command again"
            ) from stop
        except InputError as error:
            raise InputError(f"{setting.name}: {error}") from error
    return _write(settings, problems, out)


def _check(settings: Sequence[Setting], faces: Mapping[int, FaceSet], out: Path, hardware: Hardware) -> list[Setting]:
    """The settings that are to be trained.

    Raises `InputError` for what would otherwise end the sweep halfway: a folder in the way, a network of no sense.
    """
    waiting: list[Setting] = []
    built: list[Recipe] = []
    for setting in settings:
        recipe, seen = setting.recipe, faces[setting.recipe.preprocess.size]
        run = Run(out / setting.name)
        request = Request(recipe, seen, hardware.precision)
        if decide(run, request, "resume") == "done":
            continue
        waiting.append(setting)
        if any(_same_network(recipe, other) for other in built):
            continue
        try:
            fresh_network(recipe, seen)
        except InputError as error:
            raise InputError(f"{setting.name}: {error}") from error
        built.append(recipe)
    return waiting


def _same_network(one: Recipe, other: Recipe) -> bool:
    return (one.model, one.preprocess, one.unfreeze) == (other.model, other.preprocess, other.unfreeze)


def _write(settings: Sequence[Setting], problems: Mapping[str, str], out: Path) -> Sweep:
    rows = [_row(setting, Run(out / setting.name), problems.get(setting.name)) for setting in settings]
    ranked = sorted(rows, key=_rank)
    finished = [row for row in ranked if row.status == "finished"]
    n = len(Run(out / finished[0].run).predictions("val")) if finished else 0
    found = Sweep(recipe=settings[0].recipe.name, folder=str(out), n=n, rows=tuple(ranked))
    write_whole(out / "sweep.csv", _csv(found))
    lines = [
        (row.run + " (diverged)" * (row.status == "diverged"), history, row.best_epoch)
        for row in ranked
        if (history := _history(Run(out / row.run)))
    ]
    picture = out / "sweep.png"
    if lines:
        save(sweep_curves(lines), picture)
    else:
        picture.unlink(missing_ok=True)  # of an earlier time
    return found


def _row(setting: Setting, run: Run, problem: str | None) -> Row:
    history = _history(run)
    name, values = setting.name, dict(setting.values)
    if problem is not None:
        minutes = round(sum(row.seconds for row in history) / 60, 2)
        return Row(run=name, settings=values, status="diverged", problem=problem, epochs=len(history), minutes=minutes)
    done = run.card.training
    best = next(row for row in history if row.epoch == done.best_epoch)
    return Row(
        run=name,
        settings=values,
        status="finished",
        epochs=done.epochs,
        best_epoch=done.best_epoch,
        val_accuracy=score(run.predictions("val"), run.name).scores.accuracy,
        val_loss=best.val_loss,
        minutes=done.minutes,
    )


def _history(run: Run) -> list[Epoch]:
    return run.history if (run.folder / "history.csv").is_file() else []


def _rank(row: Row) -> tuple[bool, float, float]:
    accuracy = row.val_accuracy
    return accuracy is None, -accuracy.value if accuracy else 0.0, row.val_loss or 0.0


def _csv(found: Sweep) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    figures = ("status", "epochs", "best_epoch", "val_n", "val_accuracy", "val_accuracy_low", "val_accuracy_high")
    writer.writerow(["run", *found.rows[0].settings, *figures, "val_loss", "minutes"])
    for row in found.rows:
        accuracy = row.val_accuracy
        scores = [found.n, accuracy.value, accuracy.low, accuracy.high] if accuracy else [None] * 4
        start = [row.run, *row.settings.values(), row.status, row.epochs, row.best_epoch]
        writer.writerow([*start, *scores, row.val_loss, row.minutes])
    return text.getvalue()
