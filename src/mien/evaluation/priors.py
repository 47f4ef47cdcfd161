"""Priors: what another prior makes of a model's answers, and how well the shares of unlabeled faces are estimated.

Shapes: N images, K classes, B bootstrap draws.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.cards import Head
from mien.evaluation.bootstrap import (
    Estimate,
    Floats,
    Frozen,
    bootstrap_figures,
    bootstrap_weights,
    estimate,
    point_figures,
    tally,
)
from mien.evaluation.calibration import ece
from mien.predictions import Predictions
from mien.recognize.prior import Prior, estimated, reweighted, train_shares, wanted_shares

_DRAWS = 200  # of the estimate of shares: each is an estimate of its own


class PriorChange(Frozen):
    """Answers under the `wanted` shares beside those of training, on the same images; figures are 0–1."""

    prior: str  # balanced, estimate, train, or the name of a table
    split: str
    n: int
    labels: tuple[str, ...]
    train: tuple[float, ...]
    wanted: tuple[float, ...]
    intervals: tuple[Estimate, ...] = ()  # of the wanted shares, where they were estimated
    occurring: tuple[float, ...]  # shares of the labels of these images
    accuracy: Estimate
    accuracy_change: Estimate  # paired
    mean_class_accuracy: Estimate
    mean_class_accuracy_change: Estimate  # paired
    ece_before: float
    ece: float  # under the prior


def share_estimates(
    probs_NK: npt.NDArray[np.floating], train_K: Floats, *, draws: int = _DRAWS, seed: int = 0
) -> tuple[Estimate, ...]:
    """The estimated shares of the classes, with 95 % intervals of bootstrap draws of the images.

    The intervals tell of the draw of these faces alone: not of a model whose answers are not calibrated, or of faces of
    a class that look other than in training.
    """
    point_K = estimated(probs_NK, train_K)
    weights_BN = np.concatenate(list(bootstrap_weights(len(probs_NK), draws, seed)))
    samples_BK = np.stack([estimated(probs_NK, train_K, weights_N, point_K) for weights_N in weights_BN])
    return tuple(estimate(point_K[k], samples_BK[:, k]) for k in range(len(point_K)))


def prior_change(
    predictions: Predictions, head: Head, prior: Prior, name: str, *, draws: int = 2000, seed: int = 0
) -> PriorChange:
    """What `prior` changes in what a head says, `predictions` at its temperature, of the model `name`.

    Estimated shares are those of these very images, whose labels are not looked at for it. Raises `InputError` for a
    card without the shares of training, and for a prior that is none.
    """
    train_K, given = train_shares(head, name), predictions.probabilities.astype(np.float64)
    intervals: tuple[Estimate, ...] = ()
    wanted_K = wanted_shares(prior, head.labels)
    if prior == "estimate":
        intervals = share_estimates(given, train_K, seed=seed)
        wanted_K = np.array([one.value for one in intervals])
    moved = given if wanted_K is None else reweighted(given, train_K, wanted_K)
    labels_N = predictions.labels
    points = [point_figures(labels_N, probs) for probs in (given, moved)]
    samples = bootstrap_figures([tally(labels_N, probs) for probs in (given, moved)], draws, seed)
    found: dict[str, Estimate] = {}
    for figure in ("accuracy", "mean_class_accuracy"):
        before, after = (float(getattr(one, figure)[0]) for one in points)
        before_B, after_B = (getattr(one, figure) for one in samples)
        found[figure] = estimate(after, after_B)
        found[f"{figure}_change"] = estimate(after - before, after_B - before_B)
    errors = [ece(probs.max(axis=1), probs.argmax(axis=1) == labels_N) for probs in (given, moved)]
    counts_K = np.bincount(labels_N, minlength=len(head.labels))
    return PriorChange(
        prior=str(prior) if isinstance(prior, str) else "given",
        split=predictions.split,
        n=len(predictions),
        labels=head.labels,
        train=tuple(train_K.tolist()),
        wanted=tuple((train_K if wanted_K is None else wanted_K).tolist()),
        intervals=intervals,
        occurring=tuple((counts_K / counts_K.sum()).tolist()),
        ece_before=errors[0],
        ece=errors[1],
        **found,
    )
