"""Train: a recipe and faces in, a finished run folder out. The test split never comes this far."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import torch

from mien.cards import Alignment, Card, Head, Training
from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.data.votes import Votes, beside
from mien.errors import InputError, InterruptedRunError, not_writable
from mien.files import write_whole
from mien.models.build import build, complete, count_parameters
from mien.models.checkpoints import display_name
from mien.models.face_resnet import FaceResNet
from mien.models.pretrained import PretrainedClassifier
from mien.recipes.recipe import Recipe
from mien.recipes.sections import Ensemble, Pretrained
from mien.recognize.align import measure_alignment
from mien.scratch import held_folder
from mien.training.features import Features, frozen_features
from mien.training.hardware import Hardware, detect, keep_memory, repeatable, threads_of
from mien.training.loaders import Examples, stored_pixels
from mien.training.loggers import LoggerName, check_logger
from mien.training.module import TrainingModule
from mien.training.muon import check_kernels
from mien.training.predict import predict
from mien.training.prepare import prepare
from mien.training.processes import decided_by_first, first_of_this_machine, is_first
from mien.training.provenance import commit_here, versions
from mien.training.quicker import quicker
from mien.training.resume import Decision, Existing, Request, begin, decide, saved_epochs
from mien.training.run import Run, best_epoch, monitored
from mien.training.shares import with_shares
from mien.training.start import check_start, open_start, take_weights
from mien.training.targets import Sources, check_sources, first_of_repeats, followed, targets
from mien.training.teacher import Teacher, open_teacher
from mien.training.trainer import make_trainer, quiet_lightning, told_when_out_of_memory, told_when_stopped
from mien.training.unfreeze import check_unfreeze, frozen_depth, set_phase

_LOOKED_AT = 512  # faces of the training set, to learn how they are cut
_SETTLED_ON = 256  # faces of it that batch norms without statistics get theirs from

_Masks = dict[str, npt.NDArray[np.bool_]]  # by split, over the faces of train and val
_Targets = dict[str, npt.NDArray[np.float32] | None]  # by split


def train(
    recipe: Recipe,
    faces: FaceSet,
    out: str | Path,
    sources: Sources | None = None,
    hardware: Hardware | None = None,
    existing: Existing = "refuse",
    progress: Progress | None = None,
    *,
    logger: LoggerName | None = None,
) -> Run:
    """Train `recipe` on the train split, choose the best epoch on the val split, write the run to `out`.

    `sources`: what it learns from beside its faces, in the shares that the recipe gives them, or begins with.
    `hardware`: what `detect` finds, if left out. `existing`: a folder that is not empty is refused; or resumed from
    the last finished epoch, to the same numbers as an uninterrupted run; or replaced, if it is a run. `logger`: who is
    told of each epoch too; see `mien.training.loggers`. Raises `InputError` for such a folder, data without train or
    val, and a loss that is no longer a number; `InterruptedRunError` on Ctrl-C, with everything up to the last finished
    epoch on disk.
    """
    run, hardware = Run(Path(out)), hardware or detect()
    task = _task(run, recipe, faces, sources or Sources(), hardware.precision, logger)
    with _alone(run):
        how: Decision = decided_by_first(lambda: decide(run, task.request, existing), "resume")
        if how != "done":
            _train(run, task, how, hardware, progress)
    return run


def begin_run(
    recipe: Recipe,
    faces: FaceSet,
    out: str | Path,
    sources: Sources | None = None,
    precision: str = "auto",
    existing: Existing = "refuse",
    logger: LoggerName | None = None,
) -> Run:
    """Check all that `train` checks and begin the folder, so that other processes `train` with `existing="resume"`.

    `precision`: `auto` leaves it to them. The run is finished where there is nothing left to do. Raises what `train`
    raises before its first epoch.
    """
    run = Run(Path(out))
    task = _task(run, recipe, faces, sources or Sources(), precision, logger)
    with _alone(run):
        how = decide(run, task.request, existing)
        if how in ("new", "replace"):
            _begin(run, task.request, how, _ready_network(task)[0])
    return run


@dataclass(frozen=True)
class _Task:
    """A training, checked as far as that goes without a network."""

    request: Request
    masks: _Masks
    sources: Sources


def _task(
    run: Run, recipe: Recipe, faces: FaceSet, sources: Sources, precision: str, logger: LoggerName | None
) -> _Task:
    if recipe.start and not sources.start and not sources.branch:
        sources = replace(sources, start=open_start(recipe.start))
    recipe = _ready(recipe, sources)
    seen = faces.select("train", "val")
    masks = _used(seen, recipe)
    if sources.start:
        check_start(sources.start, recipe, run)
    told = check_logger(logger)
    return _Task(Request(recipe, seen, precision, sources.start, sources.branch, told), masks, sources)


def _ready_network(task: _Task) -> tuple[torch.nn.Module, _Targets, Teacher | None]:
    """What is trained, as it begins; by split what it is compared with; and whom it asks."""
    recipe, seen, sources = task.request.recipe, task.request.seen, task.sources
    wanted = _wanted(recipe, seen, task.masks, sources)
    asked = sources.teacher if isinstance(sources.teacher, Run) else None
    teacher = open_teacher(asked, recipe, seen.label_set.labels) if asked else None
    network = fresh_network(recipe, seen)
    if sources.start:
        take_weights(network, sources.start, recipe, seen.label_set.labels)
    return network, wanted, teacher


def _train(run: Run, task: _Task, how: Decision, hardware: Hardware, progress: Progress | None) -> None:
    """Begin the run or go on with it, to its end."""
    request, recipe, seen = task.request, task.request.recipe, task.request.seen
    network, wanted, teacher = _ready_network(task)
    commit = commit_here()
    _set_up(hardware, network)
    trainer = make_trainer(recipe, run, hardware, progress, request.logger)
    if how != "resume":  # only now, when everything else is known to fit
        decided_by_first(lambda: _begin(run, request, how, network), None)
    with (
        told_when_stopped(partial(_interrupted, run)),
        told_when_out_of_memory(recipe),
        _told_when_not_writable(run),
        threads_of(run.last_checkpoint),
    ):
        features = _features(network, recipe, seen, hardware, progress)
        fit, val = (
            Examples(seen.keep(mask), features.select(mask) if features else None, wanted[split])
            for split, mask in task.masks.items()
        )
        origin = request.begun_with.rpartition(" ")[2]  # the digest of `Run.identity`
        if hardware.devices > 1:  # processes share the gradients of what learns at this moment
            set_phase(network, recipe.unfreeze, recipe.epochs)
        module = TrainingModule(network, recipe, fit, val, origin, hardware.graphs, teacher)
        _fit(trainer, module, run)
        if trainer.is_global_zero:
            _finish(run, request, module, hardware, task.sources.votes, commit)
    if trainer.is_global_zero and features:
        features.discard()


def _begin(run: Run, request: Request, how: Decision, network: torch.nn.Module) -> None:
    begin(run, request, how)
    if not request.branch and isinstance(network, PretrainedClassifier):
        run.save_backbone_config(network.backbone.config)


@contextmanager
def _alone(run: Run) -> Iterator[None]:
    """No other process trains into this folder meanwhile; those that this one starts leave it to the first."""
    with ExitStack() as stack:
        if is_first():
            try:
                stack.enter_context(held_folder(run.folder))
            except OSError as error:
                raise not_writable(run.folder, error, "Choose another --out") from error
        yield


def _ready(recipe: Recipe, sources: Sources) -> Recipe:
    """The recipe with everything in it. Raises `InputError` where it cannot be trained from what is given."""
    if isinstance(recipe.model, Ensemble):
        raise InputError(f"recipe '{recipe.name}' is an ensemble: train its members, then mien ensemble RUN RUN …")
    recipe = complete(recipe)
    check_sources(recipe, sources)
    return recipe


def _used(seen: FaceSet, recipe: Recipe) -> _Masks:
    """The faces that are shown, train first: of repeats the first alone, where the recipe merges them."""
    shown = first_of_repeats(seen) if recipe.data.repeats == "merge" else np.ones(len(seen), dtype=bool)
    masks = {split: shown & (seen.splits == split) for split in ("train", "val")}
    if not all(mask.any() for mask in masks.values()):
        raise InputError(f"{seen.source}: training needs a train split with at least two images of each class")
    return masks


def _wanted(recipe: Recipe, seen: FaceSet, masks: _Masks, sources: Sources) -> _Targets:
    """By split: what its faces are compared with; None where the labels say it all."""
    wanted = targets(recipe, seen.select("train"), sources)
    if wanted is not None:
        wanted = wanted[masks["train"][seen.splits == "train"]]
    return {"train": wanted, "val": followed(recipe, seen.keep(masks["val"]), sources.votes)}


def fresh_network(recipe: Recipe, seen: FaceSet) -> torch.nn.Module:
    """What a training of the completed `recipe` begins with; raises `InputError` where it cannot be built."""
    torch.manual_seed(recipe.seed)
    people = recipe.targets.people_labels(seen.label_set.labels)
    widths = (len(seen.label_set), len(people)) if people else (len(seen.label_set),)
    network = build(recipe.model, recipe.preprocess, widths)
    check_unfreeze(network, recipe)
    if recipe.optimizer.name == "muon":
        check_kernels(network, recipe)
    if isinstance(network, PretrainedClassifier) and isinstance(network.backbone.network, FaceResNet):
        network.backbone.network.settle(_some_train_faces(seen, recipe))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _some_train_faces(seen: FaceSet, recipe: Recipe) -> torch.Tensor:
    """`(B, C, S, S)` of at most so many, drawn by the seed, as the network takes them."""
    places = np.flatnonzero(seen.splits == "train")
    some = np.sort(np.random.default_rng(recipe.seed).permutation(places)[:_SETTLED_ON])
    return prepare(torch.from_numpy(stored_pixels(seen, some, recipe.preprocess)), recipe.preprocess)


def _set_up(hardware: Hardware, network: torch.nn.Module) -> None:
    if hardware.device == "cpu":
        keep_memory()
        quicker(network)
    elif hardware.device == "cuda":
        repeatable()


def _features(
    network: torch.nn.Module, recipe: Recipe, seen: FaceSet, hardware: Hardware, progress: Progress | None
) -> Features | None:
    depth = frozen_depth(network, recipe)
    if depth is None:
        return None
    assert isinstance(network, PretrainedClassifier)
    with first_of_this_machine():
        return frozen_features(network, depth, seen, recipe.preprocess, hardware, progress=progress)


def _fit(trainer: pl.Trainer, module: TrainingModule, run: Run) -> None:
    checkpoint = run.last_checkpoint if run.last_checkpoint.is_file() else None
    with quiet_lightning():
        trainer.fit(module, ckpt_path=checkpoint, weights_only=True)


@contextmanager
def _told_when_not_writable(run: Run) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if saved := saved_epochs(run):
            advice = f"{saved} finished epochs are saved: make room and run the same command with --resume"
        else:
            advice = "No epoch is saved yet: make room and run the same command with --resume"
        raise not_writable(error.filename or run.folder, error, advice) from error


def _interrupted(run: Run) -> InterruptedRunError:
    saved = saved_epochs(run)
    if saved == 0:
        return InterruptedRunError(
            f"stopped before the first epoch was saved in {run.folder}; begin again with the same command and --resume"
        )
    return InterruptedRunError(
        f"stopped. {saved} finished epochs are saved in {run.folder}; go on with the same command and --resume"
    )


def _finish(
    run: Run, request: Request, module: TrainingModule, hardware: Hardware, votes: Votes | None, commit: str | None
) -> None:
    """Best weights, card and val predictions: with these three a run is finished."""
    write_whole(run.weights_file, run.best_weights.read_bytes())
    network = module.network
    card = Card(
        recipe=request.recipe.name,
        labels=request.seen.label_set.labels,
        preprocess=request.recipe.preprocess,
        backbone=_backbone_name(request.recipe),
        architecture=network.backbone.config["model_type"] if isinstance(network, PretrainedClassifier) else None,
        parameters=count_parameters(network),
        mirror=request.recipe.mirror,
        alignment=_alignment(request.seen, request.recipe.seed),
        training=_told(run, request, module, hardware, votes, commit),
    )
    people = request.recipe.targets.people_labels(card.labels)
    if people:
        card = card.model_copy(update={"people": Head(labels=people), "truth": request.recipe.truth})
    balanced = request.recipe.data.imbalance != "none"
    card = with_shares(card, request.seen, votes, balanced=balanced)
    card.save(run.folder / "card.json")
    val = beside(predict(run, request.seen, "val", hardware), votes)
    card.calibrated(val).save(run.folder / "card.json")
    val.save(run.predictions_file("val"))


def _told(
    run: Run, request: Request, module: TrainingModule, hardware: Hardware, votes: Votes | None, commit: str | None
) -> Training:
    """What the card tells of a training."""
    history, recipe, seen = run.history, request.recipe, request.seen
    best, fitted = best_epoch(history, recipe), module.examples["train"]
    once = fitted.features.seconds if fitted.features else 0.0
    return Training(
        data=seen.source,
        votes=votes.source if votes else None,
        start=request.begun_with.rpartition(" ")[0] or None,
        fingerprint=seen.fingerprint,
        train_images=len(fitted),
        val_images=int((seen.splits == "val").sum()),
        seed=recipe.seed,
        epochs=len(history),
        best_epoch=best.epoch,
        best_value=monitored(best, recipe),
        device=hardware.name,
        precision=hardware.precision,
        threads=torch.get_num_threads() if hardware.device == "cpu" else None,
        minutes=round((once + sum(row.seconds for row in history)) / 60, 2),
        versions=versions(recipe),
        commit=commit,
    )


def _alignment(seen: FaceSet, seed: int) -> Alignment | None:
    """How the faces of the training set are cut, by a sample of them."""
    places = np.flatnonzero(seen.splits == "train")
    some = np.random.default_rng(seed).permutation(places)[:_LOOKED_AT]
    return measure_alignment(seen.gather(np.array([place]))[0] for place in some)


def _backbone_name(recipe: Recipe) -> str | None:
    return display_name(recipe.model.backbone) if isinstance(recipe.model, Pretrained) else None
