"""mien recognize: emotions with probabilities for pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.console import JsonOption, note, say


def recognize(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures of one face each, already cropped to it.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="Bundled model, run folder that holds model.onnx, or such a file; mien-small if left out."
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Write the face with its probabilities; for one picture.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say which emotion a face shows, with the probability of each. Faces must be cropped already."""
    from mien.errors import InputError
    from mien.images import decode
    from mien.recognize.recognizer import Recognizer, read_probabilities

    if plot and len(pictures) > 1:
        raise InputError(f"--plot draws one picture, got {len(pictures)}")
    recognizer = Recognizer(model) if model else Recognizer()
    images, names, failed = [], [], 0
    for path in pictures:
        try:
            images.append(decode(_read(path), str(path)))
            names.append(str(path))
        except InputError as error:
            failed += 1
            note(f"error: {error}")
    faces = []
    if images:
        faces = [
            read_probabilities(name, recognizer.labels, probabilities, (image.shape[0], image.shape[1]))
            for name, image, probabilities in zip(names, images, recognizer.classify(images), strict=True)
        ]
    if as_json:
        import json
        from dataclasses import asdict

        say(json.dumps([asdict(face) for face in faces], indent=2))
    else:
        for face in faces:
            shown = sorted(face.probabilities.items(), key=lambda item: -item[1])
            say(f"{face.source}: {face.emotion}  " + "  ".join(f"{label} {p:.3f}" for label, p in shown))
    if plot and faces:
        from mien.report.plots import probabilities
        from mien.report.style import save

        save(probabilities(images[0], faces[0].probabilities, title=Path(names[0]).name), plot)
        note(f"picture: {plot}")
    if failed:
        raise typer.Exit(2 if len(pictures) == 1 else 1)


def _read(path: Path) -> bytes:
    from mien.errors import InputError

    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
