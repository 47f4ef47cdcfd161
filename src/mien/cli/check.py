"""mien check: whether faces are like those that a model's figures were measured on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.console import DetectSizeOption, JsonOption, ProviderOption, ThreadsOption, counter, note, say

if TYPE_CHECKING:
    from mien.recognize.inputs import InputFile
    from mien.recognize.shift import Shift


def check(
    inputs: Annotated[list[str], typer.Argument(help="Pictures, folders of them, or patterns.")],
    model: Annotated[str, typer.Option("--model", help="Bundled model, run folder, or .onnx file.")] = "mien-small",
    detector: Annotated[
        str, typer.Option("--detector", help="default: faces are found in photos; none: each picture is a face crop.")
    ] = "default",
    detect_size: DetectSizeOption = 640,
    threads: ThreadsOption = None,
    provider: ProviderOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Say whether these faces are like those that the model was measured on; at least 50 of them.

    Exit code 0: no sign that they are unlike; 1: alarm, or some pictures could not be read; 2: a mistake.
    """
    from mien.errors import InputError
    from mien.recognize.finder import known_detector
    from mien.recognize.inputs import named_places, pictures, pictures_and_videos
    from mien.recognize.recognizer import Recognizer
    from mien.recognize.stream import recognize_pictures

    places, videos = pictures_and_videos(named_places(inputs))
    if videos:
        raise InputError(
            f"{videos[0]}: a film shows few faces many times, and mien check takes faces to be of different people "
            "or occasions. Name pictures"
        )
    recognizer = Recognizer(
        model, detector=known_detector(detector), detect_size=detect_size, threads=threads, provider=provider
    )
    monitor = recognizer.watch()
    failed = 0
    with counter("pictures") as count:
        for outcome in recognize_pictures(_once(pictures(places)), recognizer):
            count(1)
            if outcome.error:
                failed += 1
                note(f"error: {outcome.error}")
    found = monitor.overall()
    say(json.dumps(_told(found, failed)) if as_json else str(found))
    if failed:
        note(f"pictures that could not be read: {failed:,}")
    if found.alarm or failed:
        raise typer.Exit(1)


def _once(inputs: Iterable[InputFile]) -> Iterator[InputFile]:
    """Each file once, under whatever names it was given: the same face again says nothing new."""
    from mien.recognize.journal import identity

    seen = set()
    for one in inputs:
        who = identity(str(one.path))
        if who not in seen:
            seen.add(who)
            yield one


def _told(found: Shift, failed: int) -> dict[str, object]:
    return {**asdict(found), "alarm": found.alarm, "failed": failed}
