"""mien study: many recipes on one data set, to one report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.cluster import AddressOption, NumGpusOption, RunsOption, TrainEngineOption, many_on, train_cluster
from mien.cli.console import (
    DataOption,
    DeviceOption,
    LabelsOption,
    PrecisionOption,
    Reading,
    SkipOption,
    SubjectsOption,
    VotesOption,
    command,
    note,
    opener,
    progress,
    rough_time,
    say,
)

if TYPE_CHECKING:
    from mien.report.content import NotRun
    from mien.studies.study import Planned

DEFAULT_SIZE = 224
TITLE = "CNN or vision transformer for facial emotion recognition? The study, run again"


def study(
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the runs and the report.")],
    recipes: Annotated[
        str | None, typer.Option("--recipes", help="Names with commas; all of the study if left out.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="Seeds with commas, one run each; the recipe's own if left out.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="KEY=VALUE for every recipe, or PATTERN:KEY=VALUE for those whose name fits, as in 'vit-*:epochs=3'.",
        ),
    ] = None,
    evidence: Annotated[
        bool,
        typer.Option("--evidence", help="Also measure robustness and, with --votes, people: minutes for each run."),
    ] = False,
    votes: VotesOption = None,
    labels: LabelsOption = None,
    subjects: SubjectsOption = None,
    skip_unreadable: SkipOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    engine: TrainEngineOption = None,
    address: AddressOption = None,
    workers: RunsOption = None,
    num_gpus: NumGpusOption = 0.0,
) -> None:
    """Train what is missing, evaluate, compare and write one report. Interrupted, it goes on where it stopped."""
    from mien.data.votes import Votes
    from mien.errors import InputError
    from mien.recipes.recipe import Recipe
    from mien.report.content import NotRun
    from mien.studies import study as studies
    from mien.studies.gather import measure_evidence, report, time_runs
    from mien.training.hardware import detect

    cluster = train_cluster(engine, address, workers, num_gpus)
    hardware = detect() if cluster else detect(device, precision)
    extra = [[f"seed={seed}"] for seed in _seeds(seeds)] if seeds else [[]]
    wanted = _names(recipes) or list(studies.RECIPES)
    changes = _settings(settings or [], wanted)
    chosen = [Recipe.load(name, [*changes[name], *seed]) for name in wanted for seed in extra]
    faces = opener(data, Reading(labels, subjects, skip_unreadable))
    smallest = min(recipe.data.preprocess.size or DEFAULT_SIZE for recipe in chosen)
    tagged = Votes.open(votes) if votes else None
    planned, missing = studies.plan(chosen, out, faces(smallest), tagged, hardware)
    _tell(planned, missing)
    if not planned:
        raise InputError("none of these recipes can be trained here; the lines above say why")
    with progress() as bar:
        runs = studies.study(
            [one.recipe for one in planned], faces, out, tagged, hardware, bar, many_on(cluster, device, precision)
        )
    if not runs:
        raise InputError("every training diverged, as the lines above say. Lower the rate: --set optimizer.lr=1e-4")
    done = {run.name for run in runs}
    diverged = [one.recipe for one in planned if studies.run_name(one.recipe) not in done]
    missing += [NotRun(recipe, "its loss diverged; lower the rate") for recipe in diverged]
    if evidence:
        with progress() as bar:
            measure_evidence(runs, faces, tagged, bar)
    time_runs(runs, out)
    page = report(out, TITLE, [command(*sys.argv[1:])], [run.name for run in runs], missing)
    say(f"report: {page}")


def _tell(planned: Sequence[Planned], missing: Sequence[NotRun]) -> None:
    """What is about to happen, and how long it may take, before it begins."""
    from mien.studies import study as studies

    for absent in missing:
        note(f"{absent.recipe.name}: not run. {absent.why}")
    waiting = [one for one in planned if one.seconds]
    if not waiting:
        return
    for one in waiting:
        note(f"{studies.run_name(one.recipe)}: at most about {rough_time(one.seconds)}")
    finished = len(planned) - len(waiting)
    note(
        f"{len(waiting)} to train in this order, {finished} finished before; at most about "
        f"{rough_time(sum(one.seconds for one in waiting))} in all, less where a training stops early"
    )


def _settings(settings: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Recipe name → its overrides. A pattern stands before a colon; keys hold none."""
    from mien.errors import InputError

    chosen: dict[str, list[str]] = {name: [] for name in names}
    for setting in settings:
        pattern, colon, rest = setting.partition(":")
        if not colon or "=" in pattern:
            pattern, rest = "*", setting
        fitting = [name for name in names if fnmatchcase(Path(name).stem if name.endswith(".yaml") else name, pattern)]
        if not fitting:
            raise InputError(f"--set {setting}: no recipe of this study is named like '{pattern}': {', '.join(names)}")
        for name in fitting:
            chosen[name].append(rest)
    return chosen


def _names(recipes: str | None) -> list[str]:
    return [name.strip() for name in (recipes or "").split(",") if name.strip()]


def _seeds(text: str) -> list[int]:
    from mien.errors import InputError

    try:
        seeds = [int(word) for word in text.split(",")]
    except ValueError as error:
        raise InputError(f"--seeds {text}: expected whole numbers with commas, for example 0,1,2") from error
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds {text}: expected different numbers from 0")
    return seeds
