"""mien study: many recipes on one data set, to one report."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.console import (
    DataOption,
    DeviceOption,
    LabelsOption,
    PrecisionOption,
    SkipOption,
    is_terminal,
    open_faces,
    say,
)

_TITLE = "CNNs for facial emotion recognition: the study, run again"


def study(
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the runs and the report.")],
    recipes: Annotated[
        str | None, typer.Option("--recipes", help="Names with commas; all built-in ones if left out.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="Seeds with commas, one run each; the recipe's own if left out.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE for every recipe, repeatable.")] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Also copy what docs quote (no large weights) to this folder.")
    ] = None,
    docs: Annotated[
        Path | None, typer.Option("--docs", help="With --keep: write results.json and study.md here from it.")
    ] = None,
    labels: LabelsOption = None,
    skip_unreadable: SkipOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Train what is missing, evaluate, compare and write one report. Interrupted, it goes on where it stopped."""
    from mien import study as studies
    from mien.errors import InputError
    from mien.recipes.recipe import Recipe, names

    if docs and not keep:
        raise InputError("--docs is written from what is kept: give --keep results too")
    extra = [[f"seed={seed}"] for seed in _seeds(seeds)] if seeds else [[]]
    wanted = _names(recipes) or names()
    from mien.models.build import complete

    chosen = [complete(Recipe.load(name, [*(settings or []), *seed])) for name in wanted for seed in extra]
    runs = []
    for size in sorted({recipe.preprocess.size for recipe in chosen}):  # each sees native pictures reduced once
        faces = open_faces(data, labels, skip_unreadable=skip_unreadable, size=size)
        same = [recipe for recipe in chosen if recipe.preprocess.size == size]
        runs += studies.study(same, faces, out, device=device, precision=precision, progress_bar=is_terminal())
    command = shlex.join(["mien", *sys.argv[1:]])
    page = studies.report(out, _TITLE, [command], [run.name for run in runs])
    say(f"report: {page}")
    if keep:
        studies.keep(runs, out, keep)
        say(f"kept: {keep}")
        if docs:
            studies.write_docs(keep, docs, _TITLE, [command])
            say(f"docs: {docs / 'study.md'}, {docs / 'results.json'}")


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
