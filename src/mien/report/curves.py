"""Curves: what happened epoch by epoch, and whether the loss rose while the accuracy still rose."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, sqrt
from typing import Literal

from matplotlib.figure import Figure

from mien.errors import InputError
from mien.evaluation.printed import NONE, figure_text
from mien.report.content import RunReport
from mien.report.families import leading, short_names
from mien.report.layout import Cell, Picture, Section, Table
from mien.report.style import (
    BLUE,
    FAINT,
    ORANGE,
    VERMILLION,
    WIDTH,
    Share,
    check_history,
    draw_epochs,
    draw_line,
    draw_ring,
    shorten,
    styled,
)
from mien.report.words import plural
from mien.training.run import Epoch

FOLDED = "In front stands the best of each family by val accuracy; the others unfold below."
ROWS = 5  # runs in one picture of loss against accuracy: it fills a screen
_SHOWN = 0.0005  # of a loss: less is printed as nothing
SENTENCES = 6  # runs that get a sentence each; more get a line of a table


def curves_section(runs: Sequence[RunReport]) -> Section:
    """A picture per run, those of the leading runs first."""
    text = (
        "Figures of the training set are taken while the weights change, with dropout on; those of val after the "
        "epoch, so val can lead. Marked is the best epoch, whose weights are evaluated."
    )
    pictures = {}
    for i, run in enumerate(runs, 1):
        if run.history:
            best = run.card.training.best_epoch
            alt = f"{run.name}: loss and accuracy per epoch on training set and val, best epoch {best}"
            pictures[run.name] = Picture.of(f"curves-{i}-{run.name}", curves(run.history, run.name, best), alt)
    shown, folded = split_pictures(runs, pictures)
    if any(run.recipe.mirror for run in runs):
        text += " Curves are of single answers, also where the trained model averages those for a face and its mirror."
    text += f" {FOLDED}" if folded else ""
    return Section("Learning curves", text=(text,) if pictures else (), pictures=shown, folded=folded)


def split_pictures(
    runs: Sequence[RunReport], pictures: dict[str, Picture]
) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
    """Pictures by run name → those of the leading runs, and the others, both in the order of the runs."""
    first = {run.name for run in leading(runs)}
    return (
        tuple(picture for name, picture in pictures.items() if name in first),
        tuple(picture for name, picture in pictures.items() if name not in first),
    )


def turning_section(runs: Sequence[RunReport]) -> Section:
    """The study's discovery, run by run."""
    drawn = [run for run in runs if run.history]
    if not drawn:
        return Section("Loss against accuracy")
    n = min(run.card.training.val_images for run in drawn)
    half = figure_text(0.98 / sqrt(n))
    text = (
        "The study's discovery: the loss may rise while the accuracy still rises. Loss is a distance: it grows without "
        "end where a wrong answer becomes surer. Accuracy is a count of right answers, however sure. These are figures "
        f"of single epochs on val, n = {n:,}; the 95 % interval of one such accuracy is ± {half} "
        "at most, and a rise within it shows nothing."
    )
    turns = [_turn(run.history, run.card.training.val_images) for run in drawn]
    text += f" It does in {turns.count('yes')} of {len(drawn)} {plural('run', len(drawn))}"
    text += f"; {turns.count('cannot tell')} cannot tell." if "cannot tell" in turns else "."
    shown, folded = _pictures(runs, drawn)
    text += f" {FOLDED}" if folded else ""
    few = len(drawn) <= SENTENCES
    return Section(
        "Loss against accuracy",
        text=(text,),
        points=tuple(turning_sentence(run.name, run.history, run.card.training.val_images) for run in drawn)
        if few
        else (),
        tables=() if few else (_table(drawn),),
        pictures=shown,
        folded=folded,
    )


def turning_sentence(name: str, history: Sequence[Epoch], n: int) -> str:
    """Whether val loss rose while val accuracy (of n images) still rose: from the lowest loss to the best accuracy."""
    lowest, best = turning_epochs(history)
    turn = _turn(history, n)
    if lowest is None:
        return f"{name}: no val loss is finite; the training diverged."
    if turn == "no":
        return (
            f"{name}: no. The best val accuracy (epoch {best.epoch}) does not come after "
            f"the lowest val loss (epoch {lowest.epoch})."
        )
    return (
        f"{name}: {turn}. From epoch {lowest.epoch} (lowest val loss) to epoch {best.epoch} (best val accuracy), val "
        f"loss rose by {figure_text(best.val_loss - lowest.val_loss)} (from {figure_text(lowest.val_loss)} to "
        f"{figure_text(best.val_loss)}) while val accuracy rose by "
        f"{figure_text(best.val_accuracy - lowest.val_accuracy)} "
        f"(from {figure_text(lowest.val_accuracy)} to {figure_text(best.val_accuracy)})."
    )


def turning_epochs(history: Sequence[Epoch]) -> tuple[Epoch | None, Epoch]:
    """The first epoch of lowest val loss (None if no loss is finite) and the first of best val accuracy."""
    finite = (row for row in history if isfinite(row.val_loss))
    return min(finite, key=lambda row: row.val_loss, default=None), max(history, key=lambda row: row.val_accuracy)


@styled
def curves(history: Sequence[Epoch], title: str, best_epoch: int | None = None) -> Figure:
    """Loss and accuracy per epoch, train and val, side by side; `best_epoch` (counted from 1) is marked."""
    check_history(history, title)
    figure = Figure(figsize=(WIDTH, 2.75))
    loss, accuracy = figure.subplots(1, 2)
    figure.suptitle(shorten(title, 80), x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    best = next((row for row in history if row.epoch == best_epoch), None)
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        for split, color in (("train", FAINT), ("val", BLUE)):
            draw_line(axes, history, f"{split}_{name}", color, label=split)
        draw_epochs(axes, history[-1].epoch)
        if best is not None:
            value = getattr(best, f"val_{name}")
            axes.axvline(best.epoch, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0.5)
            draw_ring(axes, best.epoch, value, BLUE)
            axes.set_title(f"best epoch {best.epoch}: val {name} {figure_text(value)}", fontsize=9, fontweight="normal")
    loss.set_ylabel("cross entropy (nats)")
    accuracy.set_ylabel("accuracy")
    loss.legend()
    accuracy.yaxis.set_major_formatter(Share())
    return figure


@styled
def loss_against_accuracy(runs: Sequence[tuple[str, Sequence[Epoch]]]) -> Figure:
    """Val loss beside val accuracy, one row per run (name, history).

    Marked are the epoch of lowest val loss and that of best val accuracy; the epochs between them are shaded when
    the best accuracy comes later, that is, where the loss rises while the accuracy still rises.
    """
    if not runs:
        raise InputError("loss against accuracy: no run to draw, expected at least one")
    figure = Figure(figsize=(WIDTH, 0.5 + 1.8 * len(runs)))
    rows = figure.subplots(len(runs), 2, sharex=True, squeeze=False)
    longest = max((row.epoch for _, history in runs for row in history), default=1)
    for (loss, accuracy), (name, history) in zip(rows, runs, strict=True):
        check_history(history, name)
        lowest, best = turning_epochs(history)
        draw_line(loss, history, "val_loss", VERMILLION)
        draw_line(accuracy, history, "val_accuracy", BLUE)
        accuracy.yaxis.set_major_formatter(Share())
        where = "never finite"
        if lowest is not None:
            where = f"lowest at epoch {lowest.epoch}"
            draw_ring(loss, lowest.epoch, lowest.val_loss, VERMILLION)
            if best.epoch > lowest.epoch:
                for axes in (loss, accuracy):
                    axes.axvspan(lowest.epoch, best.epoch, color=ORANGE, alpha=0.16, linewidth=0)
        draw_ring(accuracy, best.epoch, best.val_accuracy, BLUE)
        loss.set_title(f"{shorten(name, 40)}\nval loss, {where}", fontsize=9)
        accuracy.set_title(f"val accuracy, best at epoch {best.epoch}", fontsize=9)
        for axes in (loss, accuracy):
            draw_epochs(axes, longest, label=axes in rows[-1])
    return figure


def _turn(history: Sequence[Epoch], n: int) -> Literal["yes", "no", "cannot tell", "diverged"]:
    """Whether loss rose while accuracy rose; a rise of nothing, or within the interval of n images, cannot tell."""
    lowest, best = turning_epochs(history)
    if lowest is None:
        return "diverged"
    if best.epoch <= lowest.epoch:
        return "no"
    seen = best.val_loss - lowest.val_loss >= _SHOWN and best.val_accuracy - lowest.val_accuracy > 0.98 / sqrt(n)
    return "yes" if seen else "cannot tell"


def _table(runs: Sequence[RunReport]) -> Table:
    """What `turning_sentence` says, a line for each run."""
    header = ("Model", "Loss rises while accuracy rises", "Lowest val loss", "Best val accuracy", "Val loss, rise",
              "Val accuracy, rise")  # fmt: skip
    rows = tuple((Cell(run.name), *_cells(run.history, run.card.training.val_images)) for run in runs)
    note = "Rises are those from the epoch of lowest val loss to the later one of best val accuracy."
    return Table(header, rows, note)


def _cells(history: Sequence[Epoch], n: int) -> tuple[Cell, ...]:
    lowest, best = turning_epochs(history)
    highest = Cell(figure_text(best.val_accuracy), f"epoch {best.epoch}")
    if lowest is None:
        return (Cell("diverged"), Cell(NONE), highest, Cell(NONE), Cell(NONE))
    bottom = Cell(figure_text(lowest.val_loss), f"epoch {lowest.epoch}")
    turn = _turn(history, n)
    if turn == "no":
        return (Cell("no"), bottom, highest, Cell(NONE), Cell(NONE))
    rises = (best.val_loss - lowest.val_loss, best.val_accuracy - lowest.val_accuracy)
    return (Cell(turn), bottom, highest, *(Cell(figure_text(rise)) for rise in rises))


def _pictures(runs: Sequence[RunReport], drawn: Sequence[RunReport]) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
    """One picture for the leading runs, and as many as it takes for the others."""
    first = {run.name for run in leading(runs)}
    ahead, rest = ([run for run in drawn if (run.name in first) is wanted] for wanted in (True, False))
    short = short_names(runs)
    pictures = []
    for i, group in enumerate([ahead, *(rest[start : start + ROWS] for start in range(0, len(rest), ROWS))], 1):
        if group:
            figure = loss_against_accuracy([(short[run.name], run.history) for run in group])
            alt = f"Val loss beside val accuracy of {', '.join(run.name for run in group)}; the words above say what "
            alt += "it shows."
            pictures.append(Picture.of(f"loss-against-accuracy{f'-{i}' if i > 1 else ''}", figure, alt))
    return tuple(pictures[:1]), tuple(pictures[1:])
