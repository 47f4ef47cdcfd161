"""mien compare: runs on the same images, class by class and pair by pair."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.console import JsonOption, say, table


def compare(
    runs: Annotated[list[str], typer.Argument(help="Two or more run folders.")],
    split: Annotated[str, typer.Option("--split", help="val, test or pooled.")] = "test",
    as_json: JsonOption = False,
) -> None:
    """Compare runs on the predictions that `mien evaluate` kept: who wins where, and whether it is more than chance."""
    from mien.errors import InputError
    from mien.evaluation.compare import verdict
    from mien.evaluation.runs import compare as compare_runs
    from mien.training.run import Run

    if len(runs) < 2:
        raise InputError(f"two or more runs are compared, got {len(runs)}")
    opened = [Run(Path(run)) for run in runs]  # predictions are enough; weights may be elsewhere
    distinct = len({run.name for run in opened}) == len(opened)
    comparison = compare_runs(*opened, split=split, names=() if distinct else runs)
    if as_json:
        say(comparison.model_dump_json(indent=2))
        return
    rows = [
        [row.label, f"{row.support:,}", *("–" if f1 is None else f"{f1:.3f}" for f1 in row.f1), row.winner or "–"]
        for row in comparison.per_class
    ]
    title = f"F1 per class on {comparison.split} (n={comparison.n:,})"
    table(title, ["class", "images", *comparison.models, "best"], rows)
    for pair in comparison.pairs:
        say(
            f"{verdict(pair)} (accuracy, {comparison.split}, n={comparison.n:,}; right only by {pair.first}: "
            f"{pair.only_first_right:,}, only by {pair.second}: {pair.only_second_right:,}; exact McNemar)"
        )
