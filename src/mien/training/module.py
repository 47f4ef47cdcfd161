"""Module: one training as Lightning sees it: loss, optimizer, schedule, metrics.

Shapes: B images, K classes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from mien.errors import DivergedError, InputError
from mien.models.pretrained import PretrainedClassifier
from mien.recipes.recipe import Recipe
from mien.training.average import Average
from mien.training.graphs import Recorded, recorded
from mien.training.hardware import training_attention
from mien.training.loaders import Batch, Batches, Examples, Resident, chance, class_weights, resident_on, train_order
from mien.training.muon import Muon
from mien.training.prepare import mix, prepare
from mien.training.teacher import Teacher
from mien.training.unfreeze import parameter_groups, set_phase

_EVAL_BATCH = 256
_CHECK_EVERY = 50  # steps: looking at the loss makes a GPU wait


class TrainingModule(pl.LightningModule):
    """Trains `network` on the train faces and follows it on the val faces, as the recipe says."""

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        train: Examples,
        val: Examples,
        start: str = "",
        graphs: bool = False,
        teacher: Teacher | None = None,
    ) -> None:
        """`train` and `val`: their targets have a further column for each answer of a votes' head.

        `start`: digest of the weights that the network begins with, where they are not fresh. `graphs`: steps are
        recorded where they can be (`training.graphs`).
        """
        super().__init__()
        self.network, self.recipe, self.preprocess = network, recipe, recipe.preprocess
        self.examples, self._start = {"train": train, "val": val}, start
        self._frozen_depth = train.features.depth if train.features else None  # blocks whose outcome is given
        self._resident: dict[str, Resident | None] = {}
        self._graphs, self._teacher = graphs, teacher
        self._phase: int | str | None = None  # blocks that moved when the step was recorded
        self._recorded: Recorded | None = None
        self._by_graph = False  # the step at hand
        # For each batch, how much its mean over this process's part counts: in the gradient, and in the figures.
        self._batch_shares: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None
        self._averaged = Average(network, recipe.average) if recipe.average else None
        self._classes = classes = len(train.faces.label_set)
        self._two_heads = bool(recipe.targets.people_labels(train.faces.label_set.labels))
        weighted = recipe.data.imbalance == "loss"
        weights = class_weights(train.faces.labels, classes) if weighted else np.ones(classes)
        self.register_buffer("_class_weights", torch.tensor(weights, dtype=torch.float32), persistent=False)
        metrics: dict[str, Metric] = {}
        for split in ("train", "val"):
            metrics[f"{split}_loss"] = _Mean()
            # Looking at each batch for labels that cannot be would make a GPU wait.
            metrics[f"{split}_accuracy"] = MulticlassAccuracy(classes, average="micro", validate_args=False)
        if self._two_heads:
            metrics["val_people"] = _Mean()
        self.figures = MetricCollection(metrics, compute_groups=False)  # type: ignore[arg-type]

    def train_dataloader(self) -> Batches:
        """The batches of the current epoch; Lightning asks anew before each one."""
        data = self.recipe.data
        order = train_order(
            self.examples["train"].faces.labels,
            self._classes,
            data.imbalance == "sampler",
            chance(self.recipe.seed, self._start, self.current_epoch),
        )
        batches = self._batches("train", data.batch_size, order)
        if batches.world > 1:
            shares = batches.shares(self._loss_weights())
            self._batch_shares = shares, shares * batches.sizes / batches.world
        return batches

    def _loss_weights(self) -> npt.NDArray[np.float64]:
        """`(N,)` of the train faces in a mean of losses: of labels, torch divides by their weights."""
        train, data = self.examples["train"], self.recipe.data
        if train.targets is not None or data.augment.mixup or data.imbalance != "loss":
            return np.ones(len(train))
        return self._class_weights.cpu().numpy().astype(np.float64)[train.faces.labels]  # type: ignore[operator]

    def val_dataloader(self) -> Batches:
        return self._batches("val", _EVAL_BATCH, np.arange(len(self.examples["val"])))

    def _batches(self, split: str, size: int, order: npt.NDArray[np.int64]) -> Batches:
        world, rank = self.trainer.world_size, self.trainer.global_rank
        examples = self.examples[split]
        if self._resident.get(split) is None:
            self._resident[split] = resident_on(self.device, examples, self.preprocess)
        ahead = self._ahead if split == "train" and self._frozen_depth is None else None
        return Batches(examples, self.preprocess, size, order, rank, world, self._resident[split], ahead)

    def _ahead(self, pixels: torch.Tensor, first: int) -> torch.Tensor:
        self._draw_from(first, 1)
        return prepare(pixels, self.preprocess, self.recipe.data.augment)

    def on_train_epoch_start(self) -> None:
        set_phase(self.network, self.recipe.unfreeze, self.current_epoch + 1)
        phase = self.recipe.unfreeze.blocks(self.current_epoch + 1)
        if self._graphs and phase != self._phase:
            self._phase, self._recorded = phase, None  # the memory of the one before is free for the next
            shown, wanted = next(iter(self.train_dataloader()))
            batch = self._seen(shown.to(self.device), wanted.to(self.device))
            optimizer, half = self.optimizers(use_pl_optimizer=False), "bf16" in str(self.trainer.precision)
            self._recorded = recorded(self._losses, self.network, optimizer, batch, half)  # type: ignore[arg-type]

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self._draw_from(batch_idx)
        self._by_graph = self._recorded is not None and self._recorded.fits(batch)

    def _draw_from(self, step: int, *further: int) -> None:
        """Dropout and augmentation follow from seed, start, epoch and step: a resumed run repeats the numbers."""
        place = (self.current_epoch, step, self.trainer.global_rank, *further)
        source = chance(self.recipe.seed, self._start, *place)
        seed = int(source.generate_state(1, np.uint64)[0] >> np.uint64(1))
        if self.device.type == "cpu":  # torch's own call notes its stack for each kind of device that is not begun
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    @property
    def kept(self) -> nn.Module:
        """The network whose figures count and whose weights are kept: the moving average where the recipe has one."""
        return self.network if self._averaged is None else self._averaged.module

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        shown, wanted = self._seen(*batch)
        if self._by_graph and self._recorded:  # with the backward pass and the optimizer's move
            loss, own = self._recorded(shown, wanted)
            total = loss
        else:
            with training_attention(self.device.type):
                total, loss, own = self._losses(shown, wanted)
        if batch_idx % _CHECK_EVERY == 0 and not torch.isfinite(loss):
            raise self.diverged()
        share, weight = (
            (1.0, len(wanted)) if self._batch_shares is None else (one[batch_idx] for one in self._batch_shares)
        )
        self._follow("train", loss.detach(), own.detach(), self._truth(wanted), float(weight))
        return total if share == 1 else total * float(share)

    def _seen(self, shown: torch.Tensor, wanted: torch.Tensor) -> Batch:
        """What the network is given to learn from, and its targets."""
        how = self.recipe.data.augment
        if shown.dtype == torch.uint8:  # else prepared ahead, or features
            shown = prepare(shown, self.preprocess, how)
        if self._teacher:
            wanted = self._teacher.blend(shown, wanted)
        return mix(shown, self._as_targets(wanted), how) if how.mixup else (shown, wanted)

    def _losses(self, shown: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The loss to follow downhill, the part of it that is for the labels, and their logits `(B, K)`."""
        logits = self._logits(self.network, shown)
        own, smoothing = logits[:, : self._classes], self.recipe.targets.smoothing
        loss = functional.cross_entropy(own, self._truth(wanted), self._class_weights, label_smoothing=smoothing)  # type: ignore[arg-type]
        if wanted.ndim == 1 or wanted.shape[1] == self._classes:
            return loss, loss, own
        people = functional.cross_entropy(logits[:, self._classes :], wanted[:, self._classes :])
        return loss + self.recipe.targets.votes_head * people, loss, own

    def _truth(self, wanted: torch.Tensor) -> torch.Tensor:
        return wanted[:, : self._classes] if wanted.ndim == 2 else wanted

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        if not self._by_graph:
            optimizer.zero_grad()

    def backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        if not self._by_graph:
            loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        if self._by_graph and optimizer_closure:
            optimizer_closure()
        else:
            optimizer.step(closure=optimizer_closure)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if self._averaged is not None:
            self._averaged.update_parameters(self.network)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        shown, labels = batch
        if self._frozen_depth is None:
            shown = prepare(shown, self.preprocess)
        logits = self._logits(self.kept, shown)
        if self._two_heads:
            self._follow_people(logits[:, self._classes :], labels[:, self._classes :])
            logits, labels = logits[:, : self._classes], labels[:, : self._classes].argmax(dim=1)
        self._follow("val", functional.cross_entropy(logits, labels), logits, labels, len(labels))

    def _follow_people(self, logits: torch.Tensor, shares: torch.Tensor) -> None:
        """How many of a face's votes are for the answer, on the faces that have votes."""
        voted = shares.sum(dim=1) > 0
        agreeing = shares.gather(1, logits.argmax(dim=1, keepdim=True)).squeeze(1)
        self.figures["val_people"].update(agreeing, weight=voted)

    def _logits(self, network: nn.Module, shown: torch.Tensor) -> torch.Tensor:
        if self._frozen_depth is None:
            logits: torch.Tensor = network(shown)
        else:
            assert isinstance(network, PretrainedClassifier)
            logits = network.moving_part(shown, self._frozen_depth)
        return logits.float()

    def _as_targets(self, wanted: torch.Tensor) -> torch.Tensor:
        return wanted if wanted.ndim == 2 else functional.one_hot(wanted, len(self._class_weights)).float()  # type: ignore[arg-type]

    def diverged(self) -> DivergedError:
        """That the loss is no longer a number: where, at which learning rate, and what to do."""
        rate, epoch = self.optimizers(use_pl_optimizer=False).param_groups[0]["lr"], self.current_epoch + 1  # type: ignore[union-attr]
        kept = f"The state after epoch {epoch - 1} is kept. " if epoch > 1 else ""
        return DivergedError(
            f"the loss is no longer a number in epoch {epoch}, at learning rate {rate:.3g}",
            f"{kept}Lower the learning rate: --set optimizer.lr={self.recipe.optimizer.lr / 10:g}",
        )

    def _follow(
        self, split: str, loss: torch.Tensor, logits: torch.Tensor, wanted: torch.Tensor, weight: float
    ) -> None:
        labels = wanted if wanted.ndim == 1 else wanted.argmax(dim=1)
        self.figures[f"{split}_loss"].update(loss, weight=weight)
        self.figures[f"{split}_accuracy"].update(logits, labels)

    def on_validation_epoch_end(self) -> None:
        accuracy = self.figures["val_accuracy"].compute()
        if self._two_heads:  # what stops a run early is what chooses its epoch: `run.monitored`
            accuracy = (accuracy + self.figures["val_people"].compute()) / 2
        self.log("val_accuracy", accuracy, logger=False)
        self.log("val_loss", self.figures["val_loss"].compute(), logger=False)

    def take_figures(self) -> dict[str, float]:
        """Losses and accuracies of the finished epoch; the next one starts from zero."""
        values = {name: float(figure) for name, figure in self.figures.compute().items()}
        self.figures.reset()
        return values

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["precision"] = str(self.trainer.precision)
        checkpoint["targets"] = self._targets_digest()
        checkpoint["threads"] = torch.get_num_threads()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if checkpoint.get("targets", "") != self._targets_digest():
            raise InputError("the run was begun with other votes or another teacher. Resume it with the same files")

    def _targets_digest(self) -> str:
        wanted = self.examples["train"].targets
        asked = self._teacher.identity if self._teacher else ""
        said = b"" if wanted is None else wanted.tobytes()
        return hashlib.blake2b(said + asked.encode(), digest_size=16).hexdigest() if said or asked else ""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = make_optimizer(self.network, self.recipe)
        schedule = LambdaLR(optimizer, partial(rate_at, self.recipe, len(self.train_dataloader())))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Mean(Metric):
    """Mean by weight. That of torchmetrics looks for NaN at each update, which makes a GPU wait."""

    total: torch.Tensor
    weight: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("weight", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, value: torch.Tensor, weight: torch.Tensor | float) -> None:
        self.total += (value * weight).sum()
        self.weight += weight.sum() if isinstance(weight, torch.Tensor) else weight * value.numel()

    def compute(self) -> torch.Tensor:
        return self.total / self.weight


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    how = recipe.optimizer
    parameters = parameter_groups(network, recipe)
    # One pass over all weights of a group, where torch has it: else a dozen short ones over each.
    fused = True if next(network.parameters()).device.type in ("cuda", "cpu") else None
    if how.name == "muon":
        return Muon(network.parameters(), lr=how.lr, weight_decay=how.weight_decay, fused=fused)
    if how.name == "sgd":
        return torch.optim.SGD(parameters, lr=how.lr, momentum=how.momentum, weight_decay=how.weight_decay, fused=fused)
    kind: Any = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[how.name]
    return kind(parameters, lr=how.lr, weight_decay=how.weight_decay, fused=fused)  # type: ignore[no-any-return]


def rate_at(recipe: Recipe, steps_per_epoch: int, step: int) -> float:
    """The learning rate at a step (counted from 0) of the run, as a share of the recipe's.

    A function of the step alone, so that a checkpoint holds nothing of the schedule and a branch may end otherwise. The
    fall of `decay_epochs` is 1 - sqrt: Hägele et al., NeurIPS 2024, arXiv:2405.18392, section 3.
    """
    how = recipe.schedule
    total, warmup = recipe.epochs * steps_per_epoch, round(how.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return 1 / warmup + (1 - 1 / warmup) * step / warmup
    if how.name == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))
    falling = round(how.decay_epochs * steps_per_epoch)
    done = step - (total - falling)
    return 1.0 if not falling or done <= 0 else 1 - math.sqrt(min(done / falling, 1))
