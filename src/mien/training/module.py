"""Module: one training as Lightning sees it: loss, optimizer, schedule, metrics.

Shapes: B images, K classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR
from torch.optim.swa_utils import AveragedModel
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from mien.data.faceset import FaceSet
from mien.errors import DivergedError, InputError
from mien.models.pretrained import PretrainedClassifier
from mien.models.residual import ResidualNet
from mien.recipes.recipe import Recipe
from mien.training.augment import mix
from mien.training.hardware import training_attention
from mien.training.loaders import Batch, Batches, class_weights, train_order
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
        targets: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """`features`: by split, what the frozen part of the network gives for its faces, to start from there.

        `targets`: what the loss compares the train faces with, in place of their labels: (N, K), and further columns
        for a second head that learns beside the network and is not kept.
        """
        super().__init__()
        self.network, self.recipe, self.preprocess = network, recipe, recipe.preprocess
        self._train_faces, self._val_faces, self._features = train, val, dict(features or {})
        self._targets = targets
        self._averaged = average_of(network, recipe.average) if recipe.average else None
        self._classes = classes = len(train.label_set)
        further = 0 if targets is None else targets.shape[1] - classes
        self._second_head = _second_head(network, further) if further else None
        weighted = recipe.data.imbalance == "loss"
        weights = class_weights(train.labels, classes) if weighted else np.ones(classes)
        self.register_buffer("_class_weights", torch.tensor(weights, dtype=torch.float32), persistent=False)
        metrics: dict[str, Metric] = {}
        for split in ("train", "val"):
            metrics[f"{split}_loss"] = MeanMetric()
            metrics[f"{split}_accuracy"] = MulticlassAccuracy(classes, average="micro")
        self.figures = MetricCollection(metrics, compute_groups=False)  # type: ignore[arg-type]

    def train_dataloader(self) -> Batches:
        """The batches of the current epoch; Lightning asks anew before each one."""
        data = self.recipe.data
        order = train_order(
            self._train_faces.labels,
            len(self._train_faces.label_set),
            data.imbalance == "sampler",
            self.recipe.seed,
            self.current_epoch,
        )
        world, rank = self.trainer.world_size, self.trainer.global_rank
        features = self._features.get("train")
        size = data.batch_size
        return Batches(self._train_faces, self.preprocess, size, order, rank, world, features, self._targets)

    def val_dataloader(self) -> Batches:
        order = np.arange(len(self._val_faces))
        world, rank = self.trainer.world_size, self.trainer.global_rank
        return Batches(self._val_faces, self.preprocess, _EVAL_BATCH, order, rank, world, self._features.get("val"))

    def on_train_epoch_start(self) -> None:
        set_phase(self.network, self.recipe.unfreeze, self.current_epoch + 1)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Dropout and augmentation follow from (seed, epoch, step), so a resumed run repeats an uninterrupted one.
        key = [self.recipe.seed, self.current_epoch, batch_idx, self.trainer.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1)))

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
        beside: torch.Tensor | float = 0.0
        if self._second_head is not None:
            assert isinstance(self.network, ResidualNet)
            features = self.network.features(shown)
            logits, votes = self.network.classifier(features).float(), self._second_head(features).float()
            beside = self.recipe.targets.votes_head * functional.cross_entropy(votes, wanted[:, self._classes :])
            wanted = wanted[:, : self._classes]
        else:
            with training_attention(self.device.type):
                logits = self._logits(self.network, shown)
        smoothing = self.recipe.targets.smoothing
        loss = functional.cross_entropy(logits, wanted, self._class_weights, label_smoothing=smoothing)  # type: ignore[arg-type]
        if batch_idx % _CHECK_EVERY == 0 and not torch.isfinite(loss):
            raise self.diverged()
        self._follow("train", loss.detach(), logits.detach(), wanted)
        return loss + beside

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if self._averaged is not None:
            self._averaged.update_parameters(self.network)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        shown, labels = batch
        if not self._features:
            shown = prepare(shown, self.preprocess)
        logits = self._logits(self.kept, shown)
        self._follow("val", functional.cross_entropy(logits, labels), logits, labels)

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
        for name in ("val_loss", "val_accuracy"):
            self.log(name, self.figures[name].compute(), logger=False)

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
        return "" if self._targets is None else hashlib.blake2b(self._targets.tobytes(), digest_size=16).hexdigest()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = make_optimizer(self.network, self.recipe)
        if self._second_head is not None:
            rate = optimizer.param_groups[-1]["lr"]  # of what is no kernel
            optimizer.add_param_group({"params": list(self._second_head.parameters()), "lr": rate})
        steps = len(self.train_dataloader())
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": _schedule(optimizer, self.recipe, steps), "interval": "step"},
        }


def _second_head(network: nn.Module, outputs: int) -> nn.Linear:
    assert isinstance(network, ResidualNet)  # the recipe has seen to it
    return nn.Linear(network.classifier.in_features, outputs)


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


def _schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps_per_epoch: int) -> LRScheduler:
    how = recipe.schedule
    total, warmup = recipe.epochs * steps_per_epoch, round(how.warmup_epochs * steps_per_epoch)
    rest: LRScheduler
    if how.name == "cosine":
        rest = CosineAnnealingLR(optimizer, T_max=max(total - warmup, 1))
    else:
        rest = LinearLR(optimizer, start_factor=1.0, total_iters=1)
    if not warmup:
        return rest
    rise = LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup)
    return SequentialLR(optimizer, [rise, rest], milestones=[warmup])
