"""Train: a recipe and faces in, a finished run folder out. The test split never comes this far."""

from __future__ import annotations

import os
import signal
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from mien.cards import Alignment, Card, Head, Training
from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.data.votes import Votes, beside
from mien.errors import InputError, InterruptedRunError
from mien.files import write_whole
from mien.logs import quieted
from mien.models.build import build, complete, count_parameters
from mien.models.checkpoints import display_name
from mien.models.pretrained import PretrainedClassifier
from mien.recipes.recipe import Recipe
from mien.recipes.sections import Ensemble, Pretrained
from mien.recognize.align import measure
from mien.training import folder
from mien.training.checkpoint import LIGHTNING_PRECISION, AtomicCheckpointIO
from mien.training.features import Features, frozen_features
from mien.training.follow import Follow, Show, best_epoch, monitored
from mien.training.hardware import Hardware, detect, keep_memory, repeatable
from mien.training.module import Classifier
from mien.training.predict import predict
from mien.training.run import Run
from mien.training.start import check_start, take_weights
from mien.training.targets import Sources, check_sources, first_of_repeats, followed, targets
from mien.training.unfreeze import check_unfreeze, frozen_depth

_LOOKED_AT = 512  # train faces, to learn how they are cut
_PACKAGES = ("mien", "torch", "lightning", "torchmetrics", "numpy", "opencv-python-headless", "pillow")


def train(
    recipe: Recipe,
    faces: FaceSet,
    out: str | Path,
    sources: Sources | None = None,
    hardware: Hardware | None = None,
    existing: folder.Existing = "refuse",
    progress: Progress | None = None,
) -> Run:
    """Train `recipe` on the train faces, choose the best epoch on the val faces, write the run to `out`.

    `sources`: what it learns from beside its faces, in the shares that the recipe gives them, or begins with.
    `hardware`: what `detect` finds, if left out. `existing`: a folder that holds something is refused; or resumed from
    the last finished epoch, to the same numbers as an uninterrupted run; or replaced, if it is a run. Raises
    `InputError` for such a folder, data without train or val, and a loss that is no longer a number;
    `InterruptedRunError` on Ctrl-C, with everything up to the last finished epoch on disk.
    """
    hardware, sources = hardware or detect(), sources or Sources()
    if isinstance(recipe.model, Ensemble):
        raise InputError(f"recipe '{recipe.name}' is an ensemble: train its members, then mien ensemble RUN RUN …")
    recipe = complete(recipe)
    check_sources(recipe, sources)
    votes, start, branch = sources.votes, sources.start, sources.branch
    seen = faces.select("train", "val")
    shown = first_of_repeats(seen) if recipe.data.repeats == "merge" else np.ones(len(seen), dtype=bool)
    parts = {split: shown & (seen.splits == split) for split in ("train", "val")}
    fit, val = seen.keep(parts["train"]), seen.keep(parts["val"])
    if not len(fit) or not len(val):
        raise InputError(f"{faces.source}: training needs a train split with at least two images of each class")
    run = Run(Path(out))
    if start:
        check_start(start, recipe, run)
    begun_with = start.identity if start else branch.begun_with if branch and branch.begun else ""
    request = folder.Request(recipe, seen, hardware.precision, begun_with, branch)
    how: folder.Plan = folder.plan(run, request, existing) if _is_first_process() else "resume"
    if how == "done":
        return run
    wanted = targets(recipe, seen.select("train"), sources)
    if wanted is not None:
        wanted = wanted[shown[seen.splits == "train"]]
    compared = {"train": wanted, "val": followed(recipe, val, votes)}
    commit = _commit()
    network = fresh_network(recipe, seen)
    if start:
        take_weights(network, start, recipe, seen.label_set.labels)
    if hardware.device == "cpu":
        keep_memory()
    elif hardware.device == "cuda":
        repeatable()
    trainer = _trainer(recipe, run, hardware, progress)
    if how != "resume":  # only now, when everything else is known to fit
        folder.begin(run, request, how, start)
        if not branch and isinstance(network, PretrainedClassifier):
            run.save_backbone_config(network.backbone.config)
    try:
        with told_when_out_of_memory(recipe):
            features = _features(network, recipe, seen, hardware, progress)
    except KeyboardInterrupt as stop:
        raise _interrupted(run) from stop
    by_split = {split: features.select(mask) for split, mask in parts.items()} if features else None
    given = {split: rows for split, rows in compared.items() if rows is not None}
    origin = begun_with.rpartition(" ")[2]  # the digest of `Run.identity`
    _fit(trainer, Classifier(network, recipe, fit, val, by_split, given, origin, hardware.graphs), run)
    if trainer.is_global_zero:
        try:
            facts = _Facts(
                commit,
                len(fit),
                votes.source if votes else None,
                begun_with.rpartition(" ")[0] or None,
                features.seconds if features else 0.0,
            )
            _finish(run, recipe, seen, network, hardware, facts, votes)
        except KeyboardInterrupt as stop:
            raise _interrupted(run) from stop
        if features:
            features.discard()
    return run


def _features(
    network: torch.nn.Module, recipe: Recipe, seen: FaceSet, hardware: Hardware, progress: Progress | None
) -> Features | None:
    depth = frozen_depth(network, recipe)
    if depth is None:
        return None
    assert isinstance(network, PretrainedClassifier)
    return frozen_features(network, depth, seen, recipe.preprocess, hardware, progress=progress)


def _is_first_process() -> bool:
    """Lightning starts the further processes of a distributed run as copies of this program."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0


def fresh_network(recipe: Recipe, seen: FaceSet) -> torch.nn.Module:
    """What a training of the completed `recipe` begins with; raises `InputError` where it cannot be built."""
    torch.manual_seed(recipe.seed)
    people = recipe.targets.people_labels(seen.label_set.labels)
    widths = (len(seen.label_set), len(people)) if people else (len(seen.label_set),)
    network = build(recipe.model, recipe.preprocess, widths)
    check_unfreeze(network, recipe)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _fit(trainer: pl.Trainer, module: Classifier, run: Run) -> None:
    checkpoint = run.last_checkpoint if run.last_checkpoint.is_file() else None
    with quiet_lightning(), told_when_out_of_memory(module.recipe):
        before = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(module, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as stop:  # Lightning's answer to Ctrl-C
            signal.signal(signal.SIGINT, before)
            raise _interrupted(run) from stop
        except OSError as error:
            raise InputError(
                f"{run.folder}: cannot be written ({error.strerror or error}). What was saved before is whole: "
                "make room and run the same command with --resume"
            ) from error


@contextmanager
def told_when_out_of_memory(recipe: Recipe) -> Iterator[None]:
    """Turn torch's ways to say that the memory is full into one `InputError`."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise _out_of_memory(recipe) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # what torch says on a CPU
            raise
        raise _out_of_memory(recipe) from error


def _out_of_memory(recipe: Recipe) -> InputError:
    return InputError(
        f"out of memory. Lower data.batch_size (now {recipe.data.batch_size}) or data.preprocess.size "
        f"(now {recipe.preprocess.size}), for example --set data.batch_size={max(recipe.data.batch_size // 2, 2)}"
    )


def _interrupted(run: Run) -> InterruptedRunError:
    if not run.last_checkpoint.is_file():
        return InterruptedRunError(f"stopped before the first epoch was finished; nothing to resume in {run.folder}")
    return InterruptedRunError(
        f"stopped. {len(run.history)} finished epochs are saved in {run.folder}; "
        "go on with the same command and --resume"
    )


def _trainer(recipe: Recipe, run: Run, hardware: Hardware, progress: Progress | None) -> pl.Trainer:
    callbacks: list[Callback] = [Follow(run, recipe)]
    if recipe.early_stopping:
        how = recipe.early_stopping
        mode = "max" if how.monitor == "val_accuracy" else "min"
        callbacks.append(EarlyStopping(how.monitor, patience=how.patience, mode=mode, check_on_train_epoch_end=True))
    if progress:
        callbacks.append(Show(progress))
    callbacks.append(
        ModelCheckpoint(run.checkpoints, filename="last", enable_version_counter=False, save_on_train_epoch_end=True)
    )
    try:
        with quiet_lightning():
            return pl.Trainer(
                accelerator=hardware.device,
                devices=hardware.devices,
                strategy=_strategy(recipe, hardware.devices),
                precision=LIGHTNING_PRECISION[hardware.precision],
                max_epochs=recipe.epochs,
                callbacks=callbacks,
                plugins=[AtomicCheckpointIO()],
                reload_dataloaders_every_n_epochs=1,  # each epoch has its own order
                use_distributed_sampler=False,
                num_sanity_val_steps=0,
                logger=False,
                enable_progress_bar=False,  # ours counts epochs from 1, as everything else does
                enable_model_summary=False,
            )
    except MisconfigurationException as error:
        raise InputError(f"--device {hardware.device} --devices {hardware.devices} cannot be had: {error}") from error


def _strategy(recipe: Recipe, devices: int) -> str:
    # What is frozen for now gives no gradient, and processes must not wait for it.
    return "ddp_find_unused_parameters_true" if devices > 1 and recipe.unfreeze.last != "all" else "auto"


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Leave out Lightning's tips about workers and loggers; our loaders need no workers."""
    with quieted("lightning.pytorch"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.")
        warnings.filterwarnings("ignore", module=r"torchmetrics\.")
        yield


@dataclass(frozen=True)
class _Facts:
    """What a card says that neither the recipe nor the run's history holds."""

    commit: str | None
    train_images: int
    votes: str | None
    start: str | None
    frozen_seconds: float


def _finish(
    run: Run,
    recipe: Recipe,
    seen: FaceSet,
    network: torch.nn.Module,
    hardware: Hardware,
    facts: _Facts,
    votes: Votes | None,
) -> None:
    """Best weights, card and val predictions: with these three a run is finished."""
    history = run.history
    best = best_epoch(history, recipe)
    write_whole(run.weights_file, run.best_weights.read_bytes())
    people = recipe.targets.people_labels(seen.label_set.labels)
    card = Card(
        recipe=recipe.name,
        labels=seen.label_set.labels,
        preprocess=recipe.preprocess,
        backbone=_backbone_name(recipe),
        architecture=network.backbone.config["model_type"] if isinstance(network, PretrainedClassifier) else None,
        parameters=count_parameters(network),
        mirror=recipe.mirror,
        alignment=_alignment(seen, recipe.seed),
        people=Head(labels=people) if people else None,
        truth=recipe.truth if people else "labels",
        training=Training(
            data=seen.source,
            votes=facts.votes,
            start=facts.start,
            fingerprint=seen.fingerprint,
            train_images=facts.train_images,
            val_images=int((seen.splits == "val").sum()),
            seed=recipe.seed,
            epochs=len(history),
            best_epoch=best.epoch,
            best_value=monitored(best, recipe),
            device=hardware.name,
            precision=hardware.precision,
            minutes=round((facts.frozen_seconds + sum(row.seconds for row in history)) / 60, 2),
            versions=_versions(recipe),
            commit=facts.commit,
        ),
    )
    card.save(run.folder / "card.json")
    val = beside(predict(run, seen, "val", hardware), votes)
    card.calibrated(val).save(run.folder / "card.json")
    val.save(run.predictions_file("val"))


def _alignment(seen: FaceSet, seed: int) -> Alignment | None:
    """How the train faces are cut, by a sample of them."""
    places = np.flatnonzero(seen.splits == "train")
    some = np.random.default_rng(seed).permutation(places)[:_LOOKED_AT]
    return measure(seen.gather(np.array([place]))[0] for place in some)


def _backbone_name(recipe: Recipe) -> str | None:
    return display_name(recipe.model.backbone) if isinstance(recipe.model, Pretrained) else None


def _versions(recipe: Recipe) -> dict[str, str]:
    """Of what is installed; mien itself may run from a checkout that is not."""
    packages = (*_PACKAGES, "transformers") if isinstance(recipe.model, Pretrained) else _PACKAGES
    found = {}
    for name in packages:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _commit() -> str | None:
    """Commit of the checkout that this code runs from, with `+` when its sources were changed since.

    A copy without git has what `MIEN_COMMIT` says.
    """
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return os.environ.get("MIEN_COMMIT") or None
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            ["git", "status", "--porcelain", "src"], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + "+" * bool(changes.stdout.strip())
