"""Loggers: who is told of each epoch beside `history.csv`: Lightning's own, for tools that show many runs together."""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec
from typing import Any, Literal, get_args

import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from mien.errors import InputError, unknown_name
from mien.logs import quieted
from mien.recipes.recipe import Recipe
from mien.training.run import Epoch, Run

LoggerName = Literal["csv", "tensorboard", "wandb", "mlflow"]
FOLDER = "logs"  # of the run; W&B and MLflow may also send to a server, as their own settings say
_PACKAGES: dict[str, str | None] = {"csv": None, "tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}


def check_logger(name: str | None) -> LoggerName | None:
    """The same; raises `InputError` for an unknown name, and for one whose package is not installed."""
    if name is None:
        return None
    if name not in get_args(LoggerName):
        raise unknown_name("logger", name, get_args(LoggerName))
    package = _PACKAGES[name]
    if package is not None and find_spec(package) is None:
        raise InputError(f"logger {name}: its package is not installed. Install it: pip install {package}")
    return name  # type: ignore[return-value]


def open_logger(name: LoggerName, run: Run) -> Logger:
    """Lightning's logger of that name for a run. It writes nothing before the training begins."""
    folder = str(run.folder / FOLDER)
    if name == "csv":
        return CSVLogger(folder, name="", version="", flush_logs_every_n_steps=1)
    if name == "tensorboard":
        return TensorBoardLogger(folder, name="", version="", default_hp_metric=False)
    if name == "wandb":
        return WandbLogger(project="mien", name=run.name, save_dir=folder)
    return MLFlowLogger(experiment_name="mien", run_name=run.name, save_dir=folder)


class Record(pl.Callback):
    """Tells the trainer's loggers the recipe, and the figures of each epoch as they stand in `history.csv`.

    Comes after what writes that file.
    """

    def __init__(self, run: Run, recipe: Recipe) -> None:
        self._run, self._recipe = run, recipe

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        for one in trainer.loggers:
            one.log_hyperparams(self._recipe.model_dump(mode="json"))
            if isinstance(one, CSVLogger) and trainer.current_epoch:  # a resumed run; this one begins its file anew
                for row in self._run.history[: trainer.current_epoch]:
                    _tell(one, row)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            for one in trainer.loggers:
                _tell(one, self._run.history[-1])


def _tell(one: Logger, row: Epoch) -> None:
    figures: dict[str, Any] = {name: value for name, value in asdict(row).items() if value is not None}
    step = figures.pop("epoch")
    with quieted("lightning.pytorch"):
        one.log_metrics(figures, step=step)
    one.save()
