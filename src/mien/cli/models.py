"""mien models: what is in the package and in the cache, how good, how large, under which license."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.console import JsonOption, note, progress, say, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mien.hub import Downloaded, Offered
    from mien.models.cached import Cached
    from mien.recognize.catalog import Entry, Figure
    from mien.recognize.speed import Speed


def models(
    speed: Annotated[
        bool, typer.Option("--speed", help="Measure how fast each is here, on one core; takes some ten seconds.")
    ] = False,
    on_hub: Annotated[
        bool, typer.Option("--hub", help="Also ask the Hugging Face hub for models that were made with mien.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the models at hand: bundled ones with accuracy, size, license and checksum, and what is in the cache."""
    from mien import hub
    from mien.models.cached import cached_backbones, hub_cache
    from mien.recognize.catalog import catalog

    entries, cached, down = catalog(), cached_backbones(), hub.downloaded(hub_cache())
    others = hub.offered() if on_hub else []
    speeds = _speeds([entry.name for entry in entries]) if speed else []
    if as_json:
        import json
        from dataclasses import asdict

        told: dict[str, Sequence[Entry | Cached | Speed | Downloaded | Offered]] = {
            "bundled": entries, "downloaded": down, "cached": cached, "hub": others, "speeds": speeds,
        }  # fmt: skip
        say(json.dumps({key: [asdict(one) for one in found] for key, found in told.items()}, indent=2))
        return
    _show(entries, {one.model: one for one in speeds})
    _show_downloaded(down)
    _show_cached(cached)
    if on_hub:
        _show_offered(others)


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


def _show_downloaded(found: Sequence[Downloaded]) -> None:
    if not found:
        return
    rows = [
        [one.address, one.license or "none named", one.sha256[:12], one.accuracy or "", f"{one.megabytes:.1f}"]
        for one in found
    ]
    header = ["model", "license", "sha256", "what its card says", "MB"]
    table("models in the cache, without a download", header, rows, texts=4)


def _show_offered(found: Sequence[Offered]) -> None:
    if not found:
        say("the hub lists no model of mien's")
        return
    rows = [[one.address, one.license or "none named", f"{one.downloads or 0:,}"] for one in found]
    table("on the hub, not measured here", ["model", "license", "downloads"], rows, texts=2)


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
