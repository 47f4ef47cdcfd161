"""Follow: what is kept of each epoch: its row of the history, and the weights when it is the best so far."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping

from mien.data.cache import Progress
from mien.recipes.recipe import Recipe
from mien.training.checkpoint import save_weights
from mien.training.module import Classifier
from mien.training.run import Epoch, Run, write_history

logger = logging.getLogger(__name__)
_EVERY = 10  # batches between two looks at the loss: each makes a GPU wait


def monitored(row: Epoch, recipe: Recipe) -> float:
    """The figure that chooses the epoch: val accuracy where the recipe names no other.

    With two heads it is the mean of theirs, each against its own truth: labels, and single votes.
    """
    if recipe.early_stopping and recipe.early_stopping.monitor == "val_loss":
        return row.val_loss
    return row.val_accuracy if row.val_people is None else (row.val_accuracy + row.val_people) / 2


def best_epoch(history: Sequence[Epoch], recipe: Recipe) -> Epoch:
    """The epoch whose weights are kept: best by the monitored figure, the first of equals."""
    lowest = recipe.early_stopping is not None and recipe.early_stopping.monitor == "val_loss"
    return (min if lowest else max)(history, key=lambda row: monitored(row, recipe))


class Follow(pl.Callback):
    """Writes `history.csv` and the best weights after each epoch."""

    def __init__(self, run: Run, recipe: Recipe) -> None:
        self._run, self._recipe = run, recipe
        self._rows: list[Epoch] = []
        self._began = self._trained = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        finished = trainer.current_epoch
        self._rows = [row for row in self._run.history if row.epoch <= finished] if finished else []
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            # A run that was stopped early, but interrupted before its end, has no further epoch to train.
            if isinstance(callback, EarlyStopping) and callback.wait_count >= callback.patience:
                trainer.should_stop = True

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._trained = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        row = self._row(trainer, pl_module)
        if not math.isfinite(row.train_loss):
            assert isinstance(pl_module, Classifier)
            raise pl_module.diverged()
        self._rows.append(row)
        if not trainer.is_global_zero:
            return
        if best_epoch(self._rows, self._recipe) is row:
            assert isinstance(pl_module, Classifier)
            save_weights(pl_module.kept, self._run.best_weights)
        write_history(self._run.folder / "history.csv", self._rows)
        logger.info(
            "epoch %d/%d: train loss %.4f, accuracy %.4f; val loss %.4f, accuracy %.4f%s; %.1f s, %.0f images/s",
            row.epoch, self._recipe.epochs, row.train_loss, row.train_accuracy, row.val_loss, row.val_accuracy,
            "" if row.val_people is None else f", people {row.val_people:.4f}", row.seconds, row.images_per_second,
        )  # fmt: skip

    def _row(self, trainer: pl.Trainer, module: pl.LightningModule) -> Epoch:
        assert isinstance(module, Classifier)
        figures = module.take_figures()
        images = len(module.train_dataloader().order) * trainer.world_size
        return Epoch(
            epoch=trainer.current_epoch + 1,
            lr=trainer.optimizers[0].param_groups[0]["lr"],
            seconds=round(time.perf_counter() - self._began, 3),
            images_per_second=round(images / (self._trained - self._began), 1),
            **figures,
        )


class Show(pl.Callback):
    """Tells `progress` how far the epoch is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        done, batches = batch_idx + 1, int(trainer.num_training_batches)
        if not trainer.is_global_zero or (done % _EVERY and done != batches):
            return
        loss = float(outputs["loss"] if isinstance(outputs, dict) else outputs)
        self._progress(
            f"training: epoch {trainer.current_epoch + 1}/{trainer.max_epochs}, loss {loss:.4f}", done, batches
        )
