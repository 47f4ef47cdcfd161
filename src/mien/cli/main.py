"""The `mien` command: its verbs, and how errors end it."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

from mien.cli import (
    adapt,
    bench,
    calibrate,
    card,
    check,
    compare,
    data,
    dossier,
    ensemble,
    evaluate,
    explain,
    export,
    models,
    page,
    push,
    recipes,
    recognize,
    serve,
    study,
    sweep,
    train,
)
from mien.cli.console import is_terminal, log_to_stderr, note
from mien.cli.streams import set_up_streams
from mien.errors import InterruptedRunError, MienError, MissingExtraError

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}

app = typer.Typer(
    name="mien",
    help="Facial emotion recognition: train, evaluate and compare honestly, recognize offline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("calibrate")(calibrate.calibrate)
app.command("adapt")(adapt.adapt)
app.command("explain")(explain.explain)
app.command("card")(card.card)
app.command("dossier")(dossier.dossier)
app.command("compare")(compare.compare)
app.command("study")(study.study)
app.command("sweep")(sweep.sweep)
app.command("ensemble")(ensemble.ensemble)
app.command("export")(export.export)
app.command("page")(page.page)
app.command("recognize")(recognize.recognize)
app.command("check")(check.check)
app.command("push")(push.push)
app.command("models")(models.models)
app.command("serve")(serve.serve)
app.command("bench")(bench.bench)
app.add_typer(recipes.app, name="recipes")
app.add_typer(data.app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"mien {version('mien')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    log_to_stderr()
    if not is_terminal():  # before its package reads it
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def main() -> None:
    """Exit 0 all well, 1 some inputs failed, 2 a user's mistake, 130 stopped by Ctrl-C."""
    set_up_streams()
    try:
        app()
    except InterruptedRunError as stop:
        note(str(stop))
        sys.exit(130)
    except MienError as error:
        note(f"error: {error}")
        sys.exit(2)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "lightning", "torchmetrics", "safetensors", "sklearn", "scipy", "jinja2"):
            raise
        note(f"error: {MissingExtraError(f'this ({error.name} is missing)', 'train')}")
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)  # the reader of our output has gone, for example `head`
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        full = ". Make room, then run the same command: files that were written before are whole"
        advice = full if error.errno in _FULL else ""
        note(f"error: {where}{error.strerror or error}{advice}")
        sys.exit(2)
