"""Learning: what happened epoch by epoch, and whether the loss rose while the accuracy still rose."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Literal

from mien.evaluation.printed import NONE, figure_text
from mien.report import plots
from mien.report.content import RunReport
from mien.report.families import leading, short_names
from mien.report.layout import Cell, Picture, Section, Table
from mien.report.words import plural
from mien.training.run import Epoch

FOLDED = "In front stands the best of each family by val accuracy; the others unfold below."
ROWS = 5  # runs in one picture of loss against accuracy: it fills a screen
_SHOWN = 0.0005  # of a loss: less is printed as nothing
SENTENCES = 6  # runs that get a sentence each; more get a line of a table


def curves(runs: Sequence[RunReport]) -> Section:
    """A picture per run, those of the leading runs first."""
    text = (
        "Train figures are taken while the weights move, with dropout on; val figures after the epoch: val can lead. "
        "Marked is the best epoch, whose weights are evaluated."
    )
    pictures = {}
    for i, run in enumerate(runs, 1):
        if run.history:
            best = run.card.training.best_epoch
            alt = f"{run.name}: loss and accuracy per epoch on train and val, best epoch {best}"
            pictures[run.name] = Picture.of(f"curves-{i}-{run.name}", plots.curves(run.history, run.name, best), alt)
    shown, folded = split_pictures(runs, pictures)
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


def loss_against_accuracy(runs: Sequence[RunReport]) -> Section:
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
    lowest, best = plots.turning_epochs(history)
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


def _turn(history: Sequence[Epoch], n: int) -> Literal["yes", "no", "cannot tell", "diverged"]:
    """Whether loss rose while accuracy rose; a rise of nothing, or within the interval of n images, cannot tell."""
    lowest, best = plots.turning_epochs(history)
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
    lowest, best = plots.turning_epochs(history)
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
            figure = plots.loss_against_accuracy([(short[run.name], run.history) for run in group])
            alt = f"Val loss beside val accuracy of {', '.join(run.name for run in group)}; the words above say what "
            alt += "it shows."
            pictures.append(Picture.of(f"loss-against-accuracy{f'-{i}' if i > 1 else ''}", figure, alt))
    return tuple(pictures[:1]), tuple(pictures[1:])
