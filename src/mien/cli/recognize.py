"""mien recognize: the emotions of the faces in pictures, folders, videos and a camera."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.console import JsonOption
from mien.cli.pictures import PictureOptions, recognize_files

_PICTURES, _VIDEO = "Pictures", "Video and camera"


def recognize(
    inputs: Annotated[
        list[str],
        typer.Argument(help="Pictures, folders of them, patterns, videos, or camera (camera:1 for the second)."),
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", help="Bundled model, run folder that holds model.onnx, or such a file. [mien-small]"),
    ] = None,
    detector: Annotated[
        str,
        typer.Option("--detector", help="default (CenterFace), fast (BlazeFace), or none: pictures are face crops."),
    ] = "default",
    detect_size: Annotated[
        int, typer.Option("--detect-size", help="Long side in pixels at which faces are looked for.")
    ] = 640,
    threads: Annotated[int | None, typer.Option("--threads", help="Cores to use; all if left out.")] = None,
    abstain: Annotated[
        float | None, typer.Option("--abstain", help="Confidence below which a face is unsure; the model's own if not.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Table of all faces: .csv, .jsonl or .parquet. Goes on if stopped.")
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option("--annotate", help="Folder for copies with boxes and bars (a video becomes an MP4).")
    ] = None,
    as_json: JsonOption = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over an --out that is there.")] = False,
    require_face: Annotated[
        bool, typer.Option("--require-face", help="A picture without a face is an error.", rich_help_panel=_PICTURES)
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Picture: faces with their probabilities beside.", rich_help_panel=_PICTURES),
    ] = None,
) -> None:
    """Say which emotion each face shows, with the probability of each.

    Faces are found, turned upright and read. Exit code 0: all well; 1: some inputs failed (listed); 2: a mistake.
    """
    from mien.recognize.inputs import named_places, pictures
    from mien.recognize.recognizer import DEFAULT, Recognizer

    recognizer = Recognizer(
        model or DEFAULT, detector=detector, detect_size=detect_size, threads=threads, abstain=abstain
    )
    places = named_places(inputs)
    options = PictureOptions(
        out=out, annotate=annotate, plot=plot, as_json=as_json, overwrite=overwrite, require_face=require_face
    )
    recognize_files(pictures(places), recognizer, options)
