"""Early: which runs of a sweep are not worth their last epochs, by Ray Tune's asynchronous successive halving (ASHA).

Runs report nothing: their `history.csv`, which lies in the folder that all machines share, is read while they train.
Source: Li et al., A system for massively parallel hyperparameter tuning, MLSys 2020, algorithm 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from mien.errors import MissingExtraError
from mien.studies.runs import Errand, stopped_early
from mien.training.run import Epoch, Run

FACTOR = 3  # of the runs that reach a rung, one in so many goes on; the next rung is so many times as far
_FIRST_SHARE = 9  # the first rung is at a ninth of the epochs


class Halving:
    """Tells, epoch by epoch, whether a run of a sweep is to go on. Finished and stopped runs of its folder count."""

    def __init__(self, errands: Sequence[Errand]) -> None:
        try:
            from ray.tune.schedulers import ASHAScheduler
        except ModuleNotFoundError as error:
            raise MissingExtraError("--asha", "scale") from error
        self._epochs = max(one.recipe.epochs for one in errands)
        self._scheduler: Any = ASHAScheduler(
            time_attr="epoch", metric="val_accuracy", mode="max", max_t=self._epochs, reduction_factor=FACTOR,
            grace_period=max(1, round(self._epochs / _FIRST_SHARE)),
        )  # fmt: skip
        self._seen: dict[str, int] = {}  # epochs by run
        for run in sorted({other for one in errands for other in one.out.parent.glob("*/history.csv")}):
            before = Run(run.parent)
            if before.finished or stopped_early(before):
                self.verdict(run.parent.name, before.history, self._epochs)

    def verdict(self, name: str, history: Sequence[Epoch], epochs: int) -> str | None:
        """Why this run of so many `epochs` is to be stopped now; None where it is to go on."""
        trial = SimpleNamespace(trial_id=name)  # all that the scheduler looks at
        if name not in self._seen:
            self._seen[name] = 0
            self._scheduler.on_trial_add(None, trial)
        for row in history[self._seen[name] :]:
            self._seen[name] = row.epoch
            told = {"epoch": row.epoch, "val_accuracy": row.val_accuracy}
            if self._scheduler.on_trial_result(None, trial, told) == "STOP" and row.epoch < epochs:
                return (
                    f"stopped early (ASHA): val accuracy {row.val_accuracy:.3f} at epoch {row.epoch} of {epochs} was "
                    f"below that of the best third of the runs there"
                )
        return None
