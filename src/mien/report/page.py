"""Page: a report as sections of words, tables and pictures, the same for HTML and Markdown.

Every figure that is printed carries its split, its number of images and, where the evaluation has one, its interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import mean, stdev

from mien.errors import InputError
from mien.evaluation.compare import Comparison, verdict
from mien.evaluation.evaluate import Estimate, Evaluation, Scores, figure_text, format_estimate
from mien.report import plots
from mien.report.content import DataReport, RunReport, StudyReport
from mien.report.layout import Cell, Page, Picture, Section, Table
from mien.report.protocol import as_given, differences, protocol
from mien.training.run import Epoch

NONE = "–"  # stands where there is no figure
NO_INTERVAL = "One class has no interval here: few images, much chance."


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
    points += [
        _against_study(run) for run in report.runs if run.recipe.expected.accuracy and "pooled" in run.evaluations
    ]
    return Section("Verdict", points=tuple(points))


def _against_study(run: RunReport) -> str:
    ours, theirs = run.evaluations["pooled"].scores, run.recipe.expected.accuracy
    assert theirs is not None  # the caller asks only for those with a figure
    place = "below" if theirs < ours.accuracy.low else "above" if theirs > ours.accuracy.high else "inside"
    return (
        f"{run.name} against the study, on the pooled test: {format_estimate(ours.accuracy)}, n = {ours.n:,}; "
        f"the study gives {as_given(theirs)}, {place} our interval."
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
        name = Cell(f"{group[0].recipe.name}, mean ± s.d.", _repeats(group))
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
    """Mean and sample standard deviation; nothing for a single figure, or for figures over different images."""
    where = {f"{split}, n = {n:,}" for _, split, n in figures}
    if len(figures) < 2 or len(where) > 1:
        return Cell(NONE)
    values = [estimate.value for estimate, _, _ in figures]
    return Cell(f"{figure_text(mean(values))} ± {figure_text(stdev(values))}", f"{where.pop()}, {len(values)} runs")


def _repeats(group: Sequence[RunReport]) -> str:
    seeds = sorted({run.card.training.seed for run in group})
    return f"over {_plural('seed', len(seeds))} {', '.join(map(str, seeds))}"


def _data(data: DataReport) -> Section:
    header = ("Class", *(f"{split}, images" for split in data.counts))
    rows = [
        (Cell(label), *(Cell(f"{images.get(label, 0):,}") for images in data.counts.values())) for label in data.labels
    ]
    rows.append((Cell("all"), *(Cell(f"{sum(images.values()):,}") for images in data.counts.values())))
    points = tuple(f"{what[:1].upper()}{what[1:]}: {count:,}." for what, count in data.repeated.items())
    picture = Picture.of(
        "label-distribution",
        plots.label_distribution(data.counts, data.labels),
        "Images per class and split; the numbers stand in the table above.",
    )
    return Section("Label distribution", points=points, tables=(Table(header, tuple(rows)),), pictures=(picture,))


def _curves(runs: Sequence[RunReport]) -> Section:
    text = (
        "Train figures are taken while the weights move, with dropout on; val figures after the epoch: val can lead. "
        "Marked is the best epoch, whose weights are evaluated."
    )
    pictures = []
    for i, run in enumerate(runs, 1):
        if run.history:
            best = run.card.training.best_epoch
            alt = f"{run.name}: loss and accuracy per epoch on train and val, best epoch {best}"
            pictures.append(Picture.of(f"curves-{i}-{run.name}", plots.curves(run.history, run.name, best), alt))
    return Section("Learning curves", text=(text,) if pictures else (), pictures=tuple(pictures))


def _loss_against_accuracy(runs: Sequence[RunReport]) -> Section:
    drawn = [(run.name, run.history) for run in runs if run.history]
    if not drawn:
        return Section("Loss against accuracy")
    n = min(run.card.training.val_images for run in runs if run.history)
    text = (
        "The study's discovery: does the loss rise while the accuracy still rises? These are figures of single epochs "
        f"on val, n = {n:,}; the 95 % interval of one such accuracy is at most ± {figure_text(0.98 / sqrt(n))}."
    )
    alt = "Val loss beside val accuracy of each run; the sentences above say what it shows."
    picture = Picture.of("loss-against-accuracy", plots.loss_against_accuracy(drawn), alt)
    points = tuple(turning_sentence(name, history) for name, history in drawn)
    text += f" It does in {sum(': yes.' in p for p in points)} of {len(points)} {_plural('run', len(points))}."
    return Section("Loss against accuracy", text=(text,), points=points, pictures=(picture,))


def _confusions(runs: Sequence[RunReport]) -> Section:
    pictures = []
    for i, run in enumerate(runs, 1):
        evaluation = _final(run).model_copy(update={"model": run.name})
        alt = f"{run.name}: confusion matrix on {evaluation.split}"
        wide = len(evaluation.labels) > 9
        pictures.append(Picture.of(f"confusion-{i}-{run.name}", plots.confusion(evaluation), alt, wide=wide))
    text = "Rows are true classes, columns predicted ones; percent of the row, the count below."
    return Section("Confusion matrices", text=(text,), pictures=tuple(pictures))


def _per_class(report: StudyReport) -> Section:
    comparison = _main_comparison(report)
    if comparison is None:
        return Section("Class by class", tables=tuple(_class_table(run) for run in report.runs))
    header = ("Class", f"Images in {comparison.split}", *(f"{name}: F1" for name in comparison.models), "Best F1")
    rows = tuple(
        (
            Cell(row.label),
            Cell(f"{row.support:,}"),
            *(Cell(_share(f1), f"recall {_share(r)}") for f1, r in zip(row.f1, row.recall, strict=True)),
            Cell(row.winner or NONE),
        )
        for row in comparison.per_class
    )
    note = f"F1 and recall on {comparison.split}, n = images of the class. {NO_INTERVAL}"
    alt = f"F1 of each class and model on {comparison.split}, as in the table."
    picture = Picture.of("per-class", plots.per_class(comparison, report.data.labels), alt)
    return Section(
        "Class by class", points=_winners(comparison), tables=(Table(header, rows, note),), pictures=(picture,)
    )


def _class_table(run: RunReport) -> Table:
    evaluation = _final(run)
    rows = tuple(
        (Cell(c.label), Cell(f"{c.support:,}"), Cell(_share(c.precision)), Cell(_share(c.recall)), Cell(_share(c.f1)))
        for c in evaluation.per_class
    )
    header = ("Class", f"Images in {evaluation.split}", "Precision", "Recall", "F1")
    return Table(header, rows, f"{run.name} on {evaluation.split}. {NO_INTERVAL}")


def _winners(comparison: Comparison) -> tuple[str, ...]:
    """Who has the best F1 where; the study's claim is that the CNN wins where images are few."""
    k = len(comparison.per_class)
    won = {name: [row for row in comparison.per_class if row.winner == name] for name in comparison.models}
    points = [
        f"{name} has the best F1 in {len(rows)} of {k} classes"
        + (f": {', '.join(f'{row.label} ({row.support:,})' for row in rows)}." if rows else ".")
        for name, rows in won.items()
    ]
    rarest = min((row for row in comparison.per_class if row.support), key=lambda row: row.support)
    whose = f"goes to {rarest.winner}" if rarest.winner else "is a tie"
    return (
        *points,
        f"The class with the fewest images, {rarest.label} ({rarest.support:,} in {comparison.split}), {whose}.",
    )


def _paired_tests(report: StudyReport) -> Section:
    header = ("Split", "First", "Second", "Accuracy, second − first", "Macro F1, second − first",
              "Only first right", "Only second right", "McNemar p")  # fmt: skip
    rows = tuple(
        (
            Cell(split, f"n = {comparison.n:,}"),
            Cell(pair.first),
            Cell(pair.second),
            Cell(format_estimate(pair.accuracy_difference)),
            Cell(format_estimate(pair.macro_f1_difference)),
            Cell(f"{pair.only_first_right:,}"),
            Cell(f"{pair.only_second_right:,}"),
            Cell("< .001" if pair.p_value < 0.001 else figure_text(pair.p_value)),
        )
        for split, comparison in _in_order(report.comparisons)
        for pair in comparison.pairs
    )
    note = "Same images for both models. In brackets the 95 % interval of the paired bootstrap; p is of the exact "
    note += f"McNemar test, two-sided and not corrected for the {len(rows)} {_plural('test', len(rows))} in this table."
    return Section("Paired tests", tables=(Table(header, rows, note),) if rows else ())


def _environment(report: StudyReport) -> Section:
    rows = tuple((Cell(what), Cell(value)) for what, value in report.environment.items())
    tables = (Table(("What", "Which"), rows),) if rows else ()
    return Section("Environment and commands", tables=tables, code=tuple(report.commands))


def _final(run: RunReport) -> Evaluation:
    return run.evaluations.get("test", run.evaluations["val"])


def _main_comparison(report: StudyReport) -> Comparison | None:
    return report.comparisons.get("test", report.comparisons.get("val"))


def _in_order(comparisons: Mapping[str, Comparison]) -> list[tuple[str, Comparison]]:
    first = [split for split in ("test", "val", "pooled") if split in comparisons]
    return [(split, comparisons[split]) for split in dict.fromkeys((*first, *comparisons))]


def _spoken(evaluation: Evaluation) -> str:
    return f"{evaluation.split} accuracy {format_estimate(evaluation.scores.accuracy)} (n = {evaluation.scores.n:,})"


def _expected(run: RunReport) -> str:
    """The study's two figures with the digits that it gives."""
    expected = run.recipe.expected
    if expected.accuracy is None and expected.f1 is None:
        return NONE
    return " / ".join(NONE if figure is None else as_given(figure) for figure in (expected.accuracy, expected.f1))


def _share(figure: float | None) -> str:
    return NONE if figure is None else figure_text(figure)


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
