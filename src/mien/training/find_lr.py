"""Learning rate search: a few training steps at a rate that rises from step to step, and where the loss falls.

Source: Smith 2017, Cyclical Learning Rates, section 3.3 (the range test). Lightning's finder moves the rate and puts
everything back afterwards. Its own suggestion is not used: it follows the steepest fall per unit of learning rate, so
noise at the smallest rates decides: for cnn-v2 on FER2013 it says 2e-6 to 7e-6, where one epoch at 5e-6 comes to .27
val accuracy, at 3e-4 to .45.
Shapes: S steps.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.tuner.tuning import Tuner

from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.errors import DivergedError, InputError, InterruptedRunError
from mien.files import write_csv
from mien.models.build import complete
from mien.recipes.recipe import Recipe
from mien.scratch import temporary_folder
from mien.training.hardware import Hardware, detect, repeatable
from mien.training.loaders import Batch, Batches, Examples
from mien.training.module import TrainingModule, make_optimizer
from mien.training.train import fresh_network
from mien.training.trainer import quiet_lightning, told_when_out_of_memory, told_when_stopped, trainer_options
from mien.training.unfreeze import set_phase

LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 200
FEWEST_BATCHES = 10  # with fewer the steps go round the same images so often that they are learned by heart
_SMOOTHING = 0.6  # decades of learning rate that the smoothed loss remembers
_DIVERGED = 1.2  # times the opening loss: what falls again after that is a recovery, not learning
_CLEAR = 2.5  # standard errors by which the loss must fall; noise alone does it in one search of thirty

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LrSearch:
    """Outcome of a search. Losses are cross entropy in nats, NaN where they are no number."""

    rates: Floats  # (S,) rising
    losses: Floats  # (S,) of one batch each
    smoothed: Floats  # (S,)
    suggestion: float | None  # two digits; None where no fall stands out from the noise


def find_lr(
    recipe: Recipe,
    faces: FaceSet,
    hardware: Hardware | None = None,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> LrSearch:
    """Search a learning rate for `recipe` on the train faces alone; nothing is written, nothing stays trained.

    Phases of unfreezing stay at that of the first epoch, and rates per block keep their proportions. The schedule is
    left out. Raises `InputError` for fewer than ten batches, `InterruptedRunError` on Ctrl-C.
    """
    hardware = hardware or detect()
    recipe = complete(recipe)
    seen = faces.select("train", "val")
    fit, val = (Examples(seen.select(split)) for split in ("train", "val"))
    _check_batches(recipe, fit)
    probe = _Probe(fresh_network(recipe, seen), recipe, fit, val, steps, progress)
    rates = _search(probe, hardware, steps)
    losses = np.array(probe.losses[: len(rates)])
    return LrSearch(rates, losses, smooth(rates, losses), suggest(rates, losses))


def _check_batches(recipe: Recipe, fit: Examples) -> None:
    size = recipe.data.batch_size
    batches = len(Batches(fit, recipe.preprocess, size, np.arange(len(fit)))) if len(fit) else 0
    if batches >= FEWEST_BATCHES:
        return
    fits = len(fit) // FEWEST_BATCHES
    smaller = f"smaller batches, here and in the training (--set data.batch_size={fits}), or " if fits > 1 else ""
    raise InputError(
        f"{fit.faces.source}: {len(fit)} training images make {batches} batches of {size}; "
        f"a learning rate search needs {FEWEST_BATCHES}. Use {smaller}more images"
    )


class _Probe(TrainingModule):
    """The training of a recipe, as the finder needs it: no schedule, one phase, a loss that may stop being a number."""

    def __init__(
        self,
        network: torch.nn.Module,
        recipe: Recipe,
        train: Examples,
        val: Examples,
        steps: int,
        progress: Progress | None,
    ) -> None:
        super().__init__(network, recipe, train, val)
        self.losses: list[float] = []
        self._steps, self._progress = steps, progress

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = make_optimizer(self.network, self.recipe)
        # The finder gives all groups one rate. What each has of the recipe's is kept to put that right.
        self._shares = [group["lr"] / self.recipe.optimizer.lr for group in optimizer.param_groups]
        return optimizer

    def on_train_start(self) -> None:
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            callback.progress_bar_refresh_rate = 0  # of the finder's own bar, which knows no terminal

    def on_train_epoch_start(self) -> None:
        set_phase(self.network, self.recipe.unfreeze, 1)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor | None:  # type: ignore[override]
        try:
            loss = super().training_step(batch, batch_idx)
            value = loss.item()
        except DivergedError:
            value = float("nan")
        self.losses.append(value)
        if self._progress:
            self._progress("finding a learning rate", len(self.losses), self._steps)
        if not np.isfinite(value):
            self.trainer.should_stop = True
            return None  # tells Lightning to leave out the step
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        for group, share in zip(optimizer.param_groups, self._shares, strict=True):
            group["lr"] *= share  # the finder sets it anew after each step


def _search(probe: _Probe, hardware: Hardware, steps: int) -> Floats:
    """Train `probe` step by step; `(S,)` learning rates of the steps that were made."""
    if hardware.device == "cuda":
        repeatable()
    stopped = partial(InterruptedRunError, "stopped. The search wrote nothing; run the same command again")
    with (
        told_when_stopped(stopped),
        quiet_lightning(),
        told_when_out_of_memory(probe.recipe),
        temporary_folder() as folder,
    ):
        trainer = pl.Trainer(
            **trainer_options(hardware),
            devices=1,
            max_epochs=-1,  # the finder counts steps
            check_val_every_n_epoch=sys.maxsize,
            default_root_dir=folder,  # where the finder keeps the network to put it back
            enable_checkpointing=False,
        )
        finder = Tuner(trainer).lr_find(probe, min_lr=LOWEST, max_lr=HIGHEST, num_training=steps, update_attr=False)
    assert finder is not None  # it is in a trial run alone, which this is not
    return np.array(finder.results["lr"], dtype=np.float64)


def smooth(rates_S: Floats, losses_S: Floats) -> Floats:
    """`(S,)` exponential mean of the losses, free of the bias to its start, with a memory of 0.6 decades of rates.

    Source: Kingma and Ba 2015, Adam, section 3 (bias correction).
    """
    keep = 1 - 1 / max(_SMOOTHING * _decade(rates_S), 1)
    mean, smoothed = 0.0, []
    for i, loss in enumerate(losses_S, start=1):
        mean = keep * mean + (1 - keep) * loss
        smoothed.append(mean / (1 - keep**i))
    return np.array(smoothed)


def suggest(rates_S: Floats, losses_S: Floats) -> float | None:
    """A learning rate well inside the fall of the loss, to two digits; None where it falls no further than by noise.

    From the end of the longest fall of the smoothed loss (its longest decreasing subsequence) half of that fall's
    steps back. Source: fastai, `valley` in fastai/callback/schedule.py, which differs in where it cuts the losses off.
    """
    decade = _decade(rates_S)
    ends = int(np.argmin(np.isfinite(losses_S))) if not np.isfinite(losses_S).all() else len(losses_S)
    if ends < 2 * decade:
        return None
    losses, smoothed = losses_S[:ends], smooth(rates_S, losses_S)[:ends]
    opening = losses[:decade].mean()  # at these rates hardly anything moves
    diverged = np.flatnonzero(smoothed[decade:] > _DIVERGED * opening)
    fall = _longest_fall(smoothed[: decade + diverged[0]] if len(diverged) else smoothed)
    last = fall[-1]
    if last + 1 < 2 * decade:
        return None
    noise = np.diff(losses[: last + 1]).std() / np.sqrt(2)  # of one batch; differences leave out the trend
    depth = opening - losses[last + 1 - decade : last + 1].mean()
    if depth <= _CLEAR * noise * np.sqrt(2 / decade):
        return None
    return float(f"{rates_S[last - len(fall) // 2]:.1e}")


def _decade(rates_S: Floats) -> int:
    """Steps that the rate takes to grow tenfold."""
    return max(int((rates_S < 10 * rates_S[0]).sum()), 1)


def _longest_fall(values_S: Floats) -> list[int]:
    """Indices of the longest strictly decreasing subsequence."""
    longest = np.ones(len(values_S), dtype=np.int64)
    before = np.full(len(values_S), -1)
    for i in range(1, len(values_S)):
        higher = np.flatnonzero(values_S[:i] > values_S[i])
        if len(higher):
            before[i] = higher[longest[higher].argmax()]
            longest[i] = longest[before[i]] + 1
    path = [int(longest.argmax())]
    while before[path[-1]] >= 0:
        path.append(int(before[path[-1]]))
    return path[::-1]


def save_csv(search: LrSearch, path: Path) -> None:
    """Write the curve, whole or not at all."""
    rows = zip(search.rates.tolist(), search.losses.tolist(), search.smoothed.tolist(), strict=True)
    write_csv(path, ["learning_rate", "loss", "smoothed_loss"], rows)
