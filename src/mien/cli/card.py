"""mien card: the model card of a run or a model file, from what was measured before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.console import EvidenceOption, ModelArgument, OverwriteOption, say


def card(
    model: ModelArgument,
    evidence: EvidenceOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for it: the run's report, or NAME-report, if left out.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a model card (Mitchell et al. 2019) as Markdown and HTML, from what was measured before. Opens no data."""
    from mien.actions import card as write

    file = write(model, out, evidence or (), overwrite=overwrite)
    say(f"model card: {file}, {file.with_suffix('.md')}")
