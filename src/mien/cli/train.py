"""mien train: one recipe on one data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.cluster import PANEL, AddressOption, NumGpusOption, TrainEngineOption, train_cluster
from mien.cli.console import (
    DataOption,
    DeviceOption,
    FerplusOption,
    LabelsOption,
    PrecisionOption,
    Reading,
    RecipeArgument,
    SkipOption,
    SubjectsOption,
    VotesOption,
    command,
    given_again,
    open_labeled,
    progress,
    refuse,
    say,
)
from mien.cli.find_lr import check_free, search_rate
from mien.cli.folds import train_folds

if TYPE_CHECKING:
    from mien.predictions import Predictions
    from mien.recipes.recipe import Recipe
    from mien.training.resume import Existing
    from mien.training.run import Run


def train(
    recipe: RecipeArgument,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the run.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change one value: --set optimizer.lr=1e-4. Repeatable.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Overrides the recipe's seed.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last finished epoch.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run that is in --out; with --find-lr what it writes.")
    ] = False,
    labels: LabelsOption = None,
    subjects: SubjectsOption = None,
    skip_unreadable: SkipOption = False,
    votes: VotesOption = None,
    ferplus: FerplusOption = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            help="Run or ensemble to learn from; before it: mien evaluate RUN --data PATH --split train. With --set "
            "targets.teacher_sees=batch it is asked during the training.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--start", help="Begin with the weights of this run, bundled model or hf://user/name, not fresh ones."
        ),
    ] = None,
    branch: Annotated[
        Path | None,
        typer.Option("--branch", help="Continue this run in --out, with other epochs and schedule.decay_epochs."),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    devices: Annotated[
        int, typer.Option("--devices", min=1, help="Processes, one device each; they share each batch.")
    ] = 1,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds",
            min=2,
            help="Cross-validation: a run for each of so many parts, in whole persons where they are known, and one "
            "figure over all faces, each answered by the run that did not see it.",
        ),
    ] = None,
    logger: Annotated[
        str | None,
        typer.Option("--logger", help="Tell each epoch's figures to csv, tensorboard, wandb or mlflow too."),
    ] = None,
    engine: TrainEngineOption = None,
    address: AddressOption = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes, which share each batch.", rich_help_panel=PANEL)
    ] = None,
    num_gpus: NumGpusOption = 0.0,
    find_lr: Annotated[
        bool,
        typer.Option(
            "--find-lr",
            help="Search a learning rate in 200 steps instead of training. Curve and numbers go next to --out: "
            "OUT-find-lr.png, OUT-find-lr.csv.",
        ),
    ] = False,
) -> None:
    """Train a recipe: fit on the train split, choose the best epoch on val. The test split is never used."""
    from mien.errors import InputError
    from mien.recipes.recipe import Recipe

    if resume and overwrite:
        raise InputError("--resume goes on with a run, --overwrite replaces it: leave out one of them")
    cluster = train_cluster(engine, address, workers, num_gpus)
    if cluster:
        refuse({"--devices": devices > 1}, "for one machine, and --engine ray trains with --workers")
    if find_lr:
        refuse(
            {
                "--resume": resume, "--devices": devices > 1, "--engine": engine, "--logger": logger, "--start": start,
                "--branch": branch,
            },
            "nothing for --find-lr, which tries fresh weights on one device and trains no run",
        )  # fmt: skip
    if folds is not None:
        refuse(
            {
                "--resume": resume, "--overwrite": overwrite, "--find-lr": find_lr, "--teacher": teacher,
                "--branch": branch, "--engine": engine, "--devices": devices > 1,
            },
            "nothing for --folds, whose runs go on by themselves and learn from nothing that knows the faces",
        )  # fmt: skip
    overrides = [*(settings or []), *([f"seed={seed}"] if seed is not None else [])]
    chosen = Recipe.load(recipe, overrides)
    if find_lr and chosen.start:
        raise InputError(f"--find-lr begins with fresh weights, recipe '{chosen.name}' with those of {chosen.start}")

    from mien.models.build import complete
    from mien.studies.runs import curves_file
    from mien.studies.runs import train as run_training
    from mien.training.hardware import detect
    from mien.training.loggers import check_logger
    from mien.training.run import Run
    from mien.training.start import open_start
    from mien.training.targets import Sources

    if find_lr:
        check_free(out, [data, *([votes] if votes else [])], overwrite=overwrite)
    told = check_logger(logger)
    # A mistake there should not wait for the data; a cluster has devices of its own.
    hardware = detect() if cluster else detect(device, precision, devices)
    chosen = complete(chosen)
    how = Reading(labels, subjects, skip_unreadable)
    _, tagged, faces = open_labeled(data, how, votes, ferplus, size=chosen.preprocess.size)
    if find_lr:
        search_rate(chosen, faces, out, hardware)
        return
    sources = Sources(
        votes=tagged if chosen.targets.of_votes or not ferplus else None,
        teacher=_teacher(teacher, chosen),
        start=open_start(start) if start else None,
        branch=Run(branch) if branch else None,
    )
    if folds is not None:
        train_folds(chosen, faces, out, folds, sources, hardware, told)
        return
    existing: Existing = "resume" if resume else "replace" if overwrite else "refuse"
    if cluster:
        from mien.scale.train import train_on_ray

        train_on_ray(chosen, faces, out, cluster, sources, device, precision, existing, told)
        existing = "resume"  # the rest: its curves and its model file
    with progress() as bar:
        run = run_training(chosen, faces, out, sources, hardware, existing, bar, logger=told)
    if not run.finished:
        return  # a further process of a distributed training
    done = run.card.training
    monitor: str = chosen.early_stopping.monitor if chosen.early_stopping else "val_accuracy"
    if run.card.people and monitor == "val_accuracy":
        monitor = "mean of val_accuracy and val_people"
    say(f"{run.folder}: {done.epochs} epochs, {done.minutes:.1f} minutes on {done.device} ({done.precision})")
    say(
        f"best epoch {done.best_epoch}: {monitor} {done.best_value:.4f} (val, n={done.val_images:,}); "
        f"curves: {curves_file(run)}"
    )
    relabeled = given_again({"--votes": votes, "--ferplus": ferplus}) if ferplus else []
    only_val = [] if (faces.splits == "test").any() else ["--split", "val"]
    say(f"next: {command('evaluate', run.folder, '--data', data, *how.options, *relabeled, *only_val)}")


def _teacher(place: str | None, recipe: Recipe) -> Predictions | Run | None:
    from mien.training.run import Run

    if place is None:
        return None
    run = Run.open(place)
    return run if recipe.targets.teacher_sees == "batch" else run.predictions("train")
