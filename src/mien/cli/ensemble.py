"""mien ensemble: finished runs as one model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.console import command, say


def ensemble(
    runs: Annotated[list[str], typer.Argument(help="Run folders, two or more, of the same data and preprocessing.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the ensemble, which is a run like any other.")],
) -> None:
    """Make one model of several runs: the mean of their probabilities."""
    from mien.actions import ensemble as make
    from mien.evaluation.evaluate import score
    from mien.evaluation.printed import format_estimate
    from mien.model import Model

    opened = [Model.open(run) for run in runs]
    made = make(opened, out)
    for run in (*(model.run for model in opened if model.run), made):
        accuracy = score(run.predictions("val"), run.name).scores.accuracy
        say(f"{run.folder}: val accuracy {format_estimate(accuracy)}, {run.card.parameters:,} parameters")
    next_one, as_file = (command(verb, out, "--data", "PATH") for verb in ("evaluate", "export"))
    say(f"next: {next_one}; as one file: {as_file}")
