"""Page: a report as sections of words, tables and pictures, the same for HTML and Markdown.

Every figure that is printed carries its split, its number of images and, where the evaluation has one, its interval.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from matplotlib.figure import Figure

from mien.errors import InputError
from mien.evaluate.compare import Comparison, verdict
from mien.evaluate.evaluate import Estimate, Evaluation, Scores, format_estimate
from mien.report import plots
from mien.report.content import DataReport, RunReport, StudyReport
from mien.report.plots import figure_text
from mien.report.protocol import differences, protocol
from mien.train.run import Epoch

NONE = "–"  # stands where there is no figure


@dataclass(frozen=True)
class Cell:
    """A figure or a word, and what qualifies it, set smaller."""

    text: str
    detail: str = ""


@dataclass(frozen=True)
class Table:
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A drawn figure; `name` is its file name without folder and ending, one of a kind on the page."""

    name: str
    alt: str
    png: bytes
    wide: bool  # fills the page's width; the others stand side by side

    @property
    def file(self) -> str:
        return f"pictures/{self.name}.png"

    @property
    def uri(self) -> str:
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Section:
    """Shown in the order of the fields."""

    title: str
    text: tuple[str, ...] = ()  # paragraphs
    points: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    code: tuple[str, ...] = ()  # lines of a shell


@dataclass(frozen=True)
class Page:
    title: str
    subtitle: str
    sections: tuple[Section, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return tuple(picture for section in self.sections for picture in section.pictures)


def compose(report: StudyReport) -> Page:
    """The page of a report. Raises `InputError` when there is no run, or a run without its `val` evaluation."""
    if not report.runs:
        raise InputError(f"report '{report.title}' has no run. Name at least one finished run")
    for run in report.runs:
        if "val" not in run.evaluations:
            raise InputError(f"run {run.name} has no evaluation on val. Make it: mien evaluate {run.name} --split val")
    sections = (
        _verdict(report),
        _results(report),
        _data(report.data),
        _curves(report.runs),
        _loss_against_accuracy(report.runs),
        _confusions(report.runs),
        _per_class(report),
        _paired_tests(report),
        Section("Protocol", points=protocol(report)),
        Section("Where we differ from the study and why", points=differences(report.runs)),
        _environment(report),
    )
    source = f"{report.data.source}, fingerprint {report.data.fingerprint[:16]}"
    shown = tuple(s for s in sections if s.text or s.points or s.tables or s.pictures or s.code)
    return Page(report.title, f"{len(report.runs)} {_plural('run', len(report.runs))} on {source}", shown)


def turning_sentence(name: str, history: Sequence[Epoch]) -> str:
    """Whether val loss rose while val accuracy still rose: between the epochs of lowest loss and of best accuracy."""
    lowest, best = plots.turning_epochs(history)
    if lowest is None:
        return f"{name}: no val loss is finite; the training diverged."
    if best.epoch <= lowest.epoch:
        return (
            f"{name}: no. The best val accuracy (epoch {best.epoch}) does not come after "
            f"the lowest val loss (epoch {lowest.epoch})."
        )
    return (
        f"{name}: yes. From epoch {lowest.epoch} (lowest val loss) to epoch {best.epoch} (best val accuracy), val loss "
        f"rose by {figure_text(best.val_loss - lowest.val_loss)} (from {figure_text(lowest.val_loss)} to "
        f"{figure_text(best.val_loss)}) while val accuracy rose by "
        f"{figure_text(best.val_accuracy - lowest.val_accuracy)} "
        f"(from {figure_text(lowest.val_accuracy)} to {figure_text(best.val_accuracy)})."
    )


def _verdict(report: StudyReport) -> Section:
    best = max(report.runs, key=lambda run: run.evaluations["val"].scores.accuracy.value)
    figures = [_spoken(best.evaluations[split]) for split in ("val", "test") if split in best.evaluations]
    opening = f"Best by val accuracy, the figure that selects: {best.name}, with {' and '.join(figures)}."
    final = best.evaluations.get("test")
    points = [opening if len(report.runs) > 1 else f"{best.name}: {' and '.join(figures)}."]
    if final is None:
        points.append("No test split was opened: val also chose the epoch, so its figures flatter.")
    elif final.leak_free is not None:
        accuracy, n = format_estimate(final.leak_free.accuracy), final.leak_free.n
        points.append(f"Leak-free, over test images that stand in neither train nor val: {accuracy}, n = {n:,}.")
    comparison = _main_comparison(report)
    if comparison is not None:
        where = f"On {comparison.split} (accuracy, n = {comparison.n:,})"
        pairs = [pair for pair in comparison.pairs if best.name in (pair.first, pair.second)]
        points += [f"{where}, {verdict(pair)}." for pair in pairs]
    points += [_against_study(run) for run in report.runs if run.recipe.expected.accuracy and "pooled" in run.evaluations]
    return Section("Verdict", points=tuple(points))


def _against_study(run: RunReport) -> str:
    ours, theirs = run.evaluations["pooled"].scores, run.recipe.expected.accuracy
    assert theirs is not None  # the caller asks only for those with a figure
    inside = ours.accuracy.low <= theirs <= ours.accuracy.high
    place = "inside our interval" if inside else "below our interval" if theirs < ours.accuracy.low else "above our interval"
    return (
        f"{run.name} against the study, on the pooled test: {format_estimate(ours.accuracy)}, n = {ours.n:,}; "
        f"the study gives {_as_given(theirs)}, {place}."
    )


def _results(report: StudyReport) -> Section:
    header = (
        "Model", "Val accuracy", "Test accuracy, official", "Test accuracy, leak-free", "Pooled accuracy", "Macro F1",
        "Study, pooled: accuracy / F1", "Device", "Minutes", "Epochs run / best",
    )  # fmt: skip
    rows = [row for group in _by_recipe(report.runs) for row in _group_rows(group)]
    note = "In brackets the 95 % interval. Macro F1 is that of test, official"
    note += ", or of val where no test was opened." if any("test" not in r.evaluations for r in report.runs) else "."
    return Section("Results", tables=(Table(header, tuple(rows), note),))


def _by_recipe(runs: Sequence[RunReport]) -> list[list[RunReport]]:
    """Runs that differ in nothing but their seed, together, in the order of their first."""
    groups: dict[str, list[RunReport]] = {}
    for run in runs:
        groups.setdefault(run.recipe.model_copy(update={"seed": 0}).model_dump_json(), []).append(run)
    return list(groups.values())


def _group_rows(group: Sequence[RunReport]) -> list[tuple[Cell, ...]]:
    rows = [_run_row(run) for run in group]
    if len(group) > 1:
        columns = zip(*(_headline(run) for run in group), strict=True)
        name = Cell(f"{group[0].recipe.name}, mean ± s.d.", f"{len(group)} seeds")
        minutes = Cell(f"{mean(run.card.training.minutes for run in group):.1f}", "mean")
        spread = [_spread([figure for figure in column if figure is not None]) for column in columns]
        rows.append((name, *spread, Cell(_expected(group[0])), Cell(NONE), minutes, Cell(NONE)))
    return rows


def _run_row(run: RunReport) -> tuple[Cell, ...]:
    training = run.card.training
    return (
        Cell(run.name, f"seed {training.seed}, {run.card.parameters / 1e6:.2f} M parameters"),
        *(Cell(NONE) if f is None else Cell(format_estimate(f[0]), f"{f[1]}, n = {f[2]:,}") for f in _headline(run)),
        Cell(_expected(run)),
        Cell(training.device, training.precision),
        Cell(f"{training.minutes:.1f}"),
        Cell(f"{training.epochs} / {training.best_epoch}"),
    )


Headline = tuple[Estimate, str, int]  # a figure, its split, its number of images


def _headline(run: RunReport) -> list[Headline | None]:
    """Accuracy on val, test, leak-free test and pooled, then macro F1."""
    test, final = run.evaluations.get("test"), _final(run)

    def accuracy(scores: Scores | None, split: str) -> Headline | None:
        return None if scores is None else (scores.accuracy, split, scores.n)

    splits = {split: evaluation.scores for split, evaluation in run.evaluations.items()}
    return [
        accuracy(splits.get("val"), "val"),
        accuracy(splits.get("test"), "test"),
        accuracy(test.leak_free if test else None, "leak-free"),
        accuracy(splits.get("pooled"), "pooled"),
        (final.scores.macro_f1, final.split, final.scores.n),
    ]


def _spread(figures: Sequence[Headline]) -> Cell:
    if len(figures) < 2:
        return Cell(NONE)
    values = [estimate.value for estimate, _, _ in figures]
    where = " and ".join(dict.fromkeys(f"{split}, n = {n:,}" for _, split, n in figures))
    return Cell(f"{figure_text(mean(values))} ± {figure_text(stdev(values))}", f"{where}, {len(values)} seeds")


def _data(data: DataReport) -> Section:
    header = ("Class", *(f"{split}, images" for split in data.counts))
    rows = [
        (Cell(label), *(Cell(f"{images.get(label, 0):,}") for images in data.counts.values())) for label in data.labels
    ]
    rows.append((Cell("all"), *(Cell(f"{sum(images.values()):,}") for images in data.counts.values())))
    points = tuple(f"{what[:1].upper()}{what[1:]}: {count:,}." for what, count in data.repeated.items())
    picture = _picture("label-distribution", plots.label_distribution(data.counts, data.labels),
                       "Images per class and split; the numbers stand in the table above.")  # fmt: skip
    return Section("Label distribution", points=points, tables=(Table(header, tuple(rows)),), pictures=(picture,))


def _curves(runs: Sequence[RunReport]) -> Section:
    text = "Train figures are taken while the weights move and with dropout on, val figures after the epoch: val can lead. "
    text += "Marked is the best epoch, whose weights are evaluated."
    pictures = [
        _picture(f"curves-{i}-{run.name}", plots.curves(run.history, run.name, run.card.training.best_epoch),
                 f"{run.name}: loss and accuracy per epoch on train and val, best epoch {run.card.training.best_epoch}")
        for i, run in enumerate(runs, 1) if run.history
    ]  # fmt: skip
    return Section("Learning curves", text=(text,) if pictures else (), pictures=tuple(pictures))


def _loss_against_accuracy(runs: Sequence[RunReport]) -> Section:
    drawn = [(run.name, run.history) for run in runs if run.history]
    if not drawn:
        return Section("Loss against accuracy")
    sizes = " and ".join(dict.fromkeys(f"{run.card.training.val_images:,}" for run in runs if run.history))
    text = (
        f"The study's discovery: does the loss rise while the accuracy still rises? Figures of single epochs on val "
        f"(n = {sizes}), as the history has them, without interval; small steps are chance."
    )
    picture = _picture("loss-against-accuracy", plots.loss_against_accuracy(drawn),
                       "Val loss beside val accuracy of each run; the sentences above say what it shows.")  # fmt: skip
    points = tuple(turning_sentence(name, history) for name, history in drawn)
    return Section("Loss against accuracy", text=(text,), points=points, pictures=(picture,))


def _confusions(runs: Sequence[RunReport]) -> Section:
    pictures = [
        _picture(f"confusion-{i}-{run.name}", plots.confusion(_final(run), _title(run)),
                 f"{run.name}: confusion matrix on {_final(run).split}", wide=len(run.card.labels) > 9)
        for i, run in enumerate(runs, 1)
    ]  # fmt: skip
    text = "Rows are true classes, columns predicted ones; percent of the row, the count below."
    return Section("Confusion matrices", text=(text,), pictures=tuple(pictures))
