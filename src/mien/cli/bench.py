"""mien bench: how fast models and detectors are on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.console import JsonOption, ProviderOption, note, progress, say, table

if TYPE_CHECKING:
    from mien.recognize.speed import Machine, Speed


def bench(
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="Bundled model, run folder, .onnx or hf://user/name; may be given again. All bundled if left out.",
        ),
    ] = None,
    provider: ProviderOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Measure faces and pictures per second, on one core and on all; takes some twenty seconds."""
    from mien.recognize.naming import bundled
    from mien.recognize.session import check_provider, cores
    from mien.recognize.speed import machine, measure_speed

    check_provider(provider)
    chosen = models or bundled()
    speeds: list[Speed] = []
    for threads in sorted({1, cores()}):
        note(f"timing {', '.join(chosen)} on {_cores(threads)} …")
        with progress() as bar:
            speeds += measure_speed(chosen, threads, provider=provider, tick=bar)
    if as_json:
        import json
        from dataclasses import asdict

        say(
            json.dumps(
                {"machine": asdict(machine()), "provider": provider, "speeds": [asdict(speed) for speed in speeds]},
                indent=2,
            )
        )
    else:
        _show(machine(), speeds, provider)


def _show(here: Machine, speeds: list[Speed], provider: str) -> None:
    say(f"{here.processor}, {_cores(here.cores)}; {here.system}; onnxruntime {here.onnxruntime}, {provider}")
    header = ["model", "cores", "faces/s, one a call", f"faces/s, {speeds[0].batch} a call"]
    header += [f"pictures/s, detector {detector}" for detector in speeds[0].pictures]
    rows = [
        [speed.model, str(speed.threads), *map(_rate, (speed.faces_single, speed.faces_batch)),
         *map(_rate, speed.pictures.values())]
        for speed in speeds
    ]  # fmt: skip
    table("per second (medians)", header, rows)
    say("faces: already cropped, classification alone. pictures: a portrait of 512x512 pixels, from JPEG to emotions.")


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _cores(number: int) -> str:
    return "1 core" if number == 1 else f"{number} cores"
