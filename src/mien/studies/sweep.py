"""Sweep: one recipe under every combination of some settings, a run each, chosen between on val alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from mien.data.cache import Progress
from mien.data.votes import Votes
from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate, Frozen
from mien.evaluation.evaluate import score
from mien.files import write_whole
from mien.outputs import PICTURE, check_ours, csv_with
from mien.report.search import sweep_curves
from mien.report.style import save
from mien.studies.runs import Faces, Many, Wanted, stopped_early, train_all
from mien.training.hardware import Hardware
from mien.training.run import Epoch, Run


class Outcome(Frozen):
    """What one setting came to. Figures are None for one that diverged or was stopped: they are not comparable."""

    run: str
    settings: dict[str, str]
    status: Literal["finished", "stopped", "diverged"]  # stopped: early, since others did better
    problem: str | None = None  # where the loss stopped being a number, or why it was stopped
    epochs: int  # finished
    best_epoch: int | None = None  # as the recipe chooses it
    val_accuracy: Estimate | None = None  # of the best epoch's weights, from predictions/val.npz
    val_loss: float | None = None  # of that epoch, in nats
    minutes: float


class Sweep(Frozen):
    """All settings of one sweep, best val accuracy first, then stopped ones, diverged last; `n` val images, or 0."""

    recipe: str
    folder: str
    n: int
    rows: tuple[Outcome, ...]

    @property
    def finished(self) -> tuple[Outcome, ...]:
        return tuple(row for row in self.rows if row.status == "finished")

    @property
    def stopped(self) -> tuple[Outcome, ...]:
        """Those that were stopped early: of them it is not known what they would have come to."""
        return tuple(row for row in self.rows if row.status == "stopped")

    @property
    def diverged(self) -> tuple[Outcome, ...]:
        return tuple(row for row in self.rows if row.status == "diverged")

    @property
    def rivals(self) -> tuple[Outcome, ...]:
        """Finished settings whose interval of val accuracy reaches into that of the best one."""
        best, *others = (row.val_accuracy for row in self.finished)
        assert best is not None
        return tuple(
            row for row, theirs in zip(self.finished[1:], others, strict=True) if theirs and theirs.high >= best.low
        )


def sweep(
    wanted: Sequence[Wanted],
    faces: Faces,
    out: str | Path,
    votes: Votes | None = None,
    hardware: Hardware | None = None,
    progress: Progress | None = None,
    many: Many | None = None,
) -> Sweep:
    """Train what is missing under `out`, one folder per setting, and write `sweep.csv` and `sweep.png` there.

    `wanted`: what `mien.studies.grid.combinations` gives. `faces`: all of them, or what gives them as stored for a
    model of an input size in pixels. Finished runs are kept, stopped ones go on, and a setting that diverges ends
    nothing. `votes` are for the settings that give them a share of their targets. `many`: who trains the runs; one
    after another here, if left out. The test split is never looked at. Raises `InputError`, before anything is trained,
    where files of somebody else have these names.
    """
    out = Path(out)
    if not wanted:
        raise InputError("a sweep needs at least one setting; `mien.studies.grid.combinations` makes them")
    if Run(out).begun:
        raise InputError(f"{out}: is a run. A sweep holds runs: choose another --out")
    check_ours(out / "sweep.csv", csv_with("run", "val_accuracy_low", "val_accuracy_high"), overwrite=None)
    if not (out / "sweep.csv").exists():  # else the picture is of that sweep
        check_ours(out / "sweep.png", PICTURE, overwrite=None)
    return _write(wanted, train_all(wanted, faces, out, votes, hardware, progress, many), out)


def _write(settings: Sequence[Wanted], problems: Mapping[str, str], out: Path) -> Sweep:
    rows = [_row(setting, Run(out / setting.name), problems.get(setting.name)) for setting in settings]
    ranked = sorted(rows, key=_rank)
    finished = [row for row in ranked if row.status == "finished"]
    n = len(Run(out / finished[0].run).predictions("val")) if finished else 0
    found = Sweep(recipe=settings[0].recipe.name, folder=str(out), n=n, rows=tuple(ranked))
    write_whole(out / "sweep.csv", _csv(found))
    lines = [
        (row.run + f" ({row.status})" * (row.status != "finished"), history, row.best_epoch)
        for row in ranked
        if (history := _history(Run(out / row.run)))
    ]
    picture = out / "sweep.png"
    if lines:
        save(sweep_curves(lines), picture)
    else:
        picture.unlink(missing_ok=True)  # of an earlier time
    return found


def _row(setting: Wanted, run: Run, problem: str | None) -> Outcome:
    history = _history(run)
    name, values = setting.name, dict(setting.values)
    if problem is not None:
        minutes = round(sum(row.seconds for row in history) / 60, 2)
        return Outcome(
            run=name, settings=values, status="diverged", problem=problem, epochs=len(history), minutes=minutes
        )
    if why := stopped_early(run):
        minutes = round(sum(row.seconds for row in history) / 60, 2)
        return Outcome(run=name, settings=values, status="stopped", problem=why, epochs=len(history), minutes=minutes)
    done = run.card.training
    best = next(row for row in history if row.epoch == done.best_epoch)
    return Outcome(
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


def _rank(row: Outcome) -> tuple[int, float, float]:
    accuracy = row.val_accuracy
    return (
        ("finished", "stopped", "diverged").index(row.status),
        -accuracy.value if accuracy else 0.0,
        row.val_loss or 0.0,
    )


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
