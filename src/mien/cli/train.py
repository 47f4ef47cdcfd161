"""mien train: one recipe on one data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.console import (
    DataOption,
    DeviceOption,
    LabelsOption,
    PrecisionOption,
    SkipOption,
    is_terminal,
    open_faces,
    say,
)


def train(
    recipe: Annotated[str, typer.Argument(help="Name of a built-in recipe (see: mien recipes) or a .yaml file.")],
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the run.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change one value: --set optimizer.lr=1e-4. Repeatable.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Overrides the recipe's seed.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last finished epoch.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is in --out.")] = False,
    labels: LabelsOption = None,
    skip_unreadable: SkipOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    devices: Annotated[int, typer.Option("--devices", min=1, help="Processes, one device each.")] = 1,
) -> None:
    """Train a recipe: fit on train, select on val. The test split is never looked at."""
    from mien.recipes.recipe import Recipe

    overrides = [*(settings or []), *([f"seed={seed}"] if seed is not None else [])]
    chosen = Recipe.load(recipe, overrides)

    from mien.models.build import complete
    from mien.report.plots import curves, save
    from mien.training.hardware import detect
    from mien.training.train import train as run_training

    detect(device, precision)  # a mistake there should not wait for the data
    chosen = complete(chosen)
    faces = open_faces(data, labels, skip_unreadable=skip_unreadable, size=chosen.preprocess.size)
    run = run_training(
        chosen,
        faces,
        out,
        resume=resume,
        overwrite=overwrite,
        device=device,
        precision=precision,
        devices=devices,
        progress_bar=is_terminal(),
    )
    if not run.finished:
        return  # a further process of a distributed training
    done = run.card.training
    picture = run.folder / "report" / "curves.png"
    save(curves(run.history, chosen.name, done.best_epoch), picture)
    monitor = chosen.early_stopping.monitor if chosen.early_stopping else "val_accuracy"
    say(f"{run.folder}: {done.epochs} epochs, {done.minutes:.1f} minutes on {done.device} ({done.precision})")
    say(
        f"best epoch {done.best_epoch}: {monitor} {done.best_value:.4f} (val, n={done.val_images:,}); curves: {picture}"
    )
    only_val = "" if (faces.splits == "test").any() else " --split val"
    say(f"next: mien evaluate {run.folder} --data {data}{only_val}")
