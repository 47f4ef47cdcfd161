"""Trainer: Lightning's, as every training here uses it: quiet, with our files, callbacks and errors."""

from __future__ import annotations

import io
import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import save
from torch import nn

from mien.data.cache import Progress
from mien.errors import InputError, InterruptedRunError
from mien.files import write_whole
from mien.logs import quieted
from mien.recipes.recipe import Recipe
from mien.training.hardware import LIGHTNING_PRECISION, Hardware
from mien.training.loggers import LoggerName, Record, open_logger
from mien.training.module import TrainingModule
from mien.training.run import Epoch, Run, best_epoch, write_history

logger = logging.getLogger(__name__)
_EVERY = 10  # batches between two looks at the loss: each makes a GPU wait


def make_trainer(
    recipe: Recipe, run: Run, hardware: Hardware, progress: Progress | None, logger: LoggerName | None = None
) -> pl.Trainer:
    """The trainer of a run: it keeps each finished epoch, stops early as the recipe says, and tells who asks.

    Raises `InputError` for devices that are not there, or that have less than two images of a batch each.
    """
    if recipe.data.batch_size < 2 * hardware.devices:
        raise InputError(
            f"a batch of {recipe.data.batch_size} images cannot be shared by {hardware.devices} devices, each of which "
            "needs two. Lower --devices or raise data.batch_size"
        )
    callbacks: list[Callback] = [Follow(run, recipe)]
    if recipe.early_stopping:
        how = recipe.early_stopping
        mode = "max" if how.monitor == "val_accuracy" else "min"
        callbacks.append(EarlyStopping(how.monitor, patience=how.patience, mode=mode, check_on_train_epoch_end=True))
    if logger:
        callbacks.append(Record(run, recipe))
    if progress:
        callbacks.append(Show(progress))
    callbacks.append(
        ModelCheckpoint(run.checkpoints, filename="last", enable_version_counter=False, save_on_train_epoch_end=True)
    )
    # What is frozen for now gives no gradient, and processes must not wait for it. What is frozen for good is none of
    # the parameters that they share.
    frozen, launched = bool(recipe.unfreeze.schedule), hardware.launched
    own = "ddp_find_unused_parameters_true" if hardware.devices > 1 and frozen else "auto"
    try:
        with quiet_lightning():
            return pl.Trainer(
                **{**trainer_options(hardware), "logger": open_logger(logger, run) if logger else False},
                devices="auto" if launched else hardware.devices,
                strategy=launched.strategy(frozen) if launched else own,
                sync_batchnorm=hardware.devices > 1 and hardware.device == "cuda",  # torch has it for CUDA alone
                max_epochs=recipe.epochs,
                callbacks=callbacks,
                plugins=[AtomicCheckpointIO(), *([launched.environment] if launched else [])],
            )
    except MisconfigurationException as error:
        raise InputError(f"--device {hardware.device} --devices {hardware.devices} cannot be used: {error}") from error


def trainer_options(hardware: Hardware) -> dict[str, Any]:
    """What every trainer here is made with."""
    return {
        "accelerator": hardware.device,
        "precision": LIGHTNING_PRECISION[hardware.precision],
        "reload_dataloaders_every_n_epochs": 1,  # each epoch has its own order
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
        "logger": False,
        "enable_progress_bar": False,  # ours counts epochs from 1, as everything else does
        "enable_model_summary": False,
    }


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Leave out Lightning's tips about workers and loggers; our loaders need no workers."""
    with quieted("lightning.pytorch"), quieted("lightning.fabric"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.")
        warnings.filterwarnings("ignore", module=r"torchmetrics\.")
        yield


@contextmanager
def told_when_stopped(said: Callable[[], InterruptedRunError]) -> Iterator[None]:
    """Turn Ctrl-C into what `said` gives. Lightning answers it with `SystemExit`, and leaves the signal ignored."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except KeyboardInterrupt as stop:
        raise said() from stop
    except SystemExit as stop:
        if before is not None and threading.current_thread() is threading.main_thread():  # others may set no signal
            signal.signal(signal.SIGINT, before)
        raise said() from stop


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


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's own format. Its writer goes through the system's temporary folder, which may be another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        buffer = io.BytesIO()  # torch's own writer hides a full disk behind another error
        torch.save(checkpoint, buffer)
        write_whole(Path(path), buffer.getbuffer())


def save_weights(network: nn.Module, path: Path) -> None:
    """State dict as safetensors, on the CPU and contiguous, whole or not at all."""
    write_whole(path, save({key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}))


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
            assert isinstance(pl_module, TrainingModule)
            raise pl_module.diverged()
        self._rows.append(row)
        if not trainer.is_global_zero:
            return
        if best_epoch(self._rows, self._recipe) is row:
            assert isinstance(pl_module, TrainingModule)
            save_weights(pl_module.kept, self._run.best_weights)
        write_history(self._run.folder / "history.csv", self._rows)
        logger.info(
            "epoch %d/%d: train loss %.4f, accuracy %.4f; val loss %.4f, accuracy %.4f%s; %.1f s, %.0f images/s",
            row.epoch, self._recipe.epochs, row.train_loss, row.train_accuracy, row.val_loss, row.val_accuracy,
            "" if row.val_people is None else f", people {row.val_people:.4f}", row.seconds, row.images_per_second,
        )  # fmt: skip

    def _row(self, trainer: pl.Trainer, module: pl.LightningModule) -> Epoch:
        assert isinstance(module, TrainingModule)
        figures = module.take_figures()
        images = len(module.examples["train"])
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
