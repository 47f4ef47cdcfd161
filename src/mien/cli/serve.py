"""mien serve: recognition over HTTP, and a page for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.console import AbstainOption, DetectorOption, DetectSizeOption, TruthOption, known_truth, note


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", help="Bundled model, run folder, or .onnx; mien-small if left out. Repeat it to offer several."
        ),
    ] = None,
    detector: DetectorOption = "default",
    detect_size: DetectSizeOption = 640,
    abstain: AbstainOption = None,
    truth: TruthOption = None,
    threads: Annotated[
        int | None, typer.Option("--threads", help="Requests worked on at a time, a core each; at most 4 if left out.")
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 is every network of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any that is free.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option("--token", envvar="MIEN_TOKEN", help="Clients have to show it; better from MIEN_TOKEN."),
    ] = None,
    page: Annotated[
        bool,
        typer.Option(
            "--page",
            help="A page for people at / too. Its toolkit can be made to read files of this server: local use alone.",
        ),
    ] = False,
    max_request_mb: Annotated[int, typer.Option("--max-request-mb", help="Size of one request.")] = 32,
    max_pictures: Annotated[int, typer.Option("--max-pictures", help="Pictures in one request.")] = 16,
    max_megapixels: Annotated[int, typer.Option("--max-megapixels", help="Size of one picture.")] = 64,
    max_faces: Annotated[int, typer.Option("--max-faces", help="Faces of one picture, the largest first.")] = 64,
    max_seconds: Annotated[int, typer.Option("--max-seconds", help="Time for one request.")] = 30,
    max_waiting: Annotated[
        int, typer.Option("--max-waiting", help="Requests that may wait; the next one is told to come back later.")
    ] = 32,
    max_video_mb: Annotated[int, typer.Option("--max-video-mb", help="Size of a video on the page.")] = 256,
) -> None:
    """Recognize emotions over HTTP, and with --page in the browser. Keeps no picture, sends nothing anywhere."""
    from mien.recognize.recognizer import DEFAULT, Recognizer
    from mien.recognize.session import cores

    _check_extra(page=page)
    from mien.serve.api import create_app
    from mien.serve.limits import Limits
    from mien.serve.listen import is_private, listen, open_socket, url_of

    limits = Limits(
        request_bytes=max_request_mb * 2**20,
        pictures=max_pictures,
        pixels=max_megapixels * 1_000_000,
        faces=max_faces,
        seconds=max_seconds,
        waiting=max_waiting,
        video_bytes=max_video_mb * 2**20,
    )
    named = _by_name(model or [DEFAULT])
    with open_socket(host, port) as bound:
        recognizers = {
            name: Recognizer(
                one,
                detector=detector,
                detect_size=detect_size,
                threads=1,
                abstain=abstain,
                truth=known_truth(truth),
            )
            for name, one in named.items()
        }
        workers = min(4, cores()) if threads is None else threads
        app = create_app(recognizers, limits=limits, threads=workers, token=token, page=page)
        url = url_of(bound)
        note(f"mien: {f'{url}/ is the page, ' if page else ''}{url}/docs is the API. Stop it with Ctrl-C")
        if page:
            note(
                "warning: whoever reaches the page may read files that this program can read. "
                "Use it on your own machine alone, and leave out --page for a network"
            )
        if token is None and not is_private(bound):
            note("warning: everybody who reaches this address may use it. Set MIEN_TOKEN to ask for a token")
        try:
            listen(app, bound)
        except KeyboardInterrupt:
            note("stopped")


def _check_extra(*, page: bool) -> None:
    from importlib.util import find_spec

    from mien.errors import MissingExtraError

    wanted = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", *(["gradio"] if page else []))
    if any(find_spec(name) is None for name in wanted):
        raise MissingExtraError("the server", "serve")


def _by_name(models: Sequence[str]) -> dict[str, str]:
    """Each model under the name that requests give."""
    from mien.errors import InputError

    named: dict[str, str] = {}
    for model in models:
        name = _called(model)
        if name in named:
            raise InputError(
                f"'{named[name]}' and '{model}' would both be called '{name}' in requests; leave out or rename one"
            )
        named[name] = model
    return named


def _called(model: str) -> str:
    """The bundled name, the run's folder, or the file without its suffix; never a path."""
    place = Path(model)
    if place.suffix != ".onnx" and not place.is_dir():
        return place.name
    place = place.resolve()
    if place.name == "model.onnx" and place.parent.name:  # as every exported run has one
        place = place.parent
    return place.name.removesuffix(".onnx")
