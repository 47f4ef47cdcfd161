"""mien serve: recognition over HTTP, and a page for people."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.console import (
    AbstainOption,
    DetectorOption,
    DetectSizeOption,
    PortOption,
    ProviderOption,
    TruthOption,
    known_truth,
    note,
)

_TOKEN_VARIABLE = "MIEN_TOKEN"


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
    provider: ProviderOption = "cpu",
    threads: Annotated[
        int | None, typer.Option("--threads", help="Pictures worked on at a time, a core each; at most 4 if left out.")
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 is every network of this machine.")
    ] = "127.0.0.1",
    port: PortOption = 8000,
    token: Annotated[
        str | None,
        typer.Option("--token", help="Clients have to show it; better from --token-file or the variable MIEN_TOKEN."),
    ] = None,
    token_file: Annotated[Path | None, typer.Option("--token-file", help="A file that holds the token.")] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Serve everybody who reaches this address, beyond this machine too.")
    ] = False,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option("--allowed-host", help="Name under which clients reach this server. Repeat it for several."),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-origin", help="Other site whose pages may ask, as https://example.org. Repeat it for several."
        ),
    ] = None,
    root_path: Annotated[str, typer.Option("--root-path", help="Prefix that a proxy offers it under: /mien.")] = "",
    log_format: Annotated[str, typer.Option("--log-format", help="text or json.")] = "text",
    max_request_mb: Annotated[int, typer.Option("--max-request-mb", help="Size of one request.")] = 32,
    max_pictures: Annotated[int, typer.Option("--max-pictures", help="Pictures in one request.")] = 16,
    max_megapixels: Annotated[
        int, typer.Option("--max-megapixels", help="Size of one picture; larger JPEGs are decoded reduced.")
    ] = 25,
    max_faces: Annotated[int, typer.Option("--max-faces", help="Faces of one picture, the largest first.")] = 64,
    max_seconds: Annotated[int, typer.Option("--max-seconds", help="Time for one request.")] = 30,
    max_waiting: Annotated[
        int, typer.Option("--max-waiting", help="Requests that may wait; the next one is told to come back later.")
    ] = 32,
    max_connections: Annotated[int, typer.Option("--max-connections", help="Connections open at a time.")] = 512,
) -> None:
    """Recognize emotions over HTTP. Keeps no picture, sends nothing anywhere."""
    from mien.recognize.finder import known_detector
    from mien.recognize.recognizer import DEFAULT, Recognizer
    from mien.recognize.session import cores

    _check_extra()
    from mien.serve.access import Access
    from mien.serve.api import create_app
    from mien.serve.limits import Limits
    from mien.serve.listen import is_private, listen, open_socket, url_of
    from mien.serve.records import log_to_stderr

    limits = Limits(
        request_bytes=max_request_mb * 2**20,
        pictures=max_pictures,
        pixels=max_megapixels * 1_000_000,
        faces=max_faces,
        seconds=max_seconds,
        waiting=max_waiting,
        connections=max_connections,
    )
    secret = _token(token, token_file, no_token=no_token)
    access = Access(
        token=secret,
        hosts=(*_names(host), *(allowed_host or ())),
        cors_origins=tuple(cors_origin or ()),
        root_path=root_path,
    )
    named = _by_name(model or [DEFAULT])
    with open_socket(host, port) as bound:
        if secret is None and not no_token and not is_private(bound):
            raise _without_token(host)
        recognizers = {
            name: Recognizer(
                one,
                detector=known_detector(detector),
                detect_size=detect_size,
                threads=1,
                abstain=abstain,
                truth=known_truth(truth),
                provider=provider,
            )
            for name, one in named.items()
        }
        log_to_stderr(log_format)
        workers = min(4, cores()) if threads is None else threads
        app = create_app(
            recognizers, limits=limits, threads=workers, access=access, page_models=_of_the_page(named, secret)
        )
        url = url_of(bound) + root_path
        note(f"mien: {url}/ is the page, {url}/docs is the API. Stop it with Ctrl-C")
        with suppress(KeyboardInterrupt):
            listen(app, bound, limits)
        note("stopped")


def _token(given: str | None, file: Path | None, *, no_token: bool) -> str | None:
    """The token, from wherever it comes. One that is there and empty is a mistake and no open server."""
    from mien.errors import InputError

    sources = {"--token": given, "--token-file": file, _TOKEN_VARIABLE: os.environ.get(_TOKEN_VARIABLE)}
    named = [source for source, value in sources.items() if value is not None]
    if no_token and named:
        raise InputError(f"--no-token and {named[0]} say opposite things; leave one out")
    if given is not None and file is not None:
        raise InputError("--token and --token-file both give the token; leave one out")
    if file is None:
        return given if given is not None else sources[_TOKEN_VARIABLE]  # type: ignore[return-value]
    try:
        return file.read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: the token cannot be read ({getattr(error, 'strerror', 'not UTF-8')})") from error


def _of_the_page(named: dict[str, str], secret: str | None) -> dict[str, bytes]:
    """Models that the page offers beside the bundled ones. It is open to all, and whoever opens it downloads its model:
    so none of one's own behind a token."""
    from mien.recognize.naming import bundled, model_content

    return {} if secret else {name: model_content(model) for name, model in named.items() if model not in bundled()}


def _without_token(host: str) -> Exception:
    from mien.errors import InputError

    return InputError(
        f"everybody who reaches {host} could use this server. Ask for a token (--token-file FILE, or MIEN_TOKEN), or "
        "say that you mean it: --no-token"
    )


def _names(host: str) -> tuple[str, ...]:
    """`host` as a name that clients may use; every network of this machine has none."""
    return () if host in ("", "0.0.0.0", "::") else (host,)


def _check_extra() -> None:
    from importlib.util import find_spec

    from mien.errors import MissingExtraError

    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "python_multipart", "prometheus_client")):
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
