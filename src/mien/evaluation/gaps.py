"""Gaps: by how much two groups differ in their share of right answers, and whether chance alone makes that.

Shapes: G groups, S strata (the classes; one stratum where classes are not told apart), P pairs of groups, B draws or
permutations.
"""

from __future__ import annotations

from itertools import combinations
from math import sqrt

import numpy as np
import numpy.typing as npt

from mien.evaluation.metrics import Floats, Ints

PERMUTATIONS = 10_000
Counts = npt.NDArray[np.floating] | npt.NDArray[np.integer]

_Z = 1.959963984540054  # of a two-sided 95 % interval
_Z_POWER = 0.8416212335729143  # of 80 % power


def difference(first: tuple[Counts, Counts], second: tuple[Counts, Counts]) -> Floats:
    """`(...)` share of right answers of the first group less that of the second, at the same mix of strata.

    A group is its counts `(..., S)` of right answers and of images. NaN where no stratum holds both groups; with one
    stratum it is the plain difference. Source: the risk difference of Mantel and Haenszel, as in Greenland and Robins,
    Biometrics 41 (1985).
    """
    weight, shares = _weights(first[1], second[1]), [right / np.maximum(n, 1) for right, n in (first, second)]
    total = weight.sum(axis=-1)
    gap = (weight * (shares[0] - shares[1])).sum(axis=-1)
    return np.asarray(np.divide(gap, total, out=np.full(np.shape(gap), np.nan), where=total > 0))


def p_values(right_GS: Ints, n_GS: Ints, *, permutations: int = PERMUTATIONS, seed: int = 0) -> Floats:
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
        found_P.append(abs(difference((right_GS[i], n_GS[i]), (right_GS[j], n_GS[j]))) / error)
        by_chance_B = difference((dealt_BGS[:, i], n_GS[i]), (dealt_BGS[:, j], n_GS[j]))
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


def detectable(share: float, n: tuple[int, int]) -> float:
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
