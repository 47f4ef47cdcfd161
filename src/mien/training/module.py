"""Module: one training as Lightning sees it: loss, optimizer, schedule, metrics.

Shapes: B images, K classes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from mien.data.faceset import FaceSet
from mien.errors import DivergedError, InputError
from mien.models.pretrained import PretrainedClassifier
from mien.recipes.recipe import Recipe
from mien.training.augment import mix
from mien.training.hardware import training_attention
from mien.training.loaders import Batch, Batches, chance, class_weights, train_order
from mien.training.muon import Muon
from mien.training.prepare import prepare
from mien.training.unfreeze import parameter_groups, set_phase

if TYPE_CHECKING:
    from mien.training.features import Features

_EVAL_BATCH = 256
_Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]
_CHECK_EVERY = 50  # steps: looking at the loss makes a GPU wait


class Classifier(pl.LightningModule):
    """Trains `network` on the train faces and follows it on the val faces, as the recipe says."""

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        train: FaceSet,
        val: FaceSet,
        features: Mapping[str, Features] | None = None,
        targets: Mapping[str, npt.NDArray[np.float32]] | None = None,
        start: str = "",
    ) -> None:
        """`features`: by split, what the frozen part of the network gives for its faces, to start from there.

        `targets`: by split, what the faces are compared with, in place of their labels: (N, K), and a further column
        for each answer of the votes' head where the recipe has one. `start`: digest of the weights that the network
        begins with, where they are not fresh.
        """
        super().__init__()
        self.network, self.recipe, self.preprocess = network, recipe, recipe.preprocess
        self._train_faces, self._val_faces, self._features = train, val, dict(features or {})
        self._targets, self._start = dict(targets or {}), start
        self._averaged = average_of(network, recipe.average) if recipe.average else None
        self._classes = classes = len(train.label_set)
        self._two_heads = bool(recipe.targets.people_labels(train.label_set.labels))
        weighted = recipe.data.imbalance == "loss"
        weights = class_weights(train.labels, classes) if weighted else np.ones(classes)
        self.register_buffer("_class_weights", torch.tensor(weights, dtype=torch.float32), persistent=False)
        metrics: dict[str, Metric] = {}
        for split in ("train", "val"):
            metrics[f"{split}_loss"] = MeanMetric()
            metrics[f"{split}_accuracy"] = MulticlassAccuracy(classes, average="micro")
        if self._two_heads:
            metrics["val_people"] = MeanMetric()
        self.figures = MetricCollection(metrics, compute_groups=False)  # type: ignore[arg-type]

    def train_dataloader(self) -> Batches:
        """The batches of the current epoch; Lightning asks anew before each one."""
        data = self.recipe.data
        order = train_order(
            self._train_faces.labels,
            len(self._train_faces.label_set),
            data.imbalance == "sampler",
            chance(self.recipe.seed, self._start, self.current_epoch),
        )
        world, rank = self.trainer.world_size, self.trainer.global_rank
        features = self._features.get("train")
        size, wanted = data.batch_size, self._targets.get("train")
        return Batches(self._train_faces, self.preprocess, size, order, rank, world, features, wanted)

    def val_dataloader(self) -> Batches:
        order = np.arange(len(self._val_faces))
        world, rank = self.trainer.world_size, self.trainer.global_rank
        features, wanted = self._features.get("val"), self._targets.get("val")
        return Batches(self._val_faces, self.preprocess, _EVAL_BATCH, order, rank, world, features, wanted)

    def on_train_epoch_start(self) -> None:
        set_phase(self.network, self.recipe.unfreeze, self.current_epoch + 1)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Dropout and augmentation follow from seed, start, epoch and step: a resumed run repeats an uninterrupted one.
        source = chance(self.recipe.seed, self._start, self.current_epoch, batch_idx, self.trainer.global_rank)
        torch.manual_seed(int(source.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    @property
    def kept(self) -> nn.Module:
        """The network whose figures count and whose weights are kept: the moving average where the recipe has one."""
        return self.network if self._averaged is None else self._averaged.module

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        shown, wanted = batch
        how = self.recipe.data.augment
        if not self._features:
            shown = prepare(shown, self.preprocess, how)
        if how.mixup or how.cutmix:
            shown, wanted = mix(shown, self._as_targets(wanted), how)
        with training_attention(self.device.type):
            logits = self._logits(self.network, shown)
        own, truth = logits[:, : self._classes], wanted[:, : self._classes] if wanted.ndim == 2 else wanted
        smoothing = self.recipe.targets.smoothing
        loss = functional.cross_entropy(own, truth, self._class_weights, label_smoothing=smoothing)  # type: ignore[arg-type]
        if batch_idx % _CHECK_EVERY == 0 and not torch.isfinite(loss):
            raise self.diverged()
        self._follow("train", loss.detach(), own.detach(), truth)
        if wanted.ndim == 1 or wanted.shape[1] == self._classes:
            return loss
        people = functional.cross_entropy(logits[:, self._classes :], wanted[:, self._classes :])
        return loss + self.recipe.targets.votes_head * people

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if self._averaged is not None:
            self._averaged.update_parameters(self.network)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        shown, labels = batch
        if not self._features:
            shown = prepare(shown, self.preprocess)
        logits = self._logits(self.kept, shown)
        if self._two_heads:
            self._follow_people(logits[:, self._classes :], labels[:, self._classes :])
            logits, labels = logits[:, : self._classes], labels[:, : self._classes].argmax(dim=1)
        self._follow("val", functional.cross_entropy(logits, labels), logits, labels)

    def _follow_people(self, logits: torch.Tensor, shares: torch.Tensor) -> None:
        """How many of a face's votes are for the answer, on the faces that have votes."""
        voted = shares.sum(dim=1) > 0
        agreeing = shares.gather(1, logits.argmax(dim=1, keepdim=True)).squeeze(1)
        self.figures["val_people"].update(agreeing[voted])

    def _logits(self, network: nn.Module, shown: torch.Tensor) -> torch.Tensor:
        if not self._features:
            logits: torch.Tensor = network(shown)
        else:
            assert isinstance(network, PretrainedClassifier)
            logits = network.moving_part(shown, self._features["train"].depth)
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

    def _follow(self, split: str, loss: torch.Tensor, logits: torch.Tensor, wanted: torch.Tensor) -> None:
        labels = wanted if wanted.ndim == 1 else wanted.argmax(dim=1)
        self.figures[f"{split}_loss"].update(loss, weight=len(labels))
        self.figures[f"{split}_accuracy"].update(logits, labels)

    def on_validation_epoch_end(self) -> None:
        accuracy = self.figures["val_accuracy"].compute()
        if self._two_heads:  # what stops a run early is what chooses its epoch: `follow.monitored`
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

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if checkpoint.get("targets", "") != self._targets_digest():
            raise InputError("the run was begun with other votes or another teacher. Resume it with the same files")

    def _targets_digest(self) -> str:
        wanted = self._targets.get("train")
        return "" if wanted is None else hashlib.blake2b(wanted.tobytes(), digest_size=16).hexdigest()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = make_optimizer(self.network, self.recipe)
        schedule = LambdaLR(optimizer, partial(rate_at, self.recipe, len(self.train_dataloader())))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def average_of(network: nn.Module, decay: float) -> AveragedModel:
    """The moving average of a network's weights and statistics, of short memory at first and then of `decay` per step.

    Source: Polyak and Juditsky 1992; the short memory at first is that of tf.train.ExponentialMovingAverage.
    """

    def move(average: _Tensors, now: _Tensors, steps: torch.Tensor | int) -> None:
        share = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
        for theirs, ours in zip(average, now, strict=True):
            if theirs.is_floating_point():
                theirs.lerp_(ours, share)
            else:
                theirs.copy_(ours)  # counts of steps

    return AveragedModel(network, multi_avg_fn=move, use_buffers=True).requires_grad_(False)


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    how = recipe.optimizer
    parameters = parameter_groups(network, recipe)
    if how.name == "muon":
        return Muon(network.parameters(), lr=how.lr, weight_decay=how.weight_decay)
    if how.name == "sgd":
        return torch.optim.SGD(parameters, lr=how.lr, momentum=how.momentum, weight_decay=how.weight_decay)
    kind: Any = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[how.name]
    return kind(parameters, lr=how.lr, weight_decay=how.weight_decay)  # type: ignore[no-any-return]


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
