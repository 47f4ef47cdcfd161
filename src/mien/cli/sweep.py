"""mien sweep: one recipe under every combination of some settings, chosen between on val."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.cluster import PANEL, AddressOption, NumGpusOption, RunsOption, TrainEngineOption, many_on, train_cluster
from mien.cli.console import (
    DataOption,
    DeviceOption,
    JsonOption,
    LabelsOption,
    PrecisionOption,
    Reading,
    RecipeArgument,
    SkipOption,
    SubjectsOption,
    VotesOption,
    command,
    note,
    opener,
    progress,
    say,
    table,
)

if TYPE_CHECKING:
    from mien.studies.sweep import Outcome, Sweep


def sweep(
    recipe: RecipeArgument,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the runs, sweep.csv and sweep.png.")],
    grids: Annotated[
        list[str],
        typer.Option(
            "--grid",
            help="KEY=VALUE,VALUE: one run for each value, as in optimizer.lr=1e-3,1e-4. Repeated: one for each "
            "combination. Commas within [] or {} do not split.",
        ),
    ],
    settings: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE for every run. Repeatable.")] = None,
    labels: LabelsOption = None,
    subjects: SubjectsOption = None,
    skip_unreadable: SkipOption = False,
    votes: VotesOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    engine: TrainEngineOption = None,
    address: AddressOption = None,
    workers: RunsOption = None,
    num_gpus: NumGpusOption = 0.0,
    asha: Annotated[
        bool,
        typer.Option(
            "--asha", help="Stop settings early that fall behind by val accuracy, as ASHA does.", rich_help_panel=PANEL
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a recipe under every combination of settings and rank them by val. The test split is never used.

    Interrupted or repeated, it keeps what is finished and goes on where it stopped.
    """
    from mien.data.votes import Votes
    from mien.studies.grid import combinations
    from mien.studies.sweep import sweep as run_sweep
    from mien.training.hardware import detect

    cluster = train_cluster(engine, address, workers, num_gpus)
    hardware = detect() if cluster else detect(device, precision)
    wanted = combinations(recipe, grids, settings or [])
    how = Reading(labels, subjects, skip_unreadable)
    faces = opener(data, how)
    tagged = Votes.open(votes) if votes else None
    with progress() as bar:
        found = run_sweep(wanted, faces, out, tagged, hardware, bar, many_on(cluster, device, precision, asha=asha))
    if as_json:
        say(found.model_dump_json(indent=2))
    else:
        _show(found, out)
        if found.finished:
            has_test = bool((faces(wanted[0].recipe.preprocess.size).splits == "test").any())
            _conclude(found, out, ["--data", data, *how.options] if has_test else [])
    for row in found.stopped:
        note(f"{row.run}: {row.problem}")
    if found.stopped:
        note("what these would have come to is not known, so they have no figure; without --asha they are trained on")
    if found.diverged:
        names = "; ".join(row.run for row in found.diverged)
        note(f"diverged: {names} ({len(found.diverged)} of {len(found.rows)}). The same command tries again")
        raise typer.Exit(1)


def _show(found: Sweep, out: Path) -> None:
    keys = list(found.rows[0].settings)
    header = [*keys, "best epoch", "val accuracy", "val loss", "minutes"]
    title = f"{found.recipe}, best first"
    if found.finished:
        title += f" (val, n={found.n:,}, 95 % intervals)"
    table(title, header, [[*row.settings.values(), *_figures(row)] for row in found.rows], texts=len(keys))
    curves = f"; curves: {out / 'sweep.png'}" if (out / "sweep.png").is_file() else ""
    say(f"table: {out / 'sweep.csv'}{curves}")


def _figures(row: Outcome) -> list[str]:
    from mien.evaluation.printed import format_estimate

    if row.val_accuracy is None or row.val_loss is None:
        return [f"– of {row.epochs}" if row.status == "stopped" else "–", row.status, "–", f"{row.minutes:.1f}"]
    best = f"{row.best_epoch} of {row.epochs}"
    loss = f"{row.val_loss:.4f}" if row.val_loss < 1e4 else f"{row.val_loss:.1e}"
    return [best, format_estimate(row.val_accuracy), loss, f"{row.minutes:.1f}"]


def _conclude(found: Sweep, out: Path, opened: Sequence[str]) -> None:
    """`opened`: the options that open the data again; empty without a test split."""
    best, *others = found.finished
    say(f"best by val: {best.run}")
    if others:
        say(
            f"intervals of others that overlap with its own: {len(found.rivals)} of {len(others)}. "
            "Differences within the intervals are no evidence"
        )
        pair = command("compare", out / best.run, out / others[0].run, "--split", "val")
        say(f"two on the same images: {pair}")
    if opened:
        once = command("evaluate", out / best.run, *opened)
        say(f"chosen on val, so its val figure is too good. Next, once: {once}")
    else:
        say("chosen on val, so its val figure is too good; the data have no test split to evaluate it on")
