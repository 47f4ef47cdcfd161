"""Calibration: whether probabilities mean what they say.

Shapes: N images, K classes, T bins, B simulations.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from mien.errors import InputError
from mien.evaluation.bootstrap import Floats, Frozen, Ints, interval
from mien.predictions import Predictions

Binning = Literal["width", "mass"]
BINS = 15
_SIMULATIONS = 1000


class Bin(Frozen):
    """The images whose confidence lies within one of the bins of equal width; `confidence` and `accuracy` are 0–1."""

    low: float
    high: float
    n: int
    confidence: float  # mean
    accuracy: float


class Calibration(Frozen):
    """How far confidence and accuracy are apart over `n` images; all but `brier` (0–2) are 0–1."""

    n: int
    ece: float  # expected calibration error, bins of equal width
    ece_mass: float  # the same, bins of equally many images
    ece_if_perfect: tuple[float, float]  # 95 % of what a perfectly calibrated model of this confidence and n shows
    classwise_ece: float
    brier: float
    bins: tuple[Bin, ...] = ()  # that hold an image; none in what earlier versions wrote

    @property
    def as_good_as_perfect(self) -> bool:
        """Whether chance alone explains the error."""
        return self.ece <= self.ece_if_perfect[1]


def calibration(predictions: Predictions, *, bins: int = BINS, seed: int = 0) -> Calibration:
    """The calibration of `predictions`, whose labels are classes. Raises `InputError` when there is no image."""
    if not len(predictions):
        raise InputError(f"calibration on '{predictions.split}': no image to look at")
    labels_N, probs_NK = predictions.labels, predictions.probabilities.astype(np.float64)
    confidence_N, right_N = probs_NK.max(axis=1), predictions.predicted == labels_N
    return Calibration(
        n=len(labels_N),
        ece=ece(confidence_N, right_N, bins),
        ece_mass=ece(confidence_N, right_N, bins, "mass"),
        ece_if_perfect=ece_if_perfect(confidence_N, bins, seed=seed),
        classwise_ece=classwise_ece(labels_N, probs_NK, bins),
        brier=brier(labels_N, probs_NK),
        bins=_bins(confidence_N, right_N, bins),
    )


def _bins(confidence_N: Floats, right_N: npt.NDArray[np.bool_], bins: int) -> tuple[Bin, ...]:
    bin_N = _bin(confidence_N, bins, "width")
    members = [(i, bin_N == i) for i in np.unique(bin_N)]
    return tuple(
        Bin(
            low=float(i / bins),
            high=float((i + 1) / bins),
            n=int(there_N.sum()),
            confidence=float(confidence_N[there_N].mean()),
            accuracy=float(right_N[there_N].mean()),
        )
        for i, there_N in members
    )


def ece(confidence_N: Floats, right_N: npt.NDArray[np.bool_], bins: int = BINS, by: Binning = "width") -> float:
    """Expected calibration error: the mean over images of |accuracy − confidence| of their bin.

    `by` width: bins of equal width over 0–1; by mass: of equally many images. Source: Naeini, Cooper, Hauskrecht, AAAI
    2015; Guo, Pleiss, Sun, Weinberger, ICML 2017, equation 3.
    """
    gaps_T = np.bincount(_bin(confidence_N, bins, by), weights=right_N - confidence_N, minlength=bins)
    return float(np.abs(gaps_T).sum() / len(confidence_N))


def ece_if_perfect(
    confidence_N: Floats, bins: int = BINS, *, simulations: int = _SIMULATIONS, seed: int = 0
) -> tuple[float, float]:
    """2.5 and 97.5 percentiles of the ECE (equal width) if each image were right as often as its confidence says.

    An ECE is never 0 on a finite set; this is the range that chance alone makes. Source: consistency resampling,
    Bröcker and Smith, Weather and Forecasting 22 (2007).
    """
    rng = np.random.default_rng(seed)
    bin_N = _bin(confidence_N, bins, "width")
    errors_B = np.empty(simulations)
    for i in range(simulations):
        gaps_N = (rng.random(len(bin_N)) < confidence_N) - confidence_N
        errors_B[i] = np.abs(np.bincount(bin_N, weights=gaps_N, minlength=bins)).sum() / len(bin_N)
    return interval(errors_B)


def classwise_ece(labels_N: Ints, probs_NK: Floats, bins: int = BINS) -> float:
    """The mean over classes of the ECE of that class's probability (equal width).

    Source: Kull et al., NeurIPS 2019, equation 3.
    """
    classes = range(probs_NK.shape[1])
    return float(np.mean([ece(probs_NK[:, k], labels_N == k, bins) for k in classes]))


def brier(labels_N: Ints, probs_NK: Floats) -> float:
    """Mean squared distance of the probabilities and the truth, summed over classes: 0 (perfect) to 2.

    Source: Brier, Monthly Weather Review 78 (1950).
    """
    truth_NK = np.eye(probs_NK.shape[1])[labels_N]
    return float(((probs_NK - truth_NK) ** 2).sum(axis=1).mean())


def _bin(confidence_N: Floats, bins: int, by: Binning) -> Ints:
    """`(N,)` the bin of each image; a confidence on a border belongs to the bin below it."""
    if by == "mass":
        rank_N = np.empty(len(confidence_N), dtype=np.int64)
        rank_N[np.argsort(confidence_N, kind="stable")] = np.arange(len(confidence_N))
        return rank_N * bins // len(confidence_N)
    return np.clip(np.ceil(confidence_N * bins).astype(np.int64) - 1, 0, bins - 1)
