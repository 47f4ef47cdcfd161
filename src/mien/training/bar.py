"""Bar: the progress of a training on a terminal: epoch, batches, batches per second, loss, time left in the epoch."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_EVERY = 10  # batches between two updates: reading the loss makes a GPU wait


class Bar(pl.Callback):
    """Drawn on standard error; gone when the training ends, so that only the lines of the epochs stay."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f} batches/s, loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("training", total=None, rate=0.0, loss=float("nan"))
        self._began = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self._progress.start()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = time.perf_counter()
        text = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        self._progress.reset(self._task, total=trainer.num_training_batches, description=text)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        done = batch_idx + 1
        if done % _EVERY and done != trainer.num_training_batches:
            return
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        shown = float(loss) if isinstance(loss, torch.Tensor) else float("nan")
        rate = done / (time.perf_counter() - self._began)
        self._progress.update(self._task, completed=done, rate=rate, loss=shown)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._progress.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._progress.stop()
