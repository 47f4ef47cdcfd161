"""mien models: what is in the package and in the cache, how good, how large, under which license."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.console import JsonOption, note, progress, say, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mien.models.cached import Cached
    from mien.recognize.catalog import Entry, Figure
    from mien.recognize.speed import Speed


def models(
    speed: Annotated[
        bool, typer.Option("--speed", help="Measure how fast each is here, on one core; takes some ten seconds.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the models at hand: bundled ones with accuracy, size, license and checksum, and cached backbones."""
    from mien.models.cached import cached_backbones
    from mien.recognize.catalog import catalog

    entries, cached = catalog(), cached_backbones()
    speeds = _speeds([entry.name for entry in entries]) if speed else []
    if as_json:
        import json
        from dataclasses import asdict

        told: dict[str, Sequence[Entry | Cached | Speed]] = {"bundled": entries, "cached": cached, "speeds": speeds}
        say(json.dumps({key: [asdict(one) for one in found] for key, found in told.items()}, indent=2))
        return
    _show(entries, {one.model: one for one in speeds})
    _show_cached(cached)


def _speeds(names: Sequence[str]) -> list[Speed]:
    from mien.recognize.speed import measure_speed

    note(f"timing {', '.join(names)} on 1 core …")
    with progress() as bar:
        return measure_speed(names, 1, tick=bar)


def _show(entries: Sequence[Entry], speeds: dict[str, Speed]) -> None:
    first = entries[0].measured
    header = [
        "model", "license", "sha256", "MB", f"accuracy, n = {first.accuracy.n:,}",
        f"leak-free, n = {first.leak_free.n:,}", f"agrees with a person, n = {first.people.n:,}",
    ]  # fmt: skip
    rows = [
        [entry.name, entry.license.partition(". ")[0].removeprefix("Weights: "), entry.sha256[:12],
         f"{entry.megabytes:.1f}", *map(_figure, (entry.measured.accuracy, entry.measured.leak_free,
         entry.measured.people))]
        for entry in entries
    ]  # fmt: skip
    if speeds:
        header += ["faces/s here", "photos/s here"]
        for row, entry in zip(rows, entries, strict=True):
            took = speeds[entry.name]
            row += [f"{took.faces_single:,.0f}", f"{took.pictures['default']:,.1f}"]
    table("bundled models, on FER2013's PrivateTest; in brackets 95 % intervals", header, rows, texts=3)
    say("use one: mien recognize photo.jpg --model NAME; all that is known of one: mien card NAME; in full: --json")


def _show_cached(cached: Sequence[Cached]) -> None:
    if not cached:
        say("no pre-trained backbone in the cache of the Hugging Face hub")
        return
    rows = [[one.name, f"{one.megabytes:,.1f}"] for one in cached]
    table("pre-trained backbones in the cache, without a download", ["backbone", "MB"], rows)
    say("begin with one: mien train vit-tuned --set model.backbone=NAME --data PATH --out runs/NAME")


def _figure(figure: Figure) -> str:
    from mien.evaluation.bootstrap import Estimate
    from mien.evaluation.printed import format_estimate

    return format_estimate(Estimate(value=figure.value, low=figure.low, high=figure.high))
