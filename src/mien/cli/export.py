"""mien export: a run as one ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.console import DataOption, LabelsOption, SkipOption, open_faces, say


def export(
    run: Annotated[str, typer.Argument(help="Run folder.")],
    data: DataOption,
    to: Annotated[
        Path | None, typer.Option("--to", help="File to write; model.onnx in the run folder if left out.")
    ] = None,
    half: Annotated[
        bool, typer.Option("--float16", help="Store the weights in half the room; it still computes in float32.")
    ] = False,
    labels: LabelsOption = None,
    skip_unreadable: SkipOption = False,
) -> None:
    """Write a run as an ONNX file that holds its card. Torch and the file must agree on faces of --data first."""
    from mien.export import to_onnx
    from mien.training.run import Run

    opened = Run.open(run)
    faces = open_faces(data, labels, skip_unreadable=skip_unreadable, size=opened.card.preprocess.size)
    parity = to_onnx(opened, faces, to, "float16" if half else "float32")
    say(f"{to or opened.folder / 'model.onnx'}: {parity.bytes / 1e6:.2f} MB")
    say(
        f"against torch on {parity.n} faces: largest difference of a probability {parity.largest:.1e}, "
        f"same emotion in {parity.same_emotion} of {parity.n}"
    )
