"""Significance: whether chance alone makes a difference, between two models or between groups of images.

Shapes: N images, G groups, S strata (the classes; one stratum where classes are not told apart), P pairs of groups,
B draws or permutations.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import sqrt

import numpy as np
import numpy.typing as npt

from mien.evaluation.bootstrap import Floats, Ints

PERMUTATIONS = 10_000
Counts = npt.NDArray[np.floating] | npt.NDArray[np.integer]

_Z = 1.959963984540054  # of a two-sided 95 % interval
_Z_POWER = 0.8416212335729143  # of 80 % power


def mcnemar(first_right_N: npt.NDArray[np.bool_], second_right_N: npt.NDArray[np.bool_]) -> float:
    """Two-sided p-value of the exact McNemar test: are the images that only one model gets right split evenly?

    1.0 when there is no such image. Source: McNemar, Psychometrika 12 (1947); the exact form is the binomial test.
    """
    discordant = int((first_right_N != second_right_N).sum())
    if discordant == 0:
        return 1.0
    from scipy.stats import binomtest

    only_second = int((second_right_N & ~first_right_N).sum())
    return float(binomtest(only_second, discordant, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number, in the order given. Source: Holm, Scand. J. Statist. 6 (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def detectable(discordant: float, n: int, tests: int = 1) -> float | None:
    """The difference of accuracies that McNemar's test on `n` images finds with 80 % power, as one of so many `tests`.

    `discordant`: share of the images (0–1) that only one of the two models gets right. None where not even all of
    them would be enough. Normal approximation; of several tests each has to pass .05 over their number, which is what
    Holm's method asks of the first.
    Source: Connor, Biometrics 43 (1987), equation 2, solved for the difference.

    >>> round(detectable(0.2, 3589), 4)
    0.0209
    """
    from scipy.stats import norm

    level, power = norm.ppf(1 - 0.025 / tests), norm.ppf(0.8)
    # sqrt(n) d = level sqrt(share) + power sqrt(share - d²), squared: a quadratic in d.
    a, b = n + power**2, -2 * level * np.sqrt(discordant * n)
    c = discordant * (level**2 - power**2)
    found = float((-b + np.sqrt(max(b**2 - 4 * a * c, 0.0))) / (2 * a))
    return found if 0 < found <= discordant else None


def share_difference(first: tuple[Counts, Counts], second: tuple[Counts, Counts]) -> Floats:
    """`(...)` share of right answers of the first group less that of the second, at the same mix of strata.

    A group is its counts `(..., S)` of right answers and of images. NaN where no stratum holds both groups; with one
    stratum it is the plain difference. Source: the risk difference of Mantel and Haenszel, as in Greenland and Robins,
    Biometrics 41 (1985).
    """
    weight, shares = _weights(first[1], second[1]), [right / np.maximum(n, 1) for right, n in (first, second)]
    total = weight.sum(axis=-1)
    gap = (weight * (shares[0] - shares[1])).sum(axis=-1)
    return np.asarray(np.divide(gap, total, out=np.full(np.shape(gap), np.nan), where=total > 0))


def permutation_p(right_GS: Ints, n_GS: Ints, *, permutations: int = PERMUTATIONS, seed: int = 0) -> Floats:
    """`(P,)` permutation p of every pair of groups, two-sided, corrected for the number of pairs.

    Which group an image is of is dealt out anew among the images of its stratum. That makes the right answers of the
    groups hypergeometric, so they are drawn at once and no image is moved. Each difference is measured in its own
    standard errors, so that a small group does not hide a gap of large ones, and compared with the largest of all
    pairs of each permutation. The smallest p tests whether groups differ at all. NaN where a pair shares no stratum.
    Source: Westfall and Young, Resampling-based multiple testing (1993); p is never 0: Phipson and Smyth, SAGMB 9
    (2010).
    """
    rng, (groups, strata) = np.random.default_rng(seed), n_GS.shape
    dealt_BGS = np.zeros((permutations, groups, strata))
    for s in range(strata):
        dealt_BGS[..., s] = rng.multivariate_hypergeometric(n_GS[:, s], right_GS[:, s].sum(), size=permutations)
    found_P, largest_B = [], np.zeros(permutations)
    for i, j in combinations(range(groups), 2):
        error = _standard_error(right_GS, n_GS, i, j)
        found_P.append(abs(share_difference((right_GS[i], n_GS[i]), (right_GS[j], n_GS[j]))) / error)
        by_chance_B = share_difference((dealt_BGS[:, i], n_GS[i]), (dealt_BGS[:, j], n_GS[j]))
        largest_B = np.fmax(largest_B, np.abs(by_chance_B) / error)
    reached_P = [np.nan if np.isnan(z) else (largest_B >= z - 1e-9).sum() for z in found_P]
    return (1 + np.array(reached_P, dtype=np.float64)) / (1 + permutations)


def wilson(right: int, n: int) -> tuple[float, float]:
    """95 % interval of a share of `n` images. Source: Wilson, J. Am. Stat. Assoc. 22 (1927).

    Unlike the bootstrap it has a width where a small group is all right or all wrong.
    """
    share, z2 = right / n, _Z**2 / n
    half = _Z * sqrt(share * (1 - share) / n + z2 / (4 * n))
    return max(0.0, (share + z2 / 2 - half) / (1 + z2)), min(1.0, (share + z2 / 2 + half) / (1 + z2))


def newcombe(right: tuple[int, int], n: tuple[int, int]) -> tuple[float, float]:
    """95 % interval of the first of two shares less the second.

    Source: method 10 of Newcombe, Statistics in Medicine 17 (1998).
    """
    first, second = right[0] / n[0], right[1] / n[1]
    (low_1, high_1), (low_2, high_2) = (wilson(*group) for group in zip(right, n, strict=True))
    down, up = sqrt((first - low_1) ** 2 + (high_2 - second) ** 2), sqrt((high_1 - first) ** 2 + (second - low_2) ** 2)
    return first - second - down, first - second + up


def detectable_gap(share: float, n: tuple[int, int]) -> float:
    """The smallest true gap (0–1) that two groups of these sizes show at p < .05 in four of five samples.

    By the normal approximation, for one pair alone and this share of right answers over both.
    """
    return (_Z + _Z_POWER) * sqrt(share * (1 - share) * (1 / n[0] + 1 / n[1]))


def _weights(first_n: Counts, second_n: Counts) -> Floats:
    return np.asarray(first_n * second_n / np.maximum(first_n + second_n, 1), dtype=np.float64)


def _standard_error(right_GS: Ints, n_GS: Ints, i: int, j: int) -> float:
    """Of the difference of groups i and j, where groups are dealt out within strata; infinite where nothing varies."""
    right_S, n_S = right_GS.sum(axis=0), n_GS.sum(axis=0)
    share_S = right_S / np.maximum(n_S, 1)
    variance_S = share_S * (1 - share_S) * n_S / np.maximum(n_S - 1, 1)
    weight_S = _weights(n_GS[i], n_GS[j])
    parts_S = weight_S**2 * variance_S * (1 / np.maximum(n_GS[i], 1) + 1 / np.maximum(n_GS[j], 1))
    return float(np.sqrt(parts_S.sum()) / weight_S.sum()) if weight_S.sum() and parts_S.sum() else np.inf
