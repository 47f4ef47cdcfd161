"""mien recognize: the emotions of the faces in pictures, folders, videos and a camera."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from mien.cli.cluster import PANEL, AddressOption, NumGpusOption, known_engine
from mien.cli.console import (
    AbstainOption,
    DetectorOption,
    DetectSizeOption,
    JsonOption,
    PriorOption,
    ProviderOption,
    ThreadsOption,
    TruthOption,
    known_truth,
    refuse,
)
from mien.cli.pictures import PictureOptions, recognize_files
from mien.errors import InputError

Kind = Literal["pictures", "videos", "both", "camera"]
_PICTURES, _VIDEO = "Pictures", "Video and camera"


def recognize(
    inputs: Annotated[
        list[str],
        typer.Argument(help="Pictures, videos, folders of them, patterns, or camera (camera:1, camera:/dev/video2)."),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="Bundled model, run folder with a model.onnx, such a file, or hf://user/name. [mien-small]"
        ),
    ] = None,
    detector: DetectorOption = "default",
    detect_size: DetectSizeOption = 640,
    threads: ThreadsOption = None,
    abstain: AbstainOption = None,
    truth: TruthOption = None,
    provider: ProviderOption = "cpu",
    prior: PriorOption = "train",
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            help="Table of all faces: .csv, .jsonl or .parquet; with --engine a folder of parts. If stopped, the same "
            "command continues.",
        ),
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option("--annotate", help="Folder for copies with boxes and bars (a video becomes an MP4).")
    ] = None,
    as_json: JsonOption = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is in the way, such as an --out that exists.")
    ] = False,
    require_face: Annotated[
        bool, typer.Option("--require-face", help="A picture without a face is an error.", rich_help_panel=_PICTURES)
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Picture of the faces with their probabilities.", rich_help_panel=_PICTURES),
    ] = None,
    as_video: Annotated[
        bool,
        typer.Option("--as-video", help="Take animated GIFs as videos, not their first frame.", rich_help_panel=_VIDEO),
    ] = False,
    every: Annotated[int, typer.Option("--every", help="Look at every Nth frame.", rich_help_panel=_VIDEO)] = 1,
    fps: Annotated[
        float | None, typer.Option("--fps", help="Look at most this many times a second.", rich_help_panel=_VIDEO)
    ] = None,
    smooth: Annotated[
        float | None,
        typer.Option("--smooth", help="Seconds over which answers are smoothed; 0: none.", rich_help_panel=_VIDEO),
    ] = None,
    timeline: Annotated[
        Path | None,
        typer.Option("--timeline", help="Picture of the emotions of each face over time.", rich_help_panel=_VIDEO),
    ] = None,
    summary: Annotated[
        list[str] | None,
        typer.Option(
            "--summary",
            help="Table of each face (by-face) or video (by-video): shares of time, means, missing time. Beside --out "
            "(with --engine, --table), else printed. May be given twice.",
            rich_help_panel=_VIDEO,
        ),
    ] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(
            "--metadata",
            help="CSV about the videos, named by its column source: its other columns are added to summaries.",
            rich_help_panel=_VIDEO,
        ),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option("--group-by", help="A column of --metadata: a summary by group.", rich_help_panel=_VIDEO),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            help="Write parts into the folder --out: here (local) or on a cluster (ray).",
            rich_help_panel=PANEL,
        ),
    ] = None,
    address: AddressOption = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Parts done at a time, at most.", rich_help_panel=PANEL)
    ] = None,
    num_gpus: NumGpusOption = 0.0,
    part: Annotated[int | None, typer.Option("--part", help="Pictures of a part. [256]", rich_help_panel=PANEL)] = None,
    price: Annotated[
        float | None,
        typer.Option("--price-per-core-hour", min=0.0, help="For the estimate.", rich_help_panel=PANEL),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="The estimate alone.", rich_help_panel=PANEL)] = False,
    to_table: Annotated[
        Path | None,
        typer.Option(
            "--table",
            help="Table of all faces of such a folder: once it is done, or of the one named as input.",
            rich_help_panel=PANEL,
        ),
    ] = None,
) -> None:
    """Say which emotion each face shows, with the probability of each.

    Faces are found, turned upright and read. Exit code 0: all well; 1: some inputs failed (listed); 2: a mistake.
    """
    from mien.cli.films import Films, recognize_videos
    from mien.cli.summed import SummaryOptions
    from mien.cli.watch import WatchOptions, recognize_camera
    from mien.recognize.finder import known_detector
    from mien.recognize.recognizer import DEFAULT, Recognizer

    if to_table and engine is None:
        from mien.cli.job import write_table

        of_videos = {"--summary": summary, "--metadata": metadata, "--group-by": group_by}
        refuse(of_videos, "for videos", ", or give it to the command with --engine, which sums up what is done")
        write_table(inputs, to_table, overwrite=overwrite)
        return
    opened = partial(
        Recognizer, model or DEFAULT, detector=known_detector(detector), detect_size=detect_size, threads=threads,
        abstain=abstain, truth=known_truth(truth), provider=provider, prior=prior,
    )  # fmt: skip
    if engine is not None:
        from mien.cli.job import JobOptions, recognize_parts

        of_few = {"--annotate": annotate, "--plot": plot, "--timeline": timeline, "--json": as_json}
        refuse(of_few, "for single pictures and videos", " with --engine")
        refuse({"--prior estimate": prior == "estimate"}, "for single pictures", " with --engine")
        recognizer = opened()
        job = JobOptions(
            engine=known_engine(engine), out=out, address=address, workers=workers, num_gpus=num_gpus, part=part,
            price=price, dry_run=dry_run, table=to_table, overwrite=overwrite, as_video=as_video,
            require_face=require_face, every=every, fps=fps, smooth_s=smooth,
            summary=SummaryOptions.checked(summary or (), metadata, group_by, to_table),
        )  # fmt: skip
        recognize_parts(inputs, recognizer, job)
        return
    of_jobs = {
        "--address": address, "--workers": workers, "--num-gpus": num_gpus, "--part": part,
        "--price-per-core-hour": price, "--dry-run": dry_run,
    }  # fmt: skip
    refuse(of_jobs, "for jobs", ", or add --engine local or --engine ray")
    kind, places, videos = _kind(inputs, as_video=as_video)
    _check_options(kind, {"--plot": plot, "--require-face": require_face}, {
        "--every": every != 1, "--fps": fps is not None, "--smooth": smooth is not None, "--timeline": timeline,
        "--summary": summary, "--metadata": metadata, "--group-by": group_by})  # fmt: skip
    table = Path(out) if out is not None else None
    if prior == "estimate":
        _check_estimate(kind, table, {"--annotate": annotate, "--plot": plot, "--json": as_json})
    summed = SummaryOptions.checked(summary or (), metadata, group_by, table)
    recognizer = opened()
    more = (model,) if model else ()
    watching = WatchOptions(
        every=every, fps=fps, smooth_s=smooth, out=table, annotate=annotate, timeline=timeline, as_json=as_json,
        overwrite=overwrite, more_inputs=more, summary=summed,
    )  # fmt: skip
    if kind == "camera":
        recognize_camera(inputs[0], recognizer, watching)
        return
    if kind == "videos":
        recognize_videos(videos, recognizer, watching)
        return
    options = PictureOptions(
        out=table, annotate=annotate, plot=plot, as_json=as_json, overwrite=overwrite, require_face=require_face,
        more_inputs=more,
    )  # fmt: skip
    if kind == "pictures":
        recognize_files(places, recognizer, options)
        return
    if annotate and annotate.suffix.lower() == ".mp4" and not annotate.is_dir():
        raise InputError(f"{annotate}: one film for pictures and videos; name a folder for the copies")
    # The table is begun by the pictures, which a stopped run goes on with.
    recognize_files(places, recognizer, options, Films(videos, recognizer, replace(watching, out=None)))


def _check_estimate(kind: Kind, table: Path | None, as_they_come: dict[str, object]) -> None:
    """Raise `InputError` where answers would be told before all faces are known, or faces are not of many people."""
    if kind != "pictures":
        raise InputError(
            f"--prior estimate is for pictures, not for {kind}: shares are estimated from all faces before the first "
            "answer, and frames show the same face again and again. Take train, balanced or a CSV of counts"
        )
    refuse(as_they_come, "written as pictures come, and --prior estimate needs all faces first", ", or the prior")
    if table is None:
        raise InputError("--prior estimate needs all faces before the first answer: write a table with --out FILE")


def _kind(inputs: list[str], *, as_video: bool) -> tuple[Kind, list[Path], list[Path]]:
    """What was named: pictures, videos, both or one camera; with it the places of pictures, and the videos."""
    from mien.recognize.inputs import named_places, pictures_and_videos
    from mien.recognize.video import camera_device

    if any(camera_device(name) is not None and not Path(name).exists() for name in inputs):
        if len(inputs) > 1:
            raise InputError("a camera cannot be combined with other inputs; name it alone")
        return "camera", [], []
    named = named_places(inputs)
    folder = next((place for place in named if place.is_dir()), None)
    if as_video and folder:
        raise InputError(f"{folder}: is a folder, and --as-video takes files; name them, as '{folder}/*.gif'")
    places, videos = ([], named) if as_video else pictures_and_videos(named)
    return ("both" if places else "videos") if videos else "pictures", places, videos


def _check_options(kind: Kind, of_pictures: dict[str, object], of_videos: dict[str, object]) -> None:
    """Raise `InputError` for an option that was given and says nothing of what was named."""
    if kind == "pictures":
        refuse(of_videos, "for videos and cameras", " for pictures")
    elif kind != "both":
        refuse(of_pictures, "for pictures", f" for {kind}")
    if kind == "camera":
        names = ("--summary", "--metadata", "--group-by")
        refuse({name: of_videos[name] for name in names}, "for videos", " for a camera")
