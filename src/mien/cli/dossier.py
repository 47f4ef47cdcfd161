"""mien dossier: one folder with all that is known of a model, for those who have to check it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.console import EvidenceOption, ModelArgument, OverwriteOption, say


def dossier(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for it: empty, or a dossier from before.")],
    evidence: EvidenceOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write card, data (Croissant), ledger, an index along Annex IV of the EU AI Act, and sums; opens no data."""
    from mien.actions import dossier as write

    say(f"dossier: {write(model, out, evidence or (), overwrite=overwrite)}")
