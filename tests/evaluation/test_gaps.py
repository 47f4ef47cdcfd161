"""Gaps against scipy, statsmodels, exact enumeration and simulation."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from scipy.stats import fisher_exact, kstest, permutation_test
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from mien.evaluation.gaps import detectable, difference, newcombe, p_values, wilson

COUNTS = [(0, 5), (5, 5), (3, 8), (19, 30), (640, 1000)]


@pytest.mark.parametrize(("right", "n"), COUNTS)
def test_wilson_is_that_of_statsmodels(right: int, n: int) -> None:
    assert wilson(right, n) == pytest.approx(proportion_confint(right, n, method="wilson"), abs=1e-12)


@pytest.mark.parametrize(("first", "second"), [*combinations(COUNTS, 2), (COUNTS[1], COUNTS[1])])
def test_newcombe_is_that_of_statsmodels(first: tuple[int, int], second: tuple[int, int]) -> None:
    theirs = confint_proportions_2indep(*first, *second, method="newcomb", compare="diff")
    assert newcombe((first[0], second[0]), (first[1], second[1])) == pytest.approx(theirs, abs=1e-12)


def test_newcombe_textbook_case() -> None:
    """Newcombe 1998, table II: 56 of 70 against 48 of 80, method 10."""
    assert newcombe((56, 48), (70, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(("share", "n"), [(0.65, (300, 300)), (0.5, (40, 900)), (0.9, (1000, 2589))])
def test_detectable_is_that_of_statsmodels(share: float, n: tuple[int, int]) -> None:
    size = NormalIndPower().solve_power(nobs1=n[0], ratio=n[1] / n[0], alpha=0.05, power=0.8)
    assert detectable(share, n) == pytest.approx(size * np.sqrt(share * (1 - share)), rel=1e-3)


def test_detectable_gap_is_found_four_times_in_five() -> None:
    rng = np.random.default_rng(0)
    gap = detectable(0.65, (400, 600))
    found = 0
    for seed in range(300):
        right = rng.binomial(400, 0.65 + 0.6 * gap), rng.binomial(600, 0.65 - 0.4 * gap)
        (p,) = p_values(np.array([[right[0]], [right[1]]]), np.array([[400], [600]]), permutations=500, seed=seed)
        found += p < 0.05
    assert found / 300 == pytest.approx(0.8, abs=0.07)  # three standard errors


def test_difference_by_hand() -> None:
    right, n = np.array([[8, 3], [9, 1]]), np.array([[10, 10], [30, 5]])
    weights = 10 * 30 / 40, 10 * 5 / 15
    by_hand = (weights[0] * (0.8 - 0.3) + weights[1] * (0.3 - 0.2)) / sum(weights)
    assert difference((right[0], n[0]), (right[1], n[1])) == pytest.approx(by_hand)
    assert difference((right[1], n[1]), (right[0], n[0])) == pytest.approx(-by_hand)
    one = difference((right[0].sum(keepdims=True), n[0].sum(keepdims=True)), (np.array([10]), np.array([35])))
    assert one == pytest.approx(11 / 20 - 10 / 35)  # one stratum: the plain difference
    apart = difference((np.array([3, 0]), np.array([5, 0])), (np.array([0, 4]), np.array([0, 7])))
    assert np.isnan(apart)  # no stratum holds both


@pytest.mark.parametrize("right", [(9, 3), (12, 8), (15, 15), (2, 9)])
def test_two_groups_of_one_size_are_fishers_exact_test(right: tuple[int, int]) -> None:
    exact = fisher_exact([[right[0], 20 - right[0]], [right[1], 20 - right[1]]]).pvalue
    (p,) = p_values(np.array([[right[0]], [right[1]]]), np.array([[20], [20]]), permutations=40_000)
    assert p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 40_000) + 1e-4)


def studentized(answers: np.ndarray, groups: np.ndarray, i: int, j: int) -> float:
    n = [(groups == g).sum() for g in (i, j)]
    gap = answers[groups == i].mean() - answers[groups == j].mean()
    return abs(gap) / np.sqrt(answers.var(ddof=1) * (1 / n[0] + 1 / n[1]))


def test_three_groups_are_the_permutation_test_of_scipy() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat([0, 1, 2], [15, 40, 90])
    answers = rng.random(145) < np.array([0.5, 0.8, 0.6])[groups]
    n_G1 = np.bincount(groups)[:, None]
    ours = p_values(np.bincount(groups, weights=answers).astype(int)[:, None], n_G1)
    pairs = list(combinations(range(3), 2))

    def largest(shuffled: np.ndarray) -> float:
        return max(studentized(answers, shuffled, *pair) for pair in pairs)

    theirs = permutation_test(
        (groups,), largest, permutation_type="pairings", n_resamples=3000, alternative="greater", rng=rng
    )
    assert min(ours) == pytest.approx(theirs.pvalue, abs=0.03)
    for p, pair in zip(ours, pairs, strict=True):
        by_chance = theirs.null_distribution >= studentized(answers, groups, *pair) - 1e-9
        assert p == pytest.approx(by_chance.mean(), abs=0.03)


def test_strata_are_exact_enumeration() -> None:
    """All ways to deal out three groups within two classes of four and three images, by hand."""
    strata = [("aabc", (1, 1, 0, 0)), ("abc", (1, 0, 0))]
    n_GS = np.array([[names.count(g) for names, _ in strata] for g in "abc"])

    def right_of(dealt: tuple[str, ...]) -> np.ndarray:
        names_and_right = [(names, right) for names, (_, right) in zip(dealt, strata, strict=True)]
        return np.array(
            [
                [sum(r for name, r in zip(names, right, strict=True) if name == g) for names, right in names_and_right]
                for g in "abc"
            ]
        )

    def z_of(right: np.ndarray) -> list[float]:
        found = []
        for i, j in combinations(range(3), 2):
            gap = weights = variance = 0.0
            for s, (_, answers) in enumerate(strata):
                a, b = n_GS[i, s], n_GS[j, s]
                w = a * b / (a + b)
                gap += w * (right[i, s] / a - right[j, s] / b)
                variance += w**2 * np.var(answers, ddof=1) * (1 / a + 1 / b)
                weights += w
            found.append(abs(gap) / np.sqrt(variance))
        return found

    every = [(first, second) for first in permutations("aabc") for second in permutations("abc")]
    largest = np.array([max(z_of(right_of(dealt))) for dealt in every])
    observed = right_of(("aabc", "abc"))
    exact = [(largest >= z - 1e-9).mean() for z in z_of(observed)]
    assert p_values(observed, n_GS, permutations=40_000) == pytest.approx(exact, abs=0.012)


def test_p_is_uniform_where_groups_do_not_differ() -> None:
    """Over 400 sets of three groups of other mixes whose classes are answered alike, within classes."""
    rng = np.random.default_rng(4)
    mixes = np.array([[40, 10, 60], [20, 20, 20], [90, 150, 30]])
    p = [min(p_values(rng.binomial(mixes, [0.9, 0.6, 0.4]), mixes, permutations=400, seed=seed)) for seed in range(400)]
    assert kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.033)  # three standard errors


def test_a_small_group_does_not_hide_a_gap_of_large_ones() -> None:
    right, n = np.array([[700], [600], [20]]), np.array([[1000], [1000], [31]])
    first_second, first_third, second_third = p_values(right, n)
    assert first_second == pytest.approx(1 / 10_001)
    assert min(first_third, second_third) > 0.5


def test_nothing_varies_and_nothing_shared() -> None:
    all_right = np.array([[30, 5], [40, 9], [50, 0]])
    assert p_values(all_right, all_right, permutations=50).tolist() == [1, 1, 1]
    apart = p_values(np.array([[20, 0], [0, 9]]), np.array([[30, 0], [0, 30]]), permutations=50)
    assert np.isnan(apart).all()


def test_same_seed_same_p() -> None:
    right, n = np.array([[20], [25], [18]]), np.array([[40], [40], [40]])
    assert np.array_equal(p_values(right, n, seed=1), p_values(right, n, seed=1))
    assert not np.array_equal(p_values(right, n, seed=1), p_values(right, n, seed=2))
