"""Sets: whether prediction sets hold the truth as often as their card promises, and how large they are.

Shapes: N images, K classes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.cards import Head
from mien.evaluation.bootstrap import Estimate, Floats, Frozen, Ratio, estimates
from mien.evaluation.significance import holm, wilson
from mien.predictions import Predictions

SIGNIFICANT = 0.05


class ClassSets(Frozen):
    """The images whose truth is one class; of votes, the part of each image that is."""

    label: str
    images: float  # shares of images where votes are the truth
    coverage: Estimate | None  # share whose set holds the class; None where there is no image
    size: float | None  # mean number of labels in their sets
    fitted_on: float  # images of the class that its threshold stands on
    expected: tuple[float, float]  # 95 % of what such a threshold covers of all faces of the class, by their number
    p: float  # how often a kept promise shows as little or less, draws of val counted in; Holm's over the classes


class PredictionSets(Frozen):
    """Coverage (0–1) and size (labels) over `n` images that training and, but for val, selection never saw."""

    split: str
    level: float  # promised
    of_votes: bool  # the truth is what a tagger drawn at random among those of the face sees; else the label
    n: int
    coverage: Estimate
    size: Estimate
    sizes: tuple[float, ...]  # share of the images whose set has 1, 2, … K labels
    only_top: float  # share whose set holds nothing but the answer that is always in, below its own threshold
    per_class: tuple[ClassSets, ...]

    @property
    def broken(self) -> tuple[str, ...]:
        """Classes whose coverage lies below the promise by more than the draws of both sets of images explain."""
        return tuple(one.label for one in self.per_class if one.p < SIGNIFICANT)


def prediction_sets(
    said: Predictions, shares_NK: Floats, head: Head, *, of_votes: bool = False, seed: int = 0
) -> PredictionSets | None:
    """The sets of `head` over what it `said` at its temperature; None where it has none, or no image can tell.

    `shares_NK`: the truth, as `confidence.set_thresholds` takes it; images of zeros are left out, and those that are
    not leak-free. Intervals: Wilson's of labels, 95 % of bootstrap draws of the images of votes.
    """
    kept_N = said.leak_free & (shares_NK.sum(axis=1) > 0)
    if head.sets is None or not kept_N.any():
        return None
    shares_NK, probs_NK = shares_NK[kept_N], said.probabilities[kept_N]
    held_NK = head.sets.holds(probs_NK)
    sizes_N = held_NK.sum(axis=1)
    ones_N, k = np.ones(len(sizes_N)), len(head.labels)
    ratios: dict[str | int, Ratio] = {
        "size": (sizes_N.astype(np.float64), ones_N),
        "all": ((shares_NK * held_NK).sum(axis=1), shares_NK.sum(axis=1)),
        **{i: (shares_NK[:, i] * held_NK[:, i], shares_NK[:, i]) for i in range(k)},
    }
    found = estimates(ratios, seed=seed)
    if not of_votes:  # whole images: an interval that is one also where all of them are held
        found |= {key: _wilson(*ratios[key]) for key in found if key != "size"}
    weights_K = shares_NK.sum(axis=0)
    level, fitted_on = head.sets.level, head.sets.images
    chances_K = holm(
        [
            _chance_of_votes(found.get(i), level, fitted_on[i])
            if of_votes
            else _chance(found.get(i), level, fitted_on[i], weights_K[i])
            for i in range(k)
        ]
    )
    return PredictionSets(
        split=said.split,
        level=level,
        of_votes=of_votes,
        n=len(sizes_N),
        coverage=found["all"],
        size=found["size"],
        sizes=tuple(float(share) for share in np.bincount(sizes_N, minlength=k + 1)[1:] / len(sizes_N)),
        only_top=float((~(probs_NK >= np.array(head.sets.thresholds)).any(axis=1)).mean()),
        per_class=tuple(
            ClassSets(
                label=label,
                images=float(weights_K[i]),
                coverage=found.get(i),
                size=float(shares_NK[:, i] @ sizes_N / weights_K[i]) if weights_K[i] else None,
                fitted_on=fitted_on[i],
                expected=expected_coverage(level, fitted_on[i]),
                p=chances_K[i],
            )
            for i, label in enumerate(head.labels)
        ),
    )


def expected_coverage(level: float, images: float) -> tuple[float, float]:
    """2.5 and 97.5 percentiles of what a threshold fitted on so many images covers of further ones of its class.

    The promise is of the mean over all draws of those images; one draw gives more or less. Source: the share beyond an
    order statistic has a beta distribution (Wilks, Annals of Mathematical Statistics 12, 1941); Vovk, ACML 2012, for
    conformal sets. Of votes, whose images weigh less than one, it is an approximation.
    """
    from scipy.stats import beta

    shape = _shape(level, images)
    if shape is None:
        return 1.0, 1.0  # the label lies in every set
    low, high = beta.ppf([0.025, 0.975], *shape)
    return float(low), float(high)


def _shape(level: float, images: float) -> tuple[int, int] | None:
    """Of the beta distribution of a threshold's coverage; None where the label lies in every set."""
    n = int(images)
    held = int(np.ceil(level * (n + 1) - 1e-9))
    return None if held > n else (held, n + 1 - held)


def _chance(coverage: Estimate | None, level: float, fitted_on: float, images: float) -> float:
    """How often a promise that is kept shows this coverage of so many images or less: by the beta-binomial."""
    from scipy.stats import betabinom

    shape = _shape(level, fitted_on)
    if coverage is None or shape is None:
        return 1.0
    n = round(images)
    return float(betabinom.cdf(round(coverage.value * n), n, *shape))


def _chance_of_votes(coverage: Estimate | None, level: float, fitted_on: float) -> float:
    """The same of votes, by normal distributions: the variance of this coverage and, at most, of the threshold's."""
    from scipy.stats import beta, norm

    shape = _shape(level, fitted_on)
    if coverage is None or shape is None:
        return 1.0
    mean, variance = beta.stats(*shape)
    deviation = np.sqrt(((coverage.high - coverage.low) / (2 * norm.ppf(0.975))) ** 2 + variance)
    return float(norm.cdf((coverage.value - mean) / deviation))


def _wilson(above_N: npt.NDArray[np.float64], below_N: npt.NDArray[np.float64]) -> Estimate:
    right, n = round(float(above_N.sum())), round(float(below_N.sum()))
    low, high = wilson(right, n)
    return Estimate(value=right / n, low=low, high=high)
