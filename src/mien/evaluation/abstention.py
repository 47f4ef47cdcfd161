"""Abstention: what a model gains by keeping back the answers that it is not sure of.

Shapes: N images.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate, Frozen
from mien.evaluation.significance import wilson
from mien.predictions import Predictions

_POINTS = 50  # of the curve


class Given(Frozen):
    """The answers with a confidence of at least `threshold`, all shares 0–1."""

    threshold: float
    n: int
    coverage: float  # of all images
    risk: Estimate | None  # share of wrong answers (Wilson's interval); None where no answer is given


class Abstention(Frozen):
    """Risk against coverage over `n` images."""

    split: str
    n: int
    wanted: float | None  # the risk that the card's threshold was fitted for, on val
    at_threshold: Given | None  # None where the card has no threshold
    curve: tuple[Given, ...]  # from few sure answers to all
    aurc: float  # area under the curve of risk against coverage, over every coverage: 0–1, lower is better
    aurc_best: float  # what it would be if every right answer were surer than every wrong one

    @property
    def kept(self) -> bool | None:
        """Whether the wanted risk is kept here; None where these images cannot tell, or nothing is wanted."""
        if self.wanted is None or self.at_threshold is None or self.at_threshold.risk is None:
            return None
        risk = self.at_threshold.risk
        return True if risk.high <= self.wanted else False if risk.low > self.wanted else None


def abstention(predictions: Predictions, threshold: float | None = None, wanted: float | None = None) -> Abstention:
    """Of `predictions` as the model gives them, with the `threshold` and the wanted risk of its card.

    Source: El-Yaniv and Wiener, JMLR 11 (2010), for risk and coverage; Geifman, Uziel, El-Yaniv, ICLR 2019, for the
    area. Raises `InputError` when there is no image.
    """
    n = len(predictions)
    if not n:
        raise InputError(f"abstention on '{predictions.split}': no image to look at")
    confidence_N = predictions.probabilities.max(axis=1).astype(np.float64)
    right_N = predictions.predicted == predictions.labels
    order = np.argsort(-confidence_N, kind="stable")
    wrong = int((~right_N).sum())
    best_N = np.repeat([0, 1], [n - wrong, wrong])  # the wrong ones last
    sizes = np.unique(np.linspace(n / _POINTS, n, _POINTS).round().astype(np.int64).clip(1))
    return Abstention(
        split=predictions.split,
        n=n,
        wanted=wanted,
        at_threshold=None if threshold is None else _given(threshold, confidence_N, right_N),
        curve=tuple(_first(int(size), confidence_N[order], right_N[order]) for size in sizes),
        aurc=_area(~right_N[order]),
        aurc_best=_area(best_N),
    )


def _given(threshold: float, confidence_N: npt.NDArray[np.float64], right_N: npt.NDArray[np.bool_]) -> Given:
    given_N = (confidence_N >= threshold) & (threshold < 1)  # as `confidence.is_unsure` has it
    return _counted(threshold, int(given_N.sum()), int((~right_N[given_N]).sum()), len(right_N))


def _first(size: int, falling_N: npt.NDArray[np.float64], right_N: npt.NDArray[np.bool_]) -> Given:
    """The `size` surest answers, and those that are as sure as the last of them."""
    count = int(np.searchsorted(-falling_N, -falling_N[size - 1], side="right"))
    return _counted(float(falling_N[size - 1]), count, int((~right_N[:count]).sum()), len(right_N))


def _counted(threshold: float, count: int, wrong: int, n: int) -> Given:
    low, high = wilson(wrong, count) if count else (0.0, 1.0)
    return Given(
        threshold=threshold,
        n=count,
        coverage=count / n,
        risk=Estimate(value=wrong / count, low=low, high=high) if count else None,
    )


def _area(wrong_N: npt.NDArray[np.generic]) -> float:
    """The mean over all coverages of the risk there, `wrong_N` from the surest answer on."""
    return float((np.cumsum(wrong_N) / np.arange(1, len(wrong_N) + 1)).mean())
