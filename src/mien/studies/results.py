"""Results: every run in one table beside the study's figures, and the recipes that were not run."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev

from mien.evaluation.bootstrap import Estimate
from mien.evaluation.evaluate import Scores
from mien.evaluation.printed import NONE, figure_text, format_estimate
from mien.evaluation.seeds import same_recipe
from mien.recipes.recipe import Recipe, names
from mien.recipes.sections import Pretrained
from mien.report.content import NotRun, RunReport, StudyReport
from mien.report.families import backbone_name
from mien.report.layout import Cell, Section, Table
from mien.report.words import as_given, listed, plural

Headline = tuple[Estimate, str, int]  # a figure, its split, its number of images
_SCORES = ("Val accuracy", "Test accuracy, official", "Test accuracy, leak-free", "Pooled accuracy", "Macro F1",
           "Recall, rarest class")  # fmt: skip


def results(report: StudyReport) -> Section:
    """Runs in their order, repeats of a recipe together; what was not run stands where its name would."""
    timed = any(run.latency for run in report.runs)
    devices = {device(run) for run in report.runs}
    header = ("Model", *_SCORES, "Study, pooled: accuracy / F1", "Minutes",
              *(("Latency, ms: one / batch",) if timed else ()), "Epochs run / best")  # fmt: skip
    groups = [(group[0].recipe.name, _group_rows(group, timed, len(devices) > 1)) for group in same_recipe(report.runs)]
    for missing in report.not_run:
        name = missing.recipe.name
        place = next((i for i, (other, _) in enumerate(groups) if other > name), len(groups))
        groups.insert(place, (name, [_missing_row(missing, timed)]))
    rows = tuple(row for _, rows in groups for row in rows)
    return Section("Results", tables=(Table(header, rows, _note(report.runs)),))


def stand_ins(runs: Sequence[RunReport]) -> dict[str, list[RunReport]]:
    """The backbone of a built-in recipe → the runs of it that started from another one."""
    found: dict[str, list[RunReport]] = {}
    for run in runs:
        asked = built_in(run.recipe)
        if (
            asked
            and isinstance(asked.model, Pretrained)
            and run.card.backbone not in (None, backbone_name(asked.model))
        ):
            found.setdefault(asked.model.backbone, []).append(run)
    return found


def built_in(recipe: Recipe) -> Recipe | None:
    """The recipe of that name as mien has it; None for a name of the user's own."""
    return Recipe.load(recipe.name) if recipe.name in names() else None


def device(run: RunReport) -> str:
    """What it was trained on, and in which precision."""
    return f"{run.card.training.device}, {run.card.training.precision}"


def _note(runs: Sequence[RunReport]) -> str:
    note = "In brackets the 95 % interval. Macro F1 and the recall of the class with the fewest images are of test, "
    note += "official"
    note += ", or of val where no test was opened." if any("test" not in run.evaluations for run in runs) else "."
    if len({device(run) for run in runs}) == 1:
        note += f" Minutes are those of training on {device(runs[0])}."
    latencies = [run.latency for run in runs if run.latency]
    if latencies:
        note += (
            f" Latency is the median of a forward pass in float32 per face, on {_devices(runs)}, all models side by "
        )
        note += f"side: one face a call, and in batches of {listed(sorted({str(one.batch) for one in latencies}))}."
    for backbone, started in stand_ins([run for run in runs if run.recipe.expected.accuracy]).items():
        note += f" The study's figures are those of {backbone}, also beside lines that start from "
        note += f"{listed(sorted({str(run.card.backbone) for run in started}))}."
    return note


def _devices(runs: Sequence[RunReport]) -> str:
    return listed(list(dict.fromkeys(run.latency.device for run in runs if run.latency)))


def _group_rows(group: Sequence[RunReport], timed: bool, tell_device: bool) -> list[tuple[Cell, ...]]:
    rows = [_run_row(run, timed, tell_device) for run in group]
    if len(group) > 1:
        columns = zip(*(_headline(run) for run in group), strict=True)
        name = Cell(f"{group[0].recipe.name}, mean ± s.d.", _repeats(group))
        minutes = Cell(f"{mean(run.card.training.minutes for run in group):.1f}", "mean")
        spread = [_spread([figure for figure in column if figure is not None]) for column in columns]
        last = [Cell(NONE)] * (2 if timed else 1)
        rows.append((name, *spread, Cell(NONE), Cell(_expected(group[0].recipe)), minutes, *last))
    return rows


def _run_row(run: RunReport, timed: bool, tell_device: bool) -> tuple[Cell, ...]:
    training = run.card.training
    return (
        Cell(run.name, _network(run)),
        *(Cell(NONE) if f is None else Cell(format_estimate(f[0]), f"{f[1]}, n = {f[2]:,}") for f in _headline(run)),
        _rarest(run),
        Cell(_expected(run.recipe)),
        Cell(f"{training.minutes:.1f}", device(run) if tell_device else ""),
        *((_latency(run),) if timed else ()),
        Cell(f"{training.epochs} / {training.best_epoch}"),
    )


def _missing_row(missing: NotRun, timed: bool) -> tuple[Cell, ...]:
    model, size = missing.recipe.model, missing.recipe.data.preprocess.size
    words = [backbone_name(model) if isinstance(model, Pretrained) else "from zero", f"{size} px" if size else ""]
    return (
        Cell(missing.recipe.name, ", ".join(filter(None, words))),
        Cell("not run", missing.why, span=len(_SCORES)),
        Cell(_expected(missing.recipe)),
        *[Cell(NONE)] * (3 if timed else 2),
    )


def _network(run: RunReport) -> str:
    """What a line must say of its network, unless the name does: where it starts, what it sees, its size and seed."""
    start = run.card.training.start
    backbone, size = run.card.backbone or (f"from {start}" if start else "from zero"), run.card.preprocess.size
    words = (
        *(() if backbone in run.name else (backbone,)),
        *(() if f"{size}px" in run.name else (f"{size} px",)),
        f"{run.card.parameters / 1e6:.2f} M parameters",
        f"seed {run.card.training.seed}",
        *(("taggers' votes beside labels",) if run.card.training.votes else ()),
    )
    return ", ".join(words)


def _rarest(run: RunReport) -> Cell:
    """Recall of the class with the fewest images, which accuracy hardly sees."""
    row = min((row for row in run.final.per_class if row.support), key=lambda row: row.support)
    return Cell(figure_text(row.recall or 0.0), f"{row.label}, {run.final.split}, n = {row.support:,}")


def _latency(run: RunReport) -> Cell:
    if run.latency is None:
        return Cell(NONE)
    return Cell(f"{_milliseconds(run.latency.ms_single)} / {_milliseconds(run.latency.ms_batch)}")


def _milliseconds(ms: float) -> str:
    """Two digits, or whole milliseconds where there are more.

    >>> _milliseconds(0.04567), _milliseconds(3.14159), _milliseconds(1234.5)
    ('0.046', '3.1', '1,234')
    """
    return f"{ms:,.0f}" if ms >= 10 else f"{ms:.2g}"


def _headline(run: RunReport) -> list[Headline | None]:
    """Accuracy on val, test, leak-free test and pooled, then macro F1."""
    test, final = run.evaluations.get("test"), run.final

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
    return f"over {plural('seed', len(seeds))} {', '.join(map(str, seeds))}"


def _expected(recipe: Recipe) -> str:
    """The study's two figures with the digits that it gives."""
    expected = recipe.expected
    if expected.accuracy is None and expected.f1 is None:
        return NONE
    return " / ".join(NONE if figure is None else as_given(figure) for figure in (expected.accuracy, expected.f1))
